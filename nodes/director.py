"""Pusa Director: a long video as a project of windows that can be kept, locked, retaken, keyed and directed."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui

from ..pusa_core.errors import PusaError
from ..pusa_core.project.engine import FINAL, QUALITIES
from ..pusa_core.project.text import read_project
from . import inputs
from .host.director import Directed, DirectorRequest, make_project
from .host.schema import advanced, of_today, search_words
from .host.video import video_metadata, video_of_file

EMPTY_PROJECT = """{
 "version": 1,
 "window": 81,
 "overlap": 13,
 "colour": "before",
 "windows": [
  {"id": "w1", "prompt": ""}
 ]
}"""


class PusaDirector(io.ComfyNode):
    """A long video made of windows; only what changed is made again."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaDirector",
            display_name="Pusa Director",
            category="Pusa/long video",
            **search_words("timeline", "storyboard", "long video", "retake", "music clip"),
            description=(
                "A long video as a project: a timeline of windows, each with its own prompt, pictures, LoRAs and seed. Windows can be "
                "locked, retaken and bridged; only what changed is made again."
            ),
            is_output_node=True,
            **of_today(has_intermediate_output=True, not_idempotent=True),
            inputs=[
                io.Model.Input("model", tooltip=inputs.MODEL_TIP),
                io.Clip.Input("clip", tooltip="The text encoder (umt5_xxl for Wan): it reads every window's prompt."),
                inputs.vae(),
                io.String.Input("project", multiline=True, default=EMPTY_PROJECT, tooltip="The project as JSON; the timeline edits this text, and it can be written by hand."),
                io.String.Input("name", default="pusa_project", tooltip="The project's folder in the output folder, subfolders with /. It holds a part per window, project.json and the finished video."),
                io.Int.Input("width", default=832, min=16, max=8192, step=16, tooltip="Pixels, a multiple of 16 (of 32 for Wan2.2 5B and LTX-Video)."),
                io.Int.Input("height", default=480, min=16, max=8192, step=16, tooltip="Pixels, a multiple of 16 (of 32 for Wan2.2 5B and LTX-Video)."),
                io.Float.Input("fps", default=16.0, min=1.0, max=120.0, step=0.01, tooltip="Frames per second; Wan makes 16, Wan2.2 5B 24, Mochi 30."),
                inputs.seed("Of the first window; each further one adds 1, and a retake takes another. A window can set its own."),
                inputs.steps("Model evaluations of windows that set none: 30 without a distilled LoRA, 4 with LightX2V. Not used when sigmas are connected."),
                inputs.cfg("Guidance of windows that set none: 3.0 without a distilled LoRA, 1.0 with LightX2V."),
                inputs.shift(),
                inputs.sampler_name("euler is the reference's."),
                io.Int.Input("crf", default=16, min=0, max=51, tooltip="H.264 quality of the files: 0 is lossless, 16 shows no loss, 23 is small.", **advanced()),
                io.Combo.Input("quality", options=list(QUALITIES), default=FINAL, tooltip="draft makes every window smaller or with fewer steps, into parts of its own. final follows the draft of a window where there is one."),
                io.Float.Input("draft_scale", default=0.5, min=0.1, max=1.0, step=0.05, tooltip="Width and height of a draft, as a share of the video's.", **advanced()),
                io.Int.Input("draft_steps", default=0, min=0, max=1000, tooltip="Steps of a draft; 0 takes the window's own.", **advanced()),
                io.Float.Input("draft_multiplier", default=0.3, min=0.0, max=1.0, step=0.01, tooltip="How freely final leaves the draft: noise of the draft's frames, 0 (as they are) to 1 (ignored).", **advanced()),
                io.Sigmas.Input("sigmas", optional=True, tooltip="A schedule of your own for every window; it replaces steps."),
            ],
            outputs=[
                io.Video.Output(display_name="video", tooltip="The finished file in the project's folder."),
                io.String.Output(display_name="report", tooltip="One line per window: frames, seed, made or kept, seams."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, project: str | None) -> bool | str:
        try:  # a linked text comes as None: it is known only when the node runs
            if project is not None:
                read_project(project)
        except PusaError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, **given: Any) -> float:
        return float("nan")  # parts on disk may be gone or changed; what is kept costs little

    @classmethod
    def execute(cls, *given: Any, **named: Any) -> io.NodeOutput:
        made = make_project(DirectorRequest(*given, **named), video_metadata(cls.hidden), cls.hidden)
        told = ui.PreviewText(made.report)
        return io.NodeOutput(video_of_file(made.path), made.report, ui={**_shown(made), **told.as_dict()})


def _shown(made: Directed) -> dict[str, Any]:
    """The finished video to look at; of one window made alone its files, for whoever asked for it."""
    saved = [ui.SavedResult(name, made.subfolder, io.FolderType.output) for name in made.files]
    return {"part": saved} if len(saved) > 1 else ui.PreviewVideo(saved).as_dict()
