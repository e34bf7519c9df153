"""Where two faults of the zoo come from, measured: text-to-video of 17 frames with the Pusa LoRA, and lumpy circles."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ..pusa_core.samplers import add_noise, sample_euler
from ..pusa_core.schedule import TIMESTEPS, flow_sigmas, frame_sigmas, over_frames
from . import zoo
from .measure import DIFFERENCE
from .wan_vae import WanVAE

ANGLES = 64  # directions in which an outline is measured
REACH = 20.0  # pixels from the centre, more than any shape's radius
FINENESS = 0.25  # pixels between two samples along a direction


@torch.inference_mode()
def velocity_error(model: zoo.WanDiT, clean: Tensor, captions: list[str], sigma: float) -> Tensor:
    """Mean square error of the velocity with one noise level for all frames, clip by clip, [N]. clean: [N, C, F, H, W]."""
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(11))
    text = model.text_embedding(torch.cat([zoo.text_embedding(caption) for caption in captions]))
    timestep = torch.full((len(clean),), TIMESTEPS * sigma)
    predicted = model.velocity(torch.lerp(clean, noise, sigma), timestep, text)
    return (predicted - (noise - clean)).square().flatten(1).mean(1)


@torch.inference_mode()
def finished_from(
    model: zoo.WanDiT, clean: Tensor, captions: list[str], step: int, steps: int = 16
) -> Tensor:
    """True latents, noised as they would be before `step`, and finished by the model as text-to-video. [N, C, F, H, W]."""
    settings = zoo.Settings(clean.shape[2], steps=steps)
    sigmas = flow_sigmas(steps, settings.shift)[step:]
    table = frame_sigmas(sigmas, torch.ones(clean.shape[2]))
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(settings.seed))
    text = model.text_embedding(torch.cat([zoo.text_embedding(caption) for caption in captions]))
    empty = model.text_embedding(zoo.text_embedding("").expand(len(captions), -1, -1))

    def denoiser(x: Tensor, number: int) -> Tensor:
        timestep = (TIMESTEPS * sigmas[number]).expand(len(x))
        guided, free = (model.velocity(x, timestep, words) for words in (text, empty))
        return x - sigmas[number] * (free + settings.guidance * (guided - free))

    return sample_euler(denoiser, add_noise(clean, noise, over_frames(table[0])), table)


def unevenness(video: Tensor) -> float:
    """How far a shape's outline is from a circle: spread of its radius over all directions, relative to the mean radius.

    video: [3, T, H, W] in [-1, 1]. The mean over its frames; NaN where no shape is seen. A true circle has about 0.01 here.
    """
    rows = video.median(dim=3).values.median(dim=1).values  # [3, H], as in measure.observe
    difference = (video - rows[:, None, :, None]).abs().amax(0)  # [T, H, W]
    found = [_unevenness(frame) for frame in difference]
    return float(torch.tensor(found).nanmean())


def _unevenness(difference: Tensor) -> float:
    mask = difference > DIFFERENCE
    if int(mask.sum()) < ANGLES:
        return math.nan
    ys, xs = (place.float() for place in mask.nonzero(as_tuple=True))
    turn = 2 * math.pi * torch.arange(ANGLES) / ANGLES
    radii = torch.arange(FINENESS, REACH, FINENESS)
    x = xs.mean() + radii * turn.cos()[:, None]  # [ANGLES, radii], pixels from the first pixel's centre
    y = ys.mean() + radii * turn.sin()[:, None]
    height, width = difference.shape
    places = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)[None]
    profile = torch.nn.functional.grid_sample(difference[None, None], places, align_corners=False)[0, 0]
    inside = float(difference[mask].median())
    radius = (profile > 0.5 * inside).float().sum(1) * FINENESS
    return float(radius.std() / radius.mean())


def outlines(model: WanVAE, clips: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Unevenness of every clip by name, [N] each. clips: latents [N, C, F, H, W], or videos [N, 3, T, H, W]."""
    return {
        name: torch.tensor(
            [unevenness(video) for video in (clip if clip.shape[1] == 3 else zoo.decode(model, clip))]
        )
        for name, clip in clips.items()
    }
