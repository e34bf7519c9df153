"""What ComfyUI's half of a base answers: is a model of it, how its timesteps are laid out, what its forward needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor

from ....pusa_core.bases import Base
from ....pusa_core.schedule import TIMESTEPS


class HostBase:
    """ComfyUI's half of a Base. Holds no state: one instance serves every model."""

    base: ClassVar[Base]
    title: ClassVar[str] = ""
    """Of a variant with a forward of its own; else it goes by the base's."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Names of `symbols` without which its models cannot be told or patched."""
    patches: ClassVar[tuple[Any, ...]] = ()
    """Functions whose bound methods forward_patches returns, so that they are known as ours."""
    has_wan_forward: ClassVar[bool] = False
    """Whether the DiT is ComfyUI's WanModel, which Loop Model and the frozen-frame cache work inside."""

    def is_this(self, model: Any) -> bool:
        """Whether a BaseModel of ComfyUI is of this base, with no inputs beside latent and text."""
        raise NotImplementedError

    def refusal(self, model: Any) -> str | None:
        """Why a BaseModel that looks like this base is not taken, a sentence; None where it does not look like it."""
        return None

    def timesteps_per_sigma(self, config: Any) -> float:
        """What ComfyUI gives a model of it for sigma 1; config: the model's own of ComfyUI."""
        return float(config.sampling_settings.get("multiplier", TIMESTEPS))

    def timesteps(self, by_frame: Tensor, x: Tensor, conds: dict[str, Any]) -> Tensor:
        """What the DiT is given of the frames' timesteps [B, F], for x [B, C, F, H, W] and the conditioning's extras."""
        return by_frame

    def encoder(self, vae: Any) -> Callable[[Tensor], Tensor]:
        """Pictures [N, H, W, 3], 0 to 1 -> latent [1, C, F, h, w], where no latent frame depends on later pictures."""
        return vae.encode

    def decoder(self, vae: Any) -> Callable[[Tensor], Tensor]:
        """Latent [B, C, F, h, w] -> pictures."""
        return vae.decode

    def as_reference(self, latent: Tensor) -> Tensor:
        """A latent of ComfyUI's space that the model sees as the authors' script shows it; the same for most bases."""
        return latent

    def forward_patches(self, patcher: Any) -> dict[str, Any]:
        """Object patches {name: method} with which the DiT takes such timesteps."""
        return {}
