"""Which tile is the best trade-off between agreement of the seeds, likeness, motion and flicker."""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from .measures import Measures

STILL_SHARE = 1 / 3
"""A tile with less than this share of the median motion stands still."""

LIKENESS_SHARE, MOTION_SHARE = 0.1, 0.25
"""What one dB of likeness and one dB of motion are worth beside one dB less flicker or distance; chosen on scenes of the demo's models."""

LEAST = 1e-3
"""Of colours from 0 to 255: less flicker, motion or distance is as good as none."""

ADVISED_SEEDS = 8
"""Of a sweep in four steps; with fewer the choice is mostly luck: docs/RESULTS.md, Pusa Sweep in four steps."""

SEEDS_FOR_ERROR = 3
"""Two seeds are too few to say how much luck there is in a difference."""


@dataclass(frozen=True)
class Choice:
    """The tile that was chosen, and why."""

    number: int  # in the order of the tiles
    reason: str


def best_of(found: Sequence[Measures], settings: Sequence[Hashable] | None = None) -> Choice:
    """The best trade-off: of the settings that move, the first that the seeds cannot tell from the one with the best score.

    Another setting than the first must be better by more than the luck of the seeds, seed by seed (Breiman's rule of one standard error).
    settings: what each tile was made with but for its seed, the seeds of each in one order; of the chosen setting's tiles the best is taken.
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
        setting: [score(found[number]) for number in numbers] for setting, numbers in candidates.items()
    }
    highest = max(scores, key=lambda setting: statistics.mean(scores[setting]))
    chosen = next(
        (setting for setting, each in scores.items() if _as_good_as(scores[highest], each)), highest
    )
    number = max(candidates[chosen], key=lambda number: score(found[number]))
    still = len(groups) - len(candidates)
    return Choice(number, _reason(len(groups), still, len(groups[chosen]), chosen == highest))


def score(one: Measures) -> float:
    """How good a tile is, in dB; a tile with broken numbers is worse than any other."""
    if not one.is_whole:
        return -math.inf
    apart = 0.0 if one.apart is None else _decibels(one.apart)
    return (
        LIKENESS_SHARE * one.likeness + MOTION_SHARE * _decibels(one.motion) - _decibels(one.flicker) - apart
    )


def _as_good_as(highest: Sequence[float], scores: Sequence[float]) -> bool:
    """Whether a setting is behind the highest by no more than one standard error, seed by seed. False where too few seeds tell."""
    if len(scores) != len(highest) or len(scores) < SEEDS_FOR_ERROR or not all(map(math.isfinite, scores)):
        return False
    behind = [best - each for best, each in zip(highest, scores, strict=True)]
    return statistics.mean(behind) <= statistics.stdev(behind) / math.sqrt(len(behind))


def _decibels(value: float) -> float:
    return 20 * math.log10(max(value, LEAST))


def _reason(settings: int, still: int, seeds: int, is_highest: bool) -> str:
    if settings == 1:
        return "It is the only setting."
    stands = f", {still} that stand nearly still left out" if still else ""
    luck = ""
    if seeds < SEEDS_FOR_ERROR:
        few = "one seed" if seeds == 1 else f"{seeds} seeds"
        luck = f" With {few} much of the difference is luck: {ADVISED_SEEDS} seeds tell more."
    if seeds == 1:
        return f"Of the {settings} settings{stands}, it has the least flicker for its motion and its likeness to the picture.{luck}"
    if is_highest:
        return (
            f"Of the {settings} settings{stands}, its {seeds} seeds are nearest to what all seeds show, weighed with the least flicker "
            f"for their motion and their likeness to the picture.{luck}"
        )
    return (
        f"Of the {settings} settings{stands}, it is the first that {seeds} seeds cannot tell from the best."
    )
