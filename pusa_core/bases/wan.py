"""Wan2.1 (14B, 1.3B) and Wan2.2 A14B: one latent space, so one base. SkyReels-V2's Wan models are among them."""

from ..experts import BOUNDARY_T2V
from .base import FLOW, Base

WAN = Base(
    id="wan",
    title="Wan2.1 or Wan2.2 14B",
    short="Wan",
    channels=16,
    temporal_stride=4,
    spatial_stride=8,
    size_multiple=16,
    fps=16.0,
    trained_length=81,
    shift=5.0,
    schedule=FLOW,
    steps=30,
    cfg=3.0,
    multiplier_advice="0.2 for a first frame, 0.4 to 0.5 for a last one",
    vae_file="wan_2.1_vae.safetensors",
    empty_latent="Empty Hunyuan Latent Video",
    empty_latent_nodes=("EmptyHunyuanLatentVideo",),
    model_pattern=r"wan[ _.-]?2[ _.-]?1|14b|1[._]3b|skyreels",
    models="Wan2.1 and Wan2.2 14B text-to-video, Wan2.1 1.3B",
    boundary=BOUNDARY_T2V,
    needs_pusa_lora=True,
)
