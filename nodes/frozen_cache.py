"""Pusa Frozen Frame Cache: given frames are computed every k-th step, the free frames attend to what they were.

Two object patches of a clone, bound methods that Wan2.2 MoE Switch binds anew for the second expert: `forward_orig`, which
leaves the frozen frames' tokens out, and the blocks' `self_attn.forward`, which keeps and adds their keys and values.
An OUTER_SAMPLE wrapper gives each run a memory of its own and drops it at the end; a PREPARE_SAMPLING wrapper tells ComfyUI's
manager how much that will be.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Sequence
from types import MethodType
from typing import Any

import comfy.ldm.wan.model
import comfy.model_management
import comfy.ops
import torch
from comfy.model_patcher import ModelPatcher, create_model_options_clone
from comfy.patcher_extension import WrappersMP
from comfy_api.latest import io
from torch import Tensor

from ..pusa_core.errors import PusaError
from ..pusa_core.frozen_frames import cache_bytes, is_refresh, split_frames
from .comfy_hooks import multipliers_of, require_wan_t2v
from .search_words import search_words
from .wan_forward import TOKENS_PER_FRAME, is_replaced, tokens_per_frame

logger = logging.getLogger("ComfyUI-Pusa")

KEY = "pusa_frozen_cache"
MEMORY = "pusa_frozen_memory"
"""Key of transformer_options: the RunMemory of the run under way."""
CALL = "pusa_frozen_call"
"""Key of transformer_options: the CallMemory of the model call under way."""


class CallMemory:
    """What one kind of model call (its prompts, its context window) keeps from a refresh: keys, values, velocity."""

    def __init__(self, frozen: list[int], free: list[int], x: Tensor, tokens: int):
        """frozen, free: latent frames of x [B, C, F, H, W]; tokens: of one of them."""
        self.frozen, self.free = (torch.tensor(frames, device=x.device) for frames in (frozen, free))
        self.frozen_tokens, self.free_tokens = (
            (frames[:, None] * tokens + torch.arange(tokens, device=x.device)).flatten()
            for frames in (self.frozen, self.free)
        )
        self.shape = tuple(x.shape)
        self.refreshing = True
        self.step = -1
        self.sigmas: Tensor | None = None  # of the last call: ComfyUI makes a new tensor for each step
        self.keys_and_values: dict[torch.nn.Module, tuple[Tensor, Tensor]] = {}
        self.velocity: Tensor | None = None  # [B, C, frozen, H, W]


class RunMemory:
    """What one run of a sampler keeps: its plan, and a CallMemory for each kind of call."""

    def __init__(self, plan: Plan, multipliers: list[float], start_sigma: float, end_sigma: float):
        self.plan = plan
        self.multipliers = multipliers
        self.start_sigma = start_sigma
        self.end_sigma = end_sigma
        self.calls: dict[tuple[Any, ...], CallMemory] = {}

    def bytes_kept(self, model: Any, shape: Sequence[int]) -> int:
        """Bytes of all keys and values of a run of this BaseModel on one video of [1, C, F, H, W], one prompt."""
        wan = model.diffusion_model
        return cache_bytes(
            len(split_frames(self.multipliers, self.plan.up_to)[0]),
            tokens_per_frame(*shape[-2:]),
            wan.dim,
            len(wan.blocks),
            bytes_each=comfy.model_management.dtype_size(model.manual_cast_dtype or model.get_dtype()),
        )

    def call(self, x: Tensor, options: dict[str, Any]) -> CallMemory | None:
        """The memory for a model call on x [B, C, F, H, W], told whether to refresh; None where all frames are computed."""
        sigmas = options["sigmas"]
        window = options.get("context_window")
        frames = tuple(range(len(self.multipliers)) if window is None else window.index_list)
        if len(frames) != x.shape[2] or not self.plan.covers(sigmas, self.start_sigma, self.end_sigma):
            return None
        key = (tuple(options.get("uuids", ())), frames)
        memory = self.calls.get(key)
        if memory is None or memory.shape != tuple(x.shape):
            frozen, free = split_frames([self.multipliers[frame] for frame in frames], self.plan.up_to)
            if not frozen or not free:
                return None
            memory = self.calls[key] = CallMemory(frozen, free, x, options[TOKENS_PER_FRAME])
        if memory.sigmas is not sigmas:
            memory.sigmas = sigmas
            memory.step += 1
        memory.refreshing = is_refresh(memory.step, self.plan.every) or memory.velocity is None
        return memory


class Plan:
    """OUTER_SAMPLE wrapper: when to refresh, which frames count, and the memory of each run."""

    def __init__(self, every: int, start_percent: float, end_percent: float, up_to: float):
        self.every = every
        self.start_percent = start_percent
        self.end_percent = end_percent
        self.up_to = up_to

    def covers(self, sigmas: Tensor, start_sigma: float, end_sigma: float) -> bool:
        """Whether a call at this level lies in the range; asks the device only where the range is not everything."""
        if self.start_percent <= 0 and self.end_percent >= 1:
            return True
        return end_sigma < float(sigmas[0]) <= start_sigma

    def __call__(self, executor: Any, *args: Any, **kwargs: Any) -> Tensor:
        guider = executor.class_obj
        multipliers = multipliers_of(guider.model_patcher)
        reason = self.reason_against(guider, multipliers)
        if reason is not None:
            logger.info("Pusa Frozen Frame Cache steps aside: %s.", reason)
            return executor(*args, **kwargs)
        sampling = guider.model_patcher.get_model_object("model_sampling")
        memory = RunMemory(
            self,
            multipliers.tolist(),
            sampling.percent_to_sigma(self.start_percent),
            sampling.percent_to_sigma(self.end_percent),
        )
        options = guider.model_options
        guider.model_options = create_model_options_clone(options)
        guider.model_options["transformer_options"][MEMORY] = memory
        try:
            return executor(*args, **kwargs)
        finally:
            memory.calls.clear()
            guider.model_options = options

    def reason_against(self, guider: Any, multipliers: Tensor | None) -> str | None:
        """Why a run computes all frames at every step, None where the cache works."""
        if multipliers is None or not bool((multipliers <= self.up_to).any()):
            return f"no frame has a noise multiplier of {self.up_to} or less"
        if not bool((multipliers > self.up_to).any()):
            return "no frame is free"
        if self.every == 1:
            return "it refreshes at every step"
        if "torch.compile" in guider.model_patcher.wrappers.get(WrappersMP.APPLY_MODEL, {}):
            return "the model is compiled, and the cache would be compiled anew for every kind of step"
        if "attn1_patch" in guider.model_options["transformer_options"].get("patches", {}):
            return "a node patches self-attention"
        if reason := reason_against_attention():
            return reason
        wan = guider.model_patcher.model.diffusion_model
        if is_replaced(wan, "forward_orig", forward_without_frozen_frames):
            return "another node pack replaced the model's forward"
        ours = (forward_without_frozen_frames, attention_with_frozen_frames)
        for name, patch in guider.model_patcher.object_patches.items():
            needed = name.endswith((".forward_orig", ".self_attn.forward"))
            if needed and getattr(patch, "__func__", None) not in ours:
                return f"another node patched {name}"
        return None


def with_room_for_the_cache(
    executor: Any,
    model: ModelPatcher,
    noise_shape: Sequence[int],
    conds: Any,
    model_options: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """PREPARE_SAMPLING wrapper: ComfyUI's estimate of a run on [B, C, F, H, W], with the keys and values added.

    The estimate grows with the batch and with nothing else that may be set for one run, so the batch is told larger than it is.
    """
    run = (model_options or {}).get("transformer_options", {}).get(MEMORY)
    if run is not None:
        without = model.model.memory_required([1, *noise_shape[1:]])
        noise_shape = [
            noise_shape[0] * (1 + run.bytes_kept(model.model, noise_shape) / without),
            *noise_shape[1:],
        ]
    return executor(model, noise_shape, conds, model_options=model_options, **kwargs)


def forward_without_frozen_frames(
    wan: Any,
    x: Tensor,
    t: Tensor,
    context: Tensor,
    clip_fea: Tensor | None = None,
    freqs: Tensor | None = None,
    transformer_options: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Tensor:
    """WanModel.forward_orig on the free frames only, between refreshes.

    x: [B, C, F, H, W]; t: [B, F]; freqs: [1, L, ...]. Returns the velocity of all frames; that of frozen ones is the last
    refresh's (of no use where their multiplier is 0, and nearly the same where it is small).
    """
    options = transformer_options or {}
    run = options.get(MEMORY)
    memory = run.call(x, options) if run is not None and t.ndim == 2 and t.shape[1] == x.shape[2] else None

    def forward(x: Tensor, t: Tensor, freqs: Tensor | None, options: dict[str, Any]) -> Tensor:
        return type(wan).forward_orig(
            wan, x, t, context, clip_fea=clip_fea, freqs=freqs, transformer_options=options, **kwargs
        )

    if memory is None:
        return forward(x, t, freqs, options)
    options = {**options, CALL: memory}
    if memory.refreshing:
        velocity = forward(x, t, freqs, options)
        memory.velocity = velocity.index_select(2, memory.frozen)
        return velocity
    rotation = None if freqs is None else freqs.index_select(1, memory.free_tokens)
    of_free = forward(
        x.index_select(2, memory.free), t.to(x.device).index_select(1, memory.free), rotation, options
    )
    velocity = of_free.new_empty((*of_free.shape[:2], t.shape[1], *of_free.shape[3:]))
    velocity.index_copy_(2, memory.free, of_free)
    return velocity.index_copy_(2, memory.frozen, memory.velocity)


def attention_with_frozen_frames(
    attention: Any, x: Tensor, freqs: Tensor, transformer_options: dict[str, Any] | None = None
) -> Tensor:
    """WanSelfAttention.forward that keeps the frozen frames' keys and values, or adds those it kept.

    x: [B, L, C], of all frames at a refresh and of the free ones in between; freqs: [1, L, ...]. Returns [B, L, C].
    """
    options = transformer_options or {}
    memory = options.get(CALL)
    if memory is None:
        return type(attention).forward(attention, x, freqs, transformer_options=options)
    rotate = comfy.ldm.wan.model.apply_rope1
    heads = (*x.shape[:2], attention.num_heads, attention.head_dim)
    query = rotate(attention.norm_q(attention.q(x)).view(heads), freqs).flatten(2)
    key = rotate(attention.norm_k(attention.k(x)).view(heads), freqs).flatten(2)
    value = attention.v(x)
    if memory.refreshing:
        kept = memory.frozen_tokens
        memory.keys_and_values[attention] = (key.index_select(1, kept), value.index_select(1, kept))
    else:
        frozen_key, frozen_value = memory.keys_and_values[attention]
        key, value = torch.cat((frozen_key, key), 1), torch.cat((frozen_value, value), 1)
    x = comfy.ldm.wan.model.optimized_attention(
        query, key, value, heads=attention.num_heads, transformer_options=options
    )
    return attention.o(x)


def cache_frozen_frames(
    model: ModelPatcher, every: int, start_percent: float, end_percent: float, up_to: float
) -> ModelPatcher:
    """A clone of the model with the cache; it works in runs that have vectorized timesteps."""
    require_wan_t2v(model)
    if start_percent >= end_percent:
        raise PusaError(
            f"start_percent is {start_percent} and end_percent {end_percent}: nothing lies between. Set start_percent lower."
        )
    names = {"diffusion_model.forward_orig": forward_without_frozen_frames}
    for index in range(len(model.model.diffusion_model.blocks)):
        names[f"diffusion_model.blocks.{index}.self_attn.forward"] = attention_with_frozen_frames
    for name, function in names.items():
        theirs = model.object_patches.get(name)
        if theirs is not None and getattr(theirs, "__func__", None) is not function:
            raise PusaError(
                f"Another node patched {name}, which Pusa Frozen Frame Cache needs for itself. Take one of the two out."
            )
    patched = model.clone()
    for name, function in names.items():
        owner = patched.model.get_submodule(name.rpartition(".")[0])
        patched.add_object_patch(name, MethodType(function, owner))
    patched.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, KEY)
    plan = Plan(every, start_percent, end_percent, up_to)
    patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, plan)
    patched.remove_wrappers_with_key(WrappersMP.PREPARE_SAMPLING, KEY)
    patched.add_wrapper_with_key(WrappersMP.PREPARE_SAMPLING, KEY, with_room_for_the_cache)
    return patched


@functools.cache
def reason_against_attention() -> str | None:
    """Why the attention above cannot stand in for this ComfyUI's, None where a small trial gives the same bits."""
    attention_class = comfy.ldm.wan.model.WanSelfAttention
    parameters = tuple(inspect.signature(attention_class.forward).parameters)
    if parameters != ("self", "x", "freqs", "transformer_options"):
        return f"this ComfyUI's attention takes {', '.join(parameters[1:])}"
    generator = torch.Generator().manual_seed(0)
    settings = {"operations": comfy.ops.disable_weight_init, "device": "cpu", "dtype": torch.float32}
    attention = attention_class(32, 2, operation_settings=settings)
    memory = CallMemory([0], [1, 2], torch.empty(1, 1, 3, 1, 1), 4)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        given = (
            torch.randn(1, 12, 32, generator=generator),
            torch.randn(1, 12, 1, 8, 2, 2, generator=generator),
        )
        try:
            ours = attention_with_frozen_frames(attention, *given, transformer_options={CALL: memory})
            theirs = attention_class.forward(attention, *given)
        except (TypeError, ValueError, RuntimeError, AttributeError, KeyError) as error:
            return f"a small trial failed ({error})"
    return None if torch.equal(ours, theirs) else "this ComfyUI's attention gives other bits"


class PusaFrozenFrameCache(io.ComfyNode):
    """A MODEL that computes given frames only every k-th step."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaFrozenFrameCache",
            display_name="Pusa Frozen Frame Cache",
            category="Pusa",
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
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of the schedule after which all frames are computed again, 0 to 1.",
                ),
                io.Float.Input(
                    "up_to_multiplier",
                    default=0.0,
                    min=0.0,
                    max=0.99,
                    step=0.01,
                    tooltip="Frames with a noise multiplier of at most this are cached: 0 only frames kept clean, 0.2 also slow ones.",
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
