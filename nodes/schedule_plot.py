"""The node that draws the schedule."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..pusa_core.conditions import check_video_samples, frame_multipliers
from ..pusa_core.experts import BOUNDARY_T2V
from ..pusa_core.schedule_plot import plot_schedule


class PusaSchedulePlot(io.ComfyNode):
    """Which latent frame runs at which noise level in which step, as a picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaSchedulePlot",
            display_name="Schedule Plot",
            category="Pusa/tools",
            description=(
                "Draws the noise level of every latent frame at every step, and where Wan2.2 changes experts: what the sampler "
                "will do, before it takes minutes."
            ),
            inputs=[
                io.Sigmas.Input("sigmas", tooltip="The schedule, from Pusa Scheduler or any scheduler node."),
                io.Latent.Input(
                    "latent", tooltip="The latent that will be sampled, with the injected frames."
                ),
                io.Float.Input(
                    "boundary",
                    default=BOUNDARY_T2V,
                    min=0.0,
                    max=1.0,
                    step=0.005,
                    tooltip="Sigma from 0 to 1 where Wan2.2 changes experts, as in Wan2.2 MoE Switch: 0.875 for text-to-video. 0 draws none (Wan2.1).",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="plot", tooltip="A heat map: one row per latent frame, one column per step."
                )
            ],
        )

    @classmethod
    def execute(cls, sigmas: Tensor, latent: dict[str, Any], boundary: float = BOUNDARY_T2V) -> io.NodeOutput:
        samples = latent["samples"]
        base = check_video_samples(samples)
        multipliers = frame_multipliers(latent.get("noise_multipliers"), samples.shape[2])
        return io.NodeOutput(plot_schedule(sigmas, multipliers, boundary, base))
