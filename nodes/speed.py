"""Node that sets model, steps and guidance together: a distilled model quickly, or the full one in all its steps."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..pusa_core.errors import PusaError
from .host.schema import search_words


class PusaSpeed(io.ComfyNode):
    """One switch for the model and the steps and cfg that it needs."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaSpeed",
            display_name="Speed or Quality",
            category="Pusa/models",
            **search_words("4 steps", "LightX2V on off", "fast or full", "distilled switch"),
            description=(
                "One switch for what must change together: LightX2V with 4 steps and cfg 1, or the model without it with 30 steps and cfg 3. "
                "The models of the other way are not loaded."
            ),
            inputs=[
                io.Boolean.Input("fast", default=True, label_on="fast", label_off="full quality", tooltip="On: fast_model with fast_steps and fast_cfg. Off: full_model with full_steps and full_cfg."),
                io.Model.Input("fast_model", lazy=True, tooltip="The model with its distilled LoRA, such as LightX2V behind the Pusa LoRA, or a Wan2.2 MoE Switch of two such experts."),
                io.Model.Input("full_model", lazy=True, tooltip="The same model without the distilled LoRA."),
                io.Int.Input("fast_steps", default=4, min=1, max=1000, tooltip="Model evaluations of the fast way: 4 with LightX2V."),
                io.Float.Input("fast_cfg", default=1.0, min=0.0, max=100.0, step=0.1, tooltip="Guidance of the fast way: 1.0 with LightX2V, where the negative prompt has no effect."),
                io.Int.Input("full_steps", default=30, min=1, max=1000, tooltip="Model evaluations without a distilled LoRA: 30 are the authors'."),
                io.Float.Input("full_cfg", default=3.0, min=0.0, max=100.0, step=0.1, tooltip="Guidance without a distilled LoRA: 3.0 is the authors'."),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The model of the way that fast chooses."),
                io.Int.Output(display_name="steps", tooltip="For the sampler's steps."),
                io.Float.Output(display_name="cfg", tooltip="For the sampler's cfg."),
            ],
        )  # fmt: skip

    @classmethod
    def check_lazy_status(cls, fast: bool = True, **given: Any) -> list[str]:
        wanted = _way(fast) + "_model"
        return [wanted] if given.get(wanted) is None else []

    @classmethod
    def execute(cls, fast: bool = True, **given: Any) -> io.NodeOutput:
        way = _way(fast)
        if given.get(f"{way}_model") is None:
            raise PusaError(
                f"fast is {'on' if fast else 'off'}, but nothing is connected to {way}_model: connect a model there."
            )
        return io.NodeOutput(*(given[f"{way}_{what}"] for what in ("model", "steps", "cfg")))


def _way(fast: bool) -> str:
    return "fast" if fast else "full"
