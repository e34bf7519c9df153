"""Nodes that set levels of noise and sample: scheduler, vectorized timesteps, sampler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.sample
import latent_preview
import torch
from comfy_api.latest import io
from torch import Tensor

from ..pusa_core.errors import PusaError
from ..pusa_core.schedule import flow_sigmas
from .comfy_hooks import latent_multipliers, vectorize_timesteps
from .core_samplers import OFFERED, build_sampler
from .search_words import search_words

SHIFT_TIP = "Where the steps gather, 1 and up: 5.0 as Pusa was trained and as LightX2V's 4 steps need; larger spends more steps on motion."
DENOISE_TIP = "Share of the noise to start from, above 0 to 1: 1 makes a new video, less keeps that much of the latent's own."


class PusaScheduler(io.ComfyNode):
    """SIGMAS of the reference for any number of steps."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaScheduler",
            display_name="Pusa Scheduler",
            category="Pusa",
            **search_words("sigmas", "shift"),
            description="Noise levels exactly as Pusa and LightX2V use them; core's simple scheduler only comes close.",
            inputs=[
                io.Int.Input(
                    "steps",
                    default=30,
                    min=1,
                    max=1000,
                    tooltip="Model evaluations: 30 without a distilled LoRA, 4 with LightX2V.",
                ),
                io.Float.Input("shift", default=5.0, min=1.0, max=100.0, step=0.1, tooltip=SHIFT_TIP),
                io.Float.Input("denoise", default=1.0, min=0.0, max=1.0, step=0.01, tooltip=DENOISE_TIP),
            ],
            outputs=[
                io.Sigmas.Output(
                    display_name="sigmas", tooltip="steps + 1 noise levels from denoise's down to 0."
                )
            ],
        )

    @classmethod
    def execute(cls, steps: int = 30, shift: float = 5.0, denoise: float = 1.0) -> io.NodeOutput:
        return io.NodeOutput(flow_sigmas(steps, shift, denoise))


class PusaVectorizedTimesteps(io.ComfyNode):
    """The MODEL patched for the latent's conditions, for any core sampler."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaVectorizedTimesteps",
            display_name="Apply Vectorized Timesteps",
            category="Pusa",
            **search_words("per-frame noise", "diffusion forcing", "Pusa model patch"),
            description=(
                "Gives every latent frame its own timestep, as the latent's noise multipliers say. "
                "Use it with KSampler and the custom samplers; Vectorized Timestep Sampler has it built in."
            ),
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="Wan2.1 or Wan2.2 14B text-to-video with a Pusa LoRA, or a Wan2.2 MoE Switch.",
                ),
                io.Latent.Input(
                    "latent", tooltip="The latent that will be sampled, with the injected frames."
                ),
                io.Float.Input("shift", default=5.0, min=1.0, max=100.0, step=0.1, tooltip=SHIFT_TIP),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model", tooltip="For any core sampler that adds no noise of its own."
                )
            ],
        )

    @classmethod
    def execute(cls, model: Any, latent: dict[str, Any], shift: float = 5.0) -> io.NodeOutput:
        return io.NodeOutput(vectorize_timesteps(model, latent_multipliers(model, latent), shift))


class PusaSampler(io.ComfyNode):
    """Schedule, vectorized timesteps and sampling in one node."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaSampler",
            display_name="Vectorized Timestep Sampler",
            category="Pusa",
            **search_words("KSampler", "Pusa sampler"),
            description="Samples a video in which every latent frame runs on its own timesteps; given frames come from the injectors.",
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="Wan2.1 or Wan2.2 14B text-to-video with a Pusa LoRA, or a Wan2.2 MoE Switch.",
                ),
                io.Conditioning.Input("positive", tooltip="What the video shows and how it moves."),
                io.Conditioning.Input("negative", tooltip="What to avoid; has no effect at cfg 1."),
                io.Latent.Input(
                    "latent",
                    tooltip="From Condition Frame Injector, or an empty video latent for text-to-video.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="The same seed and settings give the same video.",
                ),
                io.Int.Input(
                    "steps",
                    default=30,
                    min=1,
                    max=1000,
                    tooltip="Model evaluations: 30 without a distilled LoRA, 4 with LightX2V. Not used when sigmas are connected.",
                ),
                io.Float.Input(
                    "cfg",
                    default=3.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="Guidance: 3.0 without a distilled LoRA, 1.0 with LightX2V (which also halves the time).",
                ),
                io.Float.Input("shift", default=5.0, min=1.0, max=100.0, step=0.1, tooltip=SHIFT_TIP),
                io.Combo.Input(
                    "sampler_name",
                    options=list(OFFERED),
                    default="euler",
                    tooltip="euler is the reference's; lcm and euler_ancestral add fresh noise frame by frame and keep given frames.",
                ),
                io.Float.Input("denoise", default=1.0, min=0.0, max=1.0, step=0.01, tooltip=DENOISE_TIP),
                io.Sigmas.Input(
                    "sigmas",
                    optional=True,
                    tooltip="A schedule of your own; it replaces steps, shift and denoise.",
                ),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="The sampled video, to VAE Decode.")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: Any,
        negative: Any,
        latent: dict[str, Any],
        seed: int,
        steps: int = 30,
        cfg: float = 3.0,
        shift: float = 5.0,
        sampler_name: str = "euler",
        denoise: float = 1.0,
        sigmas: Tensor | None = None,
    ) -> io.NodeOutput:
        if sigmas is None:
            sigmas = flow_sigmas(steps, shift, denoise)
        return io.NodeOutput(
            sample_video(model, positive, negative, latent, seed, cfg, shift, sampler_name, sigmas)
        )


def sample_video(
    model: Any,
    positive: Any,
    negative: Any,
    latent: dict[str, Any],
    seed: int,
    cfg: float,
    shift: float,
    sampler_name: str,
    sigmas: Tensor,
    callback: Callable[[int, Tensor, Tensor, int], None] | None = None,
) -> dict[str, Any]:
    """The LATENT after a run over sigmas [S+1], its noise multipliers kept.

    Preview and progress of this run go to the running node, or to callback(step, x0, x, steps) if given.
    """
    check_sigmas(sigmas)
    multipliers = latent_multipliers(model, latent)
    patched = vectorize_timesteps(model, multipliers, shift)
    samples = latent["samples"]
    noise = comfy.sample.prepare_noise(samples, seed, latent.get("batch_index"))
    samples = comfy.sample.sample_custom(
        patched,
        noise,
        cfg,
        build_sampler(sampler_name, multipliers),
        sigmas.clone(),  # uni_pc writes into them
        positive,
        negative,
        samples,
        noise_mask=latent.get("noise_mask"),
        callback=callback or latent_preview.prepare_callback(patched, len(sigmas) - 1),
        seed=seed,
    )
    return {**latent, "samples": samples}


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
