"""From finished runs to the files in demo/models: real formats, real key layouts, small types."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..wan_vae import match_latent_statistics
from . import distill, lora
from .experts import HIGH_NOISE, LOW_NOISE
from .latents import latent_statistics
from .loop import Plan, finished_model
from .pusa import PUSA, PUSA_HIGH_NOISE, PUSA_LOW_NOISE
from .text_to_video import BASE
from .vae import trained_vae

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


def publish(runs: Path, models: Path) -> list[str]:
    """Write the file of every finished run below `models`. Returns the names of those whose run is not finished."""
    missing = []
    for name in (VAE_FILE, *DIT_FILES, *PUSA_FILES, *DISTILL_FILES, *LIGHTNING_FILES):
        try:
            weights = _weights(name, runs)
        except (FileNotFoundError, RuntimeError):
            missing.append(name)
            continue
        path = models / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({key: value.contiguous() for key, value in weights.items()}, path, metadata={"format": "pt"})
        path.chmod(0o644)  # save_file lets only its owner read
    return missing


def _weights(name: str, runs: Path) -> dict[str, Tensor]:
    if name == VAE_FILE:
        vae = trained_vae(runs)
        match_latent_statistics(vae, *latent_statistics(runs))
        return _bfloat16(vae.state_dict())
    if name in DIT_FILES:
        plan, dtype = DIT_FILES[name]
        return {key: _small(value, dtype) for key, value in finished_model(plan, runs).items()}
    if name in PUSA_FILES:
        return _bfloat16(lora.pusa_layout(finished_model(PUSA_FILES[name], runs)))
    if name in DISTILL_FILES:
        return _bfloat16(lora.distill_layout(finished_model(distill.STUDENTS[DISTILL_FILES[name]].plan, runs)))
    student = distill.STUDENTS[LIGHTNING_FILES[name]]
    return _bfloat16(lora.lightning_layout(finished_model(student.plan, runs), LIGHTNING_ALPHA))


def _small(value: Tensor, dtype: torch.dtype) -> Tensor:
    """Matrices in `dtype`, everything else in bfloat16."""
    return value.to(dtype if value.ndim == 2 else torch.bfloat16)


def _bfloat16(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.to(torch.bfloat16) for key, value in weights.items()}


def describe(plan: Plan, runs: Path) -> str:
    """One line of the model card: steps, seed, minutes and last loss of a run."""
    history = torch.load(runs / plan.name / "checkpoint.pt", weights_only=True)["history"]
    last = history[-1]
    return (
        f"{last['step']} steps, seed {plan.seed}, {last['seconds'] / 60:.1f} minutes, loss {last['loss']:.4f} "
        f"(mean of the last {plan.log_every} steps)"
    )


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
