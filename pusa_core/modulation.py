"""Modulation of a DiT block by latent frame: one shift, scale and gate a frame, broadcast over its tokens, copied to none.

ComfyUI's Wan (repeat_e in comfy/ldm/wan/model.py) writes each of the six out for every token, [B, L, C], before it uses
them; here L is seen as F frames of L / F tokens. The arithmetic and its order are the same, and so are the bits.
"""

from __future__ import annotations

import torch
from torch import Tensor


def modulated(x: Tensor, shift: Tensor, scale: Tensor, in_place: bool = False) -> Tensor:
    """x * (1 + scale) + shift, by latent frame.

    x: [B, L, C], the tokens of one frame after those of the other; shift, scale: [B, F, C], F divides L. in_place: the
    result may take x's memory (it does where all have one dtype). Returns [B, L, C].
    """
    frames = _by_frame(x, shift.shape[1])
    out = frames if in_place and x.dtype == shift.dtype == scale.dtype else None
    return torch.addcmul(shift[:, :, None], frames, 1 + scale[:, :, None], out=out).flatten(1, 2)


def gated(x: Tensor, update: Tensor, gate: Tensor, out: Tensor | None = None) -> Tensor:
    """x + update * gate, by latent frame.

    x, update: [B, L, C]; gate: [B, F, C], F divides L. out: x or update, whose memory the result may take (it does where all
    have one dtype). Returns [B, L, C].
    """
    if out is not None:
        out = _by_frame(out, gate.shape[1]) if x.dtype == update.dtype == gate.dtype else None
    return torch.addcmul(
        _by_frame(x, gate.shape[1]), _by_frame(update, gate.shape[1]), gate[:, :, None], out=out
    ).flatten(1, 2)


def fits(tokens: int, frames: int) -> bool:
    """Whether `tokens` are `frames` latent frames of equally many tokens each."""
    return 1 <= frames <= tokens and tokens % frames == 0


def frames_of_tokens(first: int, tokens: int, frames: int, of_one_frame: int, device: torch.device) -> Tensor:
    """The latent frame [tokens] of each of these tokens of a video; `first`: which one of all its tokens is the first of them.

    Tokens after the last frame, with which a share of a split video is filled up, count as the last frame's.
    """
    index = torch.arange(first, first + tokens, device=device) // of_one_frame
    return index.clamp_(max=frames - 1)


def _by_frame(x: Tensor, frames: int) -> Tensor:
    """[B, L, C] -> [B, F, L / F, C], a view where x is contiguous."""
    return x.reshape(x.shape[0], frames, -1, x.shape[2])
