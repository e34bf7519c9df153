"""LoRA changes as ComfyUI weight patches: the one place here that knows ModelPatcher and its weight adapters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import comfy.model_management
import torch
from comfy.patcher_extension import CallbacksMP
from comfy.weight_adapter import LoRAAdapter, WeightAdapterBase
from torch import Tensor

from ..pusa_core.lora.contents import Change
from ..pusa_core.lora.experts import LoraFacts
from ..pusa_core.lora.weight_files import WeightFile

FACTS = "pusa_loras"
"""Attachment of a patched model: a tuple of LoraFacts, one per loader, in order."""

BARE_PARAMETERS = "pusa_bare_parameters"
"""Key of the callback that applies patches of parameters ComfyUI's loader passes over."""

MERGED_PATCHES = "pusa_merged_patches"
"""Attachment of a merged model: how many of its weights carry patches of other loaders than ours."""

DIT = "diffusion_model."


class PairOnDisk(LoRAAdapter):
    """ComfyUI's LoRA adapter whose two matrices are read from the file when a weight is computed, then let go.

    The maths, fp8, offload and GGUF stay ComfyUI's; only `weights` differs, so that a 10 GB file needs the
    memory of one layer.
    """

    def __init__(self, loaded_keys: set[str], weights: tuple[Any, ...]):
        """weights: (file, change), or a tuple of tensors where ComfyUI rebuilds an adapter from what it read."""
        self.loaded_keys = loaded_keys
        self.source = weights

    @property
    def weights(self) -> tuple[Any, ...]:
        """ComfyUI's tuple: up [rows, rank], down [rank, columns], .alpha or None, and three unused places."""
        if len(self.source) != 2:
            return self.source
        file, change = self.source
        up, down = (file.read(key) for key in change.keys)
        return (up, down, change.alpha, None, None, None)

    @weights.setter
    def weights(self, tensors: tuple[Any, ...]) -> None:
        self.source = tensors  # as code does that copies an adapter to move it to a device


class DiffOnDisk(WeightAdapterBase):
    """A whole difference, read from the file when a weight is computed: weight + strength * diff."""

    name = "diff"

    def __init__(self, loaded_keys: set[str], weights: tuple[Any, ...]):
        """weights: (file, change), or a tuple of one tensor."""
        self.loaded_keys = loaded_keys
        self.source = weights

    @property
    def weights(self) -> tuple[Tensor, ...]:
        if len(self.source) != 2:
            return self.source
        file, change = self.source
        return (file.read(change.keys[0]),)

    @weights.setter
    def weights(self, tensors: tuple[Tensor, ...]) -> None:
        self.source = tensors

    def calculate_weight(
        self,
        weight,
        key,
        strength,
        strength_model,
        offset,
        function,
        intermediate_dtype=torch.float32,
        original_weight=None,
    ):
        """The weight, in place, plus the difference in its shape."""
        diff = comfy.model_management.cast_to_device(self.weights[0], weight.device, intermediate_dtype)
        weight += function((strength * diff.reshape(weight.shape)).type(weight.dtype))
        return weight


def parameter_shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the diffusion model's parameters, Wan's own names. Copies no weights.

    Not from its state dict: GGUF loaders put packed bytes there, whose shape is not the weight's.
    """
    wan = model.model.diffusion_model
    return {name: tuple(parameter.shape) for name, parameter in wan.named_parameters(remove_duplicate=False)}


def lora_facts(model: Any) -> tuple[LoraFacts, ...]:
    """What our loaders did to this model so far, first loader first."""
    return model.get_attachment(FACTS) or ()


def is_ours(patch: Any) -> bool:
    """Whether a weight patch was made by our loaders."""
    return isinstance(patch, PairOnDisk | DiffOnDisk)


def patches_of_others(model: Any) -> int:
    """How many weights other loaders than ours changed, merged ones included."""
    waiting = sum(not all(is_ours(entry[1]) for entry in entries) for entries in model.patches.values())
    return waiting + (model.get_attachment(MERGED_PATCHES) or 0)


def with_lora(model: Any, file: WeightFile, changes: Iterable[Change], facts: LoraFacts) -> Any:
    """A clone of the model that adds the changes, times facts.strength, and remembers the facts."""
    patched = model.clone()
    pairs, differences = {}, {}  # apart: a layer may carry both, and add_patches takes one of each name
    for change in changes:
        kind, patches = (DiffOnDisk, differences) if change.rank is None else (PairOnDisk, pairs)
        patches[DIT + change.parameter] = kind(set(change.keys), (file, change))
    for patches in (pairs, differences):
        patched.add_patches(patches, facts.strength)
    if any(map(is_bare, (*pairs, *differences))):
        patched.remove_callbacks_with_key(CallbacksMP.ON_LOAD, BARE_PARAMETERS)
        patched.add_callback_with_key(CallbacksMP.ON_LOAD, BARE_PARAMETERS, patch_bare_parameters)
    patched.set_attachments(FACTS, (*lora_facts(model), facts))
    return patched


def patch_bare_parameters(patcher: Any, device: torch.device | None, *_: Any) -> None:
    """ON_LOAD callback: patch the parameters that hang on a block itself, such as blocks.0.modulation.

    ModelPatcher.load goes through leaf modules only ("skip random weights in non leaf modules", _load_list), so
    it accepts a patch on `modulation` and never applies it. The backup is ComfyUI's own: unloading restores it.
    """
    for name in patcher.patches:
        if is_bare(name) and name not in patcher.backup:
            patcher.patch_weight_to_device(name, device_to=device)


def is_bare(name: str) -> bool:
    """Whether a parameter is one that ComfyUI's loader passes over."""
    return not name.endswith((".weight", ".bias"))
