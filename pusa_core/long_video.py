"""Long video: which windows it is made of, and the loop that makes one after the other.

Each window is an ordinary Pusa run whose first frames are given: the last frames of the window before. They are handed over as
pictures and encoded again, not as latents: Wan's VAE is causal and its first latent frame holds one picture where all others
hold four, so the latents from the end of a window do not mean the same at the beginning of the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from .bases import WAN, Base
from .choices import check_choice
from .colour import apply_transfer, colour_statistics, fit_transfer
from .conditions import FrameCondition, place
from .encoding import IN_SEQUENCE, Encode, encode_frames, encode_keyframe
from .errors import PusaError
from .frames import parse_multipliers
from .injections import Injection
from .video_parts import VideoParts

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


def window_multipliers(plan: Sequence[Window], guidance: Guidance) -> list[list[float]]:
    """Noise multipliers [F] that render_window gives each window of the plan."""
    tables = []
    for window in plan:
        multipliers = given_multipliers(guidance.noise_multipliers, window.given_latents or 1)
        table = multipliers[: window.given_latents] + [1.0] * (window.latent_frames - window.given_latents)
        if guidance.anchor is not None and window.index:
            table[0] = guidance.anchor_multiplier
        if guidance.end is not None and window is plan[-1]:
            table[-1] = guidance.end_multiplier
        tables.append(table)
    return tables


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


class WindowModel(Protocol):
    """What the loop needs of the model and its VAE."""

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures [N, H, W, 3], 0 to 1 -> latent [1, C, F, h, w]."""

    def decode(self, latent: Tensor) -> Tensor:
        """Latent [1, C, F, h, w] -> pictures [N, H, W, 3], 0 to 1."""

    def empty(self, latent_frames: int) -> Tensor:
        """A latent [1, C, F, h, w] with nothing in it."""

    def sample(
        self, samples: Tensor, noise_multipliers: Tensor, window: Window, injection: Injection
    ) -> Tensor:
        """The latent after sampling this window. samples: [1, C, F, h, w]; noise_multipliers: [F]; injection: what gave the frames."""

    def show(self, picture: Tensor, window: Window) -> None:
        """Told when a window is finished. picture: [H, W, 3], 0 to 1."""


@dataclass(frozen=True)
class Guidance:
    """What is given besides text; pictures are [N, H, W, 3], 0 to 1, at the size of the video."""

    noise_multipliers: str  # of given frames, as typed
    start: Tensor | None = None  # the first frames of the video, 4k + 1
    end: Tensor | None = None  # [1, H, W, 3], the last frame; only the last window sees it
    end_multiplier: float = 0.0
    anchor: Tensor | None = None  # [1, H, W, 3], seen by every window after the first, never shown
    anchor_multiplier: float = 0.0
    colour_match: str | None = None  # a method of colour.METHODS, or None


