"""Nodes that read clips: as frames at Wan's rate, and as conditions of a video latent."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..pusa_core.bases.spaces import NORMALISED
from ..pusa_core.clips import EXTEND, TASKS, clip_conditions, plan_clip
from ..pusa_core.clips.time_stamps import check_rate
from ..pusa_core.conditions import FrameCondition
from ..pusa_core.encoding import Encode
from ..pusa_core.errors import PusaError
from ..pusa_core.frames import parse_multipliers
from ..pusa_core.images import CROP, RESIZES, fit_images
from . import inputs
from .conditions import checked_samples, fit_to_latent, placed
from .host.schema import of_today, search_words
from .host.vaes import encoder_of
from .host.video import clip_of, comfy_audio, said_of

CLIP_TYPES = [io.Video, io.Image]

FRAME_RATE_TOOLTIP = "Frames per second of a clip that comes in as IMAGE, 1 to 240. A VIDEO knows its own time stamps and ignores this."
FPS_TOOLTIP = "Frames per second at which the clip is read, nearest in time. 16 is Wan's rate, 24 that of Wan2.2 5B, 30 Mochi's; 0 takes every frame as it is, like Pusa's own scripts (a 30 fps clip then moves in slow motion)."
CONTEXT_TOOLTIP = "Video frames the clip and the new video share, 4n + 1 (6n + 1 for Mochi, 8n + 1 for LTX-Video): 13 are latent frames 0 to 3 at the start, or the last 3 at the end (there the clip's very first frame is generated again)."
MULTIPLIERS_TOOLTIP = "Noise per latent frame given, 0 (kept as given) to 1 (ignored): one value, one for each, or a ramp over them (0..0.4). The authors extend with 0.2, 0.4, 0.4, 0.4 on Wan2.2 and 0, 0.3, 0.4, 0.5 on Wan2.1."
RESIZE_TOOLTIP = "How a clip of other proportions becomes the video's size: crop the sides, letterbox with black, or stretch."


class PusaConditionVideo(io.ComfyNode):
    """A clip's frames at chosen latent frames of a video."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaConditionVideo",
            display_name="Condition Video Injector",
            category="Pusa/frames",
            **of_today(essentials_category="Video Tools"),
            **search_words("video extension", "extend video", "video completion", "v2v"),
            description=(
                "Gives part of a clip to the video: extend goes on after the clip's end, prepend leads up to its start, complete "
                "keeps latent frames of it in place and makes the rest, custom takes any latent frame anywhere."
            ),
            inputs=[
                inputs.vae(),
                io.Latent.Input(
                    "latent",
                    tooltip="Empty video latent (Empty Hunyuan Latent Video), or another injector's output.",
                ),
                io.MultiType.Input(
                    "video", CLIP_TYPES, tooltip="The clip: VIDEO (Load Video), or IMAGE with its frame_rate."
                ),
                io.Combo.Input(
                    "task",
                    options=list(TASKS),
                    default=EXTEND,
                    tooltip="extend: the clip's last frames start the video. prepend: its first frames end the video. complete: its latent frames at positions stay where they are. custom: source_positions of the clip go to positions.",
                ),
                io.Int.Input(
                    "context_frames",
                    default=13,
                    min=1,
                    max=2049,
                    step=4,
                    tooltip=CONTEXT_TOOLTIP + " For extend and prepend only.",
                ),
                io.String.Input(
                    "positions",
                    default="",
                    tooltip="For complete and custom: latent frames of the video, with commas, negative from its end (81 frames are latent frames 0 to 20). Empty for extend and prepend.",
                ),
                io.String.Input(
                    "source_positions",
                    default="",
                    tooltip="For custom: latent frames of the clip, one per position, negative from its end. Empty otherwise.",
                ),
                io.String.Input("noise_multipliers", default="0.2", tooltip=MULTIPLIERS_TOOLTIP),
                io.Combo.Input(
                    "resize", options=list(RESIZES), default=CROP, optional=True, tooltip=RESIZE_TOOLTIP
                ),
                io.Float.Input(
                    "fps", default=16.0, min=0.0, max=240.0, step=0.001, optional=True, tooltip=FPS_TOOLTIP
                ),
                io.Float.Input(
                    "frame_rate",
                    default=16.0,
                    min=1.0,
                    max=240.0,
                    step=0.001,
                    optional=True,
                    tooltip=FRAME_RATE_TOOLTIP,
                ),
                io.Boolean.Input(
                    "reference_semantics",
                    default=False,
                    optional=True,
                    tooltip="On: latent frame i of the clip always becomes latent frame i of the video, as in the authors' script, so extend goes on after the clip's FIRST frames.",
                ),
                inputs.latent_space(),
            ],
            outputs=[
                io.Latent.Output(
                    display_name="latent",
                    tooltip="The latent with the clip's frames in place and noise_multipliers beside its samples.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        vae: Any,
        latent: dict[str, Any],
        video: Any,
        task: str = EXTEND,
        context_frames: int = 13,
        positions: str = "",
        source_positions: str = "",
        noise_multipliers: str = "0.2",
        resize: str = CROP,
        fps: float = 16.0,
        frame_rate: float = 16.0,
        reference_semantics: bool = False,
        latent_space: str = NORMALISED,
    ) -> io.NodeOutput:
        samples, base = checked_samples(vae, latent)
        plan = plan_clip(
            task, samples.shape[2], context_frames, positions, source_positions, reference_semantics, base
        )
        multipliers = parse_multipliers(noise_multipliers, len(plan.positions))
        clip = clip_of(video, frame_rate)

        def conditions(encode: Encode) -> list[FrameCondition]:
            def fit(pictures: Tensor) -> Tensor:
                return fit_to_latent(pictures, samples, resize)

            return clip_conditions(encode, fit, clip, plan, multipliers, reading_rate(fps), base)

        return io.NodeOutput(placed(latent, encoder_of(vae, latent_space), conditions), ui=said_of(clip))


class PusaClipFrames(io.ComfyNode):
    """A clip as pictures at a steady rate, with its sound."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaClipFrames",
            display_name="Clip Frames",
            category="Pusa/frames",
            description="Reads a clip at Wan's 16 frames per second by its time stamps (a variable frame rate too), with its sound and in any size.",
            inputs=[
                io.MultiType.Input(
                    "video", CLIP_TYPES, tooltip="The clip: VIDEO (Load Video), or IMAGE with its frame_rate."
                ),
                io.Float.Input("fps", default=16.0, min=0.0, max=240.0, step=0.001, tooltip=FPS_TOOLTIP),
                io.Int.Input(
                    "width",
                    default=0,
                    min=0,
                    max=8192,
                    step=1,
                    tooltip="Width of the pictures in pixels; 0 keeps the clip's own size. Set width and height together.",
                ),
                io.Int.Input(
                    "height",
                    default=0,
                    min=0,
                    max=8192,
                    step=1,
                    tooltip="Height of the pictures in pixels; 0 keeps the clip's own size. Set width and height together.",
                ),
                io.Combo.Input("resize", options=list(RESIZES), default=CROP, tooltip=RESIZE_TOOLTIP),
                io.Float.Input(
                    "frame_rate", default=16.0, min=1.0, max=240.0, step=0.001, tooltip=FRAME_RATE_TOOLTIP
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The clip's pictures at fps."),
                io.Audio.Output(
                    display_name="audio",
                    tooltip="Its sound from the first picture on; nothing where it has none.",
                ),
                io.Float.Output(display_name="fps", tooltip="Frames per second of images."),
                io.Int.Output(display_name="frames", tooltip="Number of pictures."),
            ],
        )

    @classmethod
    def execute(
        cls,
        video: Any,
        fps: float = 16.0,
        width: int = 0,
        height: int = 0,
        resize: str = CROP,
        frame_rate: float = 16.0,
    ) -> io.NodeOutput:
        clip = clip_of(video, frame_rate)
        rate = reading_rate(fps)
        if (width == 0) != (height == 0):
            raise PusaError(
                f"width is {width} and height is {height}; set both in pixels, or both to 0 for the clip's own size."
            )
        images = clip.all(rate)
        if width:
            images = fit_images(images, width, height, resize)
        audio = comfy_audio(clip.sound())
        return io.NodeOutput(images, audio, float(rate or clip.rate), len(images), ui=said_of(clip))


def reading_rate(fps: float) -> Fraction | None:
    """Frames per second at which clips are read; None (every frame) for 0."""
    return check_rate(fps) if fps else None
