"""The settings of a sweep: lists as typed, and the tiles they make."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

from ..errors import PusaError
from ..schedule import MAX_STEPS

MOST_TILES = 36
"""More would be a long run by mistake: 4 lists of 4 values are 256 videos."""

N = TypeVar("N", int, float)

LARGEST_SEED = 2**64 - 1
LARGEST_ALPHA = 20.0


@dataclass(frozen=True)
class Tile:
    """One setting of the grid."""

    multiplier: float  # noise of the given picture, in [0, 1]
    alpha: float | None  # of the Pusa LoRAs; None leaves them as they were loaded
    steps: int
    seed: int


def plan_tiles(multipliers: str, alphas: str, steps: str, seeds: str) -> list[list[Tile]]:
    """The grid as rows: a row is one alpha, number of steps and seed, its tiles are the multipliers. Empty alphas leave them.

    Alphas change slowest, since the weights are patched anew for each.
    """
    across = parse_numbers("multipliers", multipliers, 0.0, 1.0, "0, 0.2, 0.4")
    loaded = not alphas.strip()
    down: list[float | None] = [None]
    if not loaded:
        down = [*parse_numbers("alphas", alphas, -LARGEST_ALPHA, LARGEST_ALPHA, "1.0, 1.4")]
    of_steps = parse_integers("steps", steps, 1, MAX_STEPS, "8, 16")
    of_seeds = parse_integers("seeds", seeds, 0, LARGEST_SEED, "1, 2")
    counts = [len(across), len(down), len(of_steps), len(of_seeds)]
    if math.prod(counts) > MOST_TILES:
        raise PusaError(
            f"The grid has {' x '.join(map(str, counts))} = {math.prod(counts)} tiles (multipliers x alphas x steps x seeds); "
            f"{MOST_TILES} are the most. Leave out values, or sweep one setting after the other."
        )
    return [
        [Tile(multiplier, alpha, count, seed) for multiplier in across]
        for alpha in down
        for count in of_steps
        for seed in of_seeds
    ]


def parse_numbers(name: str, text: str, least: float, most: float, example: str) -> list[float]:
    """Numbers as typed, "0, 0.2" -> [0.0, 0.2], each once and in [least, most]."""
    values = []
    for entry in entries_of(name, text, example):
        try:
            value = float(entry)
        except ValueError:
            raise _refusal(name, entry, least, most, example) from None
        if not least <= value <= most:
            raise _refusal(name, entry, least, most, example)
        values.append(value)
    return _each_once(name, values)


def parse_integers(name: str, text: str, least: int, most: int, example: str) -> list[int]:
    """Whole numbers as typed, each once and in [least, most]."""
    values = []
    for entry in entries_of(name, text, example):
        if not (entry.isascii() and entry.isdigit()) or not least <= int(entry) <= most:
            raise _refusal(name, entry, least, most, example)
        values.append(int(entry))
    return _each_once(name, values)


def entries_of(name: str, text: str, example: str) -> list[str]:
    """The entries of a list with commas."""
    entries = [entry.strip() for entry in text.replace(";", ",").split(",")]
    if len(entries) > 1 and not entries[-1]:
        entries.pop()
    if "" in entries:
        raise PusaError(f"{name} is {text!r}, which has an empty entry; write it like {example}.")
    return entries


def _refusal(name: str, entry: str, least: float, most: float, example: str) -> PusaError:
    return PusaError(
        f"{entry!r} in {name} is not a number from {least} to {most}; write them with commas, such as {example}."
    )


def _each_once(name: str, values: list[N]) -> list[N]:
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise PusaError(f"{name} has {twice:g} twice. Write every value once.")
    return values
