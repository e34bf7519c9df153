"""Latent frames and pixel frames as a user types them; how many there are is counted by bases.Base."""

from __future__ import annotations

import math
import re

from .bases import WAN, Base
from .choices import check_choice
from .errors import PusaError

LATENT_FRAME = "latent frame"
VIDEO_FRAME = "video frame"
POSITION_UNITS = (LATENT_FRAME, VIDEO_FRAME)


def resolve_position(position: int, latent_frames: int, unit: str = LATENT_FRAME, base: Base = WAN) -> int:
    """Latent frame in [0, latent_frames) for a user's position; negative counts from the end.

    unit: "latent frame", or "video frame" for pixel frames of the decoded video, which `base` counts.
    """
    check_choice("position_unit", unit, POSITION_UNITS)
    count = latent_frames if unit == LATENT_FRAME else base.video_length(latent_frames)
    if not -count <= position < count:
        last = position if position >= 0 else -position - 1
        needed = base.video_length((last if unit == LATENT_FRAME else base.latent_frame_of(last)) + 1)
        raise PusaError(
            f"Position {position} is outside this latent of {count} {unit}s. "
            f"Use {-count} to {count - 1}, or set the video length to {needed} or more."
        )
    position %= count
    return position if unit == LATENT_FRAME else base.latent_frame_of(position)


def parse_positions(text: str) -> list[int]:
    """Positions as typed: "0, 10, -1" -> [0, 10, -1]."""
    positions = []
    for entry in _entries(text, "positions", "0, 10, -1"):
        if not re.fullmatch(r"[+-]?\d{1,9}", entry):
            raise PusaError(
                f"{entry!r} in positions is not a whole number. Write frame numbers with commas between them, "
                "such as 0, 10, -1 (negative counts from the end)."
            )
        positions.append(int(entry))
    return positions


def parse_multipliers(text: str, count: int) -> list[float]:
    """Noise multipliers as typed, one per position, each in [0, 1].

    text: one value for all ("0.2"), one per position ("0.2, 0.5"), or a ramp over them ("0..0.2").
    Returns `count` values.
    """
    entries = _entries(text, "noise_multipliers", "0.2, 0.5")
    if len(entries) == 1 and ".." in entries[0]:
        first, last = (_multiplier(end) for end in entries[0].split("..", 1))
        return [NoiseMultiplier(first + (last - first) * i / max(1, count - 1)) for i in range(count)]
    values: list[float] = [_multiplier(entry) for entry in entries]
    if len(values) == 1:
        return values * count
    if len(values) != count:
        raise PusaError(
            f"{len(values)} noise_multipliers for {count} positions. "
            "Give one value for all of them, or exactly one per position."
        )
    return values


class NoiseMultiplier(float):
    """A share of the global sigma, in [0, 1]: 0 keeps a frame clean, 1 leaves it free.

    Checked when it is made, from text, from a widget or from a LATENT of another node, and never again on its way to the timesteps.
    """

    __slots__ = ()

    def __new__(cls, value: float) -> NoiseMultiplier:
        if isinstance(value, cls):
            return value
        if not (math.isfinite(value) and 0.0 <= value <= 1.0):
            raise PusaError(f"noise_multiplier is {value}; use 0 (kept clean) to 1 (free).")
        return super().__new__(cls, value)


def _multiplier(entry: str) -> NoiseMultiplier:
    try:
        value = float(entry)
    except ValueError:
        raise PusaError(
            f"{entry.strip()!r} in noise_multipliers is not a number. Write values from 0 to 1 with commas between them, "
            "such as 0.2, 0.5, or a ramp such as 0..0.2."
        ) from None
    return NoiseMultiplier(value)


def _entries(text: str, name: str, example: str) -> list[str]:
    entries = [entry.strip() for entry in text.replace(";", ",").split(",")]
    if entries[-1] == "":
        entries.pop()
    if not entries or "" in entries:
        raise PusaError(f"{name} is {text!r}, which has an empty entry; write it like {example}.")
    return entries
