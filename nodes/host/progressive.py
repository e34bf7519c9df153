"""Pusa Progressive: the first steps of a run at a smaller size, then the rest at full size.

One OUTER_SAMPLE wrapper, the outermost of a MODEL: a run of a sampler becomes two whole runs of it, a small one under a copy of the guider
and the rest at full size with the same noise. What else wraps runs (stages, caches, per-frame levels) wraps each of the two.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...pusa_core.bases import Base
from ...pusa_core.choices import check_choice
from ...pusa_core.conditions import check_video_samples, frame_multipliers
from ...pusa_core.errors import PusaError
from ...pusa_core.injections import INJECTIONS, given_at
from ...pusa_core.progressive import (
    SHARES,
    check_until,
    enlarged,
    resumed,
    shrunk_noise,
    small_schedule,
    small_size,
    small_steps,
)
from ...pusa_core.schedule import over_frames
from . import symbols
from .bases.wan_vace import WanVaceHost
from .features import Aspect, Feature, Hooks, apply, feature_of
from .masked_runs import MaskReference
from .models import base_of, require_base
from .samplers import check_part, runs_one_callback_per_step, sampler_name
from .stages import SEEDS, Stages, count_from
from .timesteps import multipliers_of
from .whole_run import told_schedule

FULL_SIZE = ("reference_latents", "time_dim_concat")
"""Conditioning whose size must be the latent's: a Fun control model's reference, Phantom's subjects."""

_divided: ContextVar[bool] = ContextVar("pusa_run_is_divided", default=False)
"""Whether a run is a part of one that was divided already: both parts pass through all wrappers of the MODEL again."""


@dataclass(frozen=True, eq=False)
class ProgressiveResolution(Feature):
    """Steps from sigma >= until at a share of width and height, the rest at full size."""

    share: float  # of width and height
    until: float  # sigma in [0, 1]
    small: Tensor | None = (
        None  # [1 or B, C, F, h, w], the given frames at the small size; None where not known yet
    )
    small_multipliers: Tensor | None = (
        None  # [F] that came with `small`, None where it was made from the latent
    )
    own_content: bool = False  # whether `small` came from the user, with what else is in it

    name = "Pusa Progressive"
    key = "pusa_progressive"
    changes = frozenset({Aspect.SIZE})
    of_whole_runs = True
    needs = ("WrappersMP", "CFGGuider", "KSAMPLER")

    def settings(self) -> Any:
        return {"share": self.share, "until": self.until, "small": self.small}

    def check(self, patcher: Any) -> None:
        if isinstance(require_base(patcher), WanVaceHost):
            raise PusaError(
                "Pusa Progressive cannot make the control frames of Wan VACE smaller. Remove it here, or use a model without control frames."
            )

    def check_joining(self, model: Any) -> None:
        self.check(model)

    def hooks(self, patcher: Any) -> Hooks:
        return Hooks(wrappers={symbols.WrappersMP.OUTER_SAMPLE: DividedRun(self)})

    def attach(self, patcher: Any) -> None:
        super().attach(patcher)
        kind = symbols.WrappersMP.OUTER_SAMPLE
        ours = patcher.wrappers[kind].pop(self.key)
        patcher.wrappers[kind] = {self.key: ours, **patcher.wrappers[kind]}  # the first one is the outermost

    def carry_to(self, patcher: Any) -> None:
        """Nothing: the first stage's model divides the whole run, all stages in it."""


