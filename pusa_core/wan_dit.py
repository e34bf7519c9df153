"""Oracle: a plain Wan DiT in torch, used by tests and training; no node runs it.

Reads the official state dicts (Wan-Video/Wan2.1, Wan2.2 T2V; ComfyUI repackages them under the same names) and agrees
with ComfyUI's comfy/ldm/wan/model.py. The timestep may be one number a clip or one a latent frame, which is all that
Pusa's vectorized timesteps ask of the model.

Shape letters: B batch, C channels, F latent frames, H W latent size, L text tokens, D width,
N = H/2 * W/2 picture tokens of one latent frame.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from einops import rearrange
from torch import Tensor, nn

from .errors import PusaError

HEAD_WIDTH = 128  # of every Wan model
PATCH = 2  # latent positions along height and width that make one token
EPS = 1e-6
PREFIXES = ("", "model.diffusion_model.", "diffusion_model.", "model.")


@dataclass(frozen=True)
class WanConfig:
    """The sizes that differ between Wan's text-to-video models; 14B is WanConfig(5120, 13824, 40)."""

    dim: int  # width D, a multiple of HEAD_WIDTH
    ffn_dim: int
    layers: int
    channels: int = 16  # of the latent
    freq_dim: int = 256  # of the timestep's sine and cosine features
    text_dim: int = 4096  # of the text encoder

    def __post_init__(self) -> None:
        if self.dim % HEAD_WIDTH:
            raise PusaError(f"The model's width is {self.dim}; Wan's is a multiple of {HEAD_WIDTH}.")

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> WanConfig:
        """The sizes of a state dict with unprefixed names."""
        kind = "is not a Wan text-to-video model"
        try:
            dim, channels = weights["patch_embedding.weight"].shape[:2]
            numbers = {int(match[1]) for key in weights if (match := re.match(r"blocks\.(\d+)\.", key))}
            config = cls(
                dim=dim,
                ffn_dim=weights["blocks.0.ffn.0.weight"].shape[0],
                layers=len(numbers),
                channels=channels,
                freq_dim=weights["time_embedding.0.weight"].shape[1],
                text_dim=weights["text_embedding.0.weight"].shape[1],
            )
            out_channels = weights["head.head.weight"].shape[0] // PATCH**2
        except KeyError as missing:
            raise PusaError(
                f"This file {kind}: it has no {missing}. Use a Wan2.1 or Wan2.2 14B T2V model in its original layout."
            ) from None
        if out_channels != channels:
            raise PusaError(
                f"This file {kind}: it takes {channels} channels and gives {out_channels} (an image-to-video "
                "or control model). Use the T2V model; Pusa adds the conditions itself."
            )
        return config


class WanBlock(nn.Module):
    """Self-attention over all frames, cross-attention to the text, feed-forward; each frame has its own modulation."""

    def __init__(self, dim: int, ffn_dim: int):
        super().__init__()
        self.self_attn = Attention(dim)
        self.cross_attn = Attention(dim)
        self.norm3 = nn.LayerNorm(dim, eps=EPS)
        self.ffn = nn.Sequential(
            nn.Linear(dim, ffn_dim), nn.GELU(approximate="tanh"), nn.Linear(ffn_dim, dim)
        )
        self.modulation = nn.Parameter(torch.zeros(1, 6, dim))

    def forward(self, x: Tensor, modulation: Tensor, rotation: Tensor, context: Tensor) -> Tensor:
        """x: [B, F*N, D]; modulation: [B, 1 or F, 6, D]; rotation: see rotary_angles; context: [B, L, D]. Returns x's shape."""
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = (self.modulation + modulation).unbind(2)
        attended = self.self_attn(modulate(x, shift, scale), rotation=rotation)
        x = x + gated(attended, gate)
        x = x + self.cross_attn(self.norm3(x), context)
        return x + gated(self.ffn(modulate(x, ffn_shift, ffn_scale)), ffn_gate)


