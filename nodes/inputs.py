"""Inputs that several nodes share, so that a setting has one range and one explanation wherever it stands."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..pusa_core.bases.spaces import LATENT_SPACES, NORMALISED
from ..pusa_core.encoding import ENCODE_MANNERS
from ..pusa_core.images import CROP, RESIZES
from ..pusa_core.schedule import OF_THE_BASE, SCHEDULE_CHOICES
from .host.samplers import OFFERED
from .host.schema import advanced

MODEL_TIP = "Wan2.1 or Wan2.2 14B text-to-video with a Pusa LoRA, or a Wan2.2 MoE Switch. Also Wan2.1 1.3B, Wan2.2 5B, Mochi (Pusa V0.5 is one), LTX-Video (experimental)."
VAE_TIP = "The VAE of the model: wan_2.1_vae for Wan2.1 and Wan2.2 14B, wan2.2_vae for Wan2.2 5B, mochi_vae for Mochi, the checkpoint's own for LTX-Video."
SHIFT_TIP = "Where the steps gather, 1 and up: 5.0 as Pusa was trained and as LightX2V's 4 steps need; larger spends more steps on motion."
DENOISE_TIP = "Share of the noise to start from, above 0 to 1: 1 makes a new video, less keeps that much of the latent's own."
LATENT_SPACE_TIP = "For Mochi (Pusa V0.5): normalised as the model was trained, or reference, the raw latents of the VAE that the authors' V0.5 script injects. The same for all Wan models."
SCHEDULE_TIP = "How the noise falls: of the base is flow with shift for Wan, linear quadratic (which has no shift) for Mochi and Pusa V0.5."
MULTIPLIERS_TIP = (
    "Noise per position, 0 (kept as given) to 1 (ignored): one value, one per position (0.2, 0.5), or a ramp (0..0.2). "
    "0.2 is the authors' start; more moves more freely."
)
LARGEST_SEED = 2**64 - 1


def vae() -> Any:
    """The VAE of the model."""
    return io.Vae.Input("vae", tooltip=VAE_TIP)


def positive(tooltip: str = "What the video shows and how it moves.") -> Any:
    """The prompt."""
    return io.Conditioning.Input("positive", tooltip=tooltip)


def negative() -> Any:
    """The negative prompt."""
    return io.Conditioning.Input("negative", tooltip="What to avoid; has no effect at cfg 1.")


def seed(tooltip: str) -> Any:
    """A seed over all that ComfyUI's noise takes."""
    return io.Int.Input(
        "seed", default=0, min=0, max=LARGEST_SEED, control_after_generate=True, tooltip=tooltip
    )


def steps(tooltip: str) -> Any:
    """Number of model evaluations."""
    return io.Int.Input("steps", default=30, min=1, max=1000, tooltip=tooltip)


def cfg(tooltip: str) -> Any:
    """Guidance."""
    return io.Float.Input("cfg", default=3.0, min=0.0, max=100.0, step=0.1, tooltip=tooltip)


def shift() -> Any:
    """Shift of the schedule."""
    return io.Float.Input("shift", default=5.0, min=1.0, max=100.0, step=0.1, tooltip=SHIFT_TIP, **advanced())


def schedule() -> Any:
    """Name of the schedule."""
    return io.Combo.Input(
        "schedule", options=list(SCHEDULE_CHOICES), default=OF_THE_BASE, optional=True, tooltip=SCHEDULE_TIP
    )


def denoise() -> Any:
    """Where the schedule begins."""
    return io.Float.Input(
        "denoise", default=1.0, min=0.0, max=1.0, step=0.01, tooltip=DENOISE_TIP, **advanced()
    )


def sampler_name(tooltip: str) -> Any:
    """One of the samplers that hold given frames."""
    return io.Combo.Input("sampler_name", options=list(OFFERED), default="euler", tooltip=tooltip)


def resize(tooltip: str, **more: Any) -> Any:
    """How pictures of other proportions fit."""
    return io.Combo.Input("resize", options=list(RESIZES), default=CROP, tooltip=tooltip, **more)


def latent_space() -> Any:
    """In which space given frames go into the model."""
    return io.Combo.Input(
        "latent_space",
        options=list(LATENT_SPACES),
        default=NORMALISED,
        optional=True,
        tooltip=LATENT_SPACE_TIP,
    )


def encode(default: str, tooltip: str, **more: Any) -> Any:
    """How a picture becomes a latent frame."""
    return io.Combo.Input("encode", options=list(ENCODE_MANNERS), default=default, tooltip=tooltip, **more)
