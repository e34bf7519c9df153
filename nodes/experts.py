"""Nodes that put several models behind one MODEL: Wan2.2's two experts, and stages of any number."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui

from ..pusa_core.experts import BOUNDARY_T2V, StageEnd
from ..pusa_core.lora.experts import lacking_pusa, mismatch
from .host.expert_switch import switch_experts
from .host.lora_patches import lora_facts, loras_of_stages
from .host.schema import search_words
from .host.stages import join_stages

CFG_TIP = "Guidance of this expert; 0 takes the sampler's cfg."


class PusaMoESwitch(io.ComfyNode):
    """Both experts of Wan2.2 as one MODEL."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaMoESwitch",
            display_name="Wan2.2 MoE Switch",
            category="Pusa/models",
            **search_words("high noise low noise", "two experts", "Wan2.2"),
            description=(
                "Joins Wan2.2's two experts into one model for any sampler: no step arithmetic, no second sampler, no noise added "
                "between them. Nodes after it (LoRA, caches, vectorized timesteps) act on both experts."
            ),
            inputs=[
                io.Model.Input(
                    "high_noise", tooltip="wan2.2_t2v_high_noise_14B with its own (high-noise) LoRAs."
                ),
                io.Model.Input(
                    "low_noise", tooltip="wan2.2_t2v_low_noise_14B with its own (low-noise) LoRAs."
                ),
                io.Float.Input(
                    "boundary",
                    default=BOUNDARY_T2V,
                    min=0.0,
                    max=1.0,
                    step=0.005,
                    tooltip="Sigma from 0 to 1: steps that start at or above it run the high-noise expert. 0.875 for text-to-video.",
                ),
                io.Float.Input("high_noise_cfg", default=0.0, min=0.0, max=100.0, step=0.1, tooltip=CFG_TIP),
                io.Float.Input("low_noise_cfg", default=0.0, min=0.0, max=100.0, step=0.1, tooltip=CFG_TIP),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="Runs each expert on its part of the schedule.")
            ],
        )

    @classmethod
    def execute(
        cls,
        high_noise: Any,
        low_noise: Any,
        boundary: float = BOUNDARY_T2V,
        high_noise_cfg: float = 0.0,
        low_noise_cfg: float = 0.0,
    ) -> io.NodeOutput:
        switched = switch_experts(high_noise, low_noise, boundary, high_noise_cfg, low_noise_cfg)
        high_loras, low_loras = lora_facts(high_noise), lora_facts(low_noise)
        told = [f"Warning: {sentence}" for sentence in mismatch(high_loras, low_loras)]
        if not told and (high_loras or low_loras):
            told = ["Each expert carries LoRAs that fit it."]
        return io.NodeOutput(switched, ui=ui.PreviewText("\n".join(told)) if told else None)


class PusaStages(io.ComfyNode):
    """Several models as one MODEL, each on its part of the schedule."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaStages",
            display_name="Pusa Stages",
            category="Pusa/models",
            **search_words("three stages", "three samplers", "motion with LightX2V", "switch models"),
            description=(
                "Runs one model for the first part of the schedule and another for the rest, behind one MODEL. Chain it for more: first steps "
                "without the distilled LoRA and with guidance bring motion back, then the distilled model goes on."
            ),
            inputs=[
                io.Model.Input("earlier", tooltip="The model of the first steps, or the output of another Pusa Stages or Wan2.2 MoE Switch."),
                io.Model.Input("later", tooltip="The model of the steps that follow, up to the end or to the next Pusa Stages."),
                io.Float.Input("until_sigma", default=BOUNDARY_T2V, min=0.0, max=1.0, step=0.005, tooltip="Sigma from 0 to 1: steps that start at or above it run earlier (its last stage). Counts while steps is 0."),
                io.Int.Input("steps", default=0, min=0, max=1000, tooltip="Number of steps that earlier (its last stage) runs; 0 lets until_sigma decide."),
                io.Float.Input("earlier_cfg", default=0.0, min=0.0, max=100.0, step=0.1, tooltip="Guidance of earlier; 0 takes the sampler's. 0 where earlier holds stages already."),
                io.Float.Input("later_cfg", default=0.0, min=0.0, max=100.0, step=0.1, tooltip="Guidance of later; 0 takes the sampler's. 1 for a distilled model."),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="For any sampler; nodes after it act on all stages.")],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        earlier: Any,
        later: Any,
        until_sigma: float = BOUNDARY_T2V,
        steps: int = 0,
        earlier_cfg: float = 0.0,
        later_cfg: float = 0.0,
    ) -> io.NodeOutput:
        end = StageEnd(until_sigma, steps)
        joined = join_stages(earlier, later, end, earlier_cfg, later_cfg)
        lacking = lacking_pusa(loras_of_stages(joined))
        return io.NodeOutput(joined, ui=ui.PreviewText(f"Warning: {lacking}") if lacking else None)
