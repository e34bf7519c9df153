"""Which models this pack works on: the check of a MODEL, and of the latent that goes with it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...pusa_core.conditions import check_video_samples, frame_multipliers
from ...pusa_core.errors import PusaError
from . import symbols

WAN_CHANNELS = 16
"""Channels of the latents of Wan2.1 and Wan2.2 14B."""


def require_wan_t2v(model: Any) -> None:
    """Refuse every model but a Wan 14B/1.3B text-to-video one (ComfyUI's WAN21 class with 16 channels in and out)."""
    base = model.model
    kind = type(base).__name__
    advice = "Load a Wan2.1 or Wan2.2 14B text-to-video model (Load Diffusion Model); Pusa's LoRA gives it the other tasks."
    if not isinstance(base, symbols.WAN21):
        raise PusaError(f"This is not a Wan model but {kind}. {advice}")
    if type(base) is not symbols.WAN21:
        reason = {
            "WAN22": "Wan2.2 5B, which has another latent space",
            "WAN21_Vace": "a VACE model, which has conditions of its own",
        }
        raise PusaError(
            f"This is {reason.get(kind, f'a Wan variant ({kind}) with inputs of its own')}. {advice}"
        )
    channels = base.diffusion_model.patch_embedding.weight.shape[1]
    wanted = base.latent_format.latent_channels
    if channels != wanted or getattr(base.diffusion_model, "model_type", "t2v") != "t2v":
        raise PusaError(
            f"This is an image-to-video or control model: it takes {channels} channels, a text-to-video model {wanted}. {advice}"
        )


def latent_multipliers(model: Any, latent: dict[str, Any]) -> Tensor:
    """The LATENT's noise multipliers [F] float32, checked against its samples and the model's channels."""
    require_wan_t2v(model)
    samples = latent["samples"]
    check_video_samples(samples, model.get_model_object("latent_format").latent_channels)
    return frame_multipliers(latent.get("noise_multipliers"), samples.shape[2])


def check_wan_vae(vae: Any) -> None:
    """Refuse a missing VAE and one that does not make 16-channel video latents."""
    if vae is None:
        raise PusaError(
            "No VAE came in. Check the file of the checkpoint or Load VAE node: wan_2.1_vae.safetensors is needed."
        )
    channels = getattr(vae, "latent_channels", WAN_CHANNELS)
    if channels != WAN_CHANNELS or getattr(vae, "latent_dim", 3) != 3:
        raise PusaError(
            f"This VAE makes latents of {channels} channels, Wan2.1 and Wan2.2 14B need wan_2.1_vae.safetensors "
            f"({WAN_CHANNELS} channels, video). The Wan2.2 VAE belongs to the 5B model only."
        )


def empty_latent(width: int, height: int, latent_frames: int) -> Tensor:
    """A latent [1, 16, F, h, w] of a video of width x height pixels, with nothing in it."""
    return torch.zeros(1, WAN_CHANNELS, latent_frames, height // 8, width // 8)
