"""One run of a sampler over a video whose latent frames have timesteps of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...pusa_core.errors import PusaError
from ...pusa_core.long_video import PROMPT_START
from ...pusa_core.schedule import OF_THE_BASE, sigmas_of
from . import symbols
from .models import base_of, latent_multipliers
from .progress import step_callback
from .progressive import with_given_frames
from .prompts_by_frame import PromptsByFrame
from .samplers import build_sampler
from .timesteps import vectorize_timesteps

Callback = Callable[[int, Tensor, Tensor, int], None]


@dataclass(frozen=True)
class SamplingRequest:
    """What a run is asked for; the fields are the inputs of Vectorized Timestep Sampler, in their order."""

    model: Any  # MODEL
    positive: Any  # CONDITIONING
    negative: Any  # CONDITIONING
    latent: dict[str, Any]  # LATENT, with noise_multipliers [F] beside its samples
    seed: int
    steps: int = 30  # not used where sigmas are given, nor are shift's schedule and denoise
    cfg: float = 3.0
    shift: float = 5.0
    sampler_name: str = "euler"
    denoise: float = 1.0
    sigmas: Tensor | None = None  # [S+1], 1 to 0
    schedule_name: str = OF_THE_BASE
    prompts: PromptsByFrame | None = None  # of a positive that is several, one behind the other

    def schedule(self) -> Tensor:
        """The noise levels [S+1] of the run, checked."""
        if self.sigmas is None:
            base = base_of(self.model)
            return sigmas_of(self.schedule_name, base, self.steps, self.shift, self.denoise)
        check_sigmas(self.sigmas)
        return self.sigmas

    def told(self) -> dict[str, Any]:
        """The settings that count, by the names of the inputs."""
        given = self.sigmas is not None
        own = None if self.schedule_name == OF_THE_BASE else self.schedule_name
        return {
            "seed": self.seed,
            "steps": len(self.sigmas) - 1 if self.sigmas is not None else self.steps,
            "cfg": self.cfg,
            "shift": self.shift,
            "sampler": self.sampler_name,
            "denoise": None if given or self.denoise == 1.0 else self.denoise,
            "schedule": "of its own" if given else own,
        }


def sample_video(request: SamplingRequest, callback: Callback | None = None) -> dict[str, Any]:
    """The LATENT after a run, its noise multipliers kept.

    Preview and progress of this run go to the running node, or to callback(step, x0, x, steps) if given.
    """
    check_prompts(request.positive, request.negative)
    sigmas, latent = request.schedule(), request.latent
    multipliers = latent_multipliers(request.model, latent)
    model = with_given_frames(request.model, latent)
    patched = vectorize_timesteps(model, multipliers, request.shift, request.prompts)
    samples = latent["samples"]
    samples = symbols.sample_custom(
        patched,
        symbols.prepare_noise(samples, request.seed, latent.get("batch_index")),
        request.cfg,
        build_sampler(request.sampler_name, multipliers),
        sigmas.clone(),  # uni_pc writes into them
        request.positive,
        request.negative,
        samples,
        noise_mask=latent.get("noise_mask"),
        callback=callback or step_callback(patched, len(sigmas) - 1),
        seed=request.seed,
    )
    return {**latent, "samples": samples}


def check_prompts(*prompts: Any) -> None:
    """Refuse prompts that begin at several times: in one run all of them would hold for all frames."""
    for conditioning in prompts:
        starts = sorted({options.get(PROMPT_START, 0.0) for _, options in conditioning or ()})
        if len(starts) > 1:
            raise PusaError(
                f"The prompts begin at {', '.join(f'{start:g}' for start in starts)} s (Prompt at Time), but this sampler would mix them in all "
                "frames. Connect them to Long Video, or one prompt here."
            )


def check_sigmas(sigmas: Tensor) -> None:
    """Refuse a schedule that is not one: fewer than two levels, not finite, rising, or outside [0, 1]."""
    if sigmas.ndim != 1 or len(sigmas) < 2:
        raise PusaError(
            f"sigmas holds {sigmas.numel()} levels, which makes no step. Use Pusa Scheduler with steps of 1 or more."
        )
    if not bool(torch.isfinite(sigmas).all()) or bool((sigmas < 0).any()) or bool((sigmas > 1).any()):
        raise PusaError(
            "sigmas has values outside 0 to 1 or NaN. Use the schedule of a flow model, such as Pusa Scheduler's."
        )
    if bool((sigmas[1:] > sigmas[:-1]).any()):
        raise PusaError(
            "sigmas rise from one step to the next. A schedule falls from noise (1) to clean (0)."
        )
