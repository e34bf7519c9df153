"""Wan2.2 TI2V 5B: Wan's forward in a latent space of its own, 16 pixels to a cell."""

from .base import FLOW, Base

WAN22_5B = Base(
    id="wan22_5b",
    title="Wan2.2 TI2V 5B",
    short="Wan2.2 5B",
    channels=48,
    temporal_stride=4,
    spatial_stride=16,
    size_multiple=32,
    fps=24.0,
    trained_length=121,
    shift=5.0,
    schedule=FLOW,
    steps=30,
    cfg=5.0,
    multiplier_advice="0 for a first frame, which is how the model was trained",
    vae_file="wan2.2_vae.safetensors",
    empty_latent="Wan22ImageToVideoLatent without start_image",
    empty_latent_nodes=("Wan22ImageToVideoLatent",),
    model_pattern=r"ti2v|wan[ _.-]?2[ _.-]?2[ _.-]?vae|(?<![0-9])5b",
    models="Wan2.2 TI2V 5B",
)
