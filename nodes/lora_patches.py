"""LoRA changes as ComfyUI weight patches: the one place here that knows ModelPatcher and its weight adapters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import torch
from comfy.weight_adapter import LoRAAdapter, WeightAdapterBase

from ..pusa_core.lora.contents import Change
from ..pusa_core.lora.experts import LoraFacts
from ..pusa_core.lora.weight_files import WeightFile

FACTS = "pusa_loras"
"""Attachment of a patched model: a tuple of LoraFacts, one per loader, in order."""

DIT = "diffusion_model."


class PairOnDisk(LoRAAdapter):
    """ComfyUI's LoRA adapter whose two matrices are read from the file when a weight is computed, then let go.

    The maths, fp8, offload and GGUF stay ComfyUI's; only `weights` differs, so that a 10 GB file needs the
    memory of one layer.
    """

    def __init__(self, loaded_keys: set[str], weights: Any):
        """weights: (file, change), or the tuple of tensors that newer ComfyUI makes when it moves an adapter."""
        self.loaded_keys = loaded_keys
        self.source = weights

    @property
    def weights(self) -> Any:
        """ComfyUI's tuple: up [rows, rank], down [rank, columns], .alpha or None, and three unused places."""
        if len(self.source) != 2:
            return self.source
        file, change = self.source
        up, down = (file.read(key) for key in change.keys)
        return (up, down, change.alpha, None, None, None)


@dataclass
class DiffOnDisk(WeightAdapterBase):
    """A whole difference, read from the file when a weight is computed: weight + strength * diff."""

    file: WeightFile
    change: Change
    name = "diff"

    @property
    def loaded_keys(self) -> set[str]:
        return set(self.change.keys)

    @property
    def weights(self) -> tuple[torch.Tensor]:
        return (self.file.read(self.change.keys[0]),)

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
    """Names and shapes of the diffusion model's parameters, Wan's own names. Copies no weights."""
    return {
        name.removeprefix(DIT): tuple(tensor.shape)
        for name, tensor in model.model.state_dict().items()
        if name.startswith(DIT)
    }


def lora_facts(model: Any) -> tuple[LoraFacts, ...]:
    """What our loaders did to this model so far, first loader first."""
    return model.get_attachment(FACTS) or ()


def with_lora(model: Any, file: WeightFile, changes: Iterable[Change], facts: LoraFacts) -> Any:
    """A clone of the model that adds the changes, times facts.strength, and remembers the facts."""
    patched = model.clone()
    through_core: dict[str, Any] = {}
    for change in changes:
        name = DIT + change.parameter
        if not change.parameter.endswith((".weight", ".bias")):
            _add_to_bare_parameter(patched, name, file.read(change.keys[0]), facts.strength)
        elif change.rank is None:
            through_core[name] = DiffOnDisk(file, change)
        else:
            through_core[name] = PairOnDisk(set(change.keys), (file, change))
    patched.add_patches(through_core, facts.strength)
    patched.set_attachments(FACTS, (*lora_facts(model), facts))
    return patched


def _add_to_bare_parameter(patched: Any, name: str, diff: torch.Tensor, strength: float) -> None:
    """Replace a parameter that hangs on a block itself, such as blocks.0.modulation, by its sum with diff.

    ModelPatcher.load patches leaf modules only ("skip random weights in non leaf modules", _load_list), so a
    weight patch on `modulation` is accepted and never applied. An object patch is applied, and restored.
    """
    old = patched.get_model_object(name)
    total = old.detach().to("cpu", torch.float32) + strength * diff.to(torch.float32).reshape(old.shape)
    patched.add_object_patch(name, torch.nn.Parameter(total, requires_grad=False))
