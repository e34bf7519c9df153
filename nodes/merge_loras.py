"""The node that puts a MODEL's LoRAs into its weights once, instead of at every step."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui

from .host.merge_loras import IN_MEMORY, KEEP, merge_loras
from .host.schema import search_words


class PusaMergeLoras(io.ComfyNode):
    """The same model with its LoRAs in the weights."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaMergeLoras",
            display_name="Merge LoRAs",
            category="Pusa/models",
            **search_words("bake LoRA", "fuse LoRA", "low VRAM", "save merged model"),
            description=(
                "Puts the LoRAs on a model into its weights once. For a model larger than the VRAM, where ComfyUI otherwise "
                "computes every weight with its LoRA anew at every step. Costs one more model: in RAM, or on disk as well."
            ),
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The model with all its LoRAs, from any loader; for Wan2.2 one node for each expert, before Wan2.2 MoE Switch.",
                ),
                io.Combo.Input(
                    "keep",
                    options=list(KEEP),
                    default=IN_MEMORY,
                    tooltip=(
                        "in memory: merged once a session; takes one more model in RAM, 14 GB (fp8) to 28 GB (bf16) for a 14B "
                        "expert. in a file: as much on disk, in models/diffusion_models/pusa_merged; written once, found again by "
                        "every later run, and Load Diffusion Model can load it without the base model. Delete it by hand."
                    ),
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model",
                    tooltip="The model with the LoRAs in its weights and none left to apply.",
                )
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
        )

    @classmethod
    def execute(cls, model: Any, keep: str = IN_MEMORY) -> io.NodeOutput:
        merged, told = merge_loras(model, keep, cls.hidden)
        return io.NodeOutput(merged, ui=ui.PreviewText(told))
