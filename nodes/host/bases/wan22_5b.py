"""Wan2.2 TI2V 5B in ComfyUI: WAN22, which takes a first frame by a noise mask that also scales its timesteps."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ....pusa_core.bases import WAN22_5B
from .. import symbols
from .wan import WanHost, takes_only_latents


class Wan225bHost(WanHost):
    """The model of 48 channels; WanModel like the 14B ones."""

    base = WAN22_5B
    needs = ("WAN21", "WAN22")

    def is_this(self, model: Any) -> bool:
        return type(model) is symbols.WAN22 and takes_only_latents(model)

    def refusal(self, model: Any) -> str | None:
        return None

    def timesteps(self, by_frame: Tensor, x: Tensor, conds: dict[str, Any]) -> Tensor:
        """The frames' timesteps, scaled by the mean of a noise mask over each frame as WAN22.process_timestep does (model_base.py)."""
        by_frame = super().timesteps(by_frame, x, conds)
        mask = conds.get("denoise_mask")
        return by_frame if mask is None else by_frame * mask.mean(dim=(1, 3, 4)).to(by_frame)
