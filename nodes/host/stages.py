"""Several models behind one MODEL, each for its part of the schedule: stages, of which Wan2.2's two experts are the common case.

Each part after the first is a run of its own without fresh noise, under a copy of the guider that points to that stage's model, so that
ComfyUI's manager loads and frees one model after the other.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...pusa_core.errors import PusaError
from ...pusa_core.experts import StageEnd, split_schedule
from . import symbols
from .features import (
    FEATURES,
    Aspect,
    Feature,
    Hooks,
    apply,
    feature_of,
    features_of,
    others_object_patches,
    put,
)
from .identity import model_identity
from .masked_runs import MaskReference
from .models import base_of
from .roll import LoopRoll
from .samplers import check_part
from .timesteps import multipliers_of
from .transfer import carry_over
from .whole_run import schedule_of, told_schedule

SEEDS = 2**64
"""Seeds that ComfyUI's widget offers, 0 to 2^64 - 1."""


@dataclass(frozen=True, eq=False)
class Stage:
    """One model and where its part of the schedule ends."""

    model: Any  # MODEL
    end: StageEnd | None  # None for the last stage, which takes what is left
    cfg: float = 0.0  # guidance of the stage, 0 takes the sampler's
    cfg_name: str = "cfg"  # of the input that sets it, for sentences


@dataclass(frozen=True, eq=False)
class Stages(Feature):
    """Each stage runs its part of the schedule; what is done to the MODEL afterwards holds for all of them."""

    stages: tuple[Stage, ...]

    name = "Pusa Stages"
    key = "pusa_experts"
    changes = frozenset({Aspect.EXPERTS})
    relies_on = frozenset({Aspect.EXPERTS})
    needs = ("WrappersMP", "CFGGuider", "KSAMPLER")
    some = "part of the stages"
    remedy = "Connect the loaded models themselves, or chain Pusa Stages by its input earlier."

    def settings(self) -> Any:
        # the first stage's model is the patcher that carries this feature
        return [(stage.end, stage.cfg) for stage in self.stages], [
            model_identity(model) for model in self.models_inside()
        ]

    def models_inside(self) -> tuple[Any, ...]:
        return tuple(stage.model for stage in self.stages[1:])

    def check(self, patcher: Any) -> None:
        of_first = {one.fingerprint for one in features_of(patcher)}
        for model in self.models_inside():
            for one in features_of(model):
                if one.of_whole_runs and one.fingerprint not in of_first:
                    raise PusaError(
                        f"{one.name} acts on a whole run, and on a later model it would do nothing. Connect it after {self.name}, or before it to "
                        "the first model."
                    )

    def hooks(self, patcher: Any) -> Hooks:
        return Hooks(wrappers={symbols.WrappersMP.OUTER_SAMPLE: StagedRun(self)})

    def later_models(self, staged: Any) -> list[Any]:
        """The models of the stages after the first, with all that was done to the MODEL `staged` after it was joined."""
        applied = features_of(staged)
        since = applied[applied.index(self) + 1 :]
        models = []
        for later in self.models_inside():
            # ComfyUI samples hook LoRAs on a copy without dynamic VRAM (CFGGuider.inner_set_conds, 0.18 and later)
            delegated = _is_dynamic(later) and not _is_dynamic(staged)
            model = later.get_non_dynamic_delegate() if delegated else later.clone()
            carry_over(self.stages[0].model, staged, model)
            theirs = others_object_patches(model)
            model.force_cast_weights = model.force_cast_weights or staged.force_cast_weights
            for feature in since:
                put(model, feature, feature.carry_to)
            for name in theirs.keys() & others_object_patches(staged).keys():
                model.add_object_patch(name, theirs[name])  # on `staged` they are on top of the features'
            models.append(model)
        self._check_alike([staged, *models])
        return models

    def _check_alike(self, models: list[Any]) -> None:
        """Refuse models of which one has what only all together can have."""
        multipliers = [multipliers_of(model) for model in models]
        if len({each is None for each in multipliers}) > 1:
            raise PusaError(
                f"Only {self.some} has vectorized timesteps. Put Apply Vectorized Timesteps once, after {self.name}."
            )
        first = multipliers[0]
        if first is not None and not all(torch.equal(first, each) for each in multipliers[1:]):
            raise PusaError(
                f"The models have vectorized timesteps of different latents. Put Apply Vectorized Timesteps once, after {self.name}."
            )
        if len({feature_of(model, LoopRoll) for model in models}) > 1:
            raise PusaError(
                f"Only {self.some} has Loop Model, or another roll. Put Loop Model once, after {self.name}."
            )


def _is_dynamic(patcher: Any) -> bool:
    """Whether ComfyUI keeps this model's weights by dynamic VRAM; no version before 0.18 does."""
    return hasattr(patcher, "is_dynamic") and patcher.is_dynamic()


