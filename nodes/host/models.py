"""Which models this pack works on: the base of a MODEL, of a VAE, and of the latent that goes with them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...pusa_core.bases import BASES, WAN, Base, base_of_channels, known_bases
from ...pusa_core.conditions import check_video_samples, frame_multipliers
from ...pusa_core.errors import PusaError
from . import symbols
from .bases import HOSTS, VARIANTS, HostBase


def require_base(model: Any) -> HostBase:
    """The base of a MODEL; refuses one that is of no base, or a variant with inputs of its own."""
    usable = [host for host in (*HOSTS, *VARIANTS) if not symbols.missing(host.needs)]
    for host in usable:
        if host.is_this(model.model):
            return host
    for host in HOSTS:  # a model of a base whose class this ComfyUI keeps elsewhere
        if type(model.model).__name__ in symbols.missing(host.needs):
            symbols.require(host.base.title, host.needs)
    reason = next(filter(None, (host.refusal(model.model) for host in usable)), None)
    reason = reason or f"This is not a Wan model but {type(model.model).__name__}."
    others = "; ".join(base.models for base in BASES if base is not WAN)
    raise PusaError(
        f"{reason} Load a Wan2.1 or Wan2.2 14B text-to-video model (Load Diffusion Model); Pusa's LoRA gives it the other tasks. "
        f"Pusa also works on: {WAN.models}; {others}."
    )


def base_of(model: Any) -> Base:
    """The base of a MODEL, see require_base."""
    return require_base(model).base


def require_wan_forward(model: Any, what: str) -> HostBase:
    """The base of a MODEL, for a feature that works inside ComfyUI's WanModel; what: its name."""
    host = require_base(model)
    if not host.has_wan_forward:
        able = ", ".join(one.base.title for one in HOSTS if one.has_wan_forward)
        raise PusaError(
            f"{what} works inside Wan's forward, which {host.title or host.base.title} does not have. Take it out, or use one of: {able}."
        )
    return host


def latent_multipliers(model: Any, latent: dict[str, Any]) -> Tensor:
    """The LATENT's noise multipliers [F] float32, checked against its samples and the model's base."""
    base = base_of(model)
    samples = latent["samples"]
    check_video_samples(samples, base)
    return frame_multipliers(latent.get("noise_multipliers"), samples.shape[2])


def base_of_vae(vae: Any) -> Base:
    """The base that a VAE makes latents for; refuses a missing VAE and one that is of no base."""
    if vae is None:
        raise PusaError(
            f"No VAE came in. Check the file of the checkpoint or Load VAE node: {WAN.vae_file} is needed for Wan2.1 and Wan2.2 14B. "
            f"{known_bases()}"
        )
    channels = getattr(vae, "latent_channels", WAN.channels)
    if getattr(vae, "latent_dim", 3) != 3:
        raise PusaError(
            f"This VAE makes latents of {channels} channels for pictures, not for videos. {WAN.title} needs {WAN.vae_file}. {known_bases()}"
        )
    return base_of_channels(channels)


def check_vae(vae: Any, base: Base) -> None:
    """Refuse a VAE that does not belong to the base."""
    other = base_of_vae(vae)
    if other is not base:
        raise PusaError(
            f"This VAE makes latents of {other.channels} channels, which belong to {other.title}. {base.title} needs {base.vae_file} "
            f"({base.channels} channels)."
        )


def empty_latent(base: Base, width: int, height: int, latent_frames: int) -> Tensor:
    """A latent [1, C, F, h, w] of a video of width x height pixels, with nothing in it."""
    return torch.zeros(1, base.channels, latent_frames, *base.latent_size(width, height))
