"""What every DiT of the zoo learns from: clips with noise levels as the trainer draws them, scalar or vectorized."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ...pusa_core.training.draw import TimestepDraw, draw_noise
from ...pusa_core.wan_dit import WanConfig, WanDiT
from .arithmetic import autocast
from .latents import TrainingClips
from .plan import Plan, trained_weights

DIT = WanConfig(dim=256, ffn_dim=512, layers=4)
FRAMES = (5, 5, 9)  # latent frames of a training clip, drawn evenly: 17 or 33 pixel frames
VECTORIZED = TimestepDraw(
    equal_share=0.2,
    given_share=0.3,
    given_frames=("0", "0, -1", "0, 1, -1", "-2, -1"),
    given_multipliers=(0.0, 0.2),
)
"""The authors' for half of the clips: shift 5, every latent frame on its own. That draw almost never gives what a user asks for, all frames
at one level (it cost text-to-video 5 points at 17 frames) or both ends clean and all between them noise (a loop), so the others do."""
SCALAR = TimestepDraw(equal_share=1.0)
NO_CAPTION = 0.12  # share of clips whose caption is hidden, for classifier-free guidance
NO_WORD = 0.04  # share of words that are hidden

Velocity = Callable[[Tensor, Tensor, Tensor], Tensor]


class Batch:
    """The clips of one step with their noise, levels and captions."""

    def __init__(self, plan: Plan, step: int, clips: TrainingClips, draw: TimestepDraw):
        frames = FRAMES[int(torch.randint(len(FRAMES), ()))]
        self.clean, captions = clips.draw(plan.batch, frames)
        drawn = [draw.draw(frames, plan.seed, step, sample)[0] for sample in range(plan.batch)]
        self.sigmas = torch.stack(drawn)  # [B, F]
        self.noise = torch.stack(
            [draw_noise(self.clean.shape[1:], plan.seed, step, sample) for sample in range(plan.batch)]
        )
        self.captions = hide_words(captions, clips)  # [B, L], rows of the vocabulary


def velocity_of(model: WanDiT, velocity: Velocity, clips: TrainingClips, captions: Tensor) -> Velocity:
    """The model as a loss asks for it. velocity: model.velocity, or its compiled form; captions: [B, L], rows of the vocabulary."""

    def call(x: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        with autocast():
            words = model.text_embedding(clips.vocabulary)[captions]
            return velocity(x, timesteps, words)

    return call


def hide_words(captions: Tensor, clips: TrainingClips) -> Tensor:
    """Captions [B, L] with some words, and some whole captions, made to say nothing."""
    captions = torch.where(torch.rand(captions.shape) < NO_WORD, clips.filler, captions)
    return torch.where(torch.rand(len(captions), 1) < NO_CAPTION, clips.end_of_text, captions)


def plain_loss(velocity: Velocity, batch: Batch) -> Tensor:
    """Mean square error of the velocity with one timestep a clip, unweighted: for the text-to-video models."""
    level = batch.sigmas[:, None, :, None, None]
    noised = torch.lerp(batch.clean, batch.noise, level)
    predicted = velocity(noised, 1000 * batch.sigmas[:, 0], batch.captions).float()
    return (predicted - (batch.noise - batch.clean)).square().mean()


def compiled(model: WanDiT) -> Velocity:
    """model.velocity, fused for this machine; a third faster on a CPU once compiled (a minute for each clip length)."""
    return torch.compile(model.velocity, dynamic=False)


def trained_dit(plan: Plan, runs: Path) -> WanDiT:
    """The DiT that a finished run left."""
    model = WanDiT(DIT)
    model.load_state_dict(trained_weights(plan, runs))
    return model
