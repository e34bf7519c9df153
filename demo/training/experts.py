"""The expert pair of Wan 2.2 in miniature: the base model, tuned on to one side of the boundary each."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ...pusa_core.experts import BOUNDARY_T2V
from .flow import clip_losses, compiled, draw_sigmas, trained_dit
from .latents import TrainingClips
from .loop import Plan, train
from .text_to_video import BASE, optimizers

HIGH_NOISE = Plan("high_noise", steps=700, learning_rate=5e-4, seed=31)
LOW_NOISE = Plan("low_noise", steps=700, learning_rate=5e-4, seed=32)
SIDES = {HIGH_NOISE: (BOUNDARY_T2V, 1.0), LOW_NOISE: (0.0, BOUNDARY_T2V)}


def train_expert(plan: Plan, runs: Path) -> None:
    """Scalar timesteps on one side of the boundary, starting from the base model."""
    least, most = SIDES[plan]
    model = trained_dit(BASE, runs)
    clips = TrainingClips.read(runs)
    velocity = compiled(model)
    torch.manual_seed(plan.seed)

    def loss_of_step(step: int) -> Tensor:
        losses, _ = clip_losses(
            model, velocity, clips, lambda batch, frames: draw_sigmas(batch, least=least, most=most)
        )
        return losses.mean()

    train(plan, runs, model, optimizers(model, plan.learning_rate), loss_of_step)
