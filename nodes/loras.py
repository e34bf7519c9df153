"""The two LoRA loaders: Pusa's own LoRA and LightX2V's step distillation."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui

from ..pusa_core.lora.experts import AUTO, EXPERTS, LIGHTX2V, PUSA
from ..pusa_core.lora.matching import ON_MISMATCH, STOP
from .host.folders import lora_names
from .host.lora_loading import load_lora, lora_fingerprint
from .host.schema import advanced, link_types_fit, search_words

EXPERT_TOOLTIP = (
    "The model this LoRA was made for. auto reads it from the file's name and metadata. "
    "Set it when the name does not say; the MoE switch and the doctor compare it with where the LoRA is used."
)
MISMATCH_TOOLTIP = (
    "What to do when part of the file does not fit the model. stop: say which keys and why, and do not run. "
    "apply what matches: use the rest and report what was left out."
)


class PusaLoraLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaLoraLoader",
            display_name="Pusa LoRA Loader",
            category="Pusa/models",
            **search_words("Wan LoRA", "image to video LoRA"),
            description=(
                "Adds a Pusa LoRA to a Wan text-to-video model and says on the node what was applied. "
                "Reads every published layout, with or without .alpha; nothing is skipped in silence."
            ),
            inputs=[
                io.Model.Input(
                    "model", tooltip="Wan2.1 or Wan2.2 14B text-to-video; for Wan2.2 one loader per expert."
                ),
                io.Combo.Input(
                    "lora_name",
                    options=lora_names(),
                    tooltip="File in models/loras.",
                ),
                io.Float.Input(
                    "alpha",
                    default=1.4,
                    min=-20.0,
                    max=20.0,
                    step=0.01,
                    tooltip=(
                        "The Pusa authors' lora_alpha, a direct multiplier. They advise 1.3 to 1.5 for Wan2.1, "
                        "1.4 to 1.6 for Wan2.2 (begin with high 1.5, low 1.4). Larger follows the given frames more closely, with less motion."
                    ),
                ),
                io.Combo.Input("expert", options=list(EXPERTS), default=AUTO, tooltip=EXPERT_TOOLTIP),
                io.Combo.Input(
                    "on_mismatch",
                    options=list(ON_MISMATCH),
                    default=STOP,
                    optional=True,
                    tooltip=MISMATCH_TOOLTIP,
                    **advanced(),
                ),
            ],
            outputs=[io.Model.Output(display_name="MODEL", tooltip="The model with the LoRA added.")],
        )

    @classmethod
    def validate_inputs(cls, input_types: dict[str, str]) -> bool | str:
        return link_types_fit(cls.define_schema(), input_types)

    @classmethod
    def fingerprint_inputs(cls, lora_name: str | None = None, **kwargs) -> tuple:
        return lora_fingerprint(lora_name)

    @classmethod
    def execute(
        cls, model: Any, lora_name: str, alpha: float = 1.4, expert: str = AUTO, on_mismatch: str = STOP
    ) -> io.NodeOutput:
        patched, told = load_lora(PUSA, model, lora_name, alpha, expert, on_mismatch)
        return io.NodeOutput(patched, ui=ui.PreviewText(told))


class PusaLightX2VLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaLightX2VLoader",
            display_name="LightX2V Loader",
            category="Pusa/models",
            **search_words("Lightning", "4 steps", "distill LoRA", "speed LoRA"),
            description=(
                "Adds a LightX2V step-distillation LoRA: few steps at cfg 1. Applies all of the file, also the "
                "differences of norms, biases and modulation that other loaders leave out."
            ),
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The model, before or after the Pusa LoRA; the order makes no difference.",
                ),
                io.Combo.Input(
                    "lora_name",
                    options=lora_names(),
                    tooltip="File in models/loras.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-20.0,
                    max=20.0,
                    step=0.01,
                    tooltip="Multiplier, times .alpha / rank where the file has .alpha. 1 is what the file was made for.",
                ),
                io.Combo.Input("expert", options=list(EXPERTS), default=AUTO, tooltip=EXPERT_TOOLTIP),
                io.Combo.Input(
                    "on_mismatch",
                    options=list(ON_MISMATCH),
                    default=STOP,
                    optional=True,
                    tooltip=MISMATCH_TOOLTIP,
                    **advanced(),
                ),
            ],
            outputs=[io.Model.Output(display_name="MODEL", tooltip="The model with the LoRA added.")],
        )

    @classmethod
    def validate_inputs(cls, input_types: dict[str, str]) -> bool | str:
        return link_types_fit(cls.define_schema(), input_types)

    @classmethod
    def fingerprint_inputs(cls, lora_name: str | None = None, **kwargs) -> tuple:
        return lora_fingerprint(lora_name)

    @classmethod
    def execute(
        cls, model: Any, lora_name: str, strength: float = 1.0, expert: str = AUTO, on_mismatch: str = STOP
    ) -> io.NodeOutput:
        patched, told = load_lora(LIGHTX2V, model, lora_name, strength, expert, on_mismatch)
        return io.NodeOutput(patched, ui=ui.PreviewText(told))
