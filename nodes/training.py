"""Nodes that prepare a training: clips become cache files with ComfyUI's own VAE and text encoder, settings become a TOML file."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui

from ..pusa_core.choices import check_choice
from ..pusa_core.images import CROP, RESIZES
from .clips import CLIP_TYPES, FRAME_RATE_TOOLTIP
from .host.folders import model_names
from .host.graph import blocked
from .host.schema import search_words
from .host.training import (
    BAD_CLIPS,
    BASE_NAMES,
    EXPERT_NAMES,
    KINDS,
    NO_EXPERT,
    SKIP,
    STOP,
    ClipRequest,
    ConfigRequest,
    cache_one,
    video_of,
    waiting_clips,
    write_config,
)

DATASET_TOOLTIP = (
    "Name of the data set: the folder output/pusa_training/<dataset> with one cache file a clip."
)
BAD_TOOLTIP = "A clip that is broken or too short: stop names it and ends the run, skip names it and goes on with the others."


class PusaTrainingFolder(io.ComfyNode):
    """The clips of a folder that are not cached yet, with their captions."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaTrainingFolder",
            display_name="Training Folder",
            category="Pusa/training",
            **search_words("train lora", "dataset"),
            description=(
                "Takes the videos and pictures of a folder, each with the caption from the text file of the same name (or all from a "
                "metadata.csv with the columns file_name and text). Clips whose cache file is there already are left out."
            ),
            inputs=[
                io.String.Input("folder", default="training", tooltip="Folder inside ComfyUI's input folder: cat.mp4 and cat.txt, dog.mp4 and dog.txt."),
                io.String.Input("dataset", default="my_clips", tooltip=DATASET_TOOLTIP),
                io.Int.Input("clips_per_run", default=20, min=0, max=100000, tooltip="Clips taken in one run; queue again for the rest. 0 takes all that are left: their captions are then in memory together, 8 MB each."),
                io.Combo.Input("bad_clips", options=list(BAD_CLIPS), default=STOP, tooltip="A clip without a caption: stop names it and ends the run, skip names it and goes on with the others."),
            ],
            outputs=[
                io.Video.Output(display_name="video", is_output_list=True, tooltip="To Training Clip."),
                io.String.Output(display_name="caption", is_output_list=True, tooltip="To the text encoder, and to Training Clip."),
                io.String.Output(display_name="name", is_output_list=True, tooltip="To Training Clip: the file's name without its ending."),
                io.String.Output(display_name="status", tooltip="What is taken, what is left and what cannot be used."),
            ],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> float:
        return float("nan")  # cache files come and go

    @classmethod
    def execute(
        cls, folder: str, dataset: str, clips_per_run: int = 20, bad_clips: str = STOP
    ) -> io.NodeOutput:
        check_choice("bad_clips", bad_clips, BAD_CLIPS)
        taken, status = waiting_clips(folder, dataset, clips_per_run, bad_clips == SKIP)
        if not taken:
            nothing = [blocked()] * 3  # nothing after this node runs, without an error
            return io.NodeOutput(*nothing, status, ui=ui.PreviewText(status))
        return io.NodeOutput(
            [video_of(source) for source in taken],
            [source.caption for source in taken],
            [source.name for source in taken],
            status,
            ui=ui.PreviewText(status),
        )


