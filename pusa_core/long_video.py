"""Long video: which windows it is made of, and the prompt that each of them follows.

Each window is an ordinary Pusa run whose first frames are given: the last frames of the window before. They are handed over as
pictures and encoded again, not as latents: Wan's VAE is causal and its first latent frame holds one picture where all others
hold four, so the latents from the end of a window do not mean the same at the beginning of the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .bases import WAN, Base
from .choices import check_choice
from .errors import PusaError
from .frames import parse_multipliers

SECONDS, FRAMES = DURATION_UNITS = ("seconds", "frames")

PROMPT_START = "pusa_start_seconds"
"""Key in a conditioning entry's options: the second from which on the prompt holds."""


@dataclass(frozen=True)
class Window:
    """One run of the model inside a long video; all numbers are pixel frames."""

    index: int
    start: int  # frame of the video that is this window's first
    length: int  # frames the model makes, a whole length of the base (4n + 1)
    given: int  # of them, how many at the start are given: 0, or a whole length
    end: int  # frame of the video after this window's last one that is kept
    base: Base = WAN

    @property
    def first_new(self) -> int:
        """First frame of the video that only this window makes."""
        return self.start + self.given

    @property
    def latent_frames(self) -> int:
        """Latent frames the model makes."""
        return self.base.latent_frame_count(self.length)

    @property
    def given_latents(self) -> int:
        """Latent frames that are given, at the start of the window."""
        return self.base.latent_frame_count(self.given) if self.given else 0

    def __str__(self) -> str:
        given = f"after {self.given} given frames" if self.given else "with nothing given"
        return f"window {self.index + 1}: frames {self.first_new} to {self.end - 1}, {given}"


def duration_in_frames(duration: float, unit: str, fps: float) -> int:
    """Frames of a video of `duration` seconds or frames."""
    check_choice("duration_unit", unit, DURATION_UNITS)
    frames = duration * fps if unit == SECONDS else duration
    if not (math.isfinite(frames) and frames >= 1) or (unit == FRAMES and frames != int(frames)):
        raise PusaError(
            f"duration is {duration:g} {unit}; use a whole number of frames or any number of seconds, at least one frame long."
        )
    return round(frames)


def plan_windows(frames: int, window: int, overlap: int, given: int = 0, base: Base = WAN) -> list[Window]:
    """The windows of a video of `frames` frames.

    window: frames of one run, a whole length of the base (81 is what Wan was trained on); overlap: frames that neighbours share
    at least, a whole length; given: frames of the start picture or clip, 0 or a whole length; they are the first frames of the video. All windows have the full
    length, so that the model always sees the length it knows: frames to spare widen the overlaps evenly. Only a video shorter
    than a window gets a shorter one. Frames that complete the last group are made and cut off.
    """
    for name, value in (("window", window), ("overlap", overlap)):
        if not base.is_whole(value):
            raise PusaError(
                f"{name} is {value} frames; {base.short} needs 1 more than a multiple of {base.temporal_stride}: "
                f"use {base.whole_length(max(1, value))}."
            )
    if overlap >= window:
        raise PusaError(
            f"overlap is {overlap} of a window of {window} frames. Use at most {window - base.temporal_stride}; "
            f"{base.video_length(4)} is usual for {base.trained_length}."
        )
    whole = base.whole_length(frames)
    if given >= min(whole, window):
        raise PusaError(
            f"{given} frames are given for a video of {frames} in windows of {window}, so nothing is left to make. "
            "Use a longer duration, or fewer start frames."
        )
    if whole <= window:
        return [Window(0, 0, whole, given, frames, base)]
    count = math.ceil((whole - overlap) / (window - overlap))
    groups = (whole - window) // base.temporal_stride
    starts = [base.temporal_stride * (groups * i // (count - 1)) for i in range(count)]
    ends = [start + window for start in starts]
    return [
        Window(i, start, window, ends[i - 1] - start if i else given, min(ends[i], frames), base)
        for i, start in enumerate(starts)
    ]


def start_frames_used(available: int, overlap: int, base: Base = WAN) -> int:
    """How many of `available` start frames the first window gets: the most that the VAE takes whole, at most `overlap`."""
    return base.video_length(base.latent_frame_count(min(available, overlap)))


def given_multipliers(text: str, count: int) -> list[float]:
    """Noise multipliers of `count` given latent frames, see frames.parse_multipliers.

    A list of another length fits too: its first value is repeated in front for a longer overlap (the oldest frames), and a
    start picture takes the first.
    """
    values = text.count(",") + text.count(";") + 1 - text.rstrip().endswith((",", ";"))
    if values == 1:
        return parse_multipliers(text, count)
    listed = parse_multipliers(text, values)
    return [listed[0]] * (count - values) + listed[:count]


def prompt_at(conditioning: Sequence[Any], second: float) -> list[Any]:
    """The entries of a CONDITIONING [(tensor, options), ...] that hold at `second`: those with the latest start before it.

    Entries without a start hold from 0. Before the first start, the first holds.
    """
    starts = [float(options.get(PROMPT_START, 0.0)) for _, options in conditioning]
    if not starts:
        raise PusaError("The conditioning is empty. Connect the prompt's conditioning.")
    current = max((start for start in starts if start <= second), default=min(starts))
    return [entry for entry, start in zip(conditioning, starts, strict=True) if start == current]


def prompt_second(window: Window, fps: float) -> float:
    """The second that decides which prompt a window follows: the middle of its new frames."""
    return (window.first_new + window.end - 1) / 2 / fps
