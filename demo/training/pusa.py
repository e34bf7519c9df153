"""Vectorized timestep adaptation: the Pusa LoRA, which teaches a text-to-video DiT that frames may differ in noise."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ...pusa_core.schedule import TIMESTEPS
from ...pusa_core.wan_dit import WanDiT
from .flow import TRAINING_SHIFT, clip_losses, compiled, draw_sigmas
from .latents import TrainingClips
from .lora import adapt
from .loop import Plan, train

RANK = 16


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


def train_pusa(plan: Plan, model: WanDiT, runs: Path, vectorized: bool = True) -> None:
    """Train a LoRA on the model, in place.

    vectorized: every latent frame of a clip draws its own sigma, independently of the others (Pusa V1.0,
    train_wan_pusa.py). False gives the control: the same training with one sigma a clip.
    The reference multiplies the mean error of a clip by the mean weight of its frames' timesteps (its mse_loss is a
    single number before the weight is applied), and so does this.
    """
    torch.manual_seed(plan.seed)
    trained = adapt(model, RANK)
    clips = TrainingClips.read(runs)
    velocity = compiled(model)

    def loss_of_step(step: int) -> Tensor:
        losses, sigmas = clip_losses(
            model, velocity, clips, lambda *shape: draw_sigmas(*(shape if vectorized else shape[:1]))
        )
        weights = timestep_weights(sigmas)
        return (losses * (weights.mean(1) if weights.ndim == 2 else weights)).mean()

    optimizer = torch.optim.AdamW(trained, lr=plan.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    train(plan, runs, model, [optimizer], loss_of_step)
