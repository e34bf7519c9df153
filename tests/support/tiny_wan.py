"""A tiny random Wan text-to-video model in the official file layout, rebuilt from seeds.

The golden latents were made with the same numbers in the same order (shared/goldens/tiny_wan.py), so the
order of the random draws here must never change.
"""

import torch
from torch import Tensor

WIDTH, HIDDEN, LAYERS, FREQUENCIES, TEXT_WIDTH, CHANNELS = 256, 512, 2, 256, 4096, 16
LORA_TARGETS = ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "ffn.0", "ffn.2")


def linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """Shapes of a linear layer's weight and bias."""
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def shapes() -> dict[str, tuple[int, ...]]:
    """Shape of every weight by its name in the official files."""
    found = {
        "patch_embedding.weight": (WIDTH, CHANNELS, 1, 2, 2),
        "patch_embedding.bias": (WIDTH,),
        **linear("text_embedding.0", TEXT_WIDTH, WIDTH),
        **linear("text_embedding.2", WIDTH, WIDTH),
        **linear("time_embedding.0", FREQUENCIES, WIDTH),
        **linear("time_embedding.2", WIDTH, WIDTH),
        **linear("time_projection.1", WIDTH, 6 * WIDTH),
        **linear("head.head", WIDTH, 4 * CHANNELS),
        "head.modulation": (1, 2, WIDTH),
    }
    for block in (f"blocks.{i}" for i in range(LAYERS)):
        for attention in (f"{block}.self_attn", f"{block}.cross_attn"):
            for part in "qkvo":
                found |= linear(f"{attention}.{part}", WIDTH, WIDTH)
            found |= {f"{attention}.norm_q.weight": (WIDTH,), f"{attention}.norm_k.weight": (WIDTH,)}
        found |= {f"{block}.norm3.weight": (WIDTH,), f"{block}.norm3.bias": (WIDTH,)}
        found |= linear(f"{block}.ffn.0", WIDTH, HIDDEN) | linear(f"{block}.ffn.2", HIDDEN, WIDTH)
        found[f"{block}.modulation"] = (1, 6, WIDTH)
    return found


def weights(seed: int) -> dict[str, Tensor]:
    """A random state dict, float32; the same seed gives the same weights for ever."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in sorted(shapes().items()):
        draw = torch.randn(shape, generator=generator)
        if "norm" in name and name.endswith("weight"):
            found[name] = 1 + 0.1 * draw
        else:
            found[name] = (0.02 if name.endswith("bias") else 0.05) * draw
    return found


def context(seed: int, tokens: int = 7) -> Tensor:
    """A random text embedding, [1, tokens, 4096]."""
    return torch.randn(1, tokens, TEXT_WIDTH, generator=torch.Generator().manual_seed(seed))


def latent(seed: int, frames: int, height: int, width: int) -> Tensor:
    """A random latent in the model's normalised space, [1, 16, frames, height, width]."""
    return torch.randn(1, CHANNELS, frames, height, width, generator=torch.Generator().manual_seed(seed))


def lora(seed: int, rank: int = 8, targets: tuple[str, ...] = LORA_TARGETS) -> dict[str, Tensor]:
    """A random LoRA in the key layout of the Pusa authors' files."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for layer in (f"blocks.{i}.{target}" for i in range(LAYERS) for target in targets):
        outputs, inputs = shapes()[f"{layer}.weight"]
        found[f"{layer}.lora_A.default.weight"] = 0.1 * torch.randn(rank, inputs, generator=generator)
        found[f"{layer}.lora_B.default.weight"] = 0.1 * torch.randn(outputs, rank, generator=generator)
    return found
