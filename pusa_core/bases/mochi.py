"""Mochi 1, and Pusa V0.5, which is a whole Mochi trained with vectorized timesteps."""

from .base import LINEAR_QUADRATIC, Base

MOCHI = Base(
    id="mochi",
    title="Mochi",
    short="Mochi",
    channels=12,
    temporal_stride=6,
    spatial_stride=8,
    size_multiple=16,
    fps=30.0,
    trained_length=163,
    shift=6.0,
    schedule=LINEAR_QUADRATIC,
    steps=64,
    cfg=4.5,
    multiplier_advice="0.3 for one picture, 0.3 and 0.7 for a first and a last one, 0.8 for motion, as Pusa V0.5's authors did",
    vae_file="mochi_vae.safetensors",
    empty_latent="Empty Mochi Latent Video",
    empty_latent_nodes=("EmptyMochiLatentVideo",),
    model_pattern=r"mochi|pusa[ _.-]?v0",
    models="Mochi 1 and Pusa V0.5",
)
