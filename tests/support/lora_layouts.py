"""Small LoRA files for the tiny Wan model, in every layout that published files come in."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from support import tiny_wan

LAYERS = tuple(
    f"blocks.{block}.{layer}"
    for block in range(tiny_wan.LAYERS)
    for layer in (
        *(f"{attention}.{part}" for attention in ("self_attn", "cross_attn") for part in "qkvo"),
        "ffn.0",
        "ffn.2",
    )
)

DIFFUSERS_LAYERS = {
    "self_attn": "attn1",
    "cross_attn": "attn2",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "o": "to_out.0",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
}


@dataclass(frozen=True)
class Pair:
    """One layer's LoRA."""

    down: Tensor  # [R, in]
    up: Tensor  # [out, R]
    alpha: float | None = None

    @property
    def difference(self) -> Tensor:
        """What strength 1 adds: [out, in], float64."""
        scale = 1.0 if self.alpha is None else self.alpha / self.down.shape[0]
        return scale * self.up.double() @ self.down.double()


def pairs(
    seed: int = 5,
    ranks: Callable[[int], int] = lambda layer: 8,
    alpha: Callable[[int], float | None] = lambda layer: None,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Pair]:
    """A random pair for each of LAYERS; ranks and alpha are asked for the number of the layer."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for number, layer in enumerate(LAYERS):
        outputs, inputs = tiny_wan.shapes()[f"{layer}.weight"]
        rank = ranks(number)
        down = (0.1 * torch.randn(rank, inputs, generator=generator)).to(dtype)
        up = (0.1 * torch.randn(outputs, rank, generator=generator)).to(dtype)
        found[layer] = Pair(down, up, alpha(number))
    return found


def diffusers_name(layer: str) -> str:
    """diffusers' name of one of LAYERS."""
    block, number, *rest = layer.split(".")
    if rest[0] == "ffn":
        return f"{block}.{number}.{DIFFUSERS_LAYERS['.'.join(rest)]}"
    return f"{block}.{number}.{DIFFUSERS_LAYERS[rest[0]]}.{DIFFUSERS_LAYERS[rest[1]]}"


@dataclass(frozen=True)
class Layout:
    """How a published file spells its keys."""

    name: str
    layer: Callable[[str], str]
    down: str
    up: str
    pairs: dict[str, Pair] = field(repr=False)

    def weights(self) -> dict[str, Tensor]:
        found = {}
        for layer, pair in self.pairs.items():
            stem = self.layer(layer)
            found[stem + self.down] = pair.down
            found[stem + self.up] = pair.up
            if pair.alpha is not None:
                found[f"{stem}.alpha"] = torch.tensor(pair.alpha)
        return found


def underscored(prefix: str) -> Callable[[str], str]:
    """kohya's way: dots of the layer become underscores."""
    return lambda layer: prefix + layer.replace(".", "_")


def prefixed(prefix: str) -> Callable[[str], str]:
    return lambda layer: prefix + layer


AB = (".lora_A.weight", ".lora_B.weight")
AB_DEFAULT = (".lora_A.default.weight", ".lora_B.default.weight")
DOWN_UP = (".lora_down.weight", ".lora_up.weight")


def layouts() -> list[Layout]:
    """Every layout, ComfyUI's lora.py, diffusers' lora_conversion_utils.py, LightX2V's lora_loader.py."""
    plain, with_alpha = pairs(), pairs(alpha=lambda layer: 4.0)
    resized = pairs(ranks=lambda layer: 1 + layer % 7, alpha=lambda layer: 1.0 + layer % 3)
    return [
        Layout("Pusa authors, no prefix, .default", prefixed(""), *AB_DEFAULT, plain),
        Layout("no prefix", prefixed(""), *AB, plain),
        Layout("Kijai, diffusion_model.", prefixed("diffusion_model."), *AB, plain),
        Layout("diffusion_model., .default", prefixed("diffusion_model."), *AB_DEFAULT, plain),
        Layout("LightX2V Seko, .alpha", prefixed("diffusion_model."), *DOWN_UP, with_alpha),
        Layout("LightX2V, no .alpha", prefixed("diffusion_model."), *DOWN_UP, plain),
        Layout("resized, a rank per layer", prefixed("diffusion_model."), *DOWN_UP, resized),
        Layout("transformer.", prefixed("transformer."), *AB, plain),
        Layout("DiffSynth, pipe.dit.", prefixed("pipe.dit."), *AB_DEFAULT, plain),
        Layout("PEFT, base_model.model.", prefixed("base_model.model."), *AB, plain),
        Layout("kohya, lora_unet_", underscored("lora_unet_"), *DOWN_UP, with_alpha),
        Layout("Wan Fun, lora_unet__", underscored("lora_unet__"), *DOWN_UP, with_alpha),
        Layout("diffusers names", lambda layer: f"transformer.{diffusers_name(layer)}", *AB, plain),
        Layout("diffusers names, kohya", lambda layer: underscored("lora_unet_")(diffusers_name(layer)), *DOWN_UP, with_alpha),
        Layout("diffusers, lora.down", lambda layer: f"transformer.{diffusers_name(layer)}", ".lora.down.weight", ".lora.up.weight", plain),
        Layout("Mochi style, no .weight", prefixed("diffusion_model."), ".lora_A", ".lora_B", plain),
        Layout("bf16", prefixed(""), *AB_DEFAULT, pairs(dtype=torch.bfloat16)),
        Layout("fp16", prefixed(""), *AB_DEFAULT, pairs(dtype=torch.float16)),
        Layout("fp8", prefixed("diffusion_model."), *DOWN_UP, pairs(dtype=torch.float8_e4m3fn)),
    ]  # fmt: skip
