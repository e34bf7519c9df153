"""Which clips a step sees: buckets of equal shape, shuffled anew each epoch, from the seed alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from .cache_files import ClipEntry
from .draw import number


@dataclass(frozen=True)
class Batches:
    """The order of the clips. A batch has one shape; the last one of a bucket is filled up from the bucket's beginning."""

    entries: tuple[ClipEntry, ...]
    batch: int  # clips a step
    seed: int

    @property
    def buckets(self) -> dict[tuple[int, ...], list[int]]:
        """Latent shape -> numbers of its clips."""
        found: dict[tuple[int, ...], list[int]] = {}
        for index, entry in enumerate(self.entries):
            found.setdefault(entry.shape, []).append(index)
        return dict(sorted(found.items()))

    @property
    def steps_an_epoch(self) -> int:
        """Steps in which every clip is seen at least once."""
        return sum(-(-len(indices) // self.batch) for indices in self.buckets.values())

    def of_step(self, step: int) -> list[ClipEntry]:
        """The clips of one step, `batch` of them."""
        epoch, place = divmod(step, self.steps_an_epoch)
        chance = random.Random(number("epoch", self.seed, epoch))
        batches: list[list[int]] = []
        for indices in self.buckets.values():
            order = _shuffled(indices, chance)
            count = -(-len(order) // self.batch)
            filled = [order[i % len(order)] for i in range(count * self.batch)]
            batches += [filled[i : i + self.batch] for i in range(0, len(filled), self.batch)]
        return [self.entries[i] for i in _shuffled(batches, chance)[place]]


def _shuffled(items: Sequence, chance: random.Random) -> list:  # type: ignore[type-arg]
    """A shuffled copy, by random() alone, whose values Python guarantees across versions."""
    keyed = [(chance.random(), index) for index in range(len(items))]
    return [items[index] for _, index in sorted(keyed)]
