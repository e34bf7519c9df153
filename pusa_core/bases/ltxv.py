"""LTX-Video 0.9: experimental, its own models were trained with a timestep for every token."""

from .base import FLOW, Base

LTXV = Base(
    id="ltxv",
    title="LTX-Video",
    short="LTX-Video",
    channels=128,
    temporal_stride=8,
    spatial_stride=32,
    size_multiple=32,
    fps=25.0,
    trained_length=257,
    shift=7.8,
    schedule=FLOW,
    steps=30,
    cfg=3.0,
    multiplier_advice="0 for a first frame, which is how the model was trained",
    vae_file="the VAE of its checkpoint (ltx-video-2b-v0.9.5.safetensors)",
    empty_latent="EmptyLTXVLatentVideo",
    empty_latent_nodes=("EmptyLTXVLatentVideo", "LTXVImgToVideo"),
    model_pattern=r"ltx[ _.-]?v",
    models="LTX-Video 0.9 (experimental)",
    experimental="LTX-Video is experimental: its arithmetic is tested on tiny models, no picture of the published ones was judged.",
)
