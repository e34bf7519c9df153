"""Pictures spread over the length of a video."""

from __future__ import annotations

import math

from .bases import WAN, Base
from .choices import check_choice
from .errors import PusaError
from .frames import VIDEO_FRAME, parse_positions, resolve_position

EVEN, SECONDS, VIDEO_FRAMES, LATENT_FRAMES = SPACINGS = ("even", "seconds", "video frames", "latent frames")


def keyframe_positions(
    count: int, latent_frames: int, spacing: str, times: str, fps: float, base: Base = WAN
) -> list[int]:
    """The latent frame of each of `count` pictures.

    latent_frames: F of the video; times: one entry per picture, in what `spacing` says, empty for "even"; fps: frames per
    second of the video, for seconds. Two pictures in one latent frame are an error.
    """
    check_choice("spacing", spacing, SPACINGS)
    if spacing == EVEN:
        if times.strip():
            raise PusaError(
                f"times is {times!r}, but even spacing needs none. Clear times, or choose another spacing."
            )
        return even_positions(count, latent_frames, base)
    if spacing == SECONDS:
        positions = [
            _at_second(entry, latent_frames, fps, base) for entry in times.replace(";", ",").split(",")
        ]
    elif spacing == VIDEO_FRAMES:
        positions = [
            resolve_position(frame, latent_frames, VIDEO_FRAME, base) for frame in parse_positions(times)
        ]
    else:
        positions = [resolve_position(frame, latent_frames, base=base) for frame in parse_positions(times)]
    if len(positions) != count:
        raise PusaError(
            f"{len(positions)} times for {count} pictures ({times}). Write one time for each picture."
        )
    return positions


def even_positions(count: int, latent_frames: int, base: Base = WAN) -> list[int]:
    """`count` latent frames from the first to the last, as evenly as they go; one picture goes to the first."""
    if count > latent_frames:
        raise PusaError(
            f"{count} pictures do not fit into {latent_frames} latent frames, one in each. Use fewer pictures, "
            f"or set the video length to {base.video_length(count)} or more."
        )
    if count == 1:
        return [0]
    return [math.floor(i * (latent_frames - 1) / (count - 1) + 0.5) for i in range(count)]


def _at_second(entry: str, latent_frames: int, fps: float, base: Base) -> int:
    length = base.video_length(latent_frames)
    try:
        second = float(entry)
    except ValueError:
        raise PusaError(
            f"{entry.strip()!r} in times is not a number of seconds. Write seconds with commas between them, such as 0, 2.5, 5."
        ) from None
    if not 0 <= second * fps < length - 0.5:
        raise PusaError(
            f"{second:g} s is outside this video of {length} frames at {fps:g} per second. Use 0 to {(length - 1) / fps:g} s."
        )
    return resolve_position(math.floor(second * fps + 0.5), latent_frames, VIDEO_FRAME, base)
