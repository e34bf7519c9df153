"""What tells one loaded model from another: an interrupted video goes on with its own model, a merged file is found again."""

from __future__ import annotations

from typing import Any

from comfy.model_patcher import ModelPatcher

from ...pusa_core.digest import digest
from .features import features_of, others_hooks, others_object_patches
from .parameters import original_parameters, pieces


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
        name_of=_name_of_patcher,
    )


def weights_identity(model: Any) -> str:
    """A name of a MODEL's weights and the patches on them, the same in every session; looks at as much as model_identity."""
    return digest(_original_weights(model), sampled=True)


def vae_identity(vae: Any) -> str:
    """A name of a VAE's weights; another pack's VAE without ComfyUI's first_stage_model counts by its class and settings."""
    model = getattr(vae, "first_stage_model", None)
    return digest(vae if model is None else model.state_dict(), sampled=True)


def text_encoder_identity(clip: Any) -> str:
    """A name of a CLIP's weights and the patches on them; another pack's without ComfyUI's parts counts by its class and settings."""
    model, patcher = getattr(clip, "cond_stage_model", None), getattr(clip, "patcher", None)
    if model is None or patcher is None:
        return digest(clip, sampled=True)
    settings = getattr(clip, "layer_idx", None), getattr(clip, "tokenizer_options", None)
    return digest([model.state_dict(), patcher.patches, settings], sampled=True)


def value_identity(value: Any) -> str:
    """A name of a value that another node left in a MODEL, the same for equal settings."""
    return digest(value, name_of=_name_of_patcher)


def _name_of_patcher(value: Any) -> str | None:
    """The weights of a ModelPatcher inside an option or a closure; what else it holds is the state of a session."""
    return weights_identity(value) if isinstance(value, ModelPatcher) else None


def _original_weights(model: Any) -> dict[str, list[Any]]:
    """The weights as loaded, each with its patches, also while LoRAs are merged into them; nothing of a LoRA on disk is read."""
    return {
        name: [*pieces(name, weight).values(), *model.patches.get(name, ())]
        for name, weight in original_parameters(model).items()
    }
