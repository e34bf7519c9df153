"""The zoo's VAE: first single images, then short clips."""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from torch import Tensor

from .. import data, world
from ..wan_vae import WanVAE, initialise
from .arithmetic import autocast
from .plan import Plan, train, trained_weights

CLIPS = 768  # drawn once and kept in memory
IMAGES = Plan("vae_images", steps=800, learning_rate=2.5e-3, seed=11, batch=24, warm_up=60)
VIDEO = Plan("vae_video", steps=1300, learning_rate=2e-3, seed=12, batch=4, warm_up=60)
IMAGE_SHARE = 0.3  # of the video stage's steps still see single images, as many as a step of IMAGES
WINDOWS = (9, 9, 9, 17)  # pixel frames of a training clip, drawn evenly
LATENT_NOISE = 0.1  # added before decoding, so that near latents decode alike
LATENT_PENALTY = 1e-3  # on the latents' mean square
SHAPE_WEIGHT = 4.0  # of a pixel on the shape; 1 on the background


def train_vae(runs: Path) -> WanVAE:
    """Both stages, about 15 minutes on one CPU core."""
    torch.manual_seed(IMAGES.seed)
    vae = WanVAE()
    initialise(vae)
    pool = _pool()
    held_out = world.render(list(itertools.islice(world.scenes(data.HELD_OUT_SEED, held_out=True), 6)))

    def measure() -> dict[str, float]:
        with torch.no_grad():
            image = held_out[:, :, :1]
            return {
                "image_psnr": psnr(vae.decode(vae.encode(image)), image).mean().item(),
                "clip_psnr": psnr(vae.decode(vae.encode(held_out)), held_out).mean().item(),
            }

    for plan, image_share in ((IMAGES, 1.0), (VIDEO, IMAGE_SHARE)):
        trained = [p for p in vae.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=plan.learning_rate, betas=(0.9, 0.98))

        def loss_of_step(step: int, image_share: float = image_share) -> Tensor:
            is_image = torch.rand(()) < image_share
            window = 1 if is_image else WINDOWS[int(torch.randint(len(WINDOWS), ()))]
            return _loss(vae, _batch(pool, IMAGES.batch if is_image else VIDEO.batch, window))

        train(plan, runs, vae, [optimizer], loss_of_step, measure)
    return vae


def trained_vae(runs: Path) -> WanVAE:
    """The VAE as training left it, before its latents get Wan 2.1's statistics."""
    torch.manual_seed(IMAGES.seed)
    vae = WanVAE()
    initialise(vae)  # layers that are not trained stay as they began
    vae.load_state_dict(vae.state_dict() | trained_weights(VIDEO, runs))
    return vae.eval()


def psnr(video: Tensor, target: Tensor) -> Tensor:
    """Decibels per clip, peak to peak 2. video, target: [B, C, T, H, W] in [-1, 1]. Returns [B]."""
    error = ((video.clamp(-1, 1) - target) / 2).square().flatten(1).mean(1)
    return -10 * error.clamp(min=1e-9).log10()


def _pool() -> Tensor:
    """[CLIPS, 3, LENGTH, SIZE, SIZE], bytes."""
    scenes = list(itertools.islice(world.scenes(data.TRAINING_SEED, held_out=False), CLIPS))
    clips = [world.render(scenes[i : i + 16]) for i in range(0, CLIPS, 16)]
    return torch.cat([((clip + 1) * 127.5).round().byte() for clip in clips])


def _batch(pool: Tensor, size: int, window: int) -> Tensor:
    """Random windows of random clips, some with their colours swapped or played backwards. [size, 3, window, H, W]."""
    start = int(torch.randint(data.LENGTH - window + 1, ()))
    video = pool[torch.randint(len(pool), (size,)), :, start : start + window].float() / 127.5 - 1
    for clip in video:
        if torch.rand(()) < 0.2:
            clip.copy_(clip[torch.randperm(3)])
        if torch.rand(()) < 0.2:
            clip.copy_(clip.flip(1))
    return video


def _loss(vae: WanVAE, video: Tensor) -> Tensor:
    """Absolute, squared and edge error, heavier on the shape, and a small pull of the latents towards zero."""
    with autocast():
        latent = vae.encode(video)
        decoded = vae.decode(latent + LATENT_NOISE * torch.randn_like(latent))
    decoded = decoded.float()
    corner = video[:, :, :, :1, :1]
    on_shape = (video - corner).abs().amax(1, keepdim=True) > 0.25
    weight = torch.where(on_shape, SHAPE_WEIGHT, 1.0)
    error = decoded - video
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    pixels = ((error.abs() + error.square()) * weight).mean()
    return pixels + 0.5 * edges + LATENT_PENALTY * latent.float().square().mean()
