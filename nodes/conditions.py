"""The node that puts pictures into a video latent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..pusa_core.bases import Base, base_of_channels
from ..pusa_core.bases.spaces import NORMALISED
from ..pusa_core.conditions import FrameCondition, check_video_samples, place
from ..pusa_core.encoding import ENCODE_MANNERS, SINGLE, Encode, picture_conditions
from ..pusa_core.errors import PusaError
from ..pusa_core.frames import (
    LATENT_FRAME,
    POSITION_UNITS,
    parse_multipliers,
    parse_positions,
    resolve_position,
)
from ..pusa_core.images import CROP, RESIZES, check_images, fit_images
from ..pusa_core.injections import INJECTIONS, Injection
from . import inputs
from .host.models import base_of_vae
from .host.schema import of_today, search_words
from .host.vaes import encoder_of


class PusaConditionFrames(io.ComfyNode):
    """Pictures at chosen frames of a video latent, each with its own share of noise."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaConditionFrames",
            display_name="Condition Frame Injector",
            category="Pusa/frames",
            **of_today(essentials_category="Video Tools"),
            **search_words(
                "image to video", "i2v", "start end frames", "first last frame", "flf2v", "keyframes"
            ),
            description=(
                "Puts pictures at frames of the video: one at 0 is image-to-video, two at 0 and -1 start-end frames, more are "
                "keyframes. Several injectors can follow one another."
            ),
            inputs=[
                inputs.vae(),
                io.Latent.Input(
                    "latent",
                    tooltip="Empty video latent (Empty Hunyuan Latent Video), or another injector's output.",
                ),
                io.Image.Input("images", tooltip="One picture per position; join several with Batch Images."),
                io.String.Input(
                    "positions",
                    default="0",
                    tooltip="Frame of each picture, with commas: 0 is the first, -1 the last. Counted as position_unit says.",
                ),
                io.String.Input(
                    "noise_multipliers",
                    default="0.2",
                    tooltip="Noise per position, 0 (kept as given) to 1 (ignored): one value, one per position (0.2, 0.5), or a ramp (0..0.2). 0.2 is the authors' start; more moves more freely.",
                ),
                io.Combo.Input(
                    "resize",
                    options=list(RESIZES),
                    default=CROP,
                    tooltip="How a picture of other proportions becomes the video's size: crop the sides, letterbox with black (the bars become part of the video), or stretch.",
                ),
                io.Combo.Input(
                    "position_unit",
                    options=list(POSITION_UNITS),
                    default=LATENT_FRAME,
                    tooltip="Latent frame: 81 frames are 21 latent frames, 0 to 20. Video frame: 0 to 80; the latent frame that holds it is used (1 to 4 share one).",
                ),
                io.Combo.Input(
                    "encode",
                    options=list(ENCODE_MANNERS),
                    default=SINGLE,
                    optional=True,
                    tooltip="single: each picture alone, as the authors' script does. in sequence: a picture after frame 0 as the four frames that its latent frame stands for, which suits Wan's VAE better.",
                ),
                inputs.latent_space(),
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
        positions: str = "0",
        noise_multipliers: str = "0.2",
        resize: str = CROP,
        position_unit: str = LATENT_FRAME,
        encode: str = SINGLE,
        latent_space: str = NORMALISED,
    ) -> io.NodeOutput:
        samples, base = checked_samples(vae, latent)
        check_images(images)
        typed = parse_positions(positions)
        if len(typed) != len(images):
            raise PusaError(
                f"{len(images)} images for {len(typed)} positions ({positions}). Give one position per picture: "
                "add positions, or join the pictures with Batch Images."
            )
        multipliers = parse_multipliers(noise_multipliers, len(typed))
        frames = [resolve_position(position, samples.shape[2], position_unit, base) for position in typed]

        def conditions(encoder: Encode) -> list[FrameCondition]:
            fitted = fit_to_latent(images, samples, resize)
            return picture_conditions(encoder, fitted, frames, multipliers, encode, base)

        return io.NodeOutput(placed(latent, encoder_of(vae, latent_space), conditions))


def checked_samples(vae: Any, latent: dict[str, Any]) -> tuple[Tensor, Base]:
    """The latent's samples [B, C, F, h, w] and their base, once VAE and latent are known to be of one."""
    base = base_of_vae(vae)
    check_video_samples(latent["samples"], base)
    return latent["samples"], base


def placed(
    latent: dict[str, Any], encode: Encode, make: Callable[[Encode], list[FrameCondition]]
) -> dict[str, Any]:
    """The LATENT with the conditions that `make` gives for `encode` in it, its noise_multipliers, and a note of how they are made."""
    base = base_of_channels(latent["samples"].shape[1])
    injection = Injection.of(encode, make)
    samples, multipliers = place(
        latent["samples"], latent.get("noise_multipliers"), injection.conditions, base
    )
    return {
        **latent,
        "samples": samples,
        "noise_multipliers": multipliers,
        INJECTIONS: (*latent.get(INJECTIONS, ()), injection),
    }


def fit_to_latent(images: Tensor, samples: Tensor, resize: str) -> Tensor:
    """Pictures [N, H, W, C] at the pixel size of a latent [B, C, F, h, w]."""
    pixels = base_of_channels(samples.shape[1]).spatial_stride
    return fit_images(images, samples.shape[4] * pixels, samples.shape[3] * pixels, resize)
