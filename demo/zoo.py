"""The zoo's files run through pusa_core alone: models with their LoRAs, and videos sampled with per-frame noise levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ..pusa_core.conditions import FrameCondition, place
from ..pusa_core.experts import BOUNDARY_T2V
from ..pusa_core.lora.contents import read_contents
from ..pusa_core.lora.weight_files import open_weights
from ..pusa_core.samplers import add_noise, sample_euler
from ..pusa_core.schedule import TIMESTEPS, flow_sigmas, frame_sigmas, over_frames
from ..pusa_core.wan_dit import WanDiT
from . import data
from .nodes.words import text_embedding
from .wan_vae import WanVAE, load_vae, to_model_space, to_vae_space

MODELS = Path(__file__).resolve().parent / "models"
BASE, HIGH_NOISE, LOW_NOISE = "demo_wan2.1_t2v", "demo_wan2.2_t2v_high_noise", "demo_wan2.2_t2v_low_noise"
PUSA, HIGH_NOISE_PUSA, LOW_NOISE_PUSA = "demo_pusa_v1", "demo_high_noise_pusa", "demo_low_noise_pusa"
LIGHTX2V = "demo_lightx2v_4steps_wan2.1"
LIGHTX2V_HIGH_NOISE, LIGHTX2V_LOW_NOISE = "demo_lightx2v_4steps_high_noise", "demo_lightx2v_4steps_low_noise"


def vae() -> WanVAE:
    """The zoo's VAE."""
    return load_vae(load_file(MODELS / "vae" / "demo_wan_vae.safetensors"))


def dit(name: str, loras: Mapping[str, float] | None = None) -> WanDiT:
    """A DiT of the zoo in float32, with LoRAs merged into it. name: BASE, ...; loras: file name -> strength."""
    weights = {
        key: value.float()
        for key, value in load_file(MODELS / "diffusion_models" / f"{name}.safetensors").items()
    }
    for lora, strength in (loras or {}).items():
        add_lora(weights, MODELS / "loras" / f"{lora}.safetensors", strength)
    return WanDiT.from_state_dict(weights)


def add_lora(weights: dict[str, Tensor], file: Path, strength: float) -> None:
    """Add strength times what a LoRA file holds to the weights, in place."""
    contents = read_contents(open_weights(str(file)))
    for change in contents.changes:
        parts = [contents.file.read(key).float() for key in change.keys]
        update = parts[0] if change.rank is None else parts[0] @ parts[1]
        weights[change.parameter] = weights[change.parameter] + strength * change.scale * update


@dataclass(frozen=True)
class Pair:
    """What runs above the boundary and what runs below it; the same model twice when there are no experts."""

    high_noise: WanDiT
    low_noise: WanDiT

    @classmethod
    def single(cls, model: WanDiT) -> Pair:
        """One model for all noise levels."""
        return cls(model, model)


@dataclass(frozen=True)
class Settings:
    """How a batch is sampled."""

    latent_frames: int = 5
    steps: int = 16
    guidance: float = 2.0  # 1 runs the model once a step
    shift: float = 5.0
    seed: int = 7


@torch.inference_mode()
def sample(
    models: Pair, captions: Sequence[str], settings: Settings, conditions: Sequence[FrameCondition] = ()
) -> Tensor:
    """Latents [B, 16, F, H, W] in the model's space; the conditions hold one latent a caption."""
    size = data.SIZE // 8
    shape = (len(captions), 16, settings.latent_frames, size, size)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(settings.seed))
    clean, multipliers = place(torch.zeros(shape), None, conditions)
    sigmas = flow_sigmas(settings.steps, settings.shift)
    table = frame_sigmas(sigmas, multipliers)
    vectors = torch.cat([text_embedding(caption) for caption in captions])
    empty = text_embedding("").expand(len(captions), -1, -1)
    texts = {
        id(model): (model.text_embedding(vectors), model.text_embedding(empty))
        for model in vars(models).values()
    }

    def denoiser(x: Tensor, step: int) -> Tensor:
        model = models.high_noise if float(sigmas[step]) >= BOUNDARY_T2V else models.low_noise
        guided_by, free_of = texts[id(model)]
        levels = table[step]
        # one timestep a clip where all frames share it, as the base model was trained; equal to one a frame
        timestep = TIMESTEPS * (levels.expand(len(x), -1) if conditions else sigmas[step].expand(len(x)))
        velocity = model.velocity(x, timestep, guided_by)
        if settings.guidance != 1.0:
            free = model.velocity(x, timestep, free_of)
            velocity = free + settings.guidance * (velocity - free)
        return x - over_frames(levels) * velocity

    return sample_euler(denoiser, add_noise(clean, noise, over_frames(table[0])), table)


@torch.inference_mode()
def encode(model: WanVAE, video: Tensor) -> Tensor:
    """[B, 3, T, H, W] in [-1, 1] to latents in the DiT's space, a few clips at a time."""
    return torch.cat([to_model_space(model.encode(clips)) for clips in video.split(8)])


@torch.inference_mode()
def decode(model: WanVAE, latents: Tensor) -> Tensor:
    """Latents in the DiT's space to [B, 3, T, H, W], cut to [-1, 1]."""
    return torch.cat([model.decode(to_vae_space(some)).clamp(-1, 1) for some in latents.split(8)])
