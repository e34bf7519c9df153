"""Nodes for videos without a beginning: conditions of a loop, a MODEL that rolls its latent, decoding across the seam."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..pusa_core.choices import check_choice
from ..pusa_core.conditions import FrameCondition
from ..pusa_core.encoding import ENCODE_MANNERS, IN_SEQUENCE, Encode
from ..pusa_core.given_frames import said
from ..pusa_core.graph.loops import LOOP_LATENTS, ROLLED, wrong_decodings
from ..pusa_core.images import CROP, RESIZES
from ..pusa_core.loop import (
    LOOPS,
    STILL,
    decode_loop,
    decode_still_loop,
    faded_into_first,
    loop_conditions,
)
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
from .host.roll import roll_latents
from .host.running_prompt import graph_around
from .host.schema import search_words
from .host.vaes import decoder_of, encoder_of
from .host.video import clip_of


class PusaLoopConditions(io.ComfyNode):
    """A video that ends where it began."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaLoopConditions",
            display_name="Loop Conditions",
            category="Pusa/frames",
            **search_words("seamless loop"),
            description=(
                "Makes the video return: rolled still gives one picture to a loop without ends (sample with Loop Model), still gives it "
                "at the first and the last frame, clip gives the end of a clip first and its start last, so that the new frames "
                "close it (join with Pusa Stitch, loop on)."
            ),
            inputs=[
                inputs.vae(),
                io.Latent.Input("latent", tooltip="Empty video latent (Empty Hunyuan Latent Video)."),
                io.MultiType.Input(
                    "video",
                    CLIP_TYPES,
                    tooltip="For the stills one picture (IMAGE); for clip a VIDEO, or IMAGE with its frame_rate.",
                ),
                io.Combo.Input(
                    "kind",
                    options=list(LOOPS),
                    default=STILL,
                    tooltip="still: the picture at the first and the last latent frame. rolled still: the picture once, at the first; put Loop Model before the sampler and decode with Loop Decode, rolled. clip: a way from the clip's end back to its start.",
                ),
                io.Int.Input(
                    "context_frames",
                    default=13,
                    min=5,
                    max=2049,
                    step=4,
                    tooltip=CONTEXT_TOOLTIP + " For clip only, at both ends.",
                ),
                io.String.Input(
                    "noise_multipliers",
                    default="0.2",
                    tooltip=MULTIPLIERS_TOOLTIP + " A still has two: first, last; a rolled one has one.",
                ),
                io.Combo.Input("resize", options=list(RESIZES), default=CROP, tooltip=RESIZE_TOOLTIP),
                io.Combo.Input(
                    "encode",
                    options=list(ENCODE_MANNERS),
                    default=IN_SEQUENCE,
                    tooltip="How a still is encoded where frames come before it (the last latent frame; the rolled one): single (as a first frame) or in sequence (as four frames of a still, which suits Wan's VAE better).",
                ),
                io.Float.Input("fps", default=16.0, min=0.0, max=240.0, step=0.001, tooltip=FPS_TOOLTIP),
                io.Float.Input(
                    "frame_rate", default=16.0, min=1.0, max=240.0, step=0.001, tooltip=FRAME_RATE_TOOLTIP
                ),
            ],
            outputs=[
                io.Latent.Output(
                    display_name="latent",
                    tooltip="The latent with its given frames in place and noise_multipliers beside its samples.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        vae: Any,
        latent: dict[str, Any],
        video: Any,
        kind: str = STILL,
        context_frames: int = 13,
        noise_multipliers: str = "0.2",
        resize: str = CROP,
        encode: str = IN_SEQUENCE,
        fps: float = 16.0,
        frame_rate: float = 16.0,
    ) -> io.NodeOutput:
        samples, base = checked_samples(vae, latent)
        clip = clip_of(video, frame_rate)

        def conditions(encoder: Encode) -> list[FrameCondition]:
            return loop_conditions(
                kind,
                encoder,
                lambda pictures: fit_to_latent(pictures, samples, resize),
                clip,
                samples.shape[2],
                context_frames=context_frames,
                noise_multipliers=noise_multipliers,
                manner=encode,
                rate=reading_rate(fps),
                pictures=len(video) if isinstance(video, Tensor) else None,
                base=base,
            )

        return io.NodeOutput(placed(latent, encoder_of(vae), conditions), ui=said_of(clip))


class PusaLoopModel(io.ComfyNode):
    """A MODEL that makes videos without a beginning."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaLoopModel",
            display_name="Loop Model",
            category="Pusa/sampling",
            **search_words("seamless loop"),
            description=(
                "The model sees the video rolled along time by some more frames at each step, so that its end and start grow "
                "together. For text to video, or with a picture from Loop Conditions, rolled still (also after Wan2.2 MoE Switch and Apply "
                "Vectorized Timesteps). Decode with Loop Decode."
            ),
            inputs=[
                io.Model.Input("model", tooltip="A Wan2.1 or Wan2.2 14B text-to-video model, LoRAs applied."),
                io.Int.Input(
                    "roll_per_step",
                    default=2,
                    min=1,
                    max=1000,
                    step=1,
                    tooltip="Latent frames that the video is rolled by from one step to the next. Use a number that visits many places: not a divisor of the number of latent frames (21 for 81 frames).",
                ),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="For any sampler.")],
        )

    @classmethod
    def execute(cls, model: Any, roll_per_step: int = 2) -> io.NodeOutput:
        return io.NodeOutput(roll_latents(model, roll_per_step))


class PusaLoopDecode(io.ComfyNode):
    """The frames of a loop, ready to play round and round."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaLoopDecode",
            display_name="Loop Decode",
            category="Pusa/sampling",
            **search_words("seamless loop"),
            description="Decodes a loop so that its last frame leads into its first: rolled latents across their seam, stills without the still's return.",
            inputs=[
                inputs.vae(),
                io.Latent.Input("samples", tooltip="The sampled loop."),
                io.Combo.Input(
                    "kind",
                    options=list(LOOP_LATENTS),
                    default=ROLLED,
                    tooltip="rolled: sampled with Loop Model; F latent frames become 4 F frames (84 for a length of 81). still at both ends: from Loop Conditions; the still's four last frames are left out, since the first frame shows it (77 of 81).",
                ),
                io.Int.Input(
                    "crossfade_frames",
                    optional=True,  # graphs in API format that were saved before have none
                    default=0,
                    min=0,
                    max=2049,
                    step=1,
                    tooltip="For a loop from a still: so many of its last video frames fade into the still, which hides a way back that does not quite arrive. 0: none.",
                ),
            ],
            outputs=[io.Image.Output(display_name="images", tooltip="The frames of one round, 16 a second.")],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
        )

    @classmethod
    def execute(
        cls, vae: Any, samples: dict[str, Any], kind: str = ROLLED, crossfade_frames: int = 0
    ) -> io.NodeOutput:
        latents, base = checked_samples(vae, samples)
        check_choice("kind", kind, LOOP_LATENTS)
        from_vae = decoder_of(vae)
        decode = decode_loop if kind == ROLLED else decode_still_loop
        rounds = (
            decode(lambda one: from_vae(one).flatten(0, 1), latent, base) for latent in latents.split(1)
        )
        videos = [faded_into_first(pictures, crossfade_frames) for pictures in rounds]
        images = torch.cat(videos)
        prompt, node = graph_around(cls.hidden)
        told = said(f"{len(videos[0])} frames in one round.", wrong_decodings(prompt or {}, node))
        return io.NodeOutput(images, ui=ui.PreviewText(told))
