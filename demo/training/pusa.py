"""Vectorized timestep adaptation: the Pusa LoRA, which teaches a text-to-video DiT that frames may differ in noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ...pusa_core.experts import BOUNDARY_T2V
from ...pusa_core.schedule import TIMESTEPS
from .experts import HIGH_NOISE, LOW_NOISE
from .flow import TRAINING_SHIFT, clip_losses, compiled, draw_sigmas, trained_dit
from .latents import TrainingClips
from .loop import Plan, train
from .lora import adapt
from .text_to_video import BASE

RANK = 16
PUSA = Plan("pusa", steps=2000, learning_rate=2e-3, seed=51)
CONTROL = replace(PUSA, name="pusa_control")
PUSA_HIGH_NOISE = Plan("pusa_high_noise", steps=1200, learning_rate=2e-3, seed=52)
PUSA_LOW_NOISE = Plan("pusa_low_noise", steps=1200, learning_rate=2e-3, seed=53)
ADAPTED_MODEL = {PUSA: BASE, CONTROL: BASE, PUSA_HIGH_NOISE: HIGH_NOISE, PUSA_LOW_NOISE: LOW_NOISE}


def sigmas_for(plan: Plan, batch: int, frames: int) -> Tensor:
    """The random sigmas that the plan's LoRA learns from.

    Pusa V1.0 draws every latent frame's sigma independently of the others (train_wan_pusa.py): [B, F]. An expert only
    ever runs while the scalar sigma, the highest of a clip, is on its side of the boundary: so half of the
    high-noise expert's frames lie above it and the others anywhere, and all of the low-noise expert's lie below.
    The control draws one sigma a clip: [B].
    """
    if plan is CONTROL:
        return draw_sigmas(batch)
    if plan is PUSA_LOW_NOISE:
        return draw_sigmas(batch, frames, most=BOUNDARY_T2V)
    anywhere = draw_sigmas(batch, frames)
    if plan is PUSA_HIGH_NOISE:
        return torch.where(
            torch.rand(batch, frames) < 0.5, draw_sigmas(batch, frames, least=BOUNDARY_T2V), anywhere
        )
    return anywhere


def timestep_weights(sigmas: Tensor) -> Tensor:
    """The reference's weight of a timestep, 1 on average over its training table, heaviest at sigma = 0.5.

    sigmas: any shape, in [0, 1]. Source: `bsmntw` in FlowMatchSchedulerPusa.set_timesteps (PusaV1), here evaluated at
    any sigma instead of at the 1000 of the table.
    """
    ramp = torch.linspace(1.0, 0.003 / 1.002, TIMESTEPS)
    table = TRAINING_SHIFT * ramp / (1 + (TRAINING_SHIFT - 1) * ramp)

    def bell(values: Tensor) -> Tensor:
        return torch.exp(-2 * (values - 0.5).square())

    lowest = bell(table).min()
    return (bell(sigmas) - lowest).clamp(min=0) / (bell(table) - lowest).mean()


def train_pusa(plan: Plan, runs: Path) -> None:
    """Train the plan's LoRA on its model; PUSA and the two experts' are published, CONTROL is for comparison.

    The reference multiplies the mean error of a clip by the mean weight of its frames' timesteps (its mse_loss is a
    single number before the weight is applied), and so does this.
    """
    model = trained_dit(ADAPTED_MODEL[plan], runs)
    torch.manual_seed(plan.seed)
    trained = adapt(model, RANK)
    clips = TrainingClips.read(runs)
    velocity = compiled(model)

    def loss_of_step(step: int) -> Tensor:
        losses, sigmas = clip_losses(
            model, velocity, clips, lambda batch, frames: sigmas_for(plan, batch, frames)
        )
        return (losses * timestep_weights(sigmas).reshape(len(losses), -1).mean(1)).mean()

    optimizer = torch.optim.AdamW(trained, lr=plan.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    train(plan, runs, model, [optimizer], loss_of_step)
