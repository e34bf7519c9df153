"""Which tile is the best trade-off between likeness, motion and flicker."""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from .measures import Measures

STILL_SHARE = 1 / 3
"""A tile with less than this share of the median motion stands still."""

LIKENESS_SHARE, MOTION_SHARE = 0.1, 0.25
"""What one dB of likeness and one dB of motion are worth beside one dB less flicker; chosen on scenes of the demo's models."""

LEAST = 1e-3
"""Of colours from 0 to 255: less flicker or motion is as good as none."""


@dataclass(frozen=True)
class Choice:
    """The tile that was chosen, and why."""

    number: int  # in the order of the tiles
    reason: str


def best_of(found: Sequence[Measures], settings: Sequence[Hashable] | None = None) -> Choice:
    """The best trade-off: of the tiles that move, the one with the least flicker for its motion and its likeness.

    settings: what each tile was made with but for its seed; the setting is chosen by the mean of its seeds, and of its tiles the best.
    Without them every tile is a setting of its own.
    """
    groups: dict[Hashable, list[int]] = {}
    for number, setting in enumerate(range(len(found)) if settings is None else settings):
        groups.setdefault(setting, []).append(number)
    usable = [one.motion for one in found if math.isfinite(one.motion)]
    least = STILL_SHARE * statistics.median(usable) if usable else 0.0
    moving = {
        setting: numbers
        for setting, numbers in groups.items()
        if statistics.mean(found[number].motion for number in numbers) >= least
    }
    candidates = moving or groups
    scores = {
        setting: statistics.mean(score(found[number]) for number in numbers)
        for setting, numbers in candidates.items()
    }
    chosen = max(scores, key=scores.__getitem__)
    number = max(candidates[chosen], key=lambda number: score(found[number]))
    return Choice(number, _reason(len(groups), len(groups) - len(candidates), len(groups[chosen])))


def score(one: Measures) -> float:
    """How good a tile is, in dB; a tile with broken numbers is worse than any other."""
    found = LIKENESS_SHARE * one.likeness + MOTION_SHARE * _decibels(one.motion) - _decibels(one.flicker)
    return found if math.isfinite(found) else -math.inf


def _decibels(value: float) -> float:
    return 20 * math.log10(max(value, LEAST))


def _reason(settings: int, still: int, seeds: int) -> str:
    if settings == 1:
        return "It is the only setting."
    stands = f"{still} that stand nearly still left out, " if still else ""
    mean = f"on the mean of {seeds} seeds, " if seeds > 1 else ""
    luck = " With one seed much of the difference is luck." if seeds == 1 else ""
    return f"Of the {settings} settings, {stands}it has, {mean}the least flicker for its motion and its likeness to the picture.{luck}"
