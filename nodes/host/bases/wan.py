"""Wan2.1 and Wan2.2 14B in ComfyUI: WAN21, whose WanModel spreads [B, F] timesteps over tokens itself."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ....pusa_core.bases import WAN
from ....pusa_core.errors import PusaError
from .. import symbols
from ..forward import by_frame_forward, forward_patches
from .host_base import HostBase

VARIANTS = {
    "WAN21_Camera": "a camera-control model, which has conditions of its own (WanCameraImageToVideo and KSampler run it)",
    "WAN21_HuMo": "HuMo, which has conditions of its own (WanHuMoImageToVideo and KSampler run it)",
    "WAN22_S2V": "a speech-to-video model, which has conditions of its own (WanSoundImageToVideo and KSampler run it)",
    "WAN22_Animate": "Wan Animate, which has conditions of its own (WanAnimateToVideo and KSampler run it)",
}

CONTROL_CHANNELS = (32, 36)
"""Beside the latent, of Fun control models: control video and start picture; 36 with a mask. Image-to-video models have 20, a mask and a picture."""


class WanHost(HostBase):
    """The text-to-video models of 16 channels, and Fun control models, which see control pictures in further channels."""

    base = WAN
    needs = ("WAN21",)
    patches = (by_frame_forward,)
    has_wan_forward = True

    def is_this(self, model: Any) -> bool:
        return type(model) is symbols.WAN21 and (
            takes_only_latents(model) or channels_in(model) - self.base.channels in CONTROL_CHANNELS
        )

    def refusal(self, model: Any) -> str | None:
        if not isinstance(model, symbols.WAN21):
            return None
        kind = type(model).__name__
        if type(model) is symbols.WAN21:
            channels, wanted = channels_in(model), self.base.channels
            return (
                f"This is an image-to-video model: it takes {channels} channels, a text-to-video model {wanted}, and has its own way to be "
                "given pictures (WanImageToVideo, WanFirstLastFrameToVideo)."
            )
        return f"This is {VARIANTS.get(kind, f'a Wan variant ({kind}) with inputs of its own')}."

    def timesteps(self, by_frame: Tensor, x: Tensor, conds: dict[str, Any]) -> Tensor:
        for extra in ("time_dim_concat", "reference_latent"):
            if conds.get(extra) is not None:
                raise PusaError(
                    f"The conditioning carries {extra}, which adds tokens that belong to no latent frame. Pusa cannot give them "
                    "a timestep: take that node out; pictures go in through Condition Frame Injector."
                )
        return by_frame

    def forward_patches(self, patcher: Any) -> dict[str, Any]:
        return forward_patches(patcher)


def channels_in(model: Any) -> int:
    """Channels that a Wan model takes: those of its latents, and those of pictures it is shown beside them."""
    return model.diffusion_model.patch_embedding.weight.shape[1]


def takes_only_latents(model: Any) -> bool:
    """Whether a Wan model's input is a latent and nothing more."""
    return (
        channels_in(model) == model.latent_format.latent_channels
        and getattr(model.diffusion_model, "model_type", "t2v") == "t2v"
    )
