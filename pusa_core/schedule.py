"""Noise levels: the global schedule and what each latent frame makes of it."""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor

from .bases import FLOW, LINEAR_QUADRATIC, SCHEDULES, Base
from .choices import check_choice
from .errors import PusaError

TIMESTEPS = 1000
"""The DiT embeds timestep = 1000 * sigma."""

SHIFT = 5.0
"""Shift that Pusa was trained with and LightX2V distilled for."""

OF_THE_BASE = "of the base"
"""The choice of schedule that leaves it to the model."""

SCHEDULE_CHOICES = (OF_THE_BASE, *SCHEDULES)

THRESHOLD = 0.025
"""Share of the picture that the linear first half of the linear-quadratic schedule makes (Mochi's threshold_noise)."""

MAX_STEPS = 1000
"""Most steps that the nodes take."""


def flow_sigmas(steps: int, shift: float = SHIFT, denoise: float = 1.0) -> Tensor:
    """Noise levels of Wan's flow matching, pure noise first, clean last.

    steps: >= 1; shift: >= 1, 1 spaces the levels evenly; denoise: in (0, 1], where on the unshifted
    ramp the first level sits (1 starts from pure noise).
    Returns [S+1] float32, strictly falling, the last one 0. Source: FlowMatchSchedulerPusa in PusaV1; four
    steps at shift 5 are LightX2V's list 1, 0.9375, 0.8333, 0.625, 0.
    """
    _check(steps, denoise)
    if not (math.isfinite(shift) and shift >= 1.0):
        raise PusaError(f"shift is {shift}; use 1.0 or more (Pusa was trained for 5.0).")
    ramp = denoise * (1.0 - torch.arange(steps + 1, dtype=torch.float64) / steps)
    return (shift * ramp / (1.0 + (shift - 1.0) * ramp)).float()


def linear_quadratic_sigmas(steps: int, denoise: float = 1.0) -> Tensor:
    """Noise levels of Mochi and Pusa V0.5: a slow straight line over the first half of the steps, then a parabola down to 0.

    steps: >= 1; denoise: in (0, 1]: of a schedule of steps / denoise steps the last `steps` are taken, as ComfyUI's schedulers do.
    Returns [S+1] float32, strictly falling, the last one 0. Source: linear_quadratic_schedule of genmo's models, linear_steps
    half of the steps; ComfyUI's linear_quadratic is the same.
    """
    _check(steps, denoise)
    whole = max(steps, int(steps / denoise))
    straight = whole // 2
    if not straight:
        return torch.tensor([1.0, 0.0])
    step = torch.arange(whole + 1, dtype=torch.float64)
    # the parabola goes on from the line at its slope, and ends at 1
    curve = (straight - THRESHOLD * whole) / (straight * (whole - straight) ** 2)
    made = THRESHOLD * step / straight + curve * (step - straight).clamp(min=0) ** 2
    sigmas = (1.0 - made).float()
    sigmas[-1] = 0.0
    return sigmas[-steps - 1 :]


def sigmas_of(
    schedule: str, base: Base | None, steps: int, shift: float = SHIFT, denoise: float = 1.0
) -> Tensor:
    """Noise levels [S+1] of a schedule by its name; base: what "of the base" means, flow where no model is known.

    shift is that of the flow schedule; the linear-quadratic one has none.
    """
    check_choice("schedule", schedule, SCHEDULE_CHOICES)
    if schedule == OF_THE_BASE:
        schedule = FLOW if base is None else base.schedule
    if schedule == LINEAR_QUADRATIC:
        return linear_quadratic_sigmas(steps, denoise)
    return flow_sigmas(steps, shift, denoise)


def _check(steps: int, denoise: float) -> None:
    if steps < 1:
        raise PusaError(f"steps is {steps}; use 1 or more (30 without a distilled LoRA, 4 with LightX2V).")
    if not 0.0 < denoise <= 1.0:
        raise PusaError(f"denoise is {denoise}; use a value above 0 and up to 1 (1 starts from pure noise).")


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
