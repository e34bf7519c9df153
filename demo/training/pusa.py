"""Vectorized timestep adaptation of the zoo by the pack's trainer: its draws, its loss, its LoRA."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ...pusa_core.training import vta_loss
from .experts import HIGH_NOISE, LOW_NOISE
from .flow import VECTORIZED, Batch, compiled, trained_dit, velocity_of
from .latents import TrainingClips
from .lora import adapt
from .plan import Plan, train
from .text_to_video import BASE

RANK = 16
PUSA = Plan("pusa", steps=4000, learning_rate=2e-3, seed=51, batch=8)
PUSA_HIGH_NOISE = Plan("pusa_high_noise", steps=3000, learning_rate=2e-3, seed=52, batch=8)
PUSA_LOW_NOISE = Plan("pusa_low_noise", steps=3000, learning_rate=2e-3, seed=53, batch=8)
ADAPTED_MODEL = {PUSA: BASE, PUSA_HIGH_NOISE: HIGH_NOISE, PUSA_LOW_NOISE: LOW_NOISE}


def train_pusa(plan: Plan, runs: Path) -> None:
    """Train the plan's LoRA on its model; the experts' over the full range of levels too, as their author trains them."""
    model = trained_dit(ADAPTED_MODEL[plan], runs)
    trained = adapt(model, RANK, plan.seed)
    clips = TrainingClips.read(runs)
    velocity = compiled(model)

    def loss_of_step(step: int) -> Tensor:
        batch = Batch(plan, step, clips, VECTORIZED)
        call = velocity_of(model, velocity, clips, batch.captions)
        return vta_loss(call, batch.clean, batch.captions, batch.noise, batch.sigmas)

    optimizer = torch.optim.AdamW(trained, lr=plan.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    train(plan, runs, model, [optimizer], loss_of_step)
