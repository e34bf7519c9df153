"""Given clips and generated frames joined into one video without the frames that both have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from torch import Tensor

from .errors import PusaError
from .sound import SoundPiece, lay_under
from .time_stamps import WAN_RATE, Audio, StampedFrame, evenly_stamped, resample


@dataclass(frozen=True)
class Footage:
    """A given clip in full: its pictures at their times, the first at 0, and its sound."""

    frames: list[StampedFrame]  # all of one size, pixels float 0 to 1
    audio: Audio | None

    def __post_init__(self) -> None:
        if not self.frames:
            raise PusaError("A clip to stitch has no frames. Connect a clip with at least one frame.")

    def count(self, rate: Fraction) -> int:
        """Frames it has at a steady rate (as time_stamps.resample counts them)."""
        return sum(1 for _ in resample(self.frames, rate))


@dataclass(frozen=True)
class Stitched:
    """A finished video."""

    frames: Tensor  # [N, H, W, 3], 0 to 1
    rate: Fraction  # frames per second
    audio: Audio | None  # exactly as long as the frames
    first_generated: int  # frames before this one are the first clip's


def stitch(
    first: Footage | None,
    generated: Tensor,
    second: Footage | None,
    *,
    overlap_frames: int = 13,
    crossfade_frames: int = 0,
    loop: bool = False,
    rate: Fraction = WAN_RATE,
    generated_rate: Fraction = WAN_RATE,
    audio: Audio | None = None,
) -> Stitched:
    """first, then generated, then second (either clip may be missing), each moment shown once.

    generated: [N, H, W, 3], 0 to 1, at generated_rate. overlap_frames: how many of its frames repeat the end of `first`, and
    as many the start of `second`; the clips' own are kept. crossfade_frames: for so many of the repeated ones next to a
    seam the clip's frame fades into the generated one of the same time, so the length stays the same. loop: the generated
    frames lead from the end of `first` back to its start, so its repeated frames are dropped at both ends. rate: frames per
    second of the result, each the nearest in time. audio: replaces the clips' sound.
    """
    _check(first, generated, second, overlap_frames, crossfade_frames, loop)
    begin = Fraction(first.count(generated_rate) - overlap_frames) / generated_rate if first else Fraction(0)
    kept_start = overlap_frames if first else 0
    kept_end = len(generated) - (overlap_frames if second or loop else 0)
    second_begin = begin + kept_end / generated_rate
    made = list(evenly_stamped(generated, generated_rate, begin))
    fade = _Fade(generated, begin, generated_rate, crossfade_frames)
    timeline = [
        *(fade.out(first.frames, begin + overlap_frames / generated_rate) if first else []),
        *made[kept_start:kept_end],
        *(fade.into(second.frames, second_begin) if second else []),
    ]
    end = timeline[-1].time + timeline[-1].duration
    frames = torch.stack(list(resample(timeline, rate)))
    pieces = [SoundPiece(audio, Fraction(0))] if audio else []
    if not audio and first and first.audio:
        pieces.append(SoundPiece(first.audio, Fraction(0), begin + overlap_frames / generated_rate))
    if not audio and second and second.audio:
        pieces.append(SoundPiece(second.audio, second_begin, end))
    before = sum(
        1 for frame in range(len(frames)) if first and frame / rate < begin + kept_start / generated_rate
    )
    return Stitched(frames, rate, lay_under(pieces, len(frames) / rate), before)


@dataclass(frozen=True)
class _Fade:
    """Cross-fades between a clip's frames and the generated ones of the same time."""

    generated: Tensor  # [N, H, W, 3]
    begin: Fraction  # seconds, of its first frame
    rate: Fraction
    length: int  # generated frames that a fade lasts, 0 for none

    def out(self, frames: list[StampedFrame], seam: Fraction) -> Iterator[StampedFrame]:
        """The clip that ends at `seam`, its last `length` / rate seconds turning into the generated frames."""
        for frame in frames:
            faded = (frame.time - seam) * self.rate + self.length + 1
            yield self._mixed(frame, frame.time, float(faded / (self.length + 1)))

    def into(self, frames: list[StampedFrame], seam: Fraction) -> Iterator[StampedFrame]:
        """The clip that begins at `seam`, turning from the generated frames into itself."""
        for frame in frames:
            faded = frame.time * self.rate + 1
            yield self._mixed(
                replace(frame, time=frame.time + seam),
                frame.time + seam,
                1 - float(faded / (self.length + 1)),
            )

    def _mixed(self, frame: StampedFrame, time: Fraction, share: float) -> StampedFrame:
        if self.length == 0 or share <= 0:
            return frame
        nearest = min(len(self.generated) - 1, max(0, round((time - self.begin) * self.rate)))
        return replace(frame, pixels=torch.lerp(frame.pixels, self.generated[nearest], min(1.0, share)))


def _check(
    first: Footage | None, generated: Tensor, second: Footage | None, overlap: int, crossfade: int, loop: bool
) -> None:
    if generated.ndim != 4 or len(generated) == 0:
        raise PusaError(
            f"generated has the shape {tuple(generated.shape)}; connect the decoded frames (VAE Decode)."
        )
    if loop and (first is None or second is not None):
        raise PusaError(
            "A loop closes the clip in first: connect first and leave second empty, or switch loop off."
        )
    ends = bool(first) + bool(second or loop)
    if overlap < 0 or ends * overlap >= len(generated):
        raise PusaError(
            f"overlap_frames is {overlap} at {ends} end{'s' * (ends > 1)}, the generated video has {len(generated)} frames. "
            "Use the context_frames the video was made with (13 by default)."
        )
    if first is not None and first.count(WAN_RATE) < overlap:
        raise PusaError(
            f"overlap_frames is {overlap}, the first clip has only {first.count(WAN_RATE)} frames at 16 per second. "
            "Use the context_frames the video was made with."
        )
    if not 0 <= crossfade <= overlap:
        raise PusaError(
            f"crossfade_frames is {crossfade}; the fade takes place in the {overlap} frames that both have: use 0 to {overlap}."
        )
