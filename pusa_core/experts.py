"""Several models on one schedule, as Wan2.2's two experts: which part of it each one runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import PusaError

BOUNDARY_T2V = 0.875
"""Sigma where Wan2.2 text-to-video changes from the high-noise to the low-noise expert."""


def check_boundary(boundary: float) -> float:
    """The boundary itself, if it is a sigma in [0, 1]."""
    if not (math.isfinite(boundary) and 0.0 <= boundary <= 1.0):
        raise PusaError(
            f"boundary is {boundary}; it is a sigma from 0 to 1. Wan2.2 text-to-video changes experts at {BOUNDARY_T2V}."
        )
    return boundary


def split_sigmas(sigmas: Tensor, boundary: float) -> tuple[Tensor, Tensor]:
    """The schedule cut at the boundary: steps that start at sigma >= boundary are the high-noise expert's.

    sigmas: [S+1], falling, the scalar schedule (multipliers do not move the boundary); boundary: sigma in [0, 1].
    Returns (high [Sh+1], low [Sl+1]), Sh + Sl = S, sharing the level of the hand-over; a part with no step is
    one level long. Source: wan22_video_pusa_multi_frames.py in PusaV1, `timestep < boundary * 1000` runs low.
    """
    high, low = split_schedule(sigmas, [StageEnd(sigma=check_boundary(boundary))])
    return high, low


@dataclass(frozen=True)
class StageEnd:
    """Where a stage hands over to the next: after the steps that start at `sigma` or above, or after `steps` steps of its own."""

    sigma: float = 0.0  # in [0, 1]; counts where steps is 0
    steps: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.sigma) and 0.0 <= self.sigma <= 1.0):
            raise PusaError(f"until_sigma is {self.sigma}; it is a sigma from 0 (the end) to 1 (the start).")
        if self.steps < 0:
            raise PusaError(
                f"steps is {self.steps}; use 0 to end the stage at until_sigma, or a number of steps."
            )


def split_schedule(sigmas: Tensor, ends: Sequence[StageEnd]) -> list[Tensor]:
    """The schedule cut into len(ends) + 1 parts, which share the level of each hand-over.

    sigmas: [S+1], falling, the scalar schedule (multipliers do not move the ends). A part without a step is one level long; the last
    part takes what the others leave.
    """
    parts, start, steps = [], 0, len(sigmas) - 1
    for end in ends:
        stop = start + end.steps if end.steps else int(torch.count_nonzero(sigmas[:-1] >= end.sigma))
        stop = min(max(stop, start), steps)
        parts.append(sigmas[start : stop + 1])
        start = stop
    return [*parts, sigmas[start:]]