def render_long_video(
    plan: Sequence[Window], model: WindowModel, guidance: Guidance, parts: VideoParts
) -> Path:
    """The file with all windows of the plan, made one after the other.

    Only one window is in memory at a time. What `parts` has from an earlier, interrupted call with the same settings is not
    made again; the result is the same file.
    """
    _check_anchor(plan, guidance)
    done, tail = parts.finished()
    given = guidance.start if done == 0 else tail
    for window in plan[done:]:
        frames = render_window(window, plan, model, guidance, given)
        if window.index and given is not None:
            frames = torch.cat((cross_fade(given, frames, window.base), frames[window.given :]))
        following = plan[window.index + 1] if window.index + 1 < len(plan) else None
        # frames that the next window takes over are written by it, faded into its own
        end = (following.start if following else window.end) - window.start
        given = frames[end:].clone() if following else frames[-1:].clone()
        parts.add(frames[:end], given)
        model.show(frames[end // 2], window)
    return parts.join()


def render_window(
    window: Window, plan: Sequence[Window], model: WindowModel, guidance: Guidance, given: Tensor | None
) -> Tensor:
    """All frames of one window, [window.length, H, W, 3], 0 to 1.

    given: [window.given, H, W, 3], the frames it begins with, or None. The anchor stands in for latent frame 0 while sampling:
    the model looks at it in every step, and nobody sees it, since the given frames' own latent is put back before decoding.
    """

    def conditions(encode: Encode) -> list[FrameCondition]:
        return with_guides(
            encode, taken_over_conditions(encode, window, guidance, given), window, plan, guidance
        )

    taken_over = taken_over_conditions(model.encode, window, guidance, given)
    hidden = taken_over[0].latent if guidance.anchor is not None and window.index else None
    made = with_guides(model.encode, taken_over, window, plan, guidance)
    injection = Injection(model.encode, conditions, tuple(made))
    samples, noise_multipliers = place(
        model.empty(window.latent_frames), None, injection.conditions, window.base
    )
    latent = model.sample(samples, noise_multipliers, window, injection)
    if hidden is not None:
        latent = torch.cat((hidden.to(latent), latent[:, :, 1:]), dim=2)
    frames = model.decode(latent)
    if guidance.colour_match is None or given is None or not window.given:
        return frames
    return match_seam(frames, given, guidance.colour_match, window.base)


def taken_over_conditions(
    encode: Encode, window: Window, guidance: Guidance, given: Tensor | None
) -> list[FrameCondition]:
    """The frames that a window begins with; given: [window.given, H, W, 3], or None."""
    if given is None or not window.given:
        return []
    latents = encode_frames(encode, given, range(window.given_latents), base=window.base)
    multipliers = given_multipliers(guidance.noise_multipliers, len(latents))
    return [
        FrameCondition(latent, position, multiplier)
        for position, (latent, multiplier) in enumerate(zip(latents, multipliers, strict=True))
    ]


def with_guides(
    encode: Encode,
    conditions: Sequence[FrameCondition],
    window: Window,
    plan: Sequence[Window],
    guidance: Guidance,
) -> list[FrameCondition]:
    """The conditions of a window with the anchor in the place of the first one, and with the video's end."""
    conditions = list(conditions)
    if guidance.anchor is not None and window.index:
        anchor = encode_keyframe(encode, guidance.anchor, 0, base=window.base)
        conditions[0] = FrameCondition(anchor, 0, guidance.anchor_multiplier)
    if guidance.end is not None and window is plan[-1]:
        last = window.latent_frames - 1
        latent = encode_keyframe(encode, guidance.end, last, IN_SEQUENCE, window.base)
        conditions.append(FrameCondition(latent, last, guidance.end_multiplier))
    return conditions


def cross_fade(given: Tensor, frames: Tensor, base: Base = WAN) -> Tensor:
    """The shared frames as shown: given ones, turning into the new window's version over the last latent frame.

    given: [M, H, W, 3]; frames: [N, H, W, 3], the new window, which begins with its version of them. Returns [M, H, W, 3]. The
    oldest frame always stays as given.
    """
    faded = min(base.temporal_stride, len(given) - 1)
    weights = given.new_zeros(len(given))
    weights[len(given) - faded :] = torch.arange(1, faded + 1) / (faded + 1)
    return torch.lerp(given, frames[: len(given)].to(given), weights[:, None, None, None])


def match_seam(frames: Tensor, given: Tensor, method: str, base: Base = WAN) -> Tensor:
    """The window in the colours of the frames it continues.

    frames: [N, H, W, 3]; given: [M, H, W, 3]: what the first M frames should look like. They show the same, so the change between
    them is the model's and the VAE's; it is undone in all N. Means over the squares of one latent pixel are compared, not
    pixels: the VAE blurs a little, and the contrast that fine detail lost must not be taken from the rest, window after window.
    """
    made = colour_statistics(coarse(frames[: len(given)], base), method)
    transfer = fit_transfer(made, colour_statistics(coarse(given, base), method), method)
    return apply_transfer(frames, transfer)


def coarse(pictures: Tensor, base: Base) -> Tensor:
    """Means over the squares of latent cells, s pixels each side. pictures: [N, H, W, 3]. Returns [N, H/s, W/s, 3]."""
    return avg_pool2d(pictures.movedim(-1, 1).float(), base.spatial_stride).movedim(1, -1)


def _check_anchor(plan: Sequence[Window], guidance: Guidance) -> None:
    if guidance.anchor is not None and any(window.given_latents < 2 for window in plan[1:]):
        raise PusaError(
            f"overlap is {plan[1].given} frame, and the anchor takes the first latent frame of each window, so nothing would be "
            f"handed over. Use an overlap of {plan[1].base.video_length(2)} or more ({plan[1].base.video_length(4)} is usual), or disconnect anchor."
        )