class PusaTrainingClip(io.ComfyNode):
    """One cache file of a clip and its caption."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaTrainingClip",
            display_name="Pusa Training Clip",
            category="Pusa/training",
            **search_words("train lora", "cache latents"),
            description=(
                "Encodes the beginning of a clip with the VAE, at the model's frame rate, and writes it with its encoded caption into one "
                "file that training reads. Text encoder and VAE are those of your graph, in whatever format you have them."
            ),
            is_output_node=True,
            inputs=[
                io.Vae.Input("vae", tooltip="wan_2.1_vae for Wan2.1 and Wan2.2 14B, wan2.2_vae for 5B."),
                io.Conditioning.Input("positive", tooltip="The encoded caption, from CLIP Text Encode."),
                io.MultiType.Input("video", CLIP_TYPES, tooltip="The clip: VIDEO (Training Folder, Load Video), or IMAGE with its frame_rate."),
                io.String.Input("name", default="clip_01", tooltip="Name of the cache file, without ending; a file of this name is written anew."),
                io.String.Input("prompt", default="", multiline=True, tooltip="The caption as text, kept in the file for you to read; what is trained on is positive."),
                io.String.Input("dataset", default="my_clips", tooltip=DATASET_TOOLTIP),
                io.Combo.Input("base", options=BASE_NAMES, default="wan2.1-14b", tooltip="The model to train on: it decides the frame rate (16 a second; 24 for wan2.2-5b) and which sizes are possible."),
                io.Int.Input("width", default=832, min=32, max=4096, step=16, tooltip="Width in pixels, a multiple of 16 (of 32 for wan2.2-5b). The authors train at 832 x 480."),
                io.Int.Input("height", default=480, min=32, max=4096, step=16, tooltip="Height in pixels, a multiple of 16 (of 32 for wan2.2-5b)."),
                io.String.Input("lengths", default="81", tooltip="Video frames, 4n + 1. With several, such as 81, 49, 33, each clip takes the longest that it has. A single picture always is 1 frame."),
                io.Boolean.Input("keep_proportions", default=False, tooltip="On: each clip keeps its proportions, with about as many pixels as width x height. Off: all get this very size."),
                io.Combo.Input("resize", options=list(RESIZES), default=CROP, tooltip="How a clip of other proportions becomes its size: crop the sides, letterbox with black, or stretch."),
                io.Combo.Input("bad_clips", options=list(BAD_CLIPS), default=STOP, tooltip=BAD_TOOLTIP),
                io.Conditioning.Input("empty", optional=True, tooltip="An encoded empty text, which caption dropout needs. Leave it open only if you train with caption_dropout 0."),
                io.Float.Input("frame_rate", default=16.0, min=1.0, max=240.0, step=0.001, optional=True, tooltip=FRAME_RATE_TOOLTIP),
            ],
            outputs=[io.String.Output(display_name="file", tooltip="The cache file below ComfyUI's output folder, or why there is none.")],
        )  # fmt: skip

    @classmethod
    def execute(cls, *given: Any, **named: Any) -> io.NodeOutput:
        said = cache_one(ClipRequest(*given, **named))
        return io.NodeOutput(said, ui=ui.PreviewText(said))


class PusaTrainingConfig(io.ComfyNode):
    """The TOML file of a training, and the command that runs it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaTrainingConfig",
            display_name="Pusa Training Config",
            category="Pusa/training",
            **search_words("train lora"),
            description=(
                "Writes the settings of a training into output/pusa_training and shows the command that runs it in a terminal. Every other "
                "setting stands in the file with its default."
            ),
            is_output_node=True,
            inputs=[
                io.String.Input("name", default="my_lora", tooltip="Name of the run: of its file, its folder and the finished LoRA."),
                io.String.Input("datasets", default="my_clips", tooltip="Data sets to train on, with commas between them: folders in output/pusa_training."),
                io.Combo.Input("model_name", options=model_names(), tooltip="The text-to-video model to train on, from models/diffusion_models: bf16, fp16, fp8 or fp8_scaled. GGUF cannot be trained on."),
                io.Combo.Input("base", options=BASE_NAMES, default="wan2.1-14b", tooltip="What the model is; the file is checked against it."),
                io.Combo.Input("expert", options=EXPERT_NAMES, default=NO_EXPERT, tooltip="For wan2.2-14b: which expert model_name is. Each is trained in a run of its own, on the full range of noise."),
                io.Combo.Input("kind", options=KINDS, default="lora", tooltip="lora trains a low-rank update, full all parameters (many large cards)."),
                io.Int.Input("rank", default=128, min=1, max=2048, tooltip="Of the LoRA. The authors use 512 on 8 cards of 80 GB; 32 to 128 fit smaller ones."),
                io.Int.Input("steps", default=900, min=1, max=1000000, tooltip="Optimizer steps. The authors' best result is from step 900."),
                io.Int.Input("batch", default=8, min=1, max=4096, tooltip="Clips a step, over all devices together; they go through the model one after the other where memory is small."),
                io.Float.Input("learning_rate", default=1e-5, min=1e-7, max=0.1, step=1e-7, round=False, tooltip="The authors use 0.00001 with rank 512."),
                io.Float.Input("caption_dropout", default=0.1, min=0.0, max=0.9, step=0.01, tooltip="Share of the clips shown without caption, 0 to 0.9, for guidance. Needs cache files with an encoded empty text."),
                io.Float.Input("given_share", default=0.0, min=0.0, max=1.0, step=0.05, tooltip="Share of the clips whose first frame is nearly clean while the others share one noise level, as in image-to-video. 0: every frame draws its own, as the authors do."),
                io.Boolean.Input("cpu_offload", default=False, tooltip="On: the blocks wait in RAM and come to the card one by one: 14B needs it on cards of 12 to 48 GB, 5B on 12 GB. Slower."),
                io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFF, control_after_generate=False, tooltip="Of all random draws; the same seed gives the same run on one device or many."),
            ],
            outputs=[
                io.String.Output(display_name="command", tooltip="To run in a terminal, with ComfyUI closed."),
                io.String.Output(display_name="file", tooltip="The TOML file below ComfyUI's output folder."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, *given: Any, **named: Any) -> io.NodeOutput:
        command, file, said = write_config(ConfigRequest(*given, **named))
        return io.NodeOutput(command, file, ui=ui.PreviewText(said))
