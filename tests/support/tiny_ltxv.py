"""A tiny random LTX-Video: a state dict of its layout, which ComfyUI's own detection makes a MODEL of. 32 heads, as detection assumes."""

import torch

CHANNELS, WIDTH, TEXT, LAYERS = 128, 256, 4096, 2


def weights(seed: int = 1) -> dict[str, torch.Tensor]:
    """A state dict in the layout of the published files."""
    generator = torch.Generator().manual_seed(seed)
    made = {}

    def linear(name: str, outputs: int, inputs: int) -> None:
        made[f"{name}.weight"] = torch.randn(outputs, inputs, generator=generator) / inputs**0.5
        made[f"{name}.bias"] = 0.1 * torch.randn(outputs, generator=generator)

    linear("patchify_proj", WIDTH, CHANNELS)
    linear("proj_out", CHANNELS, WIDTH)
    linear("adaln_single.emb.timestep_embedder.linear_1", WIDTH, 256)
    linear("adaln_single.emb.timestep_embedder.linear_2", WIDTH, WIDTH)
    linear("adaln_single.linear", 6 * WIDTH, WIDTH)
    linear("caption_projection.linear_1", WIDTH, TEXT)
    linear("caption_projection.linear_2", WIDTH, WIDTH)
    made["scale_shift_table"] = 0.3 * torch.randn(2, WIDTH, generator=generator)
    for block in (f"transformer_blocks.{index}" for index in range(LAYERS)):
        made[f"{block}.scale_shift_table"] = 0.3 * torch.randn(6, WIDTH, generator=generator)
        linear(f"{block}.ff.net.0.proj", 4 * WIDTH, WIDTH)
        linear(f"{block}.ff.net.2", WIDTH, 4 * WIDTH)
        for attention in (f"{block}.attn1", f"{block}.attn2"):
            for name in ("to_q", "to_k", "to_v", "to_out.0"):
                linear(f"{attention}.{name}", WIDTH, WIDTH)
            for name in ("q_norm", "k_norm"):
                made[f"{attention}.{name}.weight"] = 1 + 0.1 * torch.randn(WIDTH, generator=generator)
    return made


def model(seed: int = 1):
    """The MODEL that ComfyUI makes of it."""
    import comfy.sd

    return comfy.sd.load_diffusion_model_state_dict(weights(seed), model_options={"dtype": torch.float32})


def prompt(seed: int, tokens: int) -> list:
    """A CONDITIONING as LTXV's text encoder gives it: T5's features with their mask."""
    features = torch.randn(1, tokens, TEXT, generator=torch.Generator().manual_seed(seed))
    return [[features, {"attention_mask": torch.ones(1, tokens, dtype=torch.long)}]]
