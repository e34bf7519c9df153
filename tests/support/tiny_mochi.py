"""A tiny random Mochi, rebuilt from seeds and built as ComfyUI builds the real one (whose detection knows one size only).

The golden latents were made with the same numbers in the same order (shared/goldens/tiny_mochi.py), so the order of the random
draws here must never change. ComfyUI's block insists on 12,288 hidden units, hence the large ratio.
"""

import torch
from torch import Tensor

from support import layouts

CHANNELS, TOKENS = 12, 256
CONFIG = {
    "image_model": "mochi_preview",
    "depth": 2,
    "patch_size": 2,
    "num_heads": 2,
    "hidden_size_x": 256,
    "hidden_size_y": 128,
    "mlp_ratio_x": 48,
    "mlp_ratio_y": 4.0,
    "learn_sigma": False,
    "in_channels": CHANNELS,
    "qk_norm": True,
    "qkv_bias": False,
    "out_bias": True,
    "attn_drop": 0.0,
    "patch_embed_bias": True,
    "posenc_preserve_area": True,
    "timestep_mlp_bias": True,
    "attend_to_padding": False,
    "timestep_scale": 1000.0,
    "use_t5": True,
    "t5_feat_dim": 4096,
    "t5_token_length": TOKENS,
    "rope_theta": 10000.0,
}


def model(seed: int = 1):
    """A MODEL of ComfyUI with random weights."""
    import comfy.model_management
    import comfy.model_patcher
    import comfy.supported_models

    config = comfy.supported_models.GenmoMochi(dict(CONFIG))
    config.set_inference_dtype(torch.float32, None)
    base_model = config.get_model({})
    dit = base_model.diffusion_model
    generator = torch.Generator().manual_seed(seed)
    shapes = layouts.shapes(dit)
    weights = {
        name: torch.randn(shapes[name], generator=generator) * (0.04 if len(shapes[name]) > 1 else 0.1)
        + (1.0 if "norm" in name else 0.0)
        for name in sorted(shapes)
    }
    device = comfy.model_management.get_torch_device()
    patcher = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)  # since 0.12
    made = patcher(base_model, load_device=device, offload_device=device)
    dit.load_state_dict(weights)
    return made


def prompt(seed: int, tokens: int) -> list:
    """A CONDITIONING of random features of which the first `tokens` count."""
    features = torch.randn(1, TOKENS, 4096, generator=torch.Generator().manual_seed(seed))
    mask = torch.zeros(1, TOKENS, dtype=torch.bool)
    mask[:, :tokens] = True
    return [[features, {"attention_mask": mask}]]


def latent(seed: int, frames: int, height: int, width: int) -> Tensor:
    """Latents of given frames in the model's space, [1, 12, F, h, w]."""
    return torch.randn(1, CHANNELS, frames, height, width, generator=torch.Generator().manual_seed(seed))
