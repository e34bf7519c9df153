"""Pusa Frozen Frame Cache: given frames are computed every k-th step, the free frames attend to what they were.

Two object patches of a clone, bound methods that are made anew for the second expert of Wan2.2 MoE Switch: `forward_orig`, which
leaves the frozen frames' tokens out, and the blocks' `self_attn.forward`, which keeps and adds their keys and values.
An OUTER_SAMPLE wrapper gives each run a memory of its own and drops it at the end; a PREPARE_SAMPLING wrapper tells ComfyUI's
manager how much that will be.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any

import comfy.model_management
import torch
from torch import Tensor

from ...pusa_core.errors import PusaError
from ...pusa_core.frozen_frames import cache_bytes, is_refresh, split_frames
from . import symbols
from .attention import PYTORCH_ATTENTION
from .features import Aspect, Feature, Hooks, apply, others_object_patches, owner_of
from .forward import TOKENS_PER_FRAME, is_replaced, tokens_per_frame
from .models import require_wan_forward
from .timesteps import multipliers_of
from .windows import frames_of_call

logger = logging.getLogger("ComfyUI-Pusa")

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
        window = frames_of_call(options)
        frames = tuple(range(len(self.multipliers)) if window is None else window)
        if len(frames) != x.shape[2] or not self.plan.covers(sigmas, self.start_sigma, self.end_sigma):
            return None
        # on several GPUs (MultiGPU CFG Split) a prompt may change its device, and with it the model, from step to step; skip-layer
        # guidance calls the same prompt a second time with blocks that are replaced
        replaced = options.get("patches_replace", {}).get("dit", {})
        key = (
            options.get("multigpu_thread_device"),
            tuple(options.get("uuids", ())),
            frames,
            tuple(sorted((str(place), id(patch)) for place, patch in replaced.items())),
        )
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


@dataclass(frozen=True)
class Plan:
    """When to refresh, and which frames count."""

    every: int  # steps from one refresh to the next
    start_percent: float  # share of the schedule, 0 to 1
    end_percent: float
    up_to: float  # frames with a multiplier of at most this are cached

    def covers(self, sigmas: Tensor, start_sigma: float, end_sigma: float) -> bool:
        """Whether a call at this level lies in the range; asks the device only where the range is not everything."""
        if self.start_percent <= 0 and self.end_percent >= 1:
            return True
        return end_sigma < float(sigmas[0]) <= start_sigma

    def reason_against(self, guider: Any, multipliers: Tensor | None) -> str | None:
        """Why a run computes all frames at every step, None where the cache works."""
        if multipliers is None or not bool((multipliers <= self.up_to).any()):
            return f"no frame has a noise multiplier of {self.up_to} or less"
        if not bool((multipliers > self.up_to).any()):
            return "no frame is free"
        if self.every == 1:
            return "it refreshes at every step"
        if "torch.compile" in guider.model_patcher.wrappers.get(symbols.WrappersMP.APPLY_MODEL, {}):
            return "the model is compiled, and the cache would be compiled anew for every kind of step"
        if "attn1_patch" in guider.model_options["transformer_options"].get("patches", {}):
            return "a node patches self-attention"
        if reason := reason_against_attention():
            return reason
        wan = guider.model_patcher.model.diffusion_model
        if is_replaced(wan, "forward_orig", forward_without_frozen_frames):
            return "another node pack replaced the model's forward"
        for name in others_object_patches(guider.model_patcher):
            if name.endswith((".forward_orig", ".self_attn.forward")):
                return f"another node patched {name}"
        return None


class CachedRun:
    """OUTER_SAMPLE wrapper: a memory of its own for each run, dropped at the end."""

    def __init__(self, plan: Plan):
        self.plan = plan

    def __call__(self, executor: Any, *args: Any, **kwargs: Any) -> Tensor:
        guider = executor.class_obj
        multipliers = multipliers_of(guider.model_patcher)
        reason = self.plan.reason_against(guider, multipliers)
        if reason is not None:
            logger.info("Pusa Frozen Frame Cache steps aside: %s.", reason)
            return executor(*args, **kwargs)
        sampling = guider.model_patcher.get_model_object("model_sampling")
        memory = RunMemory(
            self.plan,
            multipliers.tolist(),
            sampling.percent_to_sigma(self.plan.start_percent),
            sampling.percent_to_sigma(self.plan.end_percent),
        )
        options = guider.model_options
        guider.model_options = symbols.create_model_options_clone(options)
        guider.model_options["transformer_options"][MEMORY] = memory
        try:
            return executor(*args, **kwargs)
        finally:
            memory.calls.clear()
            guider.model_options = options


def with_room_for_the_cache(
    executor: Any,
    model: Any,
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
    rotate = symbols.apply_rope1
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
    preferred = getattr(attention, "comfy_attention", None)  # 0.38 and later
    more = {} if preferred is None else {"preferred_attention": preferred}
    x = symbols.optimized_attention(
        query, key, value, heads=attention.num_heads, transformer_options=options, **more
    )
    return attention.o(x)


@dataclass(frozen=True)
class FrozenFrameCache(Feature):
    """Given frames computed every k-th step, in runs that have vectorized timesteps."""

    plan: Plan

    name = "Pusa Frozen Frame Cache"
    key = "pusa_frozen_cache"
    changes = frozenset({Aspect.FORWARD, Aspect.ATTENTION})
    relies_on = frozenset({Aspect.AXIS_ORDER, Aspect.ATTENTION})
    needs = (
        "WrappersMP",
        "create_model_options_clone",
        "apply_rope1",
        "optimized_attention",
        "WanSelfAttention",
    )
    patches = (forward_without_frozen_frames, attention_with_frozen_frames)

    def settings(self) -> Any:
        return vars(self.plan)

    def check(self, patcher: Any) -> None:
        require_wan_forward(patcher, self.name)
        plan, theirs = self.plan, others_object_patches(patcher)
        if plan.start_percent >= plan.end_percent:
            raise PusaError(
                f"start_percent is {plan.start_percent} and end_percent {plan.end_percent}: nothing lies between. "
                "Set start_percent lower."
            )
        for name in self._patched(patcher):
            if name in theirs:
                raise PusaError(
                    f"Another node patched {name}, which Pusa Frozen Frame Cache needs for itself. Take one of the two out."
                )

    def hooks(self, patcher: Any) -> Hooks:
        return Hooks(
            {
                name: MethodType(function, owner_of(patcher.model, name))
                for name, function in self._patched(patcher).items()
            },
            {
                symbols.WrappersMP.OUTER_SAMPLE: CachedRun(self.plan),
                symbols.WrappersMP.PREPARE_SAMPLING: with_room_for_the_cache,
            },
        )

    def _patched(self, patcher: Any) -> dict[str, Any]:
        names = {"diffusion_model.forward_orig": forward_without_frozen_frames}
        for index in range(len(patcher.model.diffusion_model.blocks)):
            names[f"diffusion_model.blocks.{index}.self_attn.forward"] = attention_with_frozen_frames
        return names


def cache_frozen_frames(
    model: Any, every: int, start_percent: float, end_percent: float, up_to: float
) -> Any:
    """A clone of the MODEL with the cache; see Plan for the settings."""
    return apply(model, FrozenFrameCache(Plan(every, start_percent, end_percent, up_to)))


@functools.cache
def reason_against_attention() -> str | None:
    """Why the attention above cannot stand in for this ComfyUI's, None where a small trial gives the same bits."""
    attention_class = symbols.WanSelfAttention
    parameters = tuple(inspect.signature(attention_class.forward).parameters)
    if parameters != ("self", "x", "freqs", "transformer_options"):
        return f"this ComfyUI's attention takes {', '.join(parameters[1:])}"
    generator = torch.Generator().manual_seed(0)
    settings = {"operations": torch.nn, "device": "cpu", "dtype": torch.float32}
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
            ours = attention_with_frozen_frames(
                attention, *given, transformer_options={**PYTORCH_ATTENTION, CALL: memory}
            )
            theirs = attention_class.forward(attention, *given, transformer_options={**PYTORCH_ATTENTION})
        except (TypeError, ValueError, RuntimeError, AttributeError, KeyError) as error:
            return f"a small trial failed ({error})"
    return None if torch.equal(ours, theirs) else "this ComfyUI's attention gives other bits"
