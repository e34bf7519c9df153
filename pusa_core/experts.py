"""Wan2.2's two experts: which part of a schedule each one runs."""

from __future__ import annotations

import math

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
    high_steps = int(torch.count_nonzero(sigmas[:-1] >= check_boundary(boundary)))
    return sigmas[: high_steps + 1], sigmas[high_steps:]
