"""The node that joins given clips and generated frames into a finished video."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..pusa_core.choices import check_choice
from ..pusa_core.clips.sound import mono_or_stereo
from ..pusa_core.clips.stitch import stitch
from ..pusa_core.clips.time_stamps import WAN_RATE, Clip, check_rate
from ..pusa_core.errors import PusaError
from ..pusa_core.images import CROP, RESIZES, as_pictures, fit_images
from .clips import CLIP_TYPES, FRAME_RATE_TOOLTIP, RESIZE_TOOLTIP
from .host.schema import of_today, search_words
from .host.video import clip_of, said_of, video_of_frames

SIXTEEN, OF_THE_CLIP, OF_THE_GENERATED = RATES = ("16 fps", "of the clip", "of the generated")
GENERATED, OF_CLIP = SIZES = ("generated", "clip")


class PusaStitch(io.ComfyNode):
    """One video of what was given and what was made."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaStitch",
            display_name="Pusa Stitch",
            category="Pusa/tools",
            **of_today(essentials_category="Video Tools"),
            **search_words("join clips", "concatenate video"),
            description=(
                "Joins clips and generated frames without the frames both have: connect first for an extension, second for what "
                "leads up to a clip, both for a transition, first with loop on for a closed loop. Sound is kept and filled with silence."
            ),
            inputs=[
                io.Image.Input(
                    "generated",
                    tooltip="The decoded new frames (VAE Decode), generated_fps a second, with the shared ones still in them.",
                ),
                io.MultiType.Input(
                    "first",
                    CLIP_TYPES,
                    optional=True,
                    tooltip="The clip before the generated frames: VIDEO, or IMAGE with its frame_rate.",
                ),
                io.MultiType.Input(
                    "second",
                    CLIP_TYPES,
                    optional=True,
                    tooltip="The clip after the generated frames: VIDEO, or IMAGE with its frame_rate.",
                ),
                io.Int.Input(
                    "overlap_frames",
                    default=13,
                    min=0,
                    max=2049,
                    step=1,
                    tooltip="Generated frames that repeat the clip, at each end: the context_frames the video was made with.",
                ),
                io.Int.Input(
                    "crossfade_frames",
                    default=0,
                    min=0,
                    max=2049,
                    step=1,
                    tooltip="Of the repeated frames, how many fade from the clip into the generated ones, in a loop at both ends; 0 cuts. The length stays the same.",
                ),
                io.Combo.Input(
                    "output_rate",
                    options=list(RATES),
                    default=SIXTEEN,
                    tooltip="16 fps: clips are brought to Wan's rate. of the clip: every frame of the clip stays (the first clip's rate), generated frames are shown longer or repeated to match. of the generated: clips are brought to generated_fps.",
                ),
                io.Combo.Input(
                    "size",
                    options=list(SIZES),
                    default=GENERATED,
                    tooltip="Size of the result: of the generated frames, or of the clip (cut to even numbers, which video files need).",
                ),
                io.Combo.Input("resize", options=list(RESIZES), default=CROP, tooltip=RESIZE_TOOLTIP),
                io.Boolean.Input(
                    "loop",
                    default=False,
                    tooltip="On: the generated frames lead from the end of first back to its start, so the shared frames are left out at both ends.",
                ),
                io.Float.Input(
                    "frame_rate", default=16.0, min=1.0, max=240.0, step=0.001, tooltip=FRAME_RATE_TOOLTIP
                ),
                io.Audio.Input(
                    "audio",
                    optional=True,
                    tooltip="Sound for the whole video instead of the clips' own; cut or filled with silence to its length.",
                ),
                io.Float.Input(
                    "generated_fps",
                    optional=True,  # graphs in API format that were saved before have none
                    default=16.0,
                    min=1.0,
                    max=240.0,
                    step=0.001,
                    tooltip="Generated frames per second: 16 for Wan, 24 for Wan2.2 5B, 30 for Mochi.",
                ),
            ],
            outputs=[
                io.Video.Output(display_name="video", tooltip="The finished video, for Save Video."),
                io.Image.Output(display_name="images", tooltip="Its frames."),
                io.Float.Output(display_name="fps", tooltip="Its frames per second."),
                io.Int.Output(
                    display_name="first_generated",
                    tooltip="Number of the first frame after first; 0 where there is no first clip.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        generated: Tensor,
        first: Any = None,
        second: Any = None,
        overlap_frames: int = 13,
        crossfade_frames: int = 0,
        output_rate: str = SIXTEEN,
        size: str = GENERATED,
        resize: str = CROP,
        loop: bool = False,
        frame_rate: float = 16.0,
        audio: dict[str, Any] | None = None,
        generated_fps: float = 16.0,
    ) -> io.NodeOutput:
        generated = as_pictures(generated)
        generated_rate = check_rate(generated_fps, "generated_fps")
        check_choice("output_rate", output_rate, RATES)
        check_choice("size", size, SIZES)
        given = [
            None if clip is None else clip_of(clip, frame_rate, name)
            for clip, name in ((first, "the first clip"), (second, "the second clip"))
        ]
        known = next((clip for clip in given if clip), None)
        if known is None and (size == OF_CLIP or output_rate == OF_THE_CLIP):
            raise PusaError(
                "No clip is connected to take the size or rate from. Connect first or second, or choose generated and 16 fps."
            )
        width, height = (
            _even_size(known) if known and size == OF_CLIP else (generated.shape[2], generated.shape[1])
        )
        stitched = stitch(
            given[0],
            generated,
            given[1],
            fit=lambda pictures: fit_images(pictures, width, height, resize),
            overlap_frames=overlap_frames,
            crossfade_frames=crossfade_frames,
            loop=loop,
            rate=_rate_of(output_rate, known, generated_rate),
            generated_rate=generated_rate,
            audio=audio and mono_or_stereo(audio["waveform"], int(audio["sample_rate"])),
        )
        video = video_of_frames(stitched.frames, stitched.audio, Fraction(stitched.rate))
        return io.NodeOutput(
            video, stitched.frames, float(stitched.rate), stitched.first_generated, ui=said_of(*given)
        )


def _rate_of(output_rate: str, known: Clip | None, generated_rate: Fraction) -> Fraction:
    """Frames per second of the result."""
    if known and output_rate == OF_THE_CLIP:
        return check_rate(known.rate, "the clip's rate")
    return generated_rate if output_rate == OF_THE_GENERATED else WAN_RATE


def _even_size(clip: Clip) -> tuple[int, int]:
    """Width and height of a clip, cut to even numbers."""
    height, width = next(clip.stamped()).pixels.shape[:2]
    return max(2, width // 2 * 2), max(2, height // 2 * 2)
