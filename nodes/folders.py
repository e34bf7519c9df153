"""Nodes that work through a folder of pictures with prompts: one item a run, each result named after its item."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from comfy_api.latest import io, ui

from ..pusa_core.clips.writing import count_frames
from ..pusa_core.errors import PusaError
from ..pusa_core.folders import (
    REPORT,
    FolderItem,
    ItemSettings,
    add_to_report,
    folder_inside,
    read_folder,
    report_row,
    unfinished_result,
)
from .host import folders
from .host.folder_items import attempts_of, columns, take_items, what_waits
from .host.graph import blocked
from .host.video import video_metadata

ItemType = io.Custom("PUSA_FOLDER_ITEM")


class PusaFolder(io.ComfyNode):
    """The next unfinished item of a folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaFolder",
            display_name="Folder of Prompts",
            category="Pusa/tools",
            description=(
                "Takes the next picture of a folder that has no video yet, with the prompt from the text file of the same name. Set the "
                "batch count beside Run to the number of pictures; finished ones are skipped, so a run can be stopped and continued. "
                "A .json of the same name can set negative, noise_multipliers, seed, length, steps and cfg for its picture."
            ),
            inputs=[
                io.String.Input("folder", default="pusa", tooltip="Folder inside ComfyUI's input folder: cat.png, cat.txt and, if wanted, cat.json. Every picture needs a prompt."),
                io.String.Input("output_folder", default="video/pusa_folder", tooltip="Folder inside ComfyUI's output folder. An item is finished when its video is there; delete the video to make it again."),
                io.String.Input("negative", default="", multiline=True, tooltip="Negative prompt of items that set none."),
                io.String.Input("noise_multipliers", default="0.2", tooltip="Noise of the pictures, 0 (kept as given) to 1 (ignored), for items that set none."),
                io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, tooltip="Seed of items that set none."),
                io.Int.Input("length", default=81, min=1, max=10001, step=4, tooltip="Video frames of items that set none, 1 more than a multiple of the model's group: 4 for Wan, 6 for Mochi, 8 for LTX-Video."),
                io.Int.Input("steps", default=30, min=1, max=1000, tooltip="Steps of items that set none."),
                io.Float.Input("cfg", default=3.0, min=0.0, max=100.0, step=0.1, tooltip="Guidance of items that set none."),
                io.Int.Input("items_per_run", default=1, min=0, max=10000, tooltip="1 saves each item before the next begins, and memory stays flat. More are taken together in one run; 0 takes all that are left."),
            ],
            outputs=[
                io.Image.Output(display_name="image", is_output_list=True, tooltip="The picture."),
                io.String.Output(display_name="prompt", is_output_list=True, tooltip="To the text encoder of positive."),
                io.String.Output(display_name="negative", is_output_list=True, tooltip="To the text encoder of negative."),
                io.String.Output(display_name="noise_multipliers", is_output_list=True, tooltip="To Condition Frame Injector."),
                io.Int.Output(display_name="seed", is_output_list=True, tooltip="To the sampler."),
                io.Int.Output(display_name="length", is_output_list=True, tooltip="To the empty video latent."),
                io.Int.Output(display_name="steps", is_output_list=True, tooltip="To the sampler."),
                io.Float.Output(display_name="cfg", is_output_list=True, tooltip="To the sampler."),
                ItemType.Output(display_name="item", is_output_list=True, tooltip="To Save Folder Item."),
                io.String.Output(display_name="status", tooltip="What is taken and how many are left."),
            ],
            hidden=[io.Hidden.prompt],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, folder: str | None, output_folder: str | None) -> bool | str:
        try:  # a linked input comes as None: it is known only when the node runs
            if output_folder is not None:
                folder_inside(folders.output_folder(), output_folder, "output_folder")
            if folder is not None:
                read_folder(folders.input_folder(), folder, "", ItemSettings())
        except PusaError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, folder: str | None, output_folder: str | None, **settings: Any) -> Any:
        if folder is None or output_folder is None:
            return float("nan")  # linked: never the same
        return what_waits(folder, output_folder)

    @classmethod
    def execute(
        cls,
        folder: str,
        output_folder: str,
        negative: str,
        noise_multipliers: str,
        seed: int,
        length: int,
        steps: int,
        cfg: float,
        items_per_run: int = 1,
    ) -> io.NodeOutput:
        defaults = ItemSettings(negative, noise_multipliers, seed, length, steps, cfg)
        taken, status = take_items(folder, output_folder, defaults, items_per_run, cls.hidden)
        outputs = (
            columns(taken) if taken else [blocked()] * 9
        )  # nothing after this node runs, without an error
        return io.NodeOutput(*outputs, status, ui=ui.PreviewText(status))


class PusaFolderSave(io.ComfyNode):
    """The video of an item, named after it, and its line in the report."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaFolderSave",
            display_name="Save Folder Item",
            category="Pusa/tools",
            description="Saves the video under the name of its item, so that the item counts as finished, and adds a line to report.csv.",
            is_output_node=True,
            inputs=[
                io.Video.Input("video", tooltip="The item's video, from Create Video."),
                ItemType.Input("item", tooltip="From Folder of Prompts."),
            ],
            outputs=[io.String.Output(display_name="file", tooltip="The file in the output folder.")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
        )

    @classmethod
    def execute(cls, video: Any, item: FolderItem) -> io.NodeOutput:
        result = item.result(folders.output_folder())
        result.parent.mkdir(parents=True, exist_ok=True)
        unfinished = unfinished_result(result)
        video.save_to(str(unfinished), metadata=video_metadata(cls.hidden) or None)
        os.replace(unfinished, result)
        frames, rate = count_frames(result)
        attempts_of(item.output_folder).finish(item.name)
        said = add_to_report(result.parent / REPORT, report_row(item, frames, float(frames / rate)))
        saved = ui.SavedResult(result.name, Path(item.output_folder).as_posix(), io.FolderType.output)
        shown = ui.PreviewVideo([saved]).as_dict() | ({"text": (said,)} if said else {})
        return io.NodeOutput(
            result.relative_to(os.path.realpath(folders.output_folder())).as_posix(), ui=shown
        )