class DividedRun:
    """OUTER_SAMPLE wrapper: a small run, and the rest at full size."""

    def __init__(self, feature: ProgressiveResolution):
        self.feature = feature

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
        rest = (denoise_mask, callback, disable_pbar, seed)
        steps = small_steps(sigmas, self.feature.until)
        if denoise_mask is not None:
            steps = min(steps, len(sigmas) - 2)  # a step at full size puts in what the mask keeps
        # a run without noise goes on from another one's latent, which has its size
        if _divided.get() or not steps or self.feature.share == 1 or not bool(noise.any()):
            return executor(noise, latent_image, sampler, sigmas, *rest, **kwargs)
        token = _divided.set(True)
        try:
            return self._divided(executor, steps, noise, latent_image, sampler, sigmas, *rest, **kwargs)
        finally:
            _divided.reset(token)

    def _divided(
        self,
        executor: Any,
        steps: int,
        noise: Tensor,
        latent_image: Tensor,
        sampler: Any,
        sigmas: Tensor,
        denoise_mask: Tensor | None,
        callback: Callable[..., None] | None,
        disable_pbar: bool,
        seed: int | None,
        **kwargs: Any,
    ) -> Tensor:
        guider, size = executor.class_obj, latent_image.shape[-2:]
        check_video_samples(noise)
        parts = small_schedule(sigmas, steps), sigmas[steps:]
        check_run(guider.model_patcher, sampler, parts)
        check_conds(guider.original_conds)
        multipliers = multipliers_of(guider.model_patcher)
        multipliers = torch.ones(noise.shape[2]) if multipliers is None else multipliers
        keeps = denoise_mask is not None or float(sigmas[0]) < 1
        small = self.small_latent(guider.model_patcher, latent_image, multipliers, keeps)
        of_small = of_full = sampler
        if denoise_mask is not None:
            core = guider.model_patcher.model
            kept = core.process_latent_in(latent_image) if bool(latent_image.any()) else latent_image
            of_small = MaskReference(sigmas).used_by(sampler, first=True)
            of_full = MaskReference(sigmas, kept, noise).used_by(sampler, first=False)
        last = LastEstimate(guider, callback, size)
        shown = count_from(last, 0, len(sigmas) - 1)
        noise_of_small = shrunk_noise(noise, *small.shape[-2:])
        alike = guider_alike(guider)
        with told_schedule(alike, sigmas):
            out = alike.sample(
                noise_of_small, small, of_small, parts[0], denoise_mask, shown, disable_pbar, seed
            )
        if runs_one_callback_per_step(sampler):
            out = last.denoised(out)
        latent_image = resumed(out, latent_image, multipliers)
        if len(parts[1]) == 1:
            return noised_again(guider.model_patcher, latent_image, noise, parts[1], multipliers)
        shown = count_from(callback, steps, len(sigmas) - 1)
        seed = None if seed is None else (seed + 1) % SEEDS  # its fresh noise must not be the small run's
        rest = (noise, latent_image, of_full, parts[1].clone(), denoise_mask, shown, disable_pbar, seed)
        with told_schedule(guider, sigmas):
            return executor(*rest, **kwargs)

    def small_latent(self, model: Any, latent_image: Tensor, multipliers: Tensor, keeps: bool) -> Tensor:
        """What the small run begins with, [B, C, F, h, w]; keeps: whether something of the latent's own stays in the free frames."""
        feature, base = self.feature, base_of(model)
        height, width = small_size(*latent_image.shape[-2:], feature.share, base)
        free = multipliers == 1
        small = feature.small
        if small is None:
            if not bool(free.all()):
                raise PusaError(
                    "Pusa Progressive was not told which frames are given. Connect it before Apply Vectorized Timesteps, or connect its "
                    f"latent_small: the same frames injected into an empty latent of {pixels(height, width, base)}."
                )
            small = latent_image.new_zeros((*latent_image.shape[:3], height, width))
        wanted = (*latent_image.shape[1:3], height, width)
        if tuple(small.shape[1:]) != wanted or small.shape[0] not in (1, latent_image.shape[0]):
            raise PusaError(
                f"The small latent of Pusa Progressive is {tuple(small.shape)} (batch, channels, frames, height, width) and has to be "
                f"{(latent_image.shape[0], *wanted)}. Make latent_small {pixels(height, width, base)}, as long as the video."
            )
        if feature.small_multipliers is not None and not torch.equal(feature.small_multipliers, multipliers):
            raise PusaError(
                "latent_small of Pusa Progressive gives other frames than the latent that is sampled, or with other noise multipliers. "
                "Use the same injectors for both."
            )
        if keeps and not feature.own_content and bool(latent_image[:, :, free].any()):
            raise PusaError(
                "The run keeps something of the latent's own content (denoise below 1, or a noise mask), which Pusa Progressive does not have "
                f"at the small size. Connect latent_small: the same content encoded at {pixels(height, width, base)}."
            )
        return small.to(latent_image).expand(latent_image.shape[0], -1, -1, -1, -1)


