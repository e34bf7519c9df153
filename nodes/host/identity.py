"""What tells one loaded model from another: an interrupted video goes on with its own model, a merged file is found again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import comfy.hooks
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...pusa_core.digest import digest
from .features import features_of, others_hooks, others_object_patches
from .parameters import as_loaded, original_parameters, pieces


def model_identity(model: Any) -> str:
    """A name of a MODEL: weights, LoRAs, features, and the values of what other nodes added; the same in every session.

    16 elements of every weight and of every LoRA in memory are looked at, so loading a 14B model takes far longer than this.
    """
    return digest(
        {
            "weights": _original_weights(model),
            "features": [feature.fingerprint for feature in features_of(model)],
            "options": model.model_options,
            "object patches": others_object_patches(model),
            "wrappers": others_hooks(model.wrappers),
            "callbacks": others_hooks(model.callbacks),
            "compute type": model.model.manual_cast_dtype,
        }
        | ({"injections": model.injections} if model.injections else {}),
        sampled=True,
        name_of=_name_of,
    )


def weights_identity(model: Any) -> str:
    """A name of a MODEL's weights and the patches on them, the same in every session; looks at as much as model_identity."""
    return digest(_original_weights(model), sampled=True)


def vae_identity(vae: Any) -> str:
    """A name of a VAE's weights; another pack's VAE without ComfyUI's first_stage_model counts by its class and settings."""
    model = getattr(vae, "first_stage_model", None)
    return digest(vae if model is None else model.state_dict(), sampled=True)


def text_encoder_identity(clip: Any) -> str:
    """A name of a CLIP's weights as loaded, the patches and hooks on them; another pack's without ComfyUI's parts counts by its class and settings."""
    model, patcher = getattr(clip, "cond_stage_model", None), getattr(clip, "patcher", None)
    if model is None or patcher is None:
        return digest(clip, sampled=True)
    settings = getattr(clip, "layer_idx", None), getattr(clip, "tokenizer_options", None)
    parts = [model.state_dict() | as_loaded(patcher), patcher.patches, settings]
    hooks = [getattr(clip, name, None) for name in ("apply_hooks_to_conds", "use_clip_schedule")]
    hooks.append(getattr(patcher, "forced_hooks", None))
    return digest(parts + ([hooks] if any(hooks) else []), sampled=True, name_of=_name_of)


def value_identity(value: Any) -> str:
    """A name of a value that another node left in a MODEL, the same for equal settings."""
    return digest(value, name_of=_name_of)


def _name_of(value: Any) -> str | None:
    """Of a ModelPatcher its weights, of a hook what it was made with; what else they hold is the state of a session."""
    if isinstance(value, ModelPatcher):
        return weights_identity(value)
    if isinstance(value, comfy.hooks.Hook):
        return digest(_made_with(value), sampled=True, name_of=_name_of)
    return None


OF_A_RUN = ("hook_ref", "hook_keyframe", "weights", "weights_clip", "need_weight_init")
"""Attributes of a hook that sampling changes, or that are looked at otherwise."""


def _made_with(hook: Any) -> list[Any]:
    """Kind, settings, both strengths, keyframes and weights of a hook; sampling renames its weights, so they count without their names."""
    settings = {
        name: value for name, value in vars(hook).items() if not name.startswith("_") and name not in OF_A_RUN
    }
    strengths = [getattr(hook, name, None) for name in ("_strength_model", "_strength_clip")]
    keyframes = [
        (each.strength, each.start_percent, each.guarantee_steps)
        for each in getattr(hook.hook_keyframe, "keyframes", ())
    ]
    weights = [getattr(hook, name, None) for name in ("weights", "weights_clip")]
    named = sorted(digest(tensor, sampled=True) for tensor in _matrices(weights))
    return [type(hook).__qualname__, settings, strengths, keyframes, named]


def _matrices(value: Any) -> Iterator[Tensor]:
    """The tensors of two dimensions or more in a nested value, also in ComfyUI's weight adapters; alphas are numbers in some forms."""
    if isinstance(value, Tensor):
        if value.ndim > 1:
            yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _matrices(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _matrices(each)
    elif hasattr(value, "weights"):
        yield from _matrices(value.weights)


def _original_weights(model: Any) -> dict[str, list[Any]]:
    """The weights as loaded, each with its patches, also while LoRAs are merged into them; nothing of a LoRA on disk is read."""
    return {
        name: [*pieces(name, weight).values(), *model.patches.get(name, ())]
        for name, weight in original_parameters(model).items()
    }
