"""What the weights of a MODEL are once its patches are in them, through ComfyUI's own maths, one at a time.

Each weight is computed as ModelPatcher.patch_weight_to_device does it, from the original and without touching it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import signature
from typing import Any

import comfy.model_management
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...pusa_core.errors import PusaError
from ...pusa_core.safetensors_stream import DTYPE_NAMES
from . import symbols
from .features import Aspect, Feature, features_of, unreliable
from .lora_patches import LoraOnDisk, is_bare
from .parameters import DIT, is_plain, original_parameters, pieces

SCALED_FP8 = "scaled_fp8"
"""Entry of a file that tells ComfyUI's loader of fp8 weights with a scale each, until 0.3.x; no weight of the model."""

MERGE_FIRST = (
    "Merge the LoRAs into the model as it was before that (bf16, fp16 or fp8), or leave this node out: "
    "ComfyUI then applies them while it samples."
)


class MergedWeights:
    """The weights of a MODEL as they are once ComfyUI has loaded it with its patches, computed one at a time."""

    def __init__(self, model: ModelPatcher):
        require_mergeable(model)
        self.model = model
        self.originals = original_parameters(model)
        for key, weight in self.originals.items():
            require_known(model, key, weight)
        bare = bool(model.get_callbacks(symbols.CallbacksMP.ON_LOAD, LoraOnDisk.key))
        self.patched = [key for key in model.patches if key in self.originals and (bare or not is_bare(key))]
        for key in self.patched:
            _require_setter(model, key)
        self.parts = {
            name: part
            for key, weight in self.originals.items()
            for name, part in pieces(key.removeprefix(DIT), weight).items()
        }
        """Plain tensors as a model file names them, with the originals' numbers."""
        state = model.model.diffusion_model.state_dict()
        self.rest = {name: value for name, value in state.items() if name not in self.parts}
        """What a model file holds besides the parameters: how a layer is quantised."""
        self.marker = _scaled_fp8_marker(model)

    @property
    def names(self) -> list[str]:
        """Names as in a model file, wide types first."""
        entries = {**self.parts, **self.rest, **self.marker}
        return sorted(entries, key=lambda name: (-entries[name].dtype.itemsize, name))

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.parts.values())

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        """(name, weight), wide types first; those without a patch are the original's own memory, quantised ones stay so."""
        patched = set(self.patched)
        names = [key.removeprefix(DIT) for key in self.originals]
        for name in sorted(names, key=lambda name: (-self.parts[name].dtype.itemsize, name)):
            yield name, self._compute(DIT + name) if DIT + name in patched else self.originals[DIT + name]

    def _compute(self, key: str) -> Tensor:
        """One patched weight, as ModelPatcher.patch_weight_to_device computes it, on the device it would use."""
        original, device = self.originals[key], self.model.load_device
        _, set_function, convert_function = symbols.get_key_weight(self.model.model, key)
        weight = comfy.model_management.cast_to_device(original, device, compute_type(device), copy=True)
        if convert_function is not None:
            weight = convert_function(weight, inplace=True)
        weight = symbols.calculate_weight(self.model.patches[key], weight, key)
        if weight.shape != original.shape:
            raise PusaError(
                f"A patch changes the shape of {key} from {list(original.shape)} to {list(weight.shape)}, which makes it "
                "another model. Leave Merge LoRAs out, or take out the node that patches it."
            )
        seed = symbols.string_to_seed(key)
        if set_function is None:
            return symbols.stochastic_rounding(weight, original.dtype, seed=seed)
        try:
            return stored(set_function, weight, seed)
        except NotImplementedError as error:  # a form that ComfyUI reads and cannot write
            raise PusaError(_not_mergeable(key, original)) from error


def compute_type(device: torch.device) -> torch.dtype:
    """The type in which ComfyUI adds LoRAs to weights: float32, or since 0.12 what suits the device."""
    if symbols.missing(("lora_compute_dtype",)):
        return torch.float32
    return symbols.lora_compute_dtype(device)


ONCE_FOR_EACH = "Connect Merge LoRAs before Wan2.2 MoE Switch, once for each expert."


@dataclass(frozen=True)
class MergedLoras(Feature):
    """The LoRAs that stand before it are in the weights; what is in them counts as the weights do."""

    name = "Merge LoRAs"
    key = "pusa_merged"
    changes = frozenset({Aspect.WEIGHTS})
    needs = (
        "get_key_weight", "calculate_weight", "stochastic_rounding", "string_to_seed",
        "load_diffusion_model", "load_diffusion_model_state_dict",
    )  # fmt: skip

    def settings(self) -> Any:
        return None


