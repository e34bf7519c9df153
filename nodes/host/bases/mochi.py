"""Mochi in ComfyUI: object patches with which AsymmDiTJoint takes one timestep per latent frame, [B, F].

As Pusa V0.5's own DiT: each frame's embedding modulates the tokens of that frame and the last layer; the text stream, which belongs to no
frame, by the mean of the embeddings over frames. What is not patched (attention, feed-forward, positions) stays ComfyUI's. A scalar timestep [B]
is one for all frames.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from einops import rearrange, reduce
from torch import Tensor
from torch.nn.functional import silu

from ....pusa_core.bases import MOCHI
from .. import symbols
from .host_base import HostBase
from .mochi_vae import causal_encoder, decoder

EPSILON = 1e-6
"""Of the norms without weights in ComfyUI's blocks (modulated_rmsnorm, residual_tanh_gated_rmsnorm)."""


class OverTokens:
    """A modulation for each token where ComfyUI's attention expects one for each clip, which it spreads by unsqueeze(1)."""

    def __init__(self, values: Tensor):
        self.values = values  # [B, L, D]

    def unsqueeze(self, dim: int) -> Tensor:
        return self.values


def embed_timesteps(embedder: Any, timesteps: Tensor, out_dtype: torch.dtype) -> Tensor:
    """TimestepEmbedder.forward for [B, F], or [B] as one for all frames. Returns [B, F or 1, D]."""
    frames = timesteps.shape[1] if timesteps.ndim == 2 else 1
    embedded = type(embedder).forward(embedder, timesteps.flatten(), out_dtype)
    return rearrange(embedded, "(b f) d -> b f d", f=frames)


def pool_text(pool: Any, text: Tensor, mask: Tensor) -> Tensor:
    """AttentionPool.forward as what every frame shares: [B, 1, D], which ComfyUI adds to the embedded timesteps."""
    return type(pool).forward(pool, text, mask)[:, None]


def block_by_frame(
    block: Any,
    x: Tensor,
    c: Tensor,
    y: Tensor,
    transformer_options: dict[str, Any] | None = None,
    **attention: Any,
) -> tuple[Tensor, Tensor]:
    """AsymmetricJointBlock.forward for a condition by frame. x: [B, F * N, D]; c: [B, F, D]; y: [B, T, Dy]."""
    options = {} if transformer_options is None else transformer_options
    frames = c.shape[1]
    scale_attention, gate_attention, scale_mlp, gate_mlp = block.mod_x(silu(c)).chunk(4, dim=-1)
    over_text = block.mod_y(silu(reduce(c, "b f d -> b d", "mean")))
    text_scale, *rest = over_text.chunk(4, dim=-1) if block.update_y else (over_text,)

    x_update, y_update = block.attn(
        x,
        y,
        scale_x=OverTokens(scale_attention.repeat_interleave(x.shape[1] // frames, dim=1)),
        scale_y=text_scale,
        transformer_options=options,
        **attention,
    )
    x = gated(x, x_update, gate_attention)
    x = gated(x, block.mlp_x(modulated(x, scale_mlp)), gate_mlp)
    if block.update_y:
        text_gate, text_scale_mlp, text_gate_mlp = rest
        y = gated(y, y_update, text_gate[:, None])
        y = block.ff_block_y(y, text_scale_mlp, text_gate_mlp)
    return x, y


def final_layer_by_frame(layer: Any, x: Tensor, c: Tensor) -> Tensor:
    """FinalLayer.forward for a condition by frame. x: [B, F * N, D]; c: [B, F, D]. Returns [B, F * N, patch * channels]."""
    shift, scale = layer.mod(silu(c)).chunk(2, dim=-1)
    normed = by_frame(layer.norm_final(x), c.shape[1])
    return layer.linear((normed * (1 + scale[:, :, None]) + shift[:, :, None]).flatten(1, 2))


def modulated(x: Tensor, scale: Tensor) -> Tensor:
    """Normed and scaled by frame. x: [B, F * N, D]; scale: [B, F, D]."""
    return (by_frame(normed(x), scale.shape[1]) * (1 + scale[:, :, None])).flatten(1, 2)


def gated(x: Tensor, update: Tensor, gate: Tensor) -> Tensor:
    """x plus the normed update, through a gate by frame. x, update: [B, F * N, D]; gate: [B, F, D]."""
    return x + (by_frame(normed(update), gate.shape[1]) * torch.tanh(gate)[:, :, None]).flatten(1, 2)


def normed(x: Tensor) -> Tensor:
    """Root mean square 1 over the last axis, without weights."""
    return symbols.rms_norm(x, eps=EPSILON)


def by_frame(x: Tensor, frames: int) -> Tensor:
    """[B, F * N, D] -> [B, F, N, D]"""
    return x.unflatten(1, (frames, -1))


class MochiHost(HostBase):
    """ComfyUI's timestep is sigma itself; the DiT embeds 1 - sigma and ComfyUI's module returns minus what it predicts."""

    base = MOCHI
    needs = ("GenmoMochi", "MochiLatents", "rms_norm", "attention_pytorch")
    patches = (embed_timesteps, pool_text, block_by_frame, final_layer_by_frame)

    def is_this(self, model: Any) -> bool:
        return type(model) is symbols.GenmoMochi

    def encoder(self, vae: Any) -> Callable[[Tensor], Tensor]:
        return causal_encoder(vae)

    def decoder(self, vae: Any) -> Callable[[Tensor], Tensor]:
        return decoder(vae)

    def as_reference(self, latent: Tensor) -> Tensor:
        """Pusa V0.5's script gives the model its VAE's raw latents: what ComfyUI will normalise is spread beforehand."""
        return symbols.MochiLatents().process_out(latent)

    def forward_patches(self, patcher: Any) -> dict[str, Any]:
        dit = patcher.model.diffusion_model
        patches = {
            "diffusion_model.t_embedder.forward": MethodType(embed_timesteps, dit.t_embedder),
            "diffusion_model.t5_y_embedder.forward": MethodType(pool_text, dit.t5_y_embedder),
            "diffusion_model.final_layer.forward": MethodType(final_layer_by_frame, dit.final_layer),
        }
        for index, block in enumerate(dit.blocks):
            patches[f"diffusion_model.blocks.{index}.forward"] = MethodType(block_by_frame, block)
        return patches
