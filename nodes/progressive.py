"""The node that runs the first steps at a smaller size."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..pusa_core.progressive import SHARES, UNTIL
from .host.progressive import run_progressively
from .host.schema import search_words


class PusaProgressive(io.ComfyNode):
    """A MODEL whose first steps run at a smaller size."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaProgressive",
            display_name="Pusa Progressive",
            category="Pusa/sampling",
            **search_words("speed up", "progressive resolution", "changing resolution", "faster"),
            description=(
                "Saves time: the first steps, in which only the large forms arise, run at a smaller width and height, then the video is "
                "enlarged and goes on at full size. Given frames are encoded at both sizes. An approximation; its help page says what it costs."
            ),
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The model with its LoRAs, also from Wan2.2 MoE Switch; before Apply Vectorized Timesteps, Vectorized Timestep Sampler or Long Video.",
                ),
                io.Combo.Input(
                    "size",
                    options=list(SHARES),
                    default="1/2",
                    tooltip="Share of width and height that the first steps run at: 1/2 has a quarter of the tokens, 2/3 not half of them. full switches the node off.",
                ),
                io.Float.Input(
                    "until_sigma",
                    default=UNTIL,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    round=0.0001,
                    tooltip="Noise level, 0 to 1, down to which steps run small: 0.875 is where Wan2.2's experts change. Lower saves more and departs further. The last step is always full size.",
                ),
                io.Latent.Input(
                    "latent_small",
                    optional=True,
                    tooltip="Only where the sampler says so: the same frames injected into an empty latent of the small size. Frames from this pack's injectors are encoded again by themselves.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model",
                    tooltip="For Vectorized Timestep Sampler, Apply Vectorized Timesteps or Long Video.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        size: str = "1/2",
        until_sigma: float = UNTIL,
        latent_small: dict[str, Any] | None = None,
    ) -> io.NodeOutput:
        return io.NodeOutput(run_progressively(model, size, until_sigma, latent_small))
