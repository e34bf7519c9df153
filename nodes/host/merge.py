"""A second model whose weights hold what the weight patches of a MODEL add, through ComfyUI's own maths and loader.

Each weight is computed as ModelPatcher.patch_weight_to_device does it, from the original and without touching it; the second
model is ComfyUI's own, so that its manager loads, offloads and frees it like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.utils
import psutil
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...pusa_core.errors import PusaError
from ...pusa_core.merged_files import size_text
from ...pusa_core.safetensors_stream import DTYPE_NAMES
from . import symbols
from .features import Aspect, Feature, check_pairs, features_of, put, remember
from .lora_patches import DIT, MERGED_PATCHES, LoraOnDisk, is_bare, patches_of_others
from .transfer import carry_over

SCALED_FP8 = "scaled_fp8"
"""Entry of a file that tells ComfyUI's loader of fp8 weights with a scale each; no weight of the model."""

CARRIED = ("load_device", "offload_device", "force_cast_weights", "hook_mode", "forced_hooks", "hook_patches")
"""Attributes of a ModelPatcher that carry_over leaves to its caller."""

MERGE_FIRST = (
    "Merge the LoRAs into the model as it was before that (bf16, fp16 or fp8), or leave this node out: "
    "ComfyUI then applies them while it samples."
)


class MergedWeights:
    """The weights of a MODEL as they are once ComfyUI has loaded it with its patches, computed one at a time."""

    def __init__(self, model: ModelPatcher):
        require_mergeable(model)
        self.model = model
        originals = model.get_key_patches(DIT)  # also while patches are in the weights
        self.originals: dict[str, Tensor] = {key: entries[0][0] for key, entries in originals.items()}
        for key, weight in self.originals.items():
            require_plain(key, weight)
        bare = bool(model.get_callbacks(symbols.CallbacksMP.ON_LOAD, LoraOnDisk.key))
        self.patched = [key for key in model.patches if key in self.originals and (bare or not is_bare(key))]
        self.marker = _scaled_fp8_marker(model)
        for key in self.patched:
            _require_setter(model, key)

    @property
    def names(self) -> list[str]:
        """Names as in a model file, wide types first."""
        originals = {key.removeprefix(DIT): weight for key, weight in self.originals.items()} | self.marker
        return sorted(originals, key=lambda name: (-originals[name].dtype.itemsize, name))

    @property
    def nbytes(self) -> int:
        return sum(weight.nbytes for weight in self.originals.values())

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        """(name, weight) in the order of `names`; those without a patch are the original's own memory."""
        patched = set(self.patched)
        for name in self.names:
            if name in self.marker:
                yield name, self.marker[name]
            else:
                yield name, self._compute(DIT + name) if DIT + name in patched else self.originals[DIT + name]

    def _compute(self, key: str) -> Tensor:
        """One patched weight, as ModelPatcher.patch_weight_to_device computes it, on the device it would use."""
        original, device = self.originals[key], self.model.load_device
        _, set_function, convert_function = symbols.get_key_weight(self.model.model, key)
        weight = comfy.model_management.cast_to_device(original, device, torch.float32, copy=True)
        if convert_function is not None:
            weight = convert_function(weight, inplace=True)
        weight = symbols.calculate_weight(self.model.patches[key], weight, key)
        if weight.shape != original.shape:
            raise PusaError(
                f"A patch changes the shape of {key} from {list(original.shape)} to {list(weight.shape)}, which makes it "
                "another model. Leave Merge LoRAs out, or take out the node that patches it."
            )
        seed = symbols.string_to_seed(key)
        if set_function is not None:
            return set_function(weight, seed=seed, return_weight=True)
        return symbols.stochastic_rounding(weight, original.dtype, seed=seed)


@dataclass(frozen=True)
class MergedLoras(Feature):
    """The LoRAs that stand before it are in the weights; what is in them counts as the weights do."""

    name = "Merge LoRAs"
    key = "pusa_merged"
    changes = frozenset({Aspect.WEIGHTS})
    relies_on = frozenset({Aspect.EXPERTS})
    needs = (
        "get_key_weight", "calculate_weight", "stochastic_rounding", "string_to_seed",
        "load_diffusion_model", "load_diffusion_model_state_dict",
    )  # fmt: skip
    remedy = "Connect Merge LoRAs before Wan2.2 MoE Switch, once for each expert."

    def settings(self) -> Any:
        return None


def require_mergeable(model: ModelPatcher) -> None:
    """Refuse what this node cannot do: two experts at once, another pack's weights, replaced modules."""
    symbols.require(MergedLoras.name, MergedLoras.needs)
    check_pairs(MergedLoras(), features_of(model))
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


def require_plain(key: str, weight: Tensor) -> None:
    """Refuse a weight that is more than its numbers, such as a quantised tensor."""
    if type(weight) not in (Tensor, torch.nn.Parameter) or weight.dtype not in DTYPE_NAMES:
        kind = f"{type(weight).__name__}, {str(weight.dtype).removeprefix('torch.')}"
        raise PusaError(
            f"{key.removeprefix(DIT)} is kept in quantised form ({kind}), which a LoRA cannot be merged into. {MERGE_FIRST}"
        )


def _require_setter(model: ModelPatcher, key: str) -> None:
    """Refuse a layer with a way of its own to store weights that cannot give one back without storing it."""
    _, set_function, _ = symbols.get_key_weight(model.model, key)
    if set_function is not None and "return_weight" not in signature(set_function).parameters:
        owner = type(getattr(set_function, "__self__", set_function)).__name__
        raise PusaError(
            f"{key.removeprefix(DIT)} is stored in a way of its own ({owner}) that this ComfyUI cannot merge into. {MERGE_FIRST}"
        )


