"""Wan2.2's two experts behind one MODEL: which one runs which step, and how the run goes from one to the other."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...pusa_core.errors import PusaError
from ...pusa_core.experts import check_boundary, split_sigmas
from . import symbols
from .features import Aspect, Feature, Hooks, apply, feature_of, features_of, put
from .identity import model_identity
from .masked_runs import MaskReference
from .models import require_wan_t2v
from .timesteps import multipliers_of
from .transfer import carry_over

SEEDS = 2**64
"""Seeds that ComfyUI's widget offers, 0 to 2^64 - 1."""


@dataclass(frozen=True, eq=False)
class ExpertSwitch(Feature):
    """Steps from sigma >= boundary on the high-noise expert, the rest on the low-noise one.

    The rest is a run of its own without fresh noise, under a copy of the guider that points to the other expert, so
    that ComfyUI's manager loads and frees the experts one after the other. What was done to the MODEL after the switch (LoRA,
    vectorized timesteps, caches, block patches) holds for both experts.
    """

    high: Any  # MODEL
    low: Any  # MODEL
    boundary: float  # sigma in [0, 1]
    high_cfg: float = 0.0  # guidance of the expert, 0 takes the sampler's
    low_cfg: float = 0.0

    name = "Wan2.2 MoE Switch"
    key = "pusa_experts"
    changes = frozenset({Aspect.EXPERTS})
    relies_on = frozenset({Aspect.EXPERTS})
    needs = ("WrappersMP", "CFGGuider", "KSAMPLER")
    remedy = "Connect the loaded models themselves to Wan2.2 MoE Switch."

    def settings(self) -> Any:
        return {
            "low": model_identity(self.low),
            "boundary": self.boundary,
            "cfgs": (self.high_cfg, self.low_cfg),
        }

    def features_inside(self) -> tuple[Feature, ...]:
        """Features of the expert that the MODEL itself does not show."""
        return features_of(self.low)

    def hooks(self, patcher: Any) -> Hooks:
        return Hooks(wrappers={symbols.WrappersMP.OUTER_SAMPLE: ExpertRun(self)})

    def low_after(self, switched: Any) -> Any:
        """The low-noise expert with all that was done to `switched` after the switch."""
        # ComfyUI samples hook LoRAs on a copy without dynamic VRAM (CFGGuider.inner_set_conds, 0.18 and later)
        delegated = _is_dynamic(self.low) and not _is_dynamic(switched)
        low = self.low.get_non_dynamic_delegate() if delegated else self.low.clone()
        carry_over(self.high, switched, low)
        applied = features_of(switched)
        for feature in applied[applied.index(self) + 1 :]:
            put(low, feature, feature.carry_to)
        if (multipliers_of(switched) is None) != (multipliers_of(low) is None):
            raise PusaError(
                "Only one of the two experts has vectorized timesteps. Put Apply Vectorized Timesteps once, "
                "after Wan2.2 MoE Switch."
            )
        return low


def _is_dynamic(patcher: Any) -> bool:
    """Whether ComfyUI keeps this model's weights by dynamic VRAM; no version before 0.18 does."""
    return hasattr(patcher, "is_dynamic") and patcher.is_dynamic()


class ExpertRun:
    """OUTER_SAMPLE wrapper: one run of a sampler over both experts."""

    def __init__(self, switch: ExpertSwitch):
        self.switch = switch

    def __call__(
        self,
        executor: Any,
        noise: Tensor,
        latent_image: Tensor,
        sampler: Any,
        sigmas: Tensor,
        denoise_mask: Tensor | None = None,
        callback: Callable[..., None] | None = None,
        disable_pbar: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> Tensor:
        guider, switch = executor.class_obj, self.switch
        high_sigmas, low_sigmas = (part.clone() for part in split_sigmas(sigmas, switch.boundary))
        steps, high_steps = len(sigmas) - 1, len(high_sigmas) - 1
        # made before the first step, so that what cannot run is said before minutes have passed
        low = switch.low_after(guider.model_patcher)
        reference = None
        if denoise_mask is not None and 0 < high_steps < steps:
            reference = MaskReference()
            sampler = reference.taken_by(sampler)
        if high_steps:
            with _using_cfg(guider, switch.high_cfg, "high_noise_cfg"):
                progress = count_from(callback, 0, steps)
                latent_image = executor(
                    noise, latent_image, sampler, high_sigmas, denoise_mask, progress, disable_pbar, seed, **kwargs
                )  # fmt: skip
            noise = torch.zeros_like(noise)
            # a second run with fresh noise must not repeat the first one's
            seed = None if seed is None else (seed + 1) % SEEDS
        if high_steps == steps:
            return latent_image
        guider = copy.copy(guider)
        guider.model_patcher = low
        guider.model_options = low.model_options
        if reference is not None:
            sampler = reference.kept_by(sampler)
        with _using_cfg(guider, switch.low_cfg, "low_noise_cfg"):
            progress = count_from(callback, high_steps, steps)
            return guider.sample(
                noise, latent_image, sampler, low_sigmas, denoise_mask, progress, disable_pbar, seed
            )


def switch_experts(high: Any, low: Any, boundary: float, high_cfg: float = 0.0, low_cfg: float = 0.0) -> Any:
    """One MODEL that runs both experts of Wan2.2, see ExpertSwitch."""
    check_boundary(boundary)
    for name, model in (("high_noise", high), ("low_noise", low)):
        require_wan_t2v(model)
        if experts_of(model) is not None:
            raise PusaError(
                f"{name} already holds two experts. Connect the loaded models themselves to Wan2.2 MoE Switch."
            )
    return apply(high, ExpertSwitch(high, low, boundary, high_cfg, low_cfg))


def experts_of(model: Any) -> ExpertSwitch | None:
    """The switch inside a MODEL, None where it is a single model."""
    return feature_of(model, ExpertSwitch)


def count_from(
    callback: Callable[..., None] | None, first_step: int, steps: int
) -> Callable[..., None] | None:
    """The callback of a whole run of `steps`, for the part of it that begins at `first_step`."""
    if callback is None:
        return None
    return lambda step, x0, x, _: callback(first_step + step, x0, x, steps)


@contextmanager
def _using_cfg(guider: Any, cfg: float, name: str) -> Iterator[None]:
    """Guidance of one expert: 0 leaves the guider's own, 1 needs no negative prompt."""
    if cfg == 0:
        yield
        return
    if type(guider).set_cfg is not symbols.CFGGuider.set_cfg:
        raise PusaError(
            f"{name} is {cfg}, but the guider {type(guider).__name__} has several guidance values of its own. "
            f"Set {name} to 0, or use CFGGuider."
        )
    if cfg != 1 and not guider.original_conds.get("negative"):
        raise PusaError(
            f"{name} is {cfg}, but the guider {type(guider).__name__} has no negative prompt to guide away from. "
            f"Use CFGGuider with a negative prompt, or set {name} to 0 or 1."
        )
    before = guider.cfg
    guider.set_cfg(cfg)
    try:
        yield
    finally:
        guider.set_cfg(before)
