"""Given clips and generated frames joined into one video without the frames that both have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from torch import Tensor

from ..errors import PusaError
from .sound import SoundPiece, lay_under
from .time_stamps import WAN_RATE, Audio, Clip, resample

Fit = Callable[[Tensor], Tensor]
"""Pictures [N, H, W, 3], 0 to 1 -> the same at the size of the result."""

FIRST, GENERATED, SECOND = "the first clip", "the generated frames", "the second clip"


@dataclass(frozen=True)
class Shot:
    """A frame that the result can show, known by its place only: its picture is made when the result has one for it."""

    time: Fraction  # seconds in the result
    duration: Fraction
    source: str  # FIRST, GENERATED or SECOND
    index: int  # of the frame in its source
    share: float = 0.0  # of the generated frame of the same moment, in a cross-fade
    made_at: Fraction = Fraction(0)  # seconds in the result at which the generated frames show that moment


@dataclass(frozen=True)
class Stitched:
    """A finished video."""

    frames: Tensor  # [N, H, W, 3], 0 to 1
    rate: Fraction  # frames per second
    audio: Audio | None  # exactly as long as the frames
    first_generated: int  # frames before this one are the first clip's


def stitch(
    first: Clip | None,
    generated: Tensor,
    second: Clip | None,
    *,
    fit: Fit | None = None,
    overlap_frames: int = 13,
    crossfade_frames: int = 0,
    loop: bool = False,
    rate: Fraction = WAN_RATE,
    generated_rate: Fraction = WAN_RATE,
    audio: Audio | None = None,
) -> Stitched:
    """first, then generated, then second (either clip may be missing), each moment shown once.

    generated: [N, H, W, 3], 0 to 1, at generated_rate. fit: brings every picture to one size. overlap_frames: how many of its
    frames repeat the end of `first`, and as many the start of `second`; the clips' own are kept. crossfade_frames: for so many of
    the repeated ones next to a seam the clip's frame fades into the generated one of the same time, so the length stays the same.
    loop: the generated frames lead from the end of `first` back to its start, so its repeated frames are dropped at both ends, and a
    cross-fade takes place at both ends of it.
    rate: frames per second of the result, each the nearest in time. audio: replaces the clips' sound.

    Memory is that of the result: each clip is read twice, first for the times of its frames, then for the pictures that the result
    shows, one after the other.
    """
    fit = fit or (lambda pictures: pictures)
    _check(first, generated, second, overlap_frames, crossfade_frames, loop)
    shown_first, shown_second = (
        _shots(clip, source, generated_rate) for clip, source in ((first, FIRST), (second, SECOND))
    )
    for shots, source in ((shown_first, FIRST), (shown_second, SECOND)):
        _check_overlap(shots, source, overlap_frames, generated_rate)
    begin = Fraction(0)  # of the generated frames
    if first:
        begin = Fraction(_count(shown_first, generated_rate) - overlap_frames) / generated_rate
    kept_start = overlap_frames if first else 0
    kept_end = len(generated) - (overlap_frames if second or loop else 0)
    seam, second_begin = begin + kept_start / generated_rate, begin + kept_end / generated_rate
    fade = _Fade(generated_rate, crossfade_frames)
    made = [
        Shot(begin + number / generated_rate, 1 / generated_rate, GENERATED, number)
        for number in range(kept_start, kept_end)
    ]
    shown_first = fade.loop(shown_first, seam, second_begin) if loop else fade.out(shown_first, seam)
    timeline = [*shown_first, *made, *fade.into(shown_second, second_begin)]
    chosen = list(resample(timeline, rate))

    def made_at(time: Fraction) -> Tensor:
        nearest = min(len(generated) - 1, max(0, round((time - begin) * generated_rate)))
        return fit(generated[nearest : nearest + 1])[0]

    frames: Tensor | None = None
    for place, shot, pixels in _pictures(chosen, {FIRST: first, SECOND: second}, generated, fit):
        if frames is None:
            frames = torch.empty(len(chosen), *pixels.shape)
        if shot.share:
            pixels = torch.lerp(pixels, made_at(shot.made_at), shot.share)
        frames[place] = pixels
    if frames is None:
        raise PusaError("There is nothing to stitch: no frame of the clips or the generated ones is shown.")

    end = timeline[-1].time + timeline[-1].duration
    pieces = [SoundPiece(audio, Fraction(0))] if audio else []
    if not audio and first and (sound := first.sound()):
        pieces.append(SoundPiece(sound, Fraction(0), seam))
    if not audio and second and (sound := second.sound()):
        pieces.append(SoundPiece(sound, second_begin, end))
    before = sum(1 for frame in range(len(frames)) if first and frame / rate < seam)
    return Stitched(frames, rate, lay_under(pieces, len(frames) / rate), before)


def _shots(clip: Clip | None, source: str, generated_rate: Fraction) -> list[Shot]:
    """Every frame of a clip with its time from the first one on; its pictures are not made.

    A last frame that stands for long comes again as often as generated frames do, so that it stands to its end beside what follows.
    """
    if clip is None:
        return []
    shots: list[Shot] = []
    begin = Fraction(0)
    for index, frame in enumerate(clip.stamped()):
        begin = begin if index else frame.time
        shots.append(Shot(frame.time - begin, frame.duration, source, index))
    if not shots:
        raise PusaError("A clip to stitch has no frames. Connect a clip with at least one frame.")
    last, step = shots[-1], 1 / generated_rate
    end = last.time + last.duration
    while shots[-1].time + step < end:
        shots.append(Shot(shots[-1].time + step, min(step, end - shots[-1].time - step), source, last.index))
    return shots


def _count(shots: list[Shot], rate: Fraction) -> int:
    """Frames that a clip has at a steady rate (as resample counts them)."""
    return sum(1 for _ in resample(shots, rate))


def _pictures(
    chosen: list[Shot], clips: dict[str, Clip | None], generated: Tensor, fit: Fit
) -> Iterator[tuple[int, Shot, Tensor]]:
    """(place in the result, shot, picture [H, W, 3] as float 0 to 1) of all chosen shots, each clip read once."""
    for place, shot in enumerate(chosen):
        if shot.source == GENERATED:
            yield place, shot, fit(generated[shot.index : shot.index + 1])[0]
    for source, clip in clips.items():
        wanted: dict[int, list[int]] = defaultdict(list)
        for place, shot in enumerate(chosen):
            if shot.source == source:
                wanted[shot.index].append(place)
        if clip is None or not wanted:
            continue
        for index, frame in enumerate(clip.stamped()):
            if index in wanted:
                pixels = frame.pixels
                pixels = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
                fitted = fit(pixels[None])[0]
                for place in wanted.pop(index):
                    yield place, chosen[place], fitted
            if not wanted:
                break
        if wanted:
            raise PusaError(
                f"{source[0].upper()}{source[1:]} changed while it was read: {len(wanted)} of its frames are gone. Run again."
            )


@dataclass(frozen=True)
class _Fade:
    """Cross-fades between a clip's frames and the generated ones of the same time."""

    rate: Fraction
    length: int  # generated frames that a fade lasts, 0 for none

    def out(self, shots: Iterable[Shot], seam: Fraction) -> list[Shot]:
        """The clip that ends at `seam`, its last `length` / rate seconds turning into the generated frames."""
        return [
            replace(shot, share=self._share((shot.time - seam) * self.rate), made_at=shot.time)
            for shot in shots
        ]

    def into(self, shots: Iterable[Shot], seam: Fraction) -> list[Shot]:
        """The clip that begins at `seam`, turning from the generated frames into itself."""
        return [replace(shot, time=shot.made_at) for shot in self._returning(shots, seam)]

    def loop(self, shots: Iterable[Shot], seam: Fraction, again: Fraction) -> list[Shot]:
        """The clip that ends at `seam` and begins again at `again`; where a short clip does both at once, the nearer one."""
        ends = zip(self.out(shots, seam), self._returning(shots, again), strict=True)
        return [max(pair, key=lambda shot: shot.share) for pair in ends]

    def _returning(self, shots: Iterable[Shot], seam: Fraction) -> list[Shot]:
        return [
            replace(shot, share=self._share(-shot.time * self.rate - 1), made_at=shot.time + seam)
            for shot in shots
        ]

    def _share(self, frames: Fraction) -> float:
        """Of the generated frame, so many frames before (below 0) the first one that is generated alone."""
        share = float((frames + self.length + 1) / (self.length + 1))
        return min(1.0, max(0.0, share)) if self.length else 0.0


def _check(
    first: Clip | None, generated: Tensor, second: Clip | None, overlap: int, crossfade: int, loop: bool
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
    if not 0 <= crossfade <= overlap:
        raise PusaError(
            f"crossfade_frames is {crossfade}; the fade takes place in the {overlap} frames that both have: use 0 to {overlap}."
        )


def _check_overlap(shots: list[Shot], source: str, overlap: int, generated_rate: Fraction) -> None:
    if shots and (count := _count(shots, generated_rate)) < overlap:
        raise PusaError(
            f"overlap_frames is {overlap}, {source} has only {count} frames at {float(generated_rate):g} per second. "
            "Use the context_frames the video was made with."
        )
