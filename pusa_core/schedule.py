"""Noise levels: the global schedule and what each latent frame makes of it."""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor

from .errors import PusaError

TIMESTEPS = 1000
"""The DiT embeds timestep = 1000 * sigma."""

SHIFT = 5.0
"""Shift that Pusa was trained with and LightX2V distilled for."""

MAX_STEPS = 1000
"""Most steps that the nodes take."""


def flow_sigmas(steps: int, shift: float = SHIFT, denoise: float = 1.0) -> Tensor:
    """Noise levels of Wan's flow matching, pure noise first, clean last.

    steps: >= 1; shift: >= 1, 1 spaces the levels evenly; denoise: in (0, 1], where on the unshifted
    ramp the first level sits (1 starts from pure noise).
    Returns [S+1] float32, strictly falling, the last one 0. Source: FlowMatchSchedulerPusa in PusaV1; four
    steps at shift 5 are LightX2V's list 1, 0.9375, 0.8333, 0.625, 0.
    """
    if steps < 1:
        raise PusaError(f"steps is {steps}; use 1 or more (30 without a distilled LoRA, 4 with LightX2V).")
    if not (math.isfinite(shift) and shift >= 1.0):
        raise PusaError(f"shift is {shift}; use 1.0 or more (Pusa was trained for 5.0).")
    if not 0.0 < denoise <= 1.0:
        raise PusaError(f"denoise is {denoise}; use a value above 0 and up to 1 (1 starts from pure noise).")
    ramp = denoise * (1.0 - torch.arange(steps + 1, dtype=torch.float64) / steps)
    return (shift * ramp / (1.0 + (shift - 1.0) * ramp)).float()


def frame_sigmas(sigmas: Tensor, noise_multipliers: Tensor) -> Tensor:
    """Noise level of every latent frame at every step (Pusa V1.0, arXiv 2507.16116).

    sigmas: [S+1], 1 is pure noise, 0 is clean; noise_multipliers: [F], each in [0, 1], where 0 keeps a
    frame clean throughout and 1 leaves it on the global schedule.
    Returns [S+1, F]; row i belongs to sigmas[i]. Timesteps, which are 1000 sigmas, scale the same way, and so do the sigmas [B] of
    a batch: this is the one place where a level is multiplied.
    """
    return sigmas[:, None] * noise_multipliers


def over_frames(values: Tensor) -> Tensor:
    """One value per latent frame, shaped to multiply a latent: [F] -> [1, 1, F, 1, 1], [B, F] -> [B, 1, F, 1, 1]."""
    return rearrange(values, "f -> 1 1 f 1 1" if values.ndim == 1 else "b f -> b 1 f 1 1")
