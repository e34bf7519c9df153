"""The parameters of a MODEL as they were loaded, also while LoRAs are in them, and the plain tensors each is made of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

DIT = "diffusion_model."


def original_parameters(model: Any) -> dict[str, Tensor]:
    """The diffusion model's parameters by their names in the MODEL (diffusion_model.blocks.0...), as loaded. Copies nothing."""
    return {name: weight for name, weight in as_loaded(model).items() if name.startswith(DIT)}


def as_loaded(patcher: Any) -> dict[str, Tensor]:
    """All parameters of a patcher's model, also while LoRAs and hooks are merged into them. Copies nothing.

    As ModelPatcher.get_key_patches, which goes by the state dict: GGUF loaders and ComfyUI's quantised layers put names there
    that are no parameters.
    """
    originals = {}
    for name, parameter in patcher.model.named_parameters(remove_duplicate=False):
        patched, hooked = patcher.backup.get(name), patcher.hook_backup.get(name)
        if patched is not None:
            originals[name] = patched.weight  # a hook's backup of it would hold the LoRAs
        else:
            originals[name] = parameter if hooked is None else hooked[0]
    return originals


def is_plain(weight: Tensor) -> bool:
    """Whether a weight is no more than its numbers."""
    return type(weight) in (Tensor, torch.nn.Parameter)


def pieces(name: str, weight: Tensor) -> dict[str, Tensor]:
    """The plain tensors of a weight as a model file names them: itself, or the numbers and scales of ComfyUI's QuantizedTensor.

    Their names begin with the weight's: X.weight, X.weight_scale.
    """
    if is_plain(weight) or not hasattr(weight, "state_dict"):
        return {name: weight}
    found: dict[str, Tensor] = weight.state_dict(name)
    return found


def own_copy(weight: Tensor, device: torch.device) -> Tensor:
    """A weight in memory of its own on a device. A quantised tensor's `to(copy=True)` does not copy where nothing else changes."""
    return weight.to(device, copy=True) if is_plain(weight) else weight.detach().clone().to(device)
