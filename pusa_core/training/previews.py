"""Rough colours of a latent without its VAE: a linear map, fitted to the clip whose latent is known."""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

SCALE = 8  # pixels of the preview for a latent position


def fit_preview(latent: Tensor, pictures: Tensor) -> Tensor:
    """The map that gives a clip's mean colours from its latent, by least squares: [C + 1, 3], the last row a constant.

    latent: [C, F, H, W]; pictures: [T, H', W', 3], 0 to 1, which the latent was made of.
    """
    channels, frames, height, width = latent.shape
    stride = (len(pictures) - 1) // max(1, frames - 1) if frames > 1 else 1
    groups = [pictures[:1], *torch.split(pictures[1:], stride)][:frames]
    colours = torch.stack([group.float().mean(0) for group in groups])
    colours = adaptive_avg_pool2d(rearrange(colours, "f h w c -> f c h w"), (height, width))
    inputs = torch.cat(
        [rearrange(latent.float().cpu(), "c f h w -> (f h w) c"), torch.ones(frames * height * width, 1)], 1
    )
    targets = rearrange(colours.cpu(), "f c h w -> (f h w) c")
    # a little ridge: a still clip does not determine all channels
    square = inputs.T @ inputs + 1e-3 * len(inputs) * torch.eye(channels + 1)
    preview: Tensor = torch.linalg.solve(square, inputs.T @ targets)
    return preview


def preview_video(latent: Tensor, preview: Tensor) -> Tensor:
    """One picture a latent frame, [F, 8 H, 8 W, 3], 0 to 1. latent: [C, F, H, W]; preview: see fit_preview."""
    colours = rearrange(latent.float(), "c f h w -> f h w c") @ preview[:-1] + preview[-1]
    return repeat(colours.clamp(0, 1), "f h w c -> f (h a) (w b) c", a=SCALE, b=SCALE)
