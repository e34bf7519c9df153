"""What is measured of a finished tile: likeness to the given picture, amount of motion, flicker."""

from __future__ import annotations

import math
from dataclasses import dataclass

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

    @property
    def text(self) -> str:
        """As the sheet and the report write them."""
        return f"likeness {self.likeness:.1f} dB, motion {self.motion:.1f}, flicker {self.flicker:.2f}"


def measure(frames: Tensor, given: Tensor) -> Measures:
    """frames: [N, H, W, 3], 0 to 1; given: [H, W, 3], the picture at the video's size."""
    blocks = blocks_of(frames)
    return Measures(psnr(frames[0], given), motion_of(blocks), flicker_of(blocks))


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
