"""The zoo's LoRAs: the trainer's low-rank updates, and the file layouts in which such files are published."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ...pusa_core.training.config import TARGETS, LoraSettings
from ...pusa_core.training.model import adapt as adapt_blocks
from ...pusa_core.training.model import start_of_lora
from ...pusa_core.wan_dit import WanDiT

ADAPTED = TARGETS
BIAS = ".base_layer.bias"


@torch.no_grad()
def adapt(model: WanDiT, rank: int, seed: int, with_bias: bool = False) -> list[nn.Parameter]:
    """Put low-rank updates of zero on the model's blocks, in place, and freeze the rest. Returns what is to be trained.

    with_bias: also train the bias of each adapted layer, as LightX2V's Wan2.1 files do.
    """
    trained = adapt_blocks(model, LoraSettings(rank=rank))
    for name, parameter in trained.items():
        parameter.copy_(start_of_lora(name, tuple(parameter.shape), seed))
    for name, parameter in model.named_parameters():
        if with_bias and name.endswith(BIAS):
            parameter.requires_grad_(True)
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def pairs(weights: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """By layer: (down, up) of what was trained. The names are those of the official Pusa files."""
    layers = [key.removesuffix(".lora_A.default.weight") for key in weights if ".lora_A." in key]
    return {
        layer: (weights[f"{layer}.lora_A.default.weight"], weights[f"{layer}.lora_B.default.weight"])
        for layer in layers
    }


def lightning_layout(weights: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """The keys of LightX2V's Wan2.2-Lightning files: ComfyUI's prefix and an .alpha, by which a loader divides the rank.

    The update is scaled here so that alpha / rank times the stored matrices is what was trained.
    """
    file = {}
    for layer, (down, up) in pairs(weights).items():
        file[f"diffusion_model.{layer}.lora_down.weight"] = down
        file[f"diffusion_model.{layer}.lora_up.weight"] = up * (len(down) / alpha)
        file[f"diffusion_model.{layer}.alpha"] = torch.tensor(alpha)
    return file


def distill_layout(weights: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The keys of LightX2V's Wan2.1 distilled files: low-rank updates without .alpha, and bias changes as diff_b.

    base: the weights that training started from.
    """
    file = {}
    for layer, (down, up) in pairs(weights).items():
        file[f"diffusion_model.{layer}.lora_down.weight"] = down
        file[f"diffusion_model.{layer}.lora_up.weight"] = up
        file[f"diffusion_model.{layer}.diff_b"] = weights[layer + BIAS] - base[f"{layer}.bias"]
    return file
