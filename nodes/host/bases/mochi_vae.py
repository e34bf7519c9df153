"""Mochi's VAE in ComfyUI: encoded causally as Pusa V0.5's was, and noticed where only half of it was loaded."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import normalize

from ....pusa_core.errors import PusaError
from .. import symbols

ENCODER, DECODER = "encoder", "decoder"

LEAST_VALUES = 4096
"""Tensors smaller than this say nothing about whether a half was loaded."""


def causal_attention(attention: Any, x: Tensor) -> Tensor:
    """The encoder's attention over time where no frame sees a later one. x: [B, C, T, H, W]. Returns the same shape.

    ComfyUI's own (comfy/ldm/genmo/vae/model.py, Attention) lets every frame see all others; genmo's reference is causal, so that a clip's
    first latent frames are the same whatever follows.
    """
    frames, height, width = x.shape[2:]
    if frames == 1:
        return type(attention).forward(attention, x)
    tokens = rearrange(x, "b c t h w -> (b h w) t c")
    query, key, value = rearrange(
        attention.qkv(tokens), "n t (three heads d) -> three n heads t d", three=3, heads=attention.num_heads
    )
    if attention.qk_norm:
        query, key = normalize(query, p=2, dim=-1), normalize(key, p=2, dim=-1)
    seen = torch.ones(frames, frames, dtype=torch.bool, device=x.device).tril()
    attended = symbols.attention_pytorch(query, key, value, attention.num_heads, mask=seen, skip_reshape=True)
    return rearrange(attention.out(attended), "(b h w) t c -> b c t h w", h=height, w=width)


def causal_encoder(vae: Any) -> Callable[[Tensor], Tensor]:
    """vae.encode with causal attention; the VAE itself stays as it is."""
    refuse_half(vae, ENCODER)
    causal = copy.copy(vae)
    causal.patcher = vae.patcher.clone()
    for name, module in vae.first_stage_model.encoder.named_modules():
        if hasattr(module, "qkv") and hasattr(module, "qk_norm"):
            causal.patcher.add_object_patch(f"{ENCODER}.{name}.forward", MethodType(causal_attention, module))
    return causal.encode


def decoder(vae: Any) -> Callable[[Tensor], Tensor]:
    """vae.decode, once its decoder is known to be there."""
    refuse_half(vae, DECODER)
    return vae.decode


def refuse_half(vae: Any, half: str) -> None:
    """Refuse a VAE whose encoder or decoder came with no weights: ComfyUI then leaves memory as it found it."""
    if any(never_loaded(weight) for weight in getattr(vae.first_stage_model, half).parameters()):
        other = DECODER if half == ENCODER else ENCODER
        raise PusaError(
            f"This VAE has no {half}: it was loaded from {other}.safetensors alone, which holds one half of Mochi's VAE. Join the two "
            "files with `python pusa_core/run.py mochi_vae encoder.safetensors decoder.safetensors mochi_vae.safetensors` in the folder "
            "of this pack, or load the other half in a Load VAE node of its own for this node."
        )


def never_loaded(weight: Tensor) -> bool:
    """Whether a tensor looks like memory nobody wrote: mostly zeros, or not finite. Trained weights are neither."""
    if weight.numel() < LEAST_VALUES:
        return False
    zeros = weight.numel() - int(torch.count_nonzero(weight))
    return 2 * zeros > weight.numel() or not bool(torch.isfinite(weight.float().sum()))