class StagedRun:
    """OUTER_SAMPLE wrapper: one run of a sampler over all stages."""

    def __init__(self, feature: Stages):
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
        guider, stages = executor.class_obj, self.feature.stages
        if any(stage.end and stage.end.steps for stage in stages) and not bool(noise.any()):
            raise PusaError(
                f"A model of {self.feature.name} ends after a number of steps, but this sampler goes on from another one's latent, where they "
                "would be counted anew. Set steps to 0 and until_sigma instead."
            )
        parts = split_schedule(sigmas, [stage.end for stage in stages[:-1]])
        # made before the first step, so that what cannot run is said before minutes have passed
        models = [None, *self.feature.later_models(guider.model_patcher)]
        running = [
            (stage, model, part)
            for stage, model, part in zip(stages, models, parts, strict=True)
            if len(part) > 1
        ]
        if len(running) > 1:
            for _, _, part in running:
                check_part(sampler, part)
        whole = schedule_of(guider, sigmas)
        reference = MaskReference(whole) if denoise_mask is not None and len(running) > 1 else None
        done, steps = 0, len(sigmas) - 1
        for number, (stage, model, part) in enumerate(running):
            progress = count_from(callback, done, steps)
            used = sampler if reference is None else reference.used_by(sampler, first=number == 0)
            if number:
                noise = torch.zeros_like(noise)
                # a further run with fresh noise must not repeat the first one's
                seed = None if seed is None else (seed + 1) % SEEDS
            rest = (noise, latent_image, used, part.clone(), denoise_mask, progress, disable_pbar, seed)
            if model is None:
                with using_cfg(guider, stage.cfg, stage.cfg_name), told_schedule(guider, whole):
                    latent_image = executor(*rest, **kwargs)
            else:
                latent_image = self._on_another(guider, model, stage, rest, whole)
            done += len(part) - 1
        return latent_image

    def _on_another(
        self, guider: Any, model: Any, stage: Stage, arguments: tuple[Any, ...], whole: Tensor
    ) -> Tensor:
        """A whole run of a copy of the guider on another model."""
        guider = copy.copy(guider)
        guider.model_patcher = model
        guider.model_options = model.model_options
        with using_cfg(guider, stage.cfg, stage.cfg_name), told_schedule(guider, whole):
            return guider.sample(*arguments)


def join_stages(earlier: Any, later: Any, end: StageEnd, earlier_cfg: float, later_cfg: float) -> Any:
    """One MODEL that runs `earlier` up to its end and then `later`; `earlier` may hold stages already."""
    of_earlier, of_later = base_of(earlier), base_of(later)
    if of_earlier is not of_later:
        raise PusaError(
            f"earlier is {of_earlier.title} and later {of_later.title}: their latents differ. Use two models of one base."
        )
    if feature_of(later, Stages) is not None:
        raise PusaError(
            "later already holds several models. Chain Pusa Stages the other way: the model with stages goes into earlier."
        )
    held = feature_of(earlier, Stages)
    if held is None:
        stages = [Stage(earlier, end, earlier_cfg, "earlier_cfg")]
    else:
        if earlier_cfg:
            raise PusaError(
                f"earlier_cfg is {earlier_cfg}, but earlier holds {len(held.stages)} stages with guidance of their own. Set it to 0."
            )
        before = held.stages[-2].end
        assert before is not None
        if not before.steps and not end.steps and end.sigma >= before.sigma:
            raise PusaError(
                f"until_sigma is {end.sigma:g}, but the last model of earlier only begins below {before.sigma:g}, so it would never run. Set "
                f"until_sigma below {before.sigma:g}."
            )
        earlier, models = without_stages(earlier, held), held.later_models(earlier)
        stages = [
            replace(stage, model=model) for stage, model in zip(held.stages, [earlier, *models], strict=True)
        ]
        stages[-1] = replace(stages[-1], end=end)
    return apply(earlier, Stages((*stages, Stage(later, None, later_cfg, "later_cfg"))))


def without_stages(model: Any, feature: Stages) -> Any:
    """A clone of the MODEL that is its first stage alone, with all that was done to it."""
    alone = model.clone()
    feature.detach(alone)
    alone.set_attachments(FEATURES, tuple(one for one in features_of(model) if one is not feature))
    return alone


def count_from(
    callback: Callable[..., None] | None, first_step: int, steps: int
) -> Callable[..., None] | None:
    """The callback of a whole run of `steps`, for the part of it that begins at `first_step`."""
    if callback is None:
        return None
    return lambda step, x0, x, _: callback(first_step + step, x0, x, steps)


@contextmanager
def using_cfg(guider: Any, cfg: float, name: str) -> Iterator[None]:
    """Guidance of one stage: 0 leaves the guider's own, 1 needs no negative prompt."""
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
