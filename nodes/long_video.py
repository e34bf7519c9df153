"""Nodes for videos longer than one window: the video itself, and prompts that change over its time."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui

from ..pusa_core.colour import METHODS, MONGE_KANTOROVICH
from ..pusa_core.given_frames import told_of_windows
from ..pusa_core.graph.run_line import run_line
from ..pusa_core.long_video import DURATION_UNITS, PROMPT_START, SECONDS
from . import inputs
from .host.long_video import NO_MATCH, LongVideoRequest, make_long_video
from .host.running_prompt import SETTINGS, graph_around
from .host.schema import advanced, of_today, search_words
from .host.video import video_metadata, video_of_file


class PusaPromptTime(io.ComfyNode):
    """A prompt that begins at a given second of a long video."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaPromptTime",
            display_name="Prompt at Time",
            category="Pusa/long video",
            description=(
                "Says from which second on a prompt holds, for Long Video. Chain one node per prompt. A window follows the prompt "
                "that holds in the middle of its new frames."
            ),
            inputs=[
                io.Conditioning.Input("conditioning", tooltip="The prompt, from CLIP Text Encode."),
                io.Float.Input("start_seconds", default=0.0, min=0.0, max=36000.0, step=0.1, tooltip="Second of the video, 0 and up, from which on this prompt holds."),
                io.Conditioning.Input("earlier", optional=True, tooltip="The prompts before, from another Prompt at Time."),
            ],
            outputs=[io.Conditioning.Output(display_name="conditioning", tooltip="All prompts with their times, for Long Video's positive or negative only: other samplers would mix them.")],
        )  # fmt: skip

    @classmethod
    def execute(cls, conditioning: Any, start_seconds: float = 0.0, earlier: Any = None) -> io.NodeOutput:
        timed = [(tensor, {**options, PROMPT_START: start_seconds}) for tensor, options in conditioning]
        return io.NodeOutput([*(earlier or []), *timed])


class PusaLongVideo(io.ComfyNode):
    """A video of any length, window after window, streamed to disk."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaLongVideo",
            display_name="Long Video",
            category="Pusa/long video",
            **search_words("endless video", "sliding window", "video extension"),
            description=(
                "Makes a video of any length: each window continues the last frames of the one before, colours are matched at every "
                "seam, and finished windows go to disk at once. After a cancel, a crash or with another prompt, only the windows that need it are made."
            ),
            is_output_node=True,
            **of_today(has_intermediate_output=True, essentials_category="Video Generation"),
            inputs=[
                io.Model.Input("model", tooltip=inputs.MODEL_TIP),
                inputs.positive("What the video shows and how it moves; several over time with Prompt at Time."),
                inputs.negative(),
                inputs.vae(),
                io.Int.Input("width", default=832, min=16, max=8192, step=16, tooltip="Pixels, a multiple of 16 (of 32 for Wan2.2 5B and LTX-Video)."),
                io.Int.Input("height", default=480, min=16, max=8192, step=16, tooltip="Pixels, a multiple of 16 (of 32 for Wan2.2 5B and LTX-Video)."),
                io.Float.Input("duration", default=10.0, min=0.01, max=100000.0, step=0.1, tooltip="Length of the whole video, start frames included, in duration_unit."),
                io.Combo.Input("duration_unit", options=list(DURATION_UNITS), default=SECONDS, tooltip="Seconds at fps, or video frames.", **advanced()),
                io.Int.Input("window", default=81, min=5, max=1001, step=4, tooltip="Frames of one window, 1 more than a multiple of 4 (of 6 for Mochi, of 8 for LTX-Video). Wan was trained on 81, Wan2.2 5B on 121, Mochi on 163. Every window has this length."),
                io.Int.Input("overlap", default=13, min=1, max=997, step=4, tooltip="Frames each window takes over from the one before, at least; 1 more than a multiple of 4 (of 6 for Mochi, of 8 for LTX-Video). Frames to spare widen it, so that no window is short.", **advanced()),
                io.String.Input("noise_multipliers", default="0..0.2", tooltip="Noise of the frames taken over, 0 (kept as given) to 1 (ignored), oldest first: a ramp (0..0.2), one value, or one per latent frame (13 frames are 4).", **advanced()),
                inputs.seed("Of the first window; each further one adds 1."),
                inputs.steps("Model evaluations per window: 30 without a distilled LoRA, 4 with LightX2V. Not used when sigmas are connected."),
                inputs.cfg("Guidance: 3.0 without a distilled LoRA, 1.0 with LightX2V."),
                inputs.shift(),
                inputs.sampler_name("euler is the reference's."),
                io.Combo.Input("color_match", options=[*METHODS, NO_MATCH], default=MONGE_KANTOROVICH, tooltip="How each window's colours are brought to those of the frames it continues; see Color Match.", **advanced()),
                inputs.resize("How pictures of other proportions become the video's size: crop the sides, letterbox with black, or stretch."),
                io.Float.Input("fps", default=16.0, min=1.0, max=120.0, step=0.01, tooltip="Frames per second; Wan makes 16, Wan2.2 5B 24, Mochi 30."),
                io.Int.Input("crf", default=16, min=0, max=51, tooltip="H.264 quality of the file: 0 is lossless, 16 shows no loss, 23 is small.", **advanced()),
                io.String.Input("filename_prefix", default="video/pusa_long", tooltip="Name in the output folder, subfolders with /. Its windows stay beside it in a folder ending in .parts; delete that when the video is right."),
                io.Image.Input("start", optional=True, tooltip="A picture, or the last frames of a clip at fps, to begin with; of a clip, as many as overlap are used. They are the video's first frames."),
                io.Image.Input("end", optional=True, tooltip="The picture to end on. Only the last window sees it."),
                io.Image.Input("anchor", optional=True, tooltip="A picture that every window after the first looks at and never shows, against slow change of a face or a palette: it takes latent frame 0 of the frames taken over. Needs an overlap of 5 or more.", **advanced()),
                io.Float.Input("end_multiplier", default=0.0, min=0.0, max=1.0, step=0.01, tooltip="Noise of the end picture, 0 (reached exactly) to 1 (ignored).", optional=True, **advanced()),
                io.Float.Input("anchor_multiplier", default=0.0, min=0.0, max=1.0, step=0.01, tooltip="Noise of the anchor, 0 (strong) to 1 (ignored).", optional=True, **advanced()),
                io.Sigmas.Input("sigmas", optional=True, tooltip="A schedule of your own for every window; it replaces steps."),
                io.Boolean.Input("resume", default=True, optional=True, tooltip="Keep the windows of an earlier run that still hold: after a cancel, or with another prompt or end. Off makes all anew.", **advanced()),
            ],
            outputs=[
                io.Video.Output(display_name="video", tooltip="The finished file in the output folder."),
                io.String.Output(display_name="report", tooltip="One line per window: frames, seed, prompt, and whether it was kept."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
        )  # fmt: skip

    @classmethod
    def execute(cls, *given: Any, **named: Any) -> io.NodeOutput:
        request = LongVideoRequest(*given, **named)
        made = make_long_video(request, video_metadata(cls.hidden))
        shown = ui.PreviewVideo([ui.SavedResult(made.path.name, made.subfolder, io.FolderType.output)])
        around = graph_around(cls.hidden)
        told = ui.PreviewText(told_of_windows(made.multipliers, *around, made.base))
        line = {SETTINGS: [run_line(request.told(), *around)]}
        return io.NodeOutput(
            video_of_file(made.path), made.report, ui={**shown.as_dict(), **told.as_dict(), **line}
        )
