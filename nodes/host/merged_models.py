"""A second model whose weights hold what the weight patches of a MODEL add: in memory, or from a file.

It is ComfyUI's own model, from its own loader, so that its manager loads, offloads and frees it like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from ...pusa_core.safetensors_stream import aligned
from . import symbols
from .features import FEATURES, features_of, put, remember
from .lora_patches import MERGED_PATCHES, LoraOnDisk, patches_of_others
from .merge import MergedLoras, MergedWeights, marker_type
from .parameters import DIT, own_copy, pieces
from .transfer import carry_over

SCALES_OF_MXFP8 = "torch.float8_e8m0fnu"

CARRIED = ("load_device", "offload_device", "force_cast_weights", "hook_mode", "forced_hooks", "hook_patches")
"""Attributes of a ModelPatcher that carry_over leaves to its caller."""


def merge_in_memory(weights: MergedWeights, progress: Callable[[], None]) -> ModelPatcher:
    """The merged MODEL. Memory grows by one model and, while it runs, one layer; progress: called after each weight."""
    merged = _filled(weights, progress)
    if hasattr(merged, "cached_patcher_init"):
        merged.cached_patcher_init = (copy_of, (merged.clone(),))
    return _finished(weights, merged)


def copy_of(merged: ModelPatcher, disable_dynamic: bool = False) -> ModelPatcher:
    """Another model with the same weights, in memory of its own: what ComfyUI's cached_patcher_init gives, by reading the file again.

    ComfyUI samples such a copy for hook LoRAs under dynamic VRAM, and on every further GPU. merged: without patches.
    """
    return _filled(MergedWeights(merged), lambda: None, disable_dynamic)


def _filled(
    weights: MergedWeights, progress: Callable[[], None], disable_dynamic: bool = False
) -> ModelPatcher:
    """ComfyUI's patcher over a model of its own that holds the weights; disable_dynamic: one that dynamic VRAM does not manage."""
    require_memory(weights)
    # the shapes alone, each without memory of its own: ComfyUI's loader builds the model, then each weight takes its place
    shapes = {
        name: torch.zeros((), dtype=part.dtype).expand(part.shape) for name, part in weights.parts.items()
    }
    load = symbols.load_diffusion_model_state_dict
    options = {"disable_dynamic": True} if disable_dynamic else {}
    merged = load({**shapes, **weights.rest, **weights.marker}, _loader_options(weights.model), **options)
    require_same(weights, merged)
    for name, weight in _computed(weights, progress):
        comfy.utils.set_attr_param(merged.model, DIT + name, own_copy(weight, merged.offload_device))
    return merged


def merge_from_file(weights: MergedWeights, path: Path) -> ModelPatcher:
    """The merged MODEL from a file that holds `weights`."""
    require_memory(weights, path)
    merged = symbols.load_diffusion_model(str(path), _loader_options(weights.model))
    require_same(weights, merged)
    return _finished(weights, merged)


def for_a_file(weights: MergedWeights, progress: Callable[[], None]) -> Iterator[tuple[str, Tensor]]:
    """(name, plain tensor on the CPU), each as it is computed, in an order that keeps every one at a multiple of its element's size."""
    return aligned(_entries(weights, progress))


def _entries(weights: MergedWeights, progress: Callable[[], None]) -> Iterator[tuple[str, Tensor]]:
    for name, weight in _computed(weights, progress):
        for part_name, part in pieces(name, weight).items():
            if (
                str(part.dtype) == SCALES_OF_MXFP8
            ):  # as published files have them; ComfyUI's dynamic VRAM reads no other
                part = part.view(torch.uint8)
            yield part_name, part.detach().to("cpu")
    yield from {**weights.rest, **weights.marker}.items()


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
    wanted = {name: (value.shape, value.dtype) for name, value in {**weights.parts, **weights.rest}.items()}
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
        if key != FEATURES:
            merged.set_attachments(key, attachment)
    merged.set_attachments(MERGED_PATCHES, others)
    return merged


def _loader_options(model: ModelPatcher) -> dict[str, Any]:
    """What ComfyUI's loader must be told to keep the base model's types."""
    options = {"dtype": model.model.get_dtype()}
    if model.model.model_config.optimizations.get("fp8") and marker_type(model) is None:
        options["fp8_optimizations"] = True
    return options
