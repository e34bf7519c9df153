"""What is measured of finished tiles: likeness to the given picture, amount of motion, flicker, distance from the other seeds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

BLOCK = 4
"""Pixels of a side over which frames are averaged before they are compared, so that grain and moving edges count little."""

MOST_LIKENESS = 99.0
"""dB of a frame that is the picture itself."""


@dataclass(frozen=True)
class Measures:
    """Numbers of one tile; the colours run from 0 to 255."""

    likeness: float  # PSNR in dB of the first frame against the given picture
    motion: float  # mean change of a frame against the first one
    flicker: float  # mean distance of a frame from the middle between its neighbours
    apart: float | None = None  # see apart_of; None with one seed

    @property
    def text(self) -> str:
        """As the sheet and the report write them."""
        apart = "" if self.apart is None else f", apart {self.apart:.1f}"
        return f"likeness {self.likeness:.1f} dB, motion {self.motion:.1f}, flicker {self.flicker:.2f}{apart}"

    @property
    def is_whole(self) -> bool:
        """Whether none of the numbers is broken."""
        return all(math.isfinite(value) for value in vars(self).values() if value is not None)


def measure(frames: Tensor, given: Tensor) -> Measures:
    """frames: [N, H, W, 3], 0 to 1; given: [H, W, 3], the picture at the video's size."""
    blocks = blocks_of(frames)
    return Measures(psnr(frames[0], given), motion_of(blocks), flicker_of(blocks))


def with_apart(found: Sequence[Measures], videos: Sequence[Tensor], seeds: Sequence[int]) -> list[Measures]:
    """The measures of all tiles with their distances from the other seeds; unchanged with one seed.

    videos: [N, H, W, 3] bytes of each tile. Tiles with broken numbers stay as they are and have no part in the others' distances.
    """
    whole = [number for number, one in enumerate(found) if one.is_whole]
    apart = apart_of([videos[number] for number in whole], [seeds[number] for number in whole])
    of_tile = dict(zip(whole, apart, strict=True))
    return [replace(one, apart=of_tile.get(number)) for number, one in enumerate(found)]


def apart_of(videos: Sequence[Tensor], seeds: Sequence[int]) -> list[float | None]:
    """How far each tile is from the mean of all tiles of the other seeds: the root mean square over all blocks, 0 to 255.

    That mean is nearer than any single tile to what the picture and the prompt ask for: what only one seed shows averages out.
    videos: [N, H, W, 3] bytes each, all of one size. None where all tiles have one seed.
    """
    counts = Counter(seeds)
    if len(counts) < 2:
        return [None] * len(videos)
    sums: dict[int, Tensor] = {}
    for video, seed in zip(videos, seeds, strict=True):
        blocks = blocks_of(video / 255.0)
        sums[seed] = sums[seed] + blocks if seed in sums else blocks
    total = torch.stack(list(sums.values())).sum(0)
    apart: list[float | None] = []
    for video, seed in zip(videos, seeds, strict=True):
        others = (total - sums[seed]) / (len(videos) - counts[seed])
        apart.append(float((blocks_of(video / 255.0) - others).square().mean().sqrt()))
    return apart


def psnr(picture: Tensor, other: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of two pictures of values from 0 to 1, at most MOST_LIKENESS."""
    error = float((picture - other).square().mean())
    return MOST_LIKENESS if error <= 10 ** (-MOST_LIKENESS / 10) else -10 * math.log10(error)


def blocks_of(frames: Tensor) -> Tensor:
    """Means of blocks: [N, H, W, 3], 0 to 1 -> [N, 3, H / BLOCK, W / BLOCK], 0 to 255."""
    side = min(BLOCK, *frames.shape[1:3])
    return avg_pool2d(frames.movedim(-1, 1) * 255.0, side)


def motion_of(blocks: Tensor) -> float:
    """Mean absolute change of the frames against the first one. blocks: [N, C, h, w]."""
    return 0.0 if len(blocks) < 2 else float((blocks[1:] - blocks[:1]).abs().mean())


def flicker_of(blocks: Tensor) -> float:
    """Mean distance of a frame from the middle between its neighbours: light that jumps, outlines that tremble. blocks: [N, C, h, w].

    A change that goes on evenly is none.
    """
    if len(blocks) < 3:
        return 0.0
    return float((blocks[1:-1] - (blocks[:-2] + blocks[2:]) / 2).abs().mean())
