"""The model that is trained: base weights in their types, low-rank updates by peft, activation checkpointing, sharding."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..wan_dit import WanDiT
from .base_weights import BaseWeights
from .config import PRECISIONS, LoraSettings
from .draw import generator
from .packages import package

ADAPTED = re.compile(r"blocks\.\d+\..*\.lora_[AB]\.default\.weight")


def empty_model(base: BaseWeights, held_in: str, trained: bool) -> WanDiT:
    """The model on the meta device. held_in: type of the blocks' frozen matrices; everything else is float32.

    trained: all of it is to be trained, and is float32.
    """
    with torch.device("meta"):
        model = WanDiT(base.sizes)
    model.requires_grad_(trained)
    if not trained:
        dtype = getattr(torch, PRECISIONS[held_in])
        for name, parameter in model.named_parameters():
            if name.startswith("blocks.") and parameter.ndim == 2:
                parameter.data = parameter.data.to(dtype)
    return model


def adapt(model: nn.Module, settings: LoraSettings) -> dict[str, nn.Parameter]:
    """Put low-rank updates of scale 1 on the blocks, in place; returns what is to be trained under the official names.

    Names and shapes are those of the authors' files (peft's inject_adapter_in_model on their DiT).
    """
    peft = package("peft")
    layers = "|".join(re.escape(target) for target in settings.targets)
    chosen = rf"blocks\.\d+\.(?:(?:self_attn|cross_attn)\.)?(?:{layers})"
    config = peft.LoraConfig(r=settings.rank, lora_alpha=settings.rank, target_modules=chosen)
    on_meta = next(model.parameters()).is_meta
    peft.inject_adapter_in_model(config, model, low_cpu_mem_usage=on_meta)
    trained = {}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(bool(ADAPTED.fullmatch(name)))
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
            trained[name] = parameter
    return trained


def start_of_lora(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """The value a low-rank matrix begins with: peft's uniform draw for lora_A, from its name and the seed; zeros for lora_B."""
    if ".lora_B." in name:
        return torch.zeros(shape)
    bound = 1 / math.sqrt(shape[1])
    return torch.empty(shape).uniform_(-bound, bound, generator=generator("lora", seed, name))


@torch.no_grad()
def fill(model: nn.Module, base: BaseWeights, seed: int, like: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Give every parameter of an emptied model its value, one at a time. like(whole, pattern): see Devices."""
    for name, parameter in model.named_parameters():
        if ADAPTED.fullmatch(name):
            value = start_of_lora(name, tuple(parameter.shape), seed)
        else:
            value = base.read(name.replace(".base_layer.", "."))
        parameter.copy_(like(value.to(parameter.dtype), parameter))


def recompute_blocks(model: WanDiT) -> None:
    """Keep only what goes into each block, and compute the rest again on the way back."""
    for block in model.blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def keep_input_types(model: nn.Module) -> None:
    """Under autocast peft need not turn the input of its matrices into float32 first."""
    for module in model.modules():
        if hasattr(module, "cast_input_dtype_enabled"):
            setattr(module, "cast_input_dtype_enabled", False)  # noqa: B010 (an attribute of peft's layers)


def quantize_blocks(model: WanDiT, base: BaseWeights, device: torch.device) -> None:
    """Replace the blocks' matrices by 4-bit ones (NF4) on the device, in place."""
    bnb: Any = package("bitsandbytes")
    for name, module in list(model.named_modules()):
        if not (name.startswith("blocks.") and isinstance(module, nn.Linear)):
            continue
        packed = bnb.nn.Linear4bit(
            module.in_features,
            module.out_features,
            compute_dtype=torch.bfloat16,
            quant_type="nf4",
            device="meta",
        )
        weight = base.read(f"{name}.weight").to(torch.bfloat16)
        packed.weight = bnb.nn.Params4bit(weight, requires_grad=False, quant_type="nf4").to(device)
        packed.bias = nn.Parameter(base.read(f"{name}.bias").float().to(device), requires_grad=False)
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, packed)