def merge_in_memory(weights: MergedWeights, progress: Callable[[], None]) -> ModelPatcher:
    """The merged MODEL. Memory grows by one model and, while it runs, one layer; progress: called after each weight."""
    require_memory(weights)
    base = weights.model.model
    # the shapes alone, each without memory of its own: ComfyUI's loader builds the model, then each weight takes its place
    shapes = {
        name: torch.zeros((), dtype=weight.dtype).expand(weight.shape)
        for name, weight in ((key.removeprefix(DIT), weight) for key, weight in weights.originals.items())
    }
    merged = symbols.load_diffusion_model_state_dict({**shapes, **weights.marker}, _loader_options(base))
    require_same(weights, merged)
    for name, weight in _computed(weights, progress):
        if name not in weights.marker:
            own = weight.to(merged.offload_device, copy=True)
            comfy.utils.set_attr_param(merged.model, DIT + name, own)
    return _finished(weights, merged)


def merge_from_file(weights: MergedWeights, path: Path) -> ModelPatcher:
    """The merged MODEL from a file that holds `weights`."""
    require_memory(weights, path)
    merged = symbols.load_diffusion_model(str(path), _loader_options(weights.model.model))
    require_same(weights, merged)
    return _finished(weights, merged)


def for_a_file(weights: MergedWeights, progress: Callable[[], None]) -> Iterator[tuple[str, Tensor]]:
    """(name, weight on the CPU), each as it is computed."""
    for name, weight in _computed(weights, progress):
        yield name, weight.detach().to("cpu")


def require_memory(weights: MergedWeights, path: Path | None = None) -> None:
    """Refuse a second model that neither memory nor swap has room for; path: where it lies in a file already."""
    if weights.model.offload_device.type != "cpu":
        return
    free = psutil.virtual_memory().available + psutil.swap_memory().free
    if weights.nbytes < free:
        return
    remedy = (
        "Set keep to in a file: it is written with little memory, and you can then load it without the base model."
        if path is None
        else f"It lies in {path}: load it with Load Diffusion Model, without the base model, its LoRA loaders and this node."
    )
    raise PusaError(
        f"The merged model takes {size_text(weights.nbytes)} of memory beside the base model, and {size_text(free)} are free. {remedy}"
    )


def require_same(weights: MergedWeights, merged: ModelPatcher | None) -> None:
    """Refuse to go on if ComfyUI's loader took the weights for another kind of model than the one they come from."""
    wanted = {
        key.removeprefix(DIT): (weight.shape, weight.dtype) for key, weight in weights.originals.items()
    }
    base = weights.model.model
    if merged is None or type(merged.model) is not type(base) or merged.model.model_type != base.model_type:
        found = "no model" if merged is None else type(merged.model).__name__
    elif wanted != {
        name: (weight.shape, weight.dtype)
        for name, weight in merged.model.diffusion_model.state_dict().items()
    }:
        found = f"{type(merged.model).__name__} with other weights"
    else:
        return
    raise PusaError(
        f"ComfyUI's loader makes {found} of this model's weights ({type(base).__name__}), so they cannot be merged into a "
        "model of their own. Leave Merge LoRAs out: ComfyUI then applies the LoRAs while it samples."
    )


def _computed(weights: MergedWeights, progress: Callable[[], None]) -> Iterator[tuple[str, Tensor]]:
    """The weights, with room made on the device and a look at the interrupt before each."""
    device = weights.model.load_device
    if device.type != "cpu":
        largest = max(weight.numel() for weight in weights.originals.values())
        comfy.model_management.free_memory(4 * torch.float32.itemsize * largest, device)
    for name, weight in weights:
        comfy.model_management.throw_exception_if_processing_interrupted()
        yield name, weight
        progress()


def _finished(weights: MergedWeights, merged: ModelPatcher) -> ModelPatcher:
    """`merged` with all that the given MODEL had besides the patches that are in the weights now."""
    rest = weights.model.clone()
    others = patches_of_others(rest)
    for key in weights.patched:
        del rest.patches[key]
    for name in CARRIED:
        setattr(merged, name, getattr(rest, name))
    carry_over(merged.clone(), rest, merged, same_weights=True)
    features = features_of(rest)
    for feature in features:
        if not isinstance(feature, LoraOnDisk):
            put(merged, feature, feature.attach)
    remember(merged, (*features, MergedLoras()))
    for name, functions in rest.weight_wrapper_patches.items():
        for function in functions:
            merged.add_weight_wrapper(name, function)
    for key, models in rest.additional_models.items():
        merged.set_additional_models(key, models)
    for key, attachment in rest.attachments.items():
        merged.set_attachments(key, attachment)
    merged.set_attachments(MERGED_PATCHES, others)
    return merged


def _loader_options(base: Any) -> dict[str, Any]:
    """What ComfyUI's loader must be told to keep the base model's types."""
    options = {"dtype": base.get_dtype()}
    if base.model_config.optimizations.get("fp8") and getattr(base.model_config, SCALED_FP8, None) is None:
        options["fp8_optimizations"] = True
    return options


def _scaled_fp8_marker(model: ModelPatcher) -> dict[str, Tensor]:
    """The entry that makes ComfyUI's loader keep a scale for each weight; two elements: no fp8 products (sd.py)."""
    config = model.model.model_config
    kept = getattr(config, SCALED_FP8, None)
    return (
        {}
        if kept is None
        else {SCALED_FP8: torch.zeros(0 if config.optimizations.get("fp8") else 2, dtype=kept)}
    )