class Attention(nn.Module):
    """Multi-head attention with normalised queries and keys, to x itself or to a context."""

    def __init__(self, dim: int):
        super().__init__()
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.o = nn.Linear(dim, dim)
        self.norm_q = nn.RMSNorm(dim, eps=EPS)
        self.norm_k = nn.RMSNorm(dim, eps=EPS)

    def forward(self, x: Tensor, context: Tensor | None = None, rotation: Tensor | None = None) -> Tensor:
        """x: [B, T, D]; context: [B, L, D], None attends to x; rotation: of x's tokens, or None. Returns [B, T, D]."""
        source = x if context is None else context
        query, key, value = (
            self.norm_q(self.q(x).float()),
            self.norm_k(self.k(source).float()),
            self.v(source),
        )
        query, key, value = (
            rearrange(part, "b t (h c) -> b h t c", c=HEAD_WIDTH) for part in (query, key, value)
        )
        if rotation is not None:
            query, key = rotate(query, rotation), rotate(key, rotation)
        attended = attend(query.to(value.dtype), key.to(value.dtype), value)
        joined: Tensor = self.o(rearrange(attended, "b h t c -> b t (h c)"))
        return joined


class WanDiT(nn.Module):
    """Velocity of a noised latent, given the timestep and the text. Parameter names are the official ones."""

    def __init__(self, config: WanConfig):
        super().__init__()
        dim = config.dim
        self.config = config
        self.patch_embedding = nn.Conv3d(config.channels, dim, (1, PATCH, PATCH), stride=(1, PATCH, PATCH))
        self.text_embedding = nn.Sequential(
            nn.Linear(config.text_dim, dim), nn.GELU(approximate="tanh"), nn.Linear(dim, dim)
        )
        self.time_embedding = nn.Sequential(nn.Linear(config.freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.blocks = nn.ModuleList(WanBlock(dim, config.ffn_dim) for _ in range(config.layers))
        self.head = Head(dim, config.channels)

    @classmethod
    def from_state_dict(cls, weights: Mapping[str, Tensor], dtype: torch.dtype = torch.float32) -> WanDiT:
        """The model of a state dict, with or without ComfyUI's prefix; refuses missing and unknown names."""
        weights = without_prefix(weights)
        with torch.device("meta"):
            model = cls(WanConfig.of(weights))
        names = set(model.state_dict())
        if wrong := sorted(names.symmetric_difference(weights)):
            verb = "lacks" if wrong[0] in names else "has the unknown"
            raise PusaError(
                f"This file is not a plain Wan T2V model: it {verb} {wrong[0]!r} ({len(wrong)} names differ). "
                "Use a Wan2.1 or Wan2.2 14B T2V model."
            )
        model.load_state_dict({name: value.to(dtype) for name, value in weights.items()}, assign=True)
        return model.train(False)

    def forward(self, x: Tensor, timestep: Tensor, context: Tensor) -> Tensor:
        """Velocity noise - clean of every latent frame.

        x: [B, C, F, H, W], in the model's latent space; timestep: [B] or [B, F], 1000 * sigma;
        context: [B, L, text_dim], the text encoder's output. Returns x's shape.
        """
        return self.velocity(x, timestep, self.text_embedding(context))

    def velocity(self, x: Tensor, timestep: Tensor, context: Tensor) -> Tensor:
        """As forward, with a context [B, L, D] that text_embedding has been through already."""
        batch, _, frames, height, width = x.shape
        if tuple(timestep.shape) not in ((batch,), (batch, frames)):
            raise PusaError(
                f"The timestep has shape {tuple(timestep.shape)} for a latent of batch {batch} and {frames} frames. "
                f"Give one a clip, ({batch},), or one a latent frame, ({batch}, {frames})."
            )
        if height % PATCH or width % PATCH:
            raise PusaError(
                f"The latent is {height} x {width}; both must be even. Use a video size that is a multiple of 16."
            )
        timestep = timestep[:, None] if timestep.ndim == 1 else timestep
        embedding = self.time_embedding(sine_features(timestep, self.config.freq_dim))  # [B, 1 or F, D]
        modulation = rearrange(self.time_projection(embedding), "b f (six d) -> b f six d", six=6)
        rotation = rotary_angles(frames, height // PATCH, width // PATCH).to(x.device)
        tokens = rearrange(self.patch_embedding(x), "b d f h w -> b (f h w) d")
        for block in self.blocks:
            tokens = block(tokens, modulation, rotation, context)
        patches: Tensor = self.head(tokens, embedding)
        sizes = {"f": frames, "h": height // PATCH, "p": PATCH, "q": PATCH}
        return rearrange(patches, "b (f h w) (p q c) -> b c f (h p) (w q)", **sizes)


class Head(nn.Module):
    """The last modulation and the way back to latent patches."""

    def __init__(self, dim: int, channels: int):
        super().__init__()
        self.head = nn.Linear(dim, PATCH**2 * channels)
        self.modulation = nn.Parameter(torch.zeros(1, 2, dim))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x: [B, F*N, D]; embedding: [B, 1 or F, D], of the timestep. Returns [B, F*N, 4C]."""
        shift, scale = (self.modulation + embedding[:, :, None]).unbind(2)
        patches: Tensor = self.head(modulate(x, shift, scale))
        return patches


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Normalised x, scaled and shifted frame by frame. x: [B, F*N, D]; shift, scale: [B, 1 or F, D]."""
    normed = F.layer_norm(x, x.shape[-1:], eps=EPS)
    by_frame = rearrange(normed, "b (f n) d -> b f n d", f=shift.shape[1])
    return rearrange(
        torch.addcmul(shift[:, :, None], by_frame, 1 + scale[:, :, None]), "b f n d -> b (f n) d"
    )


def gated(x: Tensor, gate: Tensor) -> Tensor:
    """x times one gate a frame. x: [B, F*N, D]; gate: [B, 1 or F, D]."""
    by_frame = rearrange(x, "b (f n) d -> b f n d", f=gate.shape[1])
    return rearrange(by_frame * gate[:, :, None], "b f n d -> b (f n) d")


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention, [B, heads, tokens, HEAD_WIDTH]. Written out when training on a CPU, whose fused backward is slow."""
    if query.device.type == "cpu" and torch.is_grad_enabled():
        weights = torch.softmax(query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5, dim=-1)
        return weights.to(value.dtype) @ value
    return F.scaled_dot_product_attention(query, key, value)


def sine_features(timestep: Tensor, width: int) -> Tensor:
    """Cosines, then sines, of the timestep at falling frequencies. timestep: any shape; returns [..., width], float32."""
    frequencies = torch.pow(10000, -torch.arange(width // 2, device=timestep.device) / (width // 2))
    angles = timestep.float()[..., None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def rotary_angles(frames: int, rows: int, columns: int) -> Tensor:
    """Angle of every pair of a head's channels for every token, radians: [frames * rows * columns, HEAD_WIDTH / 2].

    A third of the pairs each turns with the frame (the largest part), the row and the column.
    """
    third = HEAD_WIDTH // 6
    pairs = (HEAD_WIDTH // 2 - 2 * third, third, third)
    grid = torch.meshgrid(torch.arange(frames), torch.arange(rows), torch.arange(columns), indexing="ij")
    angles = []
    for place, count in zip(grid, pairs, strict=True):
        frequencies = 10000.0 ** -(torch.arange(count, dtype=torch.float64) / count)
        angles.append(place.reshape(-1, 1) * frequencies)
    return torch.cat(angles, dim=1).float()


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Turn neighbouring channel pairs of x [B, heads, tokens, HEAD_WIDTH] by angles [tokens, HEAD_WIDTH / 2]; float32."""
    pairs = torch.view_as_complex(rearrange(x.float(), "b h t (c two) -> b h t c two", two=2).contiguous())
    turned = pairs * torch.polar(torch.ones_like(angles), angles)
    return torch.view_as_real(turned).flatten(-2)


def without_prefix(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict under the official names, whatever container prefix its keys carry."""
    for prefix in PREFIXES:
        if f"{prefix}patch_embedding.weight" in weights:
            return {
                key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)
            }
    return dict(weights)
