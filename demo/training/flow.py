"""Flow matching as every DiT of the zoo learns it: noised clips, velocity noise - clean, scalar or vectorized timesteps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from ...pusa_core.schedule import TIMESTEPS
from ...pusa_core.wan_dit import WanConfig, WanDiT
from .latents import TrainingClips
from .loop import Plan, finished_model

DIT = WanConfig(dim=256, ffn_dim=512, layers=4)
BATCH = 32
FRAMES = (5, 5, 9)  # latent frames of a training clip, drawn evenly: 17 or 33 pixel frames
TRAINING_SHIFT = 3.0  # of the drawn sigmas; FlowMatchSchedulerPusa's default
NO_CAPTION = 0.12  # share of clips whose caption is hidden, for classifier-free guidance
NO_WORD = 0.04  # share of words that are hidden

Velocity = Callable[[Tensor, Tensor, Tensor], Tensor]


def draw_sigmas(*shape: int, least: float = 0.0, most: float = 1.0) -> Tensor:
    """Random sigmas in [least, most): a uniform draw moved towards noise by TRAINING_SHIFT, as in training of Wan."""
    low, high = (limit / (TRAINING_SHIFT - (TRAINING_SHIFT - 1) * limit) for limit in (least, most))
    uniform = low + (high - low) * torch.rand(*shape)
    return TRAINING_SHIFT * uniform / (1 + (TRAINING_SHIFT - 1) * uniform)


def clip_losses(
    model: WanDiT, velocity: Velocity, clips: TrainingClips, sigmas_of: Callable[[int, int], Tensor]
) -> tuple[Tensor, Tensor]:
    """Mean squared error of the velocity for a fresh batch.

    velocity: model.velocity, or its compiled form; sigmas_of(batch, frames): [B], one a clip, or [B, F], one a latent
    frame. Returns the errors [B] and the sigmas.
    """
    frames = FRAMES[int(torch.randint(len(FRAMES), ()))]
    clean, captions = clips.draw(BATCH, frames)
    sigmas = sigmas_of(BATCH, frames)
    per_frame = sigmas if sigmas.ndim == 2 else sigmas[:, None]
    noise = torch.randn_like(clean)
    x = torch.lerp(clean, noise, rearrange(per_frame, "b f -> b 1 f 1 1"))
    with torch.autocast("cpu", torch.bfloat16):
        context = model.text_embedding(clips.vocabulary)[hide_words(captions, clips)]
        predicted = velocity(x, TIMESTEPS * sigmas, context)
    return (predicted.float() - (noise - clean)).square().flatten(1).mean(1), sigmas


def hide_words(captions: Tensor, clips: TrainingClips) -> Tensor:
    """Captions [B, L] with some words, and some whole captions, made to say nothing."""
    captions = torch.where(torch.rand(captions.shape) < NO_WORD, clips.filler, captions)
    return torch.where(torch.rand(len(captions), 1) < NO_CAPTION, clips.end_of_text, captions)


def compiled(model: WanDiT) -> Velocity:
    """model.velocity, fused for this machine; a third faster on a CPU once compiled (a minute for each clip length)."""
    return torch.compile(model.velocity, dynamic=False)


def trained_dit(plan: Plan, runs: Path) -> WanDiT:
    """The DiT that a finished run left."""
    model = WanDiT(DIT)
    model.load_state_dict(finished_model(plan, runs))
    return model
