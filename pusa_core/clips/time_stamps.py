"""Clips as frames with time stamps, and the frames that a steady rate picks from them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from ..errors import PusaError
from .notes import Notes

WAN_RATE = Fraction(16)
"""Frames per second of Wan2.1 and Wan2.2 14B."""


@dataclass(frozen=True)
class StampedFrame:
    """One picture and when it is shown."""

    time: Fraction  # seconds
    duration: Fraction  # seconds, 0 where the source does not know
    picture: Tensor | Callable[[], Tensor]  # the pixels, or what makes them when they are wanted

    @property
    def pixels(self) -> Tensor:
        """[H, W, 3], uint8 0 to 255 or float 0 to 1. Most frames of a fast clip are never asked for theirs."""
        return self.picture() if callable(self.picture) else self.picture


@dataclass(frozen=True)
class Audio:
    """Sound that starts with the first video frame."""

    waveform: Tensor  # [C, samples] float32, -1 to 1
    sample_rate: int  # samples per second


def check_rate(rate: Fraction | float, name: str = "fps") -> Fraction:
    """The rate as an exact fraction (23.976 becomes 24000/1001 to within 1e-6), if it is one a video can have."""
    if not (math.isfinite(rate) and 0 < rate <= 1000):
        raise PusaError(
            f"{name} is {float(rate):g}; use frames per second above 0 and up to 1000 (Wan makes 16)."
        )
    return Fraction(rate).limit_denominator(1001)


class Timed(Protocol):
    """Something that is shown from a time on for a while, in seconds."""

    @property
    def time(self) -> Fraction: ...

    @property
    def duration(self) -> Fraction: ...


Frame = TypeVar("Frame", bound=Timed)


def resample(frames: Iterable[Frame], rate: Fraction) -> Iterator[Frame]:
    """A clip at a steady rate: for each 1/rate seconds its frame nearest in time.

    frames: rising in time, any spacing (variable frame rate); output i stands for the time of the first frame
    plus i / rate. Of two frames equally near the earlier is taken; nothing is blended. The clip lasts until its
    last frame's duration is over. Times are exact fractions, so a clip that is at
    this rate already comes through frame by frame.
    """
    made = 0
    first: Frame | None = None
    current: Frame | None = None
    for frame in frames:
        if first is None or current is None:
            first = current = frame
            continue
        if frame.time <= current.time:  # doubled or backward stamps of damaged files
            continue
        while 2 * (first.time + made / rate) <= current.time + frame.time:
            yield current
            made += 1
        current = frame
    if first is None or current is None:
        return
    lasts = (current.time + current.duration - first.time) * rate
    for _ in range(max(made == 0, math.floor(lasts + Fraction(1, 2)) - made)):
        yield current


def evenly_stamped(pictures: Tensor, rate: Fraction, start: Fraction = Fraction(0)) -> Iterator[StampedFrame]:
    """The pictures of a batch [N, H, W, 3], `rate` of them a second from `start` (seconds) on."""
    for number, pixels in enumerate(pictures):
        yield StampedFrame(start + number / rate, 1 / rate, pixels)


@dataclass(frozen=True)
class Clip:
    """A clip that can be read any number of times, frame by frame."""

    name: str  # how errors call it
    rate: Fraction  # frames per second, the average where it varies
    stamped: Callable[[], Iterator[StampedFrame]]  # reads from the start
    sound: Callable[[], Audio | None]
    notes: Notes = field(default_factory=Notes, compare=False)  # what reading it found

    def frames(self, rate: Fraction | None) -> Iterator[StampedFrame]:
        """Its frames at `rate` a second; None keeps every frame as it is."""
        return self.stamped() if rate is None else resample(self.stamped(), rate)

    def head(self, count: int, rate: Fraction | None) -> Tensor:
        """The first `count` pictures [count, H, W, 3], 0 to 1. Reads no further than it must."""
        return self._exactly(count, islice(self.frames(rate), count))

    def tail(self, count: int, rate: Fraction | None) -> Tensor:
        """The last `count` pictures [count, H, W, 3], 0 to 1. Holds no more than these in memory."""
        return self._exactly(count, deque(self.frames(rate), maxlen=count))

    def all(self, rate: Fraction | None) -> Tensor:
        """Every picture [N, H, W, 3], 0 to 1."""
        return stack_frames(list(self.frames(rate)), self.name)

    def _exactly(self, count: int, found: Iterable[StampedFrame]) -> Tensor:
        frames = list(found)
        if len(frames) < count:
            raise PusaError(
                f"{count} frames of {self.name} are needed, it has {len(frames)} at the rate used. "
                "Give a longer clip, or use fewer frames of it (4n + 1 of them: 1, 5, 9, 13)."
            )
        return stack_frames(frames, self.name)


def clip_of_pictures(
    pictures: Tensor, rate: Fraction, audio: Audio | None = None, name: str = "images"
) -> Clip:
    """A clip made of a batch of pictures [N, H, W, 3], 0 to 1, shown `rate` a second."""
    return Clip(name, rate, lambda: evenly_stamped(pictures, rate), lambda: audio)


def stack_frames(frames: list[StampedFrame], name: str) -> Tensor:
    """The frames' pictures as one batch [N, H, W, 3] float32, 0 to 1, with no second copy of it on the way."""
    if not frames:
        raise PusaError(f"{name} has no frames. Check the file, or connect a clip with at least one frame.")
    pixels = frames[0].pixels
    batch = torch.empty(len(frames), *pixels.shape, dtype=torch.float32)
    for number, frame in enumerate(frames):
        if number and frame is not frames[number - 1]:  # a frame that stands is made once
            pixels = frame.pixels
        write_picture(pixels, batch[number])
    return batch


def write_picture(pixels: Tensor, place: Tensor) -> None:
    """A picture [H, W, 3] of StampedFrame's kinds written as float 0 to 1 into `place`, of the same shape."""
    place.copy_(pixels)
    if pixels.dtype == torch.uint8:
        place /= 255
