"""The node that leads from one clip into another."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..pusa_core.bases.spaces import NORMALISED
from ..pusa_core.clips import transition_conditions
from ..pusa_core.conditions import FrameCondition
from ..pusa_core.encoding import Encode
from ..pusa_core.images import CROP, RESIZES
from . import inputs
from .clips import (
    CLIP_TYPES,
    CONTEXT_TOOLTIP,
    FPS_TOOLTIP,
    FRAME_RATE_TOOLTIP,
    MULTIPLIERS_TOOLTIP,
    RESIZE_TOOLTIP,
    reading_rate,
    said_of,
)
from .conditions import checked_samples, fit_to_latent, placed
from .host.schema import search_words
from .host.vaes import encoder_of
from .host.video import clip_of


class PusaTransition(io.ComfyNode):
    """The end of one clip and the start of another, for the model to join."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaTransition",
            display_name="Clip Transition",
            category="Pusa/frames",
            **search_words("join clips", "morph between videos"),
            description="Gives the end of the first clip and the start of the second; the model makes the way from one to the other. Pusa Stitch joins the three.",
            inputs=[
                inputs.vae(),
                io.Latent.Input(
                    "latent",
                    tooltip="Empty video latent (Empty Hunyuan Latent Video): its length is the transition with the shared frames at both ends.",
                ),
                io.MultiType.Input(
                    "first",
                    CLIP_TYPES,
                    tooltip="The clip to come from: VIDEO (Load Video), or IMAGE with its frame_rate.",
                ),
                io.MultiType.Input(
                    "second",
                    CLIP_TYPES,
                    tooltip="The clip to go to: VIDEO (Load Video), or IMAGE with its frame_rate.",
                ),
                io.Int.Input(
                    "context_frames",
                    default=13,
                    min=5,
                    max=2049,
                    step=4,
                    tooltip=CONTEXT_TOOLTIP + " Used at both ends.",
                ),
                io.String.Input(
                    "noise_multipliers",
                    default="0.2",
                    tooltip=MULTIPLIERS_TOOLTIP
                    + " With 13 context_frames 7 latent frames are given: 4 of the first clip, then 3 of the second.",
                ),
                io.Combo.Input("resize", options=list(RESIZES), default=CROP, tooltip=RESIZE_TOOLTIP),
                io.Float.Input("fps", default=16.0, min=0.0, max=240.0, step=0.001, tooltip=FPS_TOOLTIP),
                io.Float.Input(
                    "frame_rate", default=16.0, min=1.0, max=240.0, step=0.001, tooltip=FRAME_RATE_TOOLTIP
                ),
                io.Boolean.Input(
                    "reference_semantics",
                    default=False,
                    tooltip="On: as the authors' V0.5 script, the first half of a video's length of each clip is joined and encoded as one, so the first clip's START is given instead of its end.",
                ),
                inputs.latent_space(),
            ],
            outputs=[
                io.Latent.Output(
                    display_name="latent",
                    tooltip="The latent with both clips' frames in place and noise_multipliers beside its samples.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        vae: Any,
        latent: dict[str, Any],
        first: Any,
        second: Any,
        context_frames: int = 13,
        noise_multipliers: str = "0.2",
        resize: str = CROP,
        fps: float = 16.0,
        frame_rate: float = 16.0,
        reference_semantics: bool = False,
        latent_space: str = NORMALISED,
    ) -> io.NodeOutput:
        samples, base = checked_samples(vae, latent)
        clips = clip_of(first, frame_rate, "the first clip"), clip_of(second, frame_rate, "the second clip")

        def conditions(encode: Encode) -> list[FrameCondition]:
            return transition_conditions(
                encode,
                lambda pictures: fit_to_latent(pictures, samples, resize),
                *clips,
                samples.shape[2],
                context_frames,
                noise_multipliers,
                reading_rate(fps),
                reference_semantics,
                base,
            )

        return io.NodeOutput(placed(latent, encoder_of(vae, latent_space), conditions), ui=said_of(*clips))
