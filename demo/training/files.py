"""The published files: which run each one comes from, and in which type its weights are kept."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from .experts import HIGH_NOISE, LOW_NOISE
from .pusa import PUSA, PUSA_HIGH_NOISE, PUSA_LOW_NOISE
from .text_to_video import BASE

VAE_FILE = "vae/demo_wan_vae.safetensors"
DIT_FILES = {
    "diffusion_models/demo_wan2.1_t2v.safetensors": (BASE, torch.bfloat16),
    "diffusion_models/demo_wan2.2_t2v_high_noise.safetensors": (HIGH_NOISE, torch.float8_e4m3fn),
    "diffusion_models/demo_wan2.2_t2v_low_noise.safetensors": (LOW_NOISE, torch.float8_e4m3fn),
}
PUSA_FILES = {
    "loras/demo_pusa_v1.safetensors": PUSA,
    "loras/demo_high_noise_pusa.safetensors": PUSA_HIGH_NOISE,
    "loras/demo_low_noise_pusa.safetensors": PUSA_LOW_NOISE,
}
DISTILL_FILES = {"loras/demo_lightx2v_4steps_wan2.1.safetensors": "lightx2v"}
LIGHTNING_FILES = {
    "loras/demo_lightx2v_4steps_high_noise.safetensors": "lightx2v_high_noise",
    "loras/demo_lightx2v_4steps_low_noise.safetensors": "lightx2v_low_noise",
}
LIGHTNING_ALPHA = 1.0  # over rank 8: 0.125, as in the published files


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
