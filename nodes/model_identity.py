"""What tells one loaded model from another: an interrupted video goes on with its own model, a merged file is found again."""

from __future__ import annotations

from typing import Any

from ..pusa_core.digest import digest
from .comfy_hooks import experts_of


def model_identity(model: Any) -> str:
    """A name of a MODEL's weights, LoRAs and options, the same in every session.

    16 elements of every weight and LoRA are looked at, so loading a 14B model takes far longer than this.
    """
    switch = experts_of(model)
    experts = [] if switch is None else [
        model_identity(switch.low), switch.boundary, switch.high_cfg, switch.low_cfg
    ]  # fmt: skip
    wrappers = {
        kind: [str(key) for key, added in keyed.items() if added] for kind, keyed in model.wrappers.items()
    }
    return digest(
        [
            _original_weights(model),
            model.model_options,
            model.object_patches,
            wrappers,
            experts,
            model.model.manual_cast_dtype,
        ],
        sampled=True,
    )


def weights_identity(model: Any) -> str:
    """A name of a MODEL's weights and the patches on them, the same in every session; looks at as much as model_identity."""
    return digest(_original_weights(model), sampled=True)


def vae_identity(vae: Any) -> str:
    """A name of a VAE's weights; of another pack's VAE without ComfyUI's first_stage_model only its class counts."""
    model = getattr(vae, "first_stage_model", None)
    return digest(vae if model is None else model.state_dict(), sampled=True)


def _original_weights(model: Any) -> dict[str, list[Any]]:
    """The weights as loaded, each with its patches, also while LoRAs are merged into them.

    As ModelPatcher.get_key_patches, which goes by the state dict: GGUF loaders put names there that no weight has.
    """
    weights = {}
    for name, parameter in model.model.named_parameters(remove_duplicate=False):
        if name.startswith("diffusion_model."):
            merged, hooked = model.backup.get(name), model.hook_backup.get(name)
            original = parameter if merged is None else merged.weight
            original = original if hooked is None else hooked[0]
            weights[name] = [original, *model.patches.get(name, ())]
    return weights
