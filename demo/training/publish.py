"""From finished runs to the files in demo/models: real formats, real key layouts, small types."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..wan_vae import match_latent_statistics
from . import distill, lora
from .files import DISTILL_FILES, DIT_FILES, LIGHTNING_ALPHA, LIGHTNING_FILES, PUSA_FILES, VAE_FILE
from .latents import latent_statistics
from .model_card import write_card
from .plan import trained_weights
from .plots import plot_losses
from .text_to_video import BASE
from .vae import trained_vae


def publish(runs: Path, models: Path) -> list[str]:
    """Write all files below `models` once every run is finished. Returns the names of those whose run is not.

    All or none: a LoRA belongs to the base it was trained on, and a base to its VAE.
    """
    files, missing = {}, []
    for name in (VAE_FILE, *DIT_FILES, *PUSA_FILES, *DISTILL_FILES, *LIGHTNING_FILES):
        try:
            files[name] = _weights(name, runs)
        except (FileNotFoundError, RuntimeError):
            missing.append(name)
    if missing:
        return missing
    for name, weights in files.items():
        path = models / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(
            {key: value.contiguous() for key, value in weights.items()}, path, metadata={"format": "pt"}
        )
        path.chmod(0o644)  # save_file lets only its owner read
    plot_losses(runs, models / "losses.png")
    write_card(runs, models)
    return []


def _weights(name: str, runs: Path) -> dict[str, Tensor]:
    if name == VAE_FILE:
        vae = trained_vae(runs)
        match_latent_statistics(vae, *latent_statistics(runs))
        return _bfloat16(vae.state_dict())
    if name in DIT_FILES:
        plan, dtype = DIT_FILES[name]
        return {key: _small(value, dtype) for key, value in trained_weights(plan, runs).items()}
    if name in PUSA_FILES:
        return _bfloat16(trained_weights(PUSA_FILES[name], runs))
    if name in DISTILL_FILES:
        student = distill.STUDENTS[DISTILL_FILES[name]]
        return _bfloat16(
            lora.distill_layout(trained_weights(student.plan, runs), trained_weights(BASE, runs))
        )
    student = distill.STUDENTS[LIGHTNING_FILES[name]]
    return _bfloat16(lora.lightning_layout(trained_weights(student.plan, runs), LIGHTNING_ALPHA))


def _small(value: Tensor, dtype: torch.dtype) -> Tensor:
    """Matrices in `dtype`, everything else in bfloat16."""
    return value.to(dtype if value.ndim == 2 else torch.bfloat16)


def _bfloat16(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.to(torch.bfloat16) for key, value in weights.items()}
