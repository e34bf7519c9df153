"""Low-rank updates of a WanDiT: the module that trains them, and the file layouts in which such files are published."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ...pusa_core.wan_dit import WanDiT

# The layers Pusa V1.0 adapts (PusaV1/examples/pusavideo/train_wan_pusa.py, lora_target_modules), in both attentions.
ADAPTED = ("q", "k", "v", "o", "ffn.0", "ffn.2")


class AdaptedLinear(nn.Module):
    """A frozen linear layer whose weight is W + up @ down; only `down`, `up` and, if asked for, a bias change are trained."""

    def __init__(self, linear: nn.Linear, rank: int, with_bias: bool):
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, linear.in_features) / math.sqrt(linear.in_features))
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))
        self.bias_change = nn.Parameter(torch.zeros(linear.out_features)) if with_bias else None

    def forward(self, x: Tensor) -> Tensor:
        bias = self.linear.bias if self.bias_change is None else self.linear.bias + self.bias_change
        return F.linear(x, self.linear.weight + self.up @ self.down, bias)


def adapt(model: WanDiT, rank: int, with_bias: bool = False) -> list[nn.Parameter]:
    """Put low-rank updates of zero on the model's blocks, in place, and freeze the rest. Returns what is to be trained.

    with_bias: also train a change of each adapted layer's bias, as LightX2V's Wan2.1 files do.
    """
    model.requires_grad_(False)
    for name, layer in list(_adaptable(model)):
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, AdaptedLinear(layer, rank, with_bias))
    return [p for p in model.parameters() if p.requires_grad]


def _adaptable(model: WanDiT) -> Iterator[tuple[str, nn.Linear]]:
    for name, module in model.named_modules():
        if name.startswith("blocks.") and isinstance(module, nn.Linear) and name.endswith(ADAPTED):
            yield name, module


def changes(weights: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """By layer: the trained `down`, `up` (and `bias_change`) of an adapted model's state dict."""
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in weights.items():
        layer, _, part = key.rpartition(".")
        if part in ("down", "up", "bias_change"):
            found.setdefault(layer, {})[part] = value
    return found


def pusa_layout(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The keys of the official Pusa V1.0 files: no prefix, no .alpha (the update counts as it is)."""
    file = {}
    for layer, parts in changes(weights).items():
        file[f"{layer}.lora_A.default.weight"] = parts["down"]
        file[f"{layer}.lora_B.default.weight"] = parts["up"]
    return file


def lightning_layout(weights: dict[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """The keys of LightX2V's Wan2.2-Lightning files: ComfyUI's prefix and an .alpha, by which a loader divides the rank.

    The update is scaled here so that alpha / rank times the stored matrices is what was trained.
    """
    file = {}
    for layer, parts in changes(weights).items():
        rank = len(parts["down"])
        file[f"diffusion_model.{layer}.lora_down.weight"] = parts["down"]
        file[f"diffusion_model.{layer}.lora_up.weight"] = parts["up"] * (rank / alpha)
        file[f"diffusion_model.{layer}.alpha"] = torch.tensor(alpha)
    return file


def distill_layout(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The keys of LightX2V's Wan2.1 distilled files: low-rank updates without .alpha, and bias changes as diff_b."""
    file = {}
    for layer, parts in changes(weights).items():
        file[f"diffusion_model.{layer}.lora_down.weight"] = parts["down"]
        file[f"diffusion_model.{layer}.lora_up.weight"] = parts["up"]
        file[f"diffusion_model.{layer}.diff_b"] = parts["bias_change"]
    return file
