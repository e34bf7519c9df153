"""Samplers as loops one can read aloud, each latent frame on its own noise levels.

A denoiser is a function of (x, step) that returns the clean estimate of x at row `step` of the table,
denoised_f = x_f - table[step, f] * velocity_f. All updates are written as x plus a difference, so that a frame
whose level is 0 throughout (denoised = x) keeps every bit.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .schedule import over_frames

Denoiser = Callable[[Tensor, int], Tensor]
NoiseSource = Callable[[], Tensor]


def add_noise(clean: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
    """Noised latent x = (1 - level) * clean + level * noise; all [B, C, F, H, W] or broadcast to it, levels in [0, 1].

    Where the level is 0 the clean value is returned to the last bit.
    """
    return torch.where(levels == 0, clean, (1 - levels) * clean + levels * noise)


def remove_noise_share(x: Tensor, levels: Tensor) -> Tensor:
    """The latent that add_noise with zero noise turns back into x: x / (1 - level), levels in [0, 1)."""
    return x / (1 - levels)


def sample_euler(denoiser: Denoiser, x: Tensor, table: Tensor) -> Tensor:
    """Euler steps along dx/dsigma = velocity; the oracle of tests and what the demo runs. Nodes run ComfyUI's own euler.

    x: [B, C, F, H, W], already noised to table[0]; table: [S+1, F], see schedule.frame_sigmas.
    Returns x at table[-1]. Differs from Pusa's reference code, which looks sigmas up by the nearest of its
    1000 timesteps: here they are used as they are.
    """
    for step in range(len(table) - 1):
        x = _towards(x, denoiser(x, step), table[step], table[step + 1])
    return x


def sample_euler_ancestral(
    denoiser: Denoiser, x: Tensor, table: Tensor, fresh_noise: NoiseSource, eta: float = 1.0
) -> Tensor:
    """Euler steps that go below the next level and come back up with fresh noise, frame by frame.

    x: [B, C, F, H, W], noised to table[0]; table: [S+1, F]; fresh_noise: standard normal of x's shape; eta: in [0, 1],
    0 is plain Euler. The noise of frame f is what its own next level asks for, so a frame with level 0 receives
    none, and with all multipliers 1 this is ComfyUI's sample_euler_ancestral_RF.
    """
    for step in range(len(table) - 1):
        denoised = denoiser(x, step)
        level, upper = table[step + 1], table[step]
        if not bool(level.any()):
            return _towards(x, denoised, upper, level)
        ratio = torch.where(upper > 0, level / upper, level)
        down = level * (1 + (ratio - 1) * eta)
        scale = (1 - level) / (1 - down)
        spread = (level**2 - (down * scale) ** 2).clamp(min=0).sqrt()
        x = _towards(x, denoised, upper, down)
        if eta > 0:
            x = over_frames(scale) * x + over_frames(spread) * fresh_noise()
    return x


def sample_lcm(denoiser: Denoiser, x: Tensor, table: Tensor, fresh_noise: NoiseSource) -> Tensor:
    """Jump to the clean estimate, then noise it anew to the next level of each frame.

    x: [B, C, F, H, W], noised to table[0]; table: [S+1, F]; fresh_noise: standard normal of x's shape. A frame with
    multiplier m is noised to m * sigma, one with level 0 not at all; with all multipliers 1 this is ComfyUI's sample_lcm.
    """
    for step in range(len(table) - 1):
        x = denoiser(x, step)
        if bool(table[step + 1].any()):
            x = add_noise(x, fresh_noise(), over_frames(table[step + 1]))
    return x


def _towards(x: Tensor, denoised: Tensor, level: Tensor, target: Tensor) -> Tensor:
    """x moved on the straight line to its clean estimate, from `level` [F] to `target` [F]."""
    share = torch.where(level > 0, 1 - target / level, torch.zeros_like(level))
    return x + over_frames(share) * (denoised - x)
