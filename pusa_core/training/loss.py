"""The training timesteps with their weights, and the loss of a batch whose frames differ in noise."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from einops import rearrange
from torch import Tensor

from ..errors import PusaError
from ..schedule import TIMESTEPS, flow_sigmas

SHIFT = 5.0
"""The authors' training shift: train_wan_pusa.py overrides the 3 of its scheduler."""

Velocity = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x [B, C, F, H, W], timesteps [B, F], context [B, L, D]) -> velocity of x's shape."""


def timestep_table(shift: float = SHIFT) -> tuple[Tensor, Tensor]:
    """The 1000 noise levels that training draws from and the loss weight of each.

    Returns (sigmas [1000], falling from 1 to 0.005; weights [1000], 1 on average). Source: FlowMatchSchedulerPusa as
    train_wan_pusa.py builds it (PusaV1): shift 5, sigma_min 0, one extra step that is then left out; its `bsmntw` weights.
    """
    sigmas = flow_sigmas(TIMESTEPS, shift)[:-1]
    return sigmas, loss_weights(sigmas, shift)


def loss_weights(sigmas: Tensor, shift: float = SHIFT) -> Tensor:
    """The reference's weight of a noise level, heaviest at 0.5, zero at 1, 1 on average over the table.

    sigmas: any shape, in [0, 1]; Returns the same shape, float32. Evaluated at the level itself, where the
    reference looks up the nearest of its 1000.
    """
    lowest, mean = _bell_range(shift)
    return ((_bell(sigmas.float()) - lowest).clamp(min=0) / mean).to(sigmas.device)


def vta_loss(
    velocity: Velocity,
    clean: Tensor,
    context: Tensor,
    noise: Tensor,
    sigmas: Tensor,
    shift: float = SHIFT,
    learned: Tensor | None = None,
) -> Tensor:
    """Mean over the clips of the mean square error of a clip's velocity times the mean weight of its frames.

    velocity: the model, see Velocity; clean, noise: [B, C, F, H, W], clean in the model's latent space; context: [B, L, D];
    sigmas: [B, F] in [0, 1], one a latent frame; learned: [B, F], False leaves a frame out of the error (given frames that stay
    clean, whose velocity sampling never uses). Returns a scalar, float32. Source: train_wan_pusa.py (PusaV1), which takes the
    mean of a clip before it applies the weight.
    """
    if sigmas.shape != (clean.shape[0], clean.shape[2]):
        raise PusaError(
            f"sigmas has the shape {tuple(sigmas.shape)} for {clean.shape[0]} clips of {clean.shape[2]} latent frames. "
            "Give one noise level a latent frame: [clips, frames]."
        )
    level = rearrange(sigmas, "b f -> b 1 f 1 1")
    noised = (1 - level) * clean + level * noise
    predicted = velocity(noised, TIMESTEPS * sigmas, context).float()
    by_frame = (predicted - (noise - clean).float()).square().mean((1, 3, 4))
    if learned is None:
        of_clip = by_frame.mean(1)
    else:
        of_clip = (by_frame * learned).sum(1) / learned.sum(1).clamp(min=1)
    return (of_clip * loss_weights(sigmas, shift).mean(1)).mean()


def _bell(sigmas: Tensor) -> Tensor:
    return torch.exp(-2 * (sigmas - 0.5).square())


@lru_cache
def _bell_range(shift: float) -> tuple[float, float]:
    """The bell's least value over the table, and its mean above that."""
    bell = _bell(flow_sigmas(TIMESTEPS, shift)[:-1].double())
    lowest = float(bell.min())
    return lowest, float((bell - lowest).mean())
