"""Progressive resolution: the first steps of a run at a share of width and height, the rest at full size.

The denoised small latent is enlarged and noised again, frame by frame, to the level that the next step asks for. Given frames are
encoded at both sizes and never enlarged. LightX2V's changing resolution (the estimate, interpolated, noised again) without its change of shift; Spectral
Progressive Diffusion (arXiv 2605.18736, SGLang) carries the noisy latent's low frequencies over instead.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .bases import Base
from .errors import PusaError
from .schedule import over_frames

SHARES = {"1/2": 1 / 2, "2/3": 2 / 3, "full": 1.0}
"""Share of width and height that the first steps run at, by the names the node offers."""

UNTIL = 0.875
"""Default of the lowest level of a small step: where the experts of Wan2.2 text-to-video change."""


def check_until(until: float) -> float:
    """The level itself, if it is a sigma in [0, 1]."""
    if not (math.isfinite(until) and 0.0 <= until <= 1.0):
        raise PusaError(
            f"until_sigma is {until}; it is a sigma from 0 to 1. {UNTIL} ends the small steps where Wan2.2's experts change."
        )
    return until


def small_size(height: int, width: int, share: float, base: Base) -> tuple[int, int]:
    """Rows and columns of the small latent for one of height x width: the nearest whole number of the base's tokens."""
    token = base.size_multiple // base.spatial_stride
    return _fitting(height * share, token), _fitting(width * share, token)


def _fitting(length: float, token: int) -> int:
    return token * max(1, math.ceil(length / token - 0.5))


def small_steps(sigmas: Tensor, until: float) -> int:
    """How many steps of a schedule [S+1] run small: those that start at sigma >= until. The one that ends at 0 is never among them."""
    return int(torch.count_nonzero(sigmas[:-1][sigmas[1:] > 0] >= until))


def small_schedule(sigmas: Tensor, steps: int) -> Tensor:
    """Levels [steps + 1] of the small steps, the last of which goes to the clean estimate."""
    return torch.cat((sigmas[:steps], sigmas.new_zeros(1)))


def shrunk_noise(noise: Tensor, height: int, width: int) -> Tensor:
    """Standard normal noise [..., height, width] with the low frequencies of noise [..., H, W], H and W at least as large.

    The lowest coefficients of an orthonormal cosine transform of white noise are white noise of the same variance, so the small
    steps see what the large ones see of it, and a seed gives nearly the same video.
    """
    rows, columns = noise.shape[-2:]
    upright = _cosines(height).T @ _cosines(rows)[:height]
    level = _cosines(width).T @ _cosines(columns)[:width]
    made: Tensor = upright @ noise.to("cpu", torch.float64) @ level.T  # not every GPU has float64
    return made.to(noise)


def enlarged(latent: Tensor, height: int, width: int) -> Tensor:
    """A latent [B, C, F, h, w] at [B, C, F, height, width], each frame for itself, bilinear; the same where that is its size."""
    if tuple(latent.shape[-2:]) == (height, width):
        return latent
    batch, channels, count = latent.shape[:3]
    frames = latent.movedim(2, 1).reshape(batch * count, channels, *latent.shape[3:]).float()
    larger = interpolate(frames, (height, width), mode="bilinear", align_corners=False)
    return larger.reshape(batch, count, channels, height, width).movedim(1, 2).to(latent.dtype)


def resumed(small: Tensor, samples: Tensor, noise_multipliers: Tensor) -> Tensor:
    """The clean latent that the full-size steps begin with: given frames as encoded, the others enlarged.

    small: [B, C, F, h, w], denoised; samples: [B, C, F, H, W], with the given frames; noise_multipliers: [F], below 1 where given.
    """
    given = over_frames(noise_multipliers < 1).to(samples.device)
    return torch.where(given, samples, enlarged(small.to(samples), *samples.shape[-2:]))


@cache
def _cosines(count: int) -> Tensor:
    """Orthonormal DCT-II matrix [count, count], float64."""
    step = torch.arange(count, dtype=torch.float64)
    matrix = torch.cos(math.pi * step[:, None] * (2 * step + 1) / (2 * count)) * math.sqrt(2 / count)
    matrix[0] /= math.sqrt(2)
    return matrix
