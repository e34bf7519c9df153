"""LTX-Video in ComfyUI: LTXV, whose DiT takes one timestep for every token; its own image-to-video is a noise mask."""

from __future__ import annotations

from typing import Any

from einops import repeat
from torch import Tensor

from ....pusa_core.bases import LTXV
from ....pusa_core.errors import PusaError
from ....pusa_core.schedule import over_frames
from .. import symbols
from .host_base import HostBase

EXTRA_TOKENS = {"keyframe_idxs": "LTXVAddGuide", "generated_keyframes": "LTXV's generated keyframes"}
"""Entries of the conditioning that put tokens of other pictures behind those of the video, and what makes them."""


class LTXVHost(HostBase):
    """ComfyUI's timestep is sigma itself; a token is one cell of the latent."""

    base = LTXV
    needs = ("LTXV",)

    def is_this(self, model: Any) -> bool:
        return type(model) is symbols.LTXV

    def refusal(self, model: Any) -> str | None:
        if type(model).__name__ == "LTXAV":
            return "This is LTX-2, which makes sound with the video and has conditions of its own (LTXVAddGuide and SamplerCustomAdvanced run it)."
        return None

    def timesteps_per_sigma(self, config: Any) -> float:
        return 1.0

    def timesteps(self, by_frame: Tensor, x: Tensor, conds: dict[str, Any]) -> Tensor:
        """[B, F] -> [B, L] in the order of the tokens; times a noise mask cell by cell, as LTXV.process_timestep does (model_base.py)."""
        for extra, maker in EXTRA_TOKENS.items():
            value = conds.get(extra)
            if value is not None and not (isinstance(value, Tensor) and value.numel() == 0):
                raise PusaError(
                    f"The conditioning carries {extra}, from {maker}: pictures as tokens of their own, behind those of the video, which belong "
                    "to no latent frame. Take that node out; pictures go in through Condition Frame Injector."
                )
        mask = conds.get("denoise_mask")
        if mask is not None:
            return (over_frames(by_frame) * mask[:, :1].to(by_frame)).expand(-1, -1, *x.shape[2:]).flatten(1)
        return repeat(by_frame, "b f -> b (f cells)", cells=x.shape[3] * x.shape[4])
