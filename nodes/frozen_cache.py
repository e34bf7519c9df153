"""The node that computes given frames every few steps only."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .host.frozen_cache import cache_frozen_frames
from .host.schema import advanced, search_words


class PusaFrozenFrameCache(io.ComfyNode):
    """A MODEL that computes given frames only every k-th step."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaFrozenFrameCache",
            display_name="Pusa Frozen Frame Cache",
            category="Pusa/sampling",
            **search_words("speed up", "cache"),
            description=(
                "Saves time when many frames are given: their part of the model is computed every few steps only, and the new frames "
                "attend to what it was. An approximation; its help page says what it costs and saves."
            ),
            inputs=[
                io.Model.Input(
                    "model", tooltip="Wan text-to-video, before the sampler or Apply Vectorized Timesteps."
                ),
                io.Int.Input(
                    "refresh_every",
                    default=2,
                    min=1,
                    max=100,
                    tooltip="Steps from one full computation to the next; 1 computes all frames at every step.",
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of the schedule after which the cache begins, 0 to 1.",
                    **advanced(),
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of the schedule after which all frames are computed again, 0 to 1.",
                    **advanced(),
                ),
                io.Float.Input(
                    "up_to_multiplier",
                    default=0.0,
                    min=0.0,
                    max=0.99,
                    step=0.01,
                    tooltip="Frames with a noise multiplier of at most this are cached: 0 only frames kept clean, 0.2 also slow ones.",
                    **advanced(),
                ),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="The model with the cache.")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        refresh_every: int = 2,
        start_percent: float = 0.0,
        end_percent: float = 1.0,
        up_to_multiplier: float = 0.0,
    ) -> io.NodeOutput:
        return io.NodeOutput(
            cache_frozen_frames(model, refresh_every, start_percent, end_percent, up_to_multiplier)
        )
