"""A tiny model, VAE and prompt of every base, built by ComfyUI's own code; the tests of bases go over all of them."""

import json
import math
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from support import layouts, tiny_ltxv, tiny_mochi, tiny_wan


def wan():
    """A Wan2.1 MODEL, as Load Diffusion Model makes it."""
    return loaded(tiny_wan.weights(10))


def wan22_5b():
    """A Wan2.2 TI2V 5B MODEL, as Load Diffusion Model makes it: it knows the model by its 48 channels out."""
    generator = torch.Generator().manual_seed(48)
    channels, width = 48, tiny_wan.WIDTH
    return loaded(
        tiny_wan.weights(10)
        | {
            "patch_embedding.weight": 0.05 * torch.randn(width, channels, 1, 2, 2, generator=generator),
            "head.head.weight": 0.05 * torch.randn(4 * channels, width, generator=generator),
            "head.head.bias": 0.02 * torch.randn(4 * channels, generator=generator),
        }
    )


def loaded(weights: dict[str, Tensor]):
    """The MODEL that ComfyUI makes of a state dict."""
    import comfy.sd

    return comfy.sd.load_diffusion_model_state_dict(weights, model_options={"dtype": torch.float32})


MODELS: dict[str, Callable] = {
    "wan": wan,
    "wan22_5b": wan22_5b,
    "mochi": tiny_mochi.model,
    "ltxv": tiny_ltxv.model,
}
"""By the id of the base."""


def prompt(base_id: str, seed: int) -> list:
    """A CONDITIONING for a model of the base."""
    if base_id in ("mochi", "ltxv"):
        return (tiny_mochi if base_id == "mochi" else tiny_ltxv).prompt(seed, 5)
    return [[tiny_wan.context(seed), {}]]


def wan_vae():
    """A Wan 2.1 VAE of width 8."""
    from comfy.ldm.wan.vae import WanVAE

    return vae_of(WanVAE(dim=8, z_dim=16, temperal_downsample=[False, True, True]))


def wan22_5b_vae():
    """A Wan 2.2 VAE of width 8, which ComfyUI would build 160 wide."""
    import comfy.ldm.wan.vae2_2 as module

    published = module.WanVAE

    def narrow(**settings):
        return published(**{**settings, "dim": 8, "dec_dim": 8})

    with replaced(module, "WanVAE", narrow):
        return vae_of(narrow(z_dim=48, temperal_downsample=[False, True, True]))


def mochi_vae(half: str = ""):
    """A Mochi VAE of small widths, whose channels ComfyUI fixes; half: "encoder." or "decoder." for one half's file."""
    import comfy.ldm.genmo.vae.model as module

    common = {"latent_dim": 12, "channel_multipliers": [1, 2, 1, 2], "padding_mode": "replicate"}

    class Narrow(module.VideoVAE):
        def __init__(self):
            torch.nn.Module.__init__(self)
            self.encoder = module.Encoder(
                in_channels=15, base_channels=32, num_res_blocks=[3, 1, 1, 1, 1], temporal_reductions=[1, 2, 3],
                spatial_reductions=[2, 2, 2], prune_bottlenecks=[False] * 5,
                has_attentions=[False, True, True, True, True], affine=True, bias=True, input_is_conv_1x1=True, **common,
            )  # fmt: skip
            self.decoder = module.Decoder(
                out_channels=3, base_channels=32, temporal_expansions=[1, 2, 3], spatial_expansions=[2, 2, 2],
                num_res_blocks=[1, 1, 1, 1, 1], has_attention=[False] * 5, output_norm=False, nonlinearity="silu",
                output_nonlinearity="silu", causal=True, **common,
            )  # fmt: skip

    with replaced(module, "VideoVAE", Narrow):
        return vae_of(Narrow(), half)


def ltxv_vae():
    """An LTX-Video VAE 16 wide, which ComfyUI would build 128 wide; the blocks are in the file's metadata, as the published ones."""
    import comfy.ldm.lightricks.vae.causal_video_autoencoder as module

    blocks = [["res_x", 1], ["compress_all", 1], ["compress_all", 1], ["compress_all", 1], ["res_x", 1]]
    config = {
        "dims": 3, "latent_channels": 128, "blocks": blocks, "patch_size": 4, "norm_layer": "pixel_norm",
        "latent_log_var": "uniform", "causal_decoder": False, "spatial_padding_mode": "zeros",
    }  # fmt: skip
    encoder, decoder = (partial(getattr(module, name), base_channels=16) for name in ("Encoder", "Decoder"))
    with replaced(module, "Encoder", encoder), replaced(module, "Decoder", decoder):
        return vae_of(module.VideoVAE(config=config), metadata={"config": json.dumps({"vae": config})})


def vae_of(module: torch.nn.Module, half: str = "", metadata: dict[str, str] | None = None):
    """ComfyUI's VAE of a module's layout with random weights; half: keep only keys with this beginning; metadata: of its file."""
    import comfy.sd

    generator = torch.Generator().manual_seed(7)
    weights = {
        key: 1 + 0.1 * torch.randn(shape, generator=generator)
        if key.endswith("gamma") or (len(shape) == 1 and key.endswith("weight"))
        else torch.randn(shape, generator=generator) / math.prod(shape[1:]) ** 0.5
        for key, shape in layouts.shapes(module).items()
        if key.startswith(half)
    }
    return comfy.sd.VAE(sd=weights, metadata=metadata)


@contextmanager
def replaced(owner, name: str, value):
    """owner.name is value inside the block."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


VAES: dict[str, Callable] = {"wan": wan_vae, "wan22_5b": wan22_5b_vae, "mochi": mochi_vae, "ltxv": ltxv_vae}
"""By the id of the base."""
