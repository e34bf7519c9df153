"""Wan VACE in ComfyUI: WAN21_Vace, whose VaceWanModel embeds a flat list of timesteps, here one for every frame of every clip.

ComfyUI's forward gives the embeddings [B * F, ...] on as they come; what takes them (blocks, VACE blocks, head) sees them as [B, F, ...],
which Wan's own code spreads over the tokens of each frame. Nothing else changes, so control frames, masks and strengths stay ComfyUI's.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

from torch import Tensor

from ....pusa_core.bases import WAN
from .. import symbols
from .wan import WanHost


def by_frame(e: Tensor, x: Tensor) -> Tensor:
    """Embeddings [B * F, ...] as [B, F, ...] for tokens x [B, L, C]; with one timestep a clip F is 1."""
    return e.unflatten(0, (len(x), -1))


def block_of_frames(block: Any, x: Tensor, e: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """WanAttentionBlock.forward for e [B * F, 6, C]."""
    return type(block).forward(block, x, by_frame(e, x), *args, **kwargs)


def vace_block_of_frames(block: Any, c: Tensor, x: Tensor, e: Tensor, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """VaceWanAttentionBlock.forward for e [B * F, 6, C]."""
    return type(block).forward(block, c, x=x, e=by_frame(e, c), **kwargs)


def head_of_frames(head: Any, x: Tensor, e: Tensor) -> Tensor:
    """Head.forward for e [B * F, C]."""
    return type(head).forward(head, x, by_frame(e, x))


class WanVaceHost(WanHost):
    """The VACE models of Wan2.1, with control frames in the conditioning."""

    base = WAN
    title = "Wan VACE"
    needs = ("WAN21", "WAN21_Vace", "VaceWanModel")
    patches = (block_of_frames, vace_block_of_frames, head_of_frames)
    has_wan_forward = False

    def is_this(self, model: Any) -> bool:
        return type(model) is symbols.WAN21_Vace and type(model.diffusion_model) is symbols.VaceWanModel

    def refusal(self, model: Any) -> str | None:
        return None

    def timesteps(self, by_frame: Tensor, x: Tensor, conds: dict[str, Any]) -> Tensor:
        """One list of B * F, clip by clip."""
        return super().timesteps(by_frame, x, conds).flatten()

    def forward_patches(self, patcher: Any) -> dict[str, Any]:
        dit = patcher.model.diffusion_model
        patches = {"diffusion_model.head.forward": MethodType(head_of_frames, dit.head)}
        for name, forward in (("blocks", block_of_frames), ("vace_blocks", vace_block_of_frames)):
            for index, block in enumerate(getattr(dit, name)):
                patches[f"diffusion_model.{name}.{index}.forward"] = MethodType(forward, block)
        return patches
