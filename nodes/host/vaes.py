"""How pictures become latents of a base and back: its VAE, its encoder's manners, the space that given frames are put in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ...pusa_core.bases.spaces import LATENT_SPACES, NORMALISED, REFERENCE
from ...pusa_core.choices import check_choice
from .bases import host_of
from .models import base_of_vae


def encoder_of(vae: Any, latent_space: str = NORMALISED) -> Callable[[Tensor], Tensor]:
    """Pictures [N, H, W, 3], 0 to 1 -> latent [1, C, F, h, w] in ComfyUI's space, as the base of the VAE encodes them.

    latent_space "reference": as the authors of the base put given frames into the model, see HostBase.as_reference.
    """
    check_choice("latent_space", latent_space, LATENT_SPACES)
    host = host_of(base_of_vae(vae))
    encode = host.encoder(vae)
    if latent_space == REFERENCE:
        return lambda pictures: host.as_reference(encode(pictures))
    return encode


def decoder_of(vae: Any) -> Callable[[Tensor], Tensor]:
    """Latent [B, C, F, h, w] -> pictures, as vae.decode gives them."""
    return host_of(base_of_vae(vae)).decoder(vae)
