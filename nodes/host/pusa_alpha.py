"""The Pusa LoRAs of a MODEL at another alpha, wherever they were loaded: on the model, or on each stage of a switch."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from ...pusa_core.errors import PusaError
from ...pusa_core.lora.experts import PUSA
from .features import Feature, features_of, models_of, remember
from .lora_patches import LoraOnDisk, strength_replaced
from .merge import MergedLoras
from .stages import Stages


def has_pusa_lora(model: Any) -> bool:
    """Whether Pusa LoRA Loader put a LoRA on this MODEL or on one of its stages, and nothing merged it since."""
    return any(map(has_pusa_lora_of, _since_merging(model))) or any(
        has_pusa_lora(later)
        for feature in features_of(model)
        if isinstance(feature, Stages)
        for later in _later(feature)
    )


def has_pusa_lora_of(feature: Feature) -> bool:
    """Whether a feature is a LoRA of Pusa LoRA Loader."""
    return isinstance(feature, LoraOnDisk) and feature.facts.loader == PUSA


def with_pusa_alpha(model: Any, alpha: float) -> Any:
    """A clone of the MODEL whose Pusa LoRAs have this alpha, as if their loaders had been set to it."""
    if not has_pusa_lora(model):
        raise PusaError(
            "alphas are given, but Pusa LoRA Loader put no LoRA on this model (merged LoRAs are in the weights for good). Put the loader "
            "before this node, or empty alphas."
        )
    for each in models_of(model):
        if any(map(has_pusa_lora_of, features_of(each))) and not any(
            map(has_pusa_lora_of, _since_merging(each))
        ):
            raise PusaError(
                "alphas are given, but on one of the models Merge LoRAs has put the Pusa LoRA into the weights for good, so that the others "
                "alone would change. Take Merge LoRAs out, or empty alphas."
            )
    return _with_alpha(model, alpha)


def _with_alpha(model: Any, alpha: float) -> Any:
    clone, features = model.clone(), []
    in_patches = _since_merging(model)
    for feature in features_of(model):
        if has_pusa_lora_of(feature) and feature in in_patches:
            strength_replaced(clone, feature, alpha)
            feature = replace(feature, facts=replace(feature.facts, strength=alpha))
        elif isinstance(feature, Stages):
            stages = tuple(replace(stage, model=_with_alpha(stage.model, alpha)) for stage in feature.stages)
            feature = replace(feature, stages=stages)
            for kind, wrapper in feature.hooks(clone).wrappers.items():
                clone.wrappers[kind][feature.key] = [wrapper]  # in its place among those of other nodes
        features.append(feature)
    remember(clone, features)
    # ComfyUI patches the weights anew when this changes; the same graph must give the same value
    clone.patches_uuid = uuid.uuid5(model.patches_uuid, f"alpha {alpha}")
    return clone


def _since_merging(model: Any) -> tuple[Feature, ...]:
    """The features whose weights are patches still: those after the last Merge LoRAs."""
    features = features_of(model)
    merged = [place for place, feature in enumerate(features) if isinstance(feature, MergedLoras)]
    return features[merged[-1] + 1 :] if merged else features


def _later(feature: Stages) -> list[Any]:
    return [stage.model for stage in feature.stages[1:]]
