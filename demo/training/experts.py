"""The expert pair of Wan 2.2 in miniature: the base model, tuned on to one side of the boundary each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from ...pusa_core.experts import BOUNDARY_T2V
from .flow import SCALAR, Batch, compiled, plain_loss, trained_dit, velocity_of
from .latents import TrainingClips
from .plan import Plan, train
from .text_to_video import BASE, optimizers

HIGH_NOISE = Plan("high_noise", steps=600, learning_rate=5e-4, seed=31, batch=16)
LOW_NOISE = Plan("low_noise", steps=600, learning_rate=5e-4, seed=32, batch=16)
SIDES = {HIGH_NOISE: (BOUNDARY_T2V, 1.0), LOW_NOISE: (0.0, BOUNDARY_T2V)}


def train_expert(plan: Plan, runs: Path) -> None:
    """Scalar timesteps on one side of the boundary, starting from the base model."""
    least, most = SIDES[plan]
    draw = replace(SCALAR, sigma_min=least, sigma_max=most)
    model = trained_dit(BASE, runs)
    clips = TrainingClips.read(runs)
    velocity = compiled(model)

    def loss_of_step(step: int) -> Tensor:
        batch = Batch(plan, step, clips, draw)
        return plain_loss(velocity_of(model, velocity, clips, batch.captions), batch)

    train(plan, runs, model, optimizers(model, plan.learning_rate), loss_of_step)