class LastEstimate:
    """A sampler's callback that keeps the last clean estimate, and shows each one enlarged."""

    def __init__(self, guider: Any, callback: Callable[..., None] | None, size: tuple[int, int]):
        self.process_out = guider.model_patcher.model.process_latent_out
        self.callback, self.size = callback, size
        self.last: Tensor | None = None

    def __call__(self, step: int, x0: Tensor, x: Tensor, total_steps: int) -> None:
        self.last = x0
        if self.callback is not None:
            self.callback(step, enlarged(x0, *self.size), x, total_steps)

    def denoised(self, like: Tensor) -> Tensor:
        """The last estimate in the space and on the device of a sampler's result."""
        if self.last is None:
            return like
        return self.process_out(self.last.to(torch.float32)).to(like)


def guider_alike(guider: Any) -> Any:
    """A guider of the same kind on a clone of its MODEL: the guider itself is in the middle of a run, with hooks and wrappers prepared for it."""
    alike = copy.copy(guider)
    alike.model_patcher = guider.model_patcher.clone()
    alike.model_options = alike.model_patcher.model_options
    return alike


def check_run(model: Any, sampler: Any, parts: tuple[Tensor, Tensor]) -> None:
    """Refuse what cannot be divided into a small and a full run. parts: their levels."""
    if sampler_name(sampler) in {"dpm_fast", "dpm_adaptive"}:
        raise PusaError(
            f"The sampler {sampler_name(sampler)} chooses its own levels and would leave noise in the small steps of Pusa Progressive. "
            "Choose another one, such as euler."
        )
    stages = feature_of(model, Stages)
    if stages is not None and any(stage.end and stage.end.steps for stage in stages.stages):
        raise PusaError(
            "A stage of Pusa Stages ends after a number of steps, which Pusa Progressive would count at each size. Set its steps to 0 "
            "and until_sigma instead."
        )
    for part in parts:
        check_part(sampler, part, "sizes")


def check_conds(conds: Mapping[str, Any]) -> None:
    """Refuse prompts that carry pictures of the full size, which no small step can take. conds: a guider's, by name."""
    for prompts in conds.values():
        for prompt in prompts or ():
            if extra := next((name for name in FULL_SIZE if prompt.get(name) is not None), None):
                raise PusaError(
                    f"The conditioning carries {extra}, pictures of the full size, which Pusa Progressive cannot make smaller. Take one of the "
                    "two nodes out."
                )


def noised_again(
    model: Any, latent_image: Tensor, noise: Tensor, sigmas: Tensor, multipliers: Tensor
) -> Tensor:
    """A latent noised to its last level as a sampler hands it on, for a run that ends there. sigmas: [1]; multipliers: [F]."""
    sampling, core = model.get_model_object("model_sampling"), model.model
    x = sampling.noise_scaling(sigmas[0], noise, core.process_latent_in(latent_image))
    made = core.process_latent_out(sampling.inverse_noise_scaling(sigmas[0], x).to(torch.float32))
    return torch.where(over_frames(multipliers == 0).to(made.device), latent_image, made)


def pixels(height: int, width: int, base: Base) -> str:
    """The size of a latent of these rows and columns as a person sets it: "416 x 240"."""
    return f"{width * base.spatial_stride} x {height * base.spatial_stride}"


def run_progressively(model: Any, size: str, until: float, latent_small: dict[str, Any] | None) -> Any:
    """A clone of the MODEL whose first steps run at a smaller size; size: a name of SHARES; latent_small: LATENT of that size."""
    feature = ProgressiveResolution(SHARES[check_choice("size", size, SHARES)], check_until(until))
    if latent_small is not None:
        samples = latent_small["samples"]
        check_video_samples(samples, base_of(model))
        multipliers = frame_multipliers(latent_small.get("noise_multipliers"), samples.shape[2])
        feature = replace(feature, small=samples, small_multipliers=multipliers, own_content=True)
    return apply(model, feature)


def with_given_frames(model: Any, latent: dict[str, Any]) -> Any:
    """The MODEL, told the frames of a LATENT that will be sampled, where Pusa Progressive is on it and needs them."""
    feature = feature_of(model, ProgressiveResolution)
    if feature is None or feature.share == 1 or feature.own_content:
        return model
    base, samples = base_of(model), latent["samples"]
    check_video_samples(samples, base)
    multipliers = frame_multipliers(latent.get("noise_multipliers"), samples.shape[2])
    if bool((multipliers == 1).all()):
        return model if feature.small is None else apply(model, replace(feature, small=None))
    size = small_size(*samples.shape[-2:], feature.share, base)
    small = given_at(samples, multipliers, latent.get(INJECTIONS, ()), size, base)
    return apply(model, replace(feature, small=small))
