"""The node that spreads pictures over a video."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..pusa_core.conditions import FrameCondition
from ..pusa_core.encoding import ENCODE_MANNERS, IN_SEQUENCE, Encode, picture_conditions
from ..pusa_core.frames import parse_multipliers
from ..pusa_core.images import CROP, RESIZES, check_images
from ..pusa_core.keyframes import EVEN, SPACINGS, keyframe_positions
from . import inputs
from .conditions import checked_samples, fit_to_latent, placed
from .host.schema import search_words
from .host.vaes import encoder_of


class PusaKeyframes(io.ComfyNode):
    """N pictures over the length of a video, for the model to fill in between."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaKeyframes",
            display_name="Keyframe Spreader",
            category="Pusa/frames",
            **search_words("interpolation", "several keyframes"),
            description="Spreads pictures over the length of the video, evenly or at given times; the model makes what lies between (frame interpolation).",
            inputs=[
                inputs.vae(),
                io.Latent.Input(
                    "latent",
                    tooltip="Empty video latent (Empty Hunyuan Latent Video), or another injector's output.",
                ),
                io.Image.Input(
                    "images", tooltip="The pictures in their order; join several with Batch Images."
                ),
                io.Combo.Input(
                    "spacing",
                    options=list(SPACINGS),
                    default=EVEN,
                    tooltip="even: from the first to the last frame. Otherwise times says where, in seconds, video frames (0 to 80 of 81) or latent frames (0 to 20).",
                ),
                io.String.Input(
                    "times",
                    default="",
                    tooltip="One time per picture, with commas, in the unit of spacing; frames may be negative, from the end. Empty for even.",
                ),
                io.String.Input(
                    "noise_multipliers",
                    default="0.2",
                    tooltip="Noise per picture, 0 (kept as given) to 1 (ignored): one value, one per picture, or a ramp (0..0.2).",
                ),
                io.Combo.Input(
                    "resize",
                    options=list(RESIZES),
                    default=CROP,
                    tooltip="How a picture of other proportions becomes the video's size: crop the sides, letterbox with black, or stretch.",
                ),
                io.Combo.Input(
                    "encode",
                    options=list(ENCODE_MANNERS),
                    default=IN_SEQUENCE,
                    tooltip="single: each picture alone, as the authors' script does. in sequence: as the four frames that a latent frame after the first stands for, which suits Wan's VAE better.",
                ),
                io.Float.Input(
                    "fps",
                    default=16.0,
                    min=1.0,
                    max=240.0,
                    step=0.001,
                    tooltip="Frames per second of the video, to turn seconds into frames. Wan makes 16.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    display_name="latent",
                    tooltip="The latent with the pictures in place and noise_multipliers beside its samples.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        vae: Any,
        latent: dict[str, Any],
        images: Tensor,
        spacing: str = EVEN,
        times: str = "",
        noise_multipliers: str = "0.2",
        resize: str = CROP,
        encode: str = IN_SEQUENCE,
        fps: float = 16.0,
    ) -> io.NodeOutput:
        samples, base = checked_samples(vae, latent)
        check_images(images)
        frames = keyframe_positions(len(images), samples.shape[2], spacing, times, fps, base)
        multipliers = parse_multipliers(noise_multipliers, len(images))

        def conditions(encoder: Encode) -> list[FrameCondition]:
            fitted = fit_to_latent(images, samples, resize)
            return picture_conditions(encoder, fitted, frames, multipliers, encode, base)

        return io.NodeOutput(placed(latent, encoder_of(vae), conditions))