def require_mergeable(model: ModelPatcher) -> None:
    """Refuse what this node cannot do: two experts at once, another pack's weights, replaced modules."""
    symbols.require(MergedLoras.name, MergedLoras.needs)
    for feature in features_of(model):
        if Aspect.EXPERTS in feature.changes:
            raise unreliable(feature, Aspect.EXPERTS, MergedLoras.name, ONCE_FOR_EACH)
    patcher, operations = type(model), model.model.model_config.custom_operations
    if patcher.patch_weight_to_device.__module__ != ModelPatcher.__module__ or operations is not None:
        made_by = patcher.__name__ if operations is None else operations.__name__
        raise PusaError(
            f"This model is kept in a form of its own ({made_by}; GGUF loaders do so) that a LoRA cannot be merged into. {MERGE_FIRST}"
        )
    replaced = [
        name
        for name, patch in model.object_patches.items()
        if isinstance(patch, torch.nn.Module) and name.partition(".")[0] == "diffusion_model"
    ]
    if replaced:
        raise PusaError(
            f"A node before Merge LoRAs replaced {replaced[0]} by a module of its own, which belongs to the model without the "
            "LoRAs. Connect Merge LoRAs before that node."
        )


def require_known(model: ModelPatcher, key: str, weight: Tensor) -> None:
    """Refuse a weight that is more than its numbers, unless its layer says how to get at them and how to keep others."""
    if not is_plain(weight):
        _, set_function, convert_function = symbols.get_key_weight(model.model, key)
        if set_function is None or convert_function is None or not hasattr(weight, "state_dict"):
            raise PusaError(_not_mergeable(key, weight))
    if any(part.dtype not in DTYPE_NAMES for part in pieces(key, weight).values()):
        raise PusaError(_not_mergeable(key, weight))


def _not_mergeable(key: str, weight: Tensor) -> str:
    kind = f"{type(weight).__name__}, {str(weight.dtype).removeprefix('torch.')}"
    return f"{key.removeprefix(DIT)} is kept in quantised form ({kind}), which a LoRA cannot be merged into. {MERGE_FIRST}"


def stored(set_function: Callable[..., Any], weight: Tensor, seed: int) -> Tensor:
    """A weight as its layer would store it. ComfyUI before 0.3.7x only stores, so there a twin of the layer is asked to."""
    if _gives_back(set_function):
        return set_function(weight, seed=seed, return_weight=True)
    layer = set_function.__self__
    twin = copy.copy(layer)
    twin.__dict__["_parameters"] = dict(layer._parameters)
    getattr(twin, set_function.__name__)(weight, inplace_update=False, seed=seed)
    return getattr(twin, set_function.__name__.removeprefix("set_")).data


def _gives_back(set_function: Callable[..., Any]) -> bool:
    """Whether a layer's own way to store a weight can give it back instead."""
    return "return_weight" in signature(set_function).parameters


def _require_setter(model: ModelPatcher, key: str) -> None:
    """Refuse a way to store weights that neither gives one back nor belongs to a layer, whose twin can be asked."""
    _, set_function, _ = symbols.get_key_weight(model.model, key)
    if set_function is None or _gives_back(set_function):
        return
    owner = getattr(set_function, "__self__", set_function)
    if not isinstance(owner, torch.nn.Module):
        raise PusaError(
            f"{key.removeprefix(DIT)} is stored in a way of its own ({type(owner).__name__}) that this ComfyUI cannot merge into. "
            f"{MERGE_FIRST}"
        )


def marker_type(model: ModelPatcher) -> torch.dtype | None:
    """The type of fp8 weights with a scale each, where ComfyUI's model config knows of them (it warns where it does not)."""
    config = model.model.model_config
    return getattr(config, SCALED_FP8, None) if hasattr(type(config), SCALED_FP8) else None


def _scaled_fp8_marker(model: ModelPatcher) -> dict[str, Tensor]:
    """The entry that makes ComfyUI's loader keep a scale for each weight; two elements: no fp8 products (sd.py)."""
    kept = marker_type(model)
    if kept is None:
        return {}
    fast = model.model.model_config.optimizations.get("fp8")
    return {SCALED_FP8: torch.zeros(0 if fast else 2, dtype=kept)}
