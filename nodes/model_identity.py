"""What tells one loaded model from another, so that an interrupted video only goes on with the model it was begun with."""

from __future__ import annotations

from typing import Any

from ..pusa_core.digest import digest
from .comfy_hooks import experts_of


def model_identity(model: Any) -> str:
    """A name of a MODEL's weights, LoRAs and options, the same in every session.

    16 elements of every weight and LoRA are looked at, so loading a 14B model takes far longer than this. Weights come from
    get_key_patches, which gives the originals also while LoRAs are merged into them.
    """
    switch = experts_of(model)
    experts = [] if switch is None else [
        model_identity(switch.low), switch.boundary, switch.high_cfg, switch.low_cfg
    ]  # fmt: skip
    weights = {key: _plain(entries) for key, entries in model.get_key_patches("diffusion_model.").items()}
    wrappers = {
        kind: [str(key) for key, added in keyed.items() if added] for kind, keyed in model.wrappers.items()
    }
    return digest(
        [
            weights,
            model.model_options,
            model.object_patches,
            wrappers,
            experts,
            model.model.manual_cast_dtype,
        ],
        sampled=True,
    )


def vae_identity(vae: Any) -> str:
    """A name of a VAE's weights; of another pack's VAE without ComfyUI's first_stage_model only its class counts."""
    model = getattr(vae, "first_stage_model", None)
    return digest(vae if model is None else model.state_dict(), sampled=True)


def _plain(entries: list[Any]) -> list[Any]:
    """The weight itself, which comes as (weight, conversion), and its patches."""
    weight, *patches = entries
    return [weight[0] if isinstance(weight, tuple) else weight, *patches]
