"""Nodes for videos without a beginning: conditions of a loop, a MODEL that rolls its latent, decoding across the seam."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from comfy_api.latest import io
from torch import Tensor

from ..pusa_core.clips import transition_conditions
from ..pusa_core.encoding import ENCODE_MANNERS, IN_SEQUENCE
from ..pusa_core.errors import PusaError
from ..pusa_core.frames import parse_multipliers
from ..pusa_core.images import CROP, RESIZES
from ..pusa_core.loop import (
    decode_loop,
    decode_still_loop,
    rolled_back,
    rolled_order,
    step_of,
    still_positions,
)
from .clips import (
    CLIP_TYPES,
    CONTEXT_TOOLTIP,
    FPS_TOOLTIP,
    FRAME_RATE_TOOLTIP,
    MULTIPLIERS_TOOLTIP,
    RESIZE_TOOLTIP,
    clip_of,
    reading_rate,
    said_of,
)
from .comfy_hooks import require_wan_t2v
from .conditions import checked_samples, fit_to_latent, picture_conditions, placed
from .search_words import search_words

ROLL_KEY = "pusa_roll"

STILL, CLIP = LOOPS = ("still", "clip")
ROLLED, STILL_ENDS = LOOP_LATENTS = ("rolled", "still at both ends")


class PusaLoopConditions(io.ComfyNode):
    """A video that ends where it began."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaLoopConditions",
            display_name="Loop Conditions",
            category="Pusa",
            **search_words("seamless loop"),
            description=(
                "Makes the video return: still gives one picture at the first and the last frame, clip gives the end of a clip "
                "first and its start last, so that the new frames close it (join with Pusa Stitch, loop on)."
            ),
            inputs=[
                io.Vae.Input("vae", tooltip="wan_2.1_vae, also for Wan2.2 14B."),
                io.Latent.Input("latent", tooltip="Empty video latent (Empty Hunyuan Latent Video)."),
                io.MultiType.Input(
                    "video",
                    CLIP_TYPES,
                    tooltip="For still one picture (IMAGE); for clip a VIDEO, or IMAGE with its frame_rate.",
                ),
                io.Combo.Input(
                    "kind",
                    options=list(LOOPS),
                    default=STILL,
                    tooltip="still: the picture at the first and the last latent frame. clip: a way from the clip's end back to its start.",
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
                    tooltip=MULTIPLIERS_TOOLTIP + " A still has two: first, last.",
                ),
                io.Combo.Input("resize", options=list(RESIZES), default=CROP, tooltip=RESIZE_TOOLTIP),
                io.Combo.Input(
                    "encode",
                    options=list(ENCODE_MANNERS),
                    default=IN_SEQUENCE,
                    tooltip="How the still is encoded for the last latent frame: single (as a first frame) or in sequence (as four frames of a still, which suits Wan's VAE better).",
                ),
                io.Float.Input("fps", default=16.0, min=0.0, max=240.0, step=0.001, tooltip=FPS_TOOLTIP),
                io.Float.Input(
                    "frame_rate", default=16.0, min=1.0, max=240.0, step=0.001, tooltip=FRAME_RATE_TOOLTIP
                ),
            ],
            outputs=[
                io.Latent.Output(
                    display_name="latent",
                    tooltip="The latent with both ends in place and noise_multipliers beside its samples.",
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
        samples = checked_samples(vae, latent)
        if kind not in LOOPS:
            raise PusaError(f"kind is {kind!r}; use one of {', '.join(LOOPS)}.")
        clip = clip_of(video, frame_rate)
        rate = reading_rate(fps)

        def fit(pictures: Tensor) -> Tensor:
            return fit_to_latent(pictures, samples, resize)

        frames = samples.shape[2]
        if kind == CLIP:
            conditions = transition_conditions(
                vae.encode, fit, clip, clip, frames, context_frames, noise_multipliers, rate
            )
            return io.NodeOutput(placed(latent, conditions), ui=said_of(clip))
        if isinstance(video, Tensor) and len(video) != 1:
            raise PusaError(
                f"{len(video)} pictures came in for a still loop. Give one picture, or choose clip as the kind."
            )
        positions = still_positions(frames)
        both_ends = fit(clip.head(1, None)).expand(2, -1, -1, -1)
        multipliers = parse_multipliers(noise_multipliers, 2)
        conditions = picture_conditions(vae, both_ends, positions, multipliers, encode)
        return io.NodeOutput(placed(latent, conditions), ui=said_of(clip))


class PusaLoopModel(io.ComfyNode):
    """A MODEL that makes videos without a beginning."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaLoopModel",
            display_name="Loop Model",
            category="Pusa",
            **search_words("seamless loop"),
            description=(
                "The model sees the video rolled along time by some more frames at each step, so that its end and start grow "
                "together. For text to video (also after Wan2.2 MoE Switch and Apply Vectorized Timesteps). Decode with Loop Decode."
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
    def execute(cls, model: ModelPatcher, roll_per_step: int = 2) -> io.NodeOutput:
        return io.NodeOutput(roll_latents(model, roll_per_step))


class PusaLoopDecode(io.ComfyNode):
    """The frames of a loop, ready to play round and round."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaLoopDecode",
            display_name="Loop Decode",
            category="Pusa",
            **search_words("seamless loop"),
            description="Decodes a loop so that its last frame leads into its first: rolled latents across their seam, stills without the still's return.",
            inputs=[
                io.Vae.Input("vae", tooltip="wan_2.1_vae, also for Wan2.2 14B."),
                io.Latent.Input("samples", tooltip="The sampled loop."),
                io.Combo.Input(
                    "kind",
                    options=list(LOOP_LATENTS),
                    default=ROLLED,
                    tooltip="rolled: sampled with Loop Model; F latent frames become 4 F frames (84 for a length of 81). still at both ends: from Loop Conditions; the still's four last frames are left out, since the first frame shows it (77 of 81).",
                ),
            ],
            outputs=[io.Image.Output(display_name="images", tooltip="The frames of one round, 16 a second.")],
        )

    @classmethod
    def execute(cls, vae: Any, samples: dict[str, Any], kind: str = ROLLED) -> io.NodeOutput:
        latents = checked_samples(vae, samples)
        if kind not in LOOP_LATENTS:
            raise PusaError(f"kind is {kind!r}; use one of {', '.join(LOOP_LATENTS)}.")
        decode = decode_loop if kind == ROLLED else decode_still_loop
        videos = [decode(lambda one: vae.decode(one).flatten(0, 1), latent) for latent in latents.split(1)]
        return io.NodeOutput(torch.cat(videos))


class RolledLatents:
    """DIFFUSION_MODEL wrapper: the model sees latent and per-frame timesteps rolled, and its velocity is rolled back.

    The sampler's own state stays where it is, so any sampler, cache or preview works on it unchanged. Tensor operations only: this
    runs inside the compiled region of TorchCompileModel.
    """

    def __init__(self, roll_per_step: int):
        self.roll_per_step = roll_per_step

    def __call__(
        self, executor: Callable[..., Tensor], x: Tensor, timestep: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        options = next(
            (value for value in reversed(args) if isinstance(value, dict)),
            kwargs.get("transformer_options") or {},
        )
        if options.get("context_window") is not None:
            raise PusaError(
                "Loop Model cannot work inside context windows, where the model never sees the whole loop. Remove one of the two nodes."
            )
        sigmas, sigma = options.get("sample_sigmas"), options.get("sigmas")
        if sigmas is None or sigma is None:
            raise PusaError(
                "Loop Model is not told the schedule by this sampler. Use KSampler, SamplerCustom or Vectorized Timestep Sampler."
            )
        order = rolled_order(x.shape[2], step_of(sigma.flatten()[0], sigmas), self.roll_per_step).to(x.device)
        if timestep.ndim == 2 and timestep.shape[1] == x.shape[2]:
            timestep = timestep[:, order]
        return executor(x.index_select(2, order), timestep, *args, **kwargs).index_select(
            2, rolled_back(order)
        )


def roll_latents(model: ModelPatcher, roll_per_step: int) -> ModelPatcher:
    """A clone of the model that sees its latent rolled by `roll_per_step` latent frames more at each step."""
    require_wan_t2v(model)
    patched = model.clone()
    patched.remove_wrappers_with_key(WrappersMP.DIFFUSION_MODEL, ROLL_KEY)
    patched.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, ROLL_KEY, RolledLatents(roll_per_step))
    return patched
