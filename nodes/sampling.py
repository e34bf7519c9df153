"""Nodes that set levels of noise and sample: scheduler, vectorized timesteps, sampler."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui

from ..pusa_core.given_frames import sizes_of, told
from ..pusa_core.graph.run_line import run_line
from ..pusa_core.schedule import OF_THE_BASE, sigmas_of
from . import inputs
from .host.models import base_of, latent_multipliers
from .host.progressive import with_given_frames
from .host.running_prompt import SETTINGS, graph_around
from .host.sampling import SamplingRequest, sample_video
from .host.schema import search_words
from .host.timesteps import vectorize_timesteps


class PusaScheduler(io.ComfyNode):
    """SIGMAS of the reference for any number of steps."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaScheduler",
            display_name="Pusa Scheduler",
            category="Pusa/sampling",
            **search_words("sigmas", "shift"),
            description="Noise levels exactly as Pusa and LightX2V use them; core's simple scheduler only comes close. With model connected, Mochi's too.",
            inputs=[
                inputs.steps("Model evaluations: 30 without a distilled LoRA, 4 with LightX2V."),
                inputs.shift(),
                inputs.denoise(),
                inputs.schedule(),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="The model, for the schedule of its base; without one that is flow, Wan's.",
                ),
            ],
            outputs=[
                io.Sigmas.Output(
                    display_name="sigmas", tooltip="steps + 1 noise levels from denoise's down to 0."
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        steps: int = 30,
        shift: float = 5.0,
        denoise: float = 1.0,
        schedule: str = OF_THE_BASE,
        model: Any = None,
    ) -> io.NodeOutput:
        base = None if model is None else base_of(model)
        return io.NodeOutput(sigmas_of(schedule, base, steps, shift, denoise))


class PusaVectorizedTimesteps(io.ComfyNode):
    """The MODEL patched for the latent's conditions, for any core sampler."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaVectorizedTimesteps",
            display_name="Apply Vectorized Timesteps",
            category="Pusa/sampling",
            **search_words("per-frame noise", "diffusion forcing", "Pusa model patch"),
            description=(
                "Gives every latent frame its own timestep, as the latent's noise multipliers say. "
                "Use it with KSampler and the custom samplers; Vectorized Timestep Sampler has it built in."
            ),
            inputs=[
                io.Model.Input("model", tooltip=inputs.MODEL_TIP),
                io.Latent.Input(
                    "latent", tooltip="The latent that will be sampled, with the injected frames."
                ),
                inputs.shift(),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model", tooltip="For any core sampler that adds no noise of its own."
                )
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
        )

    @classmethod
    def execute(cls, model: Any, latent: dict[str, Any], shift: float = 5.0) -> io.NodeOutput:
        multipliers = latent_multipliers(model, latent)
        patched = vectorize_timesteps(with_given_frames(model, latent), multipliers, shift)
        return io.NodeOutput(patched, ui=told_and_settings(latent, {"shift": shift}, cls.hidden))


class PusaSampler(io.ComfyNode):
    """Schedule, vectorized timesteps and sampling in one node."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaSampler",
            display_name="Vectorized Timestep Sampler",
            category="Pusa/sampling",
            **search_words("KSampler", "Pusa sampler"),
            description="Samples a video in which every latent frame runs on its own timesteps; given frames come from the injectors.",
            inputs=[
                io.Model.Input("model", tooltip=inputs.MODEL_TIP),
                inputs.positive(),
                inputs.negative(),
                io.Latent.Input(
                    "latent",
                    tooltip="From Condition Frame Injector, or an empty video latent for text-to-video.",
                ),
                inputs.seed("The same seed and settings give the same video."),
                inputs.steps(
                    "Model evaluations: 30 without a distilled LoRA, 4 with LightX2V. Not used when sigmas are connected."
                ),
                inputs.cfg(
                    "Guidance: 3.0 without a distilled LoRA, 1.0 with LightX2V (which also halves the time)."
                ),
                inputs.shift(),
                inputs.sampler_name(
                    "euler is the reference's; lcm and euler_ancestral add fresh noise frame by frame and keep given frames."
                ),
                inputs.denoise(),
                io.Sigmas.Input(
                    "sigmas",
                    optional=True,
                    tooltip="A schedule of your own; it replaces steps, shift and denoise.",
                ),
                inputs.schedule(),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="The sampled video, to VAE Decode.")],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
        )

    @classmethod
    def execute(cls, *given: Any, **named: Any) -> io.NodeOutput:
        if "schedule" in named:
            named["schedule_name"] = named.pop("schedule")
        request = SamplingRequest(*given, **named)
        made = sample_video(request)
        return io.NodeOutput(made, ui=told_and_settings(request.latent, request.told(), cls.hidden))


def told_and_settings(latent: dict[str, Any], settings: dict[str, Any], hidden: Any) -> dict[str, Any]:
    """What a node says of the latent it was given, and the run's settings as a line to copy; hidden: None outside a running graph."""
    around = graph_around(hidden)
    line = run_line({**settings, **sizes_of(latent)}, *around)
    return {**ui.PreviewText(told(latent, *around)).as_dict(), SETTINGS: [line]}
