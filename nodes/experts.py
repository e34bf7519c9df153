"""The node for Wan2.2's two experts."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui

from ..pusa_core.experts import BOUNDARY_T2V
from ..pusa_core.lora.experts import mismatch
from .host.expert_switch import switch_experts
from .host.lora_patches import lora_facts
from .host.schema import search_words

CFG_TIP = "Guidance of this expert; 0 takes the sampler's cfg."


class PusaMoESwitch(io.ComfyNode):
    """Both experts of Wan2.2 as one MODEL."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaMoESwitch",
            display_name="Wan2.2 MoE Switch",
            category="Pusa",
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
