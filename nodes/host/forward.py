"""A forward of Wan's blocks for timesteps by latent frame: modulation is broadcast, never copied to the tokens.

Object patches `diffusion_model.blocks.<i>.forward` of a clone. ComfyUI's own forward stays wherever this one is not known to
give the same bits: another model or block class, another signature, names in its code that are not known here, a forward
that somebody else replaced, or a small trial block on which the two differ.
"""

from __future__ import annotations

import functools
import inspect
import logging
from types import CodeType, MethodType
from typing import Any

import comfy.model_management
import torch
from torch import Tensor

from ...pusa_core.errors import PusaError
from ...pusa_core.modulation import fits, frames_of_tokens, gated, modulated
from . import symbols
from .attention import PYTORCH_ATTENTION
from .sequence_parallel import first_token_of_share

logger = logging.getLogger("ComfyUI-Pusa")

ENABLED = True
"""The one switch: False leaves every model ComfyUI's own forward."""

TOKENS_PER_FRAME = "pusa_tokens_per_frame"
"""Key of transformer_options: tokens of one latent frame, int, set for every model call."""

PARAMETERS = ("self", "x", "e", "freqs", "context", "context_img_len", "transformer_options")
"""What WanAttentionBlock.forward takes, 0.3.64 to 0.12."""

KNOWN_WORDS = frozenset(
    {
        "torch",
        "addcmul",
        "comfy",
        "model_management",
        "cast_to",
        "repeat_e",
        "modulation",
        "ndim",
        "dtype",
        "device",
        "chunk",
        "unbind",
        "unsqueeze",
        "contiguous",
        "dim",
        "self_attn",
        "cross_attn",
        "norm1",
        "norm2",
        "norm3",
        "ffn",
        "context_img_len",
        "transformer_options",
        "get",
        "patches",
        "attn2_patch",
        "x",
    }
)
"""Names and strings in its code, 0.3.64 to 0.12. A new one means it does something this forward may not do."""

MODULATE = "modulate"
"""Function that 0.38 has in the place of norm1, norm2 and addcmul: modulate(x, norm, shift, scale), with a fused kernel on a GPU."""

MODULATE_WORDS = frozenset(
    {"torch", "addcmul", "repeat_e", "comfy", "model_management", "in_training", "is_cuda", "numel", "quant_ops", "ck", "adaln", "eps"}
)  # fmt: skip
"""Names and strings in its code, 0.38."""

MODULATE_FROM = 16 * 1024 * 1024
"""Elements of x from which on it takes the kernel, 0.38; it knows no other number."""

core_modulate = None if symbols.missing((MODULATE,)) else symbols.modulate
"""ComfyUI's, None before 0.38."""


def by_frame_forward(
    block: Any,
    x: Tensor,
    e: Tensor,
    freqs: Tensor,
    context: Tensor,
    context_img_len: int | None = 257,
    transformer_options: dict[str, Any] | None = None,
) -> Tensor:
    """WanAttentionBlock.forward of ComfyUI for modulation by latent frame, in place where autograd is off.

    x: [B, L, C]; e: [B, F, 6, C]; freqs, context: passed on. Returns a new [B, L, C]; x is left as it is. What is not F
    frames of equally many tokens (a share of them on one of several GPUs), and patches inside the block, go to ComfyUI's forward.
    """
    options = transformer_options or {}
    if e.ndim == 4 and e.shape[1] != x.shape[1] and TOKENS_PER_FRAME in options:
        e = of_these_tokens(e, x.shape[1], options[TOKENS_PER_FRAME])
    if (
        e.ndim != 4
        or e.shape[1] in (1, x.shape[1])
        or not fits(x.shape[1], e.shape[1])
        or "attn2_patch" in options.get("patches", {})
    ):
        return type(block).forward(
            block, x, e, freqs, context, context_img_len=context_img_len, transformer_options=options
        )
    # what torch.compile makes of it needs no help, and autograd needs the old values
    in_place = not (torch.is_grad_enabled() or torch.compiler.is_compiling())
    modulation = comfy.model_management.cast_to(block.modulation, dtype=x.dtype, device=x.device)
    shift_attention, scale_attention, gate_attention, shift_ffn, scale_ffn, gate_ffn = (
        modulation.unsqueeze(0) + e
    ).unbind(2)

    x = x.contiguous()
    update = block.self_attn(
        _norm_and_modulate(block.norm1, x, shift_attention, scale_attention, in_place),
        freqs,
        transformer_options=options,
    )
    # x is the caller's; what attention returned is ours, unless somebody else's attention or hook may keep it
    own = in_place and not (is_replaced(block.self_attn, "forward") or block.self_attn._forward_hooks)
    x = gated(x, update, gate_attention, out=update if own else None)
    del update  # from here on x is ours to write into
    crossed = block.cross_attn(
        block.norm3(x), context, context_img_len=context_img_len, transformer_options=options
    )
    x = x.add_(crossed) if in_place and crossed.dtype == x.dtype else x + crossed
    del crossed
    update = block.ffn(_norm_and_modulate(block.norm2, x, shift_ffn, scale_ffn, in_place))
    return gated(x, update, gate_ffn, out=x if in_place else None)


def _norm_and_modulate(norm: Any, x: Tensor, shift: Tensor, scale: Tensor, in_place: bool) -> Tensor:
    """norm(x) * (1 + scale) + shift, by ComfyUI's own function where it has one: it takes every frame for a video of one.

    x: [B, L, C], contiguous; shift, scale: [B, F, C]. Returns a new [B, L, C].
    """
    if core_modulate is None:
        return modulated(norm(x), shift, scale, in_place)
    frames = shift.shape[0] * shift.shape[1]
    of_frames = (one.reshape(frames, 1, x.shape[2]) for one in (shift, scale))
    return core_modulate(x.view(frames, -1, x.shape[2]), norm, *of_frames).view(x.shape)


def tokens_per_frame(height: int, width: int) -> int:
    """Tokens that Wan makes of one latent frame of height x width: patches of 2 x 2, borders filled up."""
    return -(-height // 2) * -(-width // 2)


def of_these_tokens(e: Tensor, tokens: int, of_one_frame: int) -> Tensor:
    """The modulation of what a block was given: e itself for whole frames, [B, tokens, 6, C] for a share of a video split over GPUs.

    e: [B, F, 6, C]; of_one_frame: tokens of a latent frame. Anything else is refused: its tokens would get other frames' timesteps.
    """
    frames = e.shape[1]
    if tokens == frames * of_one_frame:
        return e
    first = first_token_of_share(tokens, frames * of_one_frame)
    if first is None:
        raise PusaError(
            f"A block of the model was given {tokens} tokens for {frames} latent frames of {of_one_frame}. A node pack that "
            "splits the video over several GPUs, or merges tokens, does not carry a timestep for every frame. Turn it off for "
            "this model (https://github.com/comfyui-pusa/ComfyUI-Pusa says which ways to use several GPUs work)."
        )
    return e.index_select(1, frames_of_tokens(first, tokens, frames, of_one_frame, e.device))


def forward_patches(model: Any) -> dict[str, MethodType]:
    """Object patches that give a clone's blocks the forward above; none, with one log line, where ComfyUI's own must stay."""
    reason = reason_against(model) if ENABLED else "it is switched off"
    if reason is not None:
        _say_once(reason)
        return {}
    blocks = model.model.diffusion_model.blocks
    return {_name(index): MethodType(by_frame_forward, block) for index, block in enumerate(blocks)}


def has_patched_forward(model: Any) -> bool:
    """Whether any block of this MODEL runs the forward above."""
    return any(_is_ours(patch) for patch in model.object_patches.values())


def without_forward(model: Any) -> Any:
    """A clone of a MODEL with vectorized timesteps that runs ComfyUI's own forward, for comparisons."""
    plain = model.clone()
    for name, patch in model.object_patches.items():
        if _is_ours(patch):
            del plain.object_patches[name]
    return plain


def reason_against(model: Any) -> str | None:
    """Why ComfyUI's own forward must stay on this MODEL, None where ours gives the same bits."""
    wan = model.model.diffusion_model
    if lacking := symbols.missing(("WanModel", "WanAttentionBlock", "attention_pytorch")):
        return f"this ComfyUI lacks {', '.join(lacking)}"
    if type(wan) is not symbols.WanModel:
        return f"{type(wan).__name__} is not the model class it was written for"
    patched = [
        name
        for name, patch in model.object_patches.items()
        if not _is_ours(patch) and (name == "diffusion_model" or _is_block_or_forward(name))
    ]
    if patched:
        return f"another node patched {patched[0]}"
    for block in wan.blocks:
        if is_replaced(block, "forward", by_frame_forward):
            return "another node pack replaced the forward of its blocks"
        if not (isinstance(block.norm1, torch.nn.LayerNorm) and isinstance(block.norm2, torch.nn.LayerNorm)):
            return "its blocks have other norms"
        if reason := reason_against_blocks(type(block)):
            return reason
    return None


def is_replaced(module: torch.nn.Module, method: str, ours: Any = None) -> bool:
    """Whether somebody else set a method on this module or its class.

    ComfyUI's unpatching leaves the class's own method on the module; while an earlier clone is loaded, `ours` is there.
    """
    own = vars(module).get(method)
    function = getattr(type(module), method)
    replaced_on_class = function.__module__ != type(module).__module__
    return replaced_on_class or (own is not None and getattr(own, "__func__", None) not in (function, ours))


@functools.cache
def reason_against_blocks(block_class: type) -> str | None:
    """Why blocks of this class keep their own forward, None where ours gives the same bits on a small trial block."""
    if block_class is not symbols.WanAttentionBlock:
        return f"{block_class.__name__} is not the block class it was written for"
    forward = block_class.forward
    parameters = tuple(inspect.signature(forward).parameters)
    if parameters != PARAMETERS:
        return f"this ComfyUI's blocks take {', '.join(parameters[1:])}"
    found = words(forward.__code__)
    if MODULATE in found:
        if reason := _reason_against_modulate(forward):
            return reason
        found.remove(MODULATE)
    elif core_modulate is not None:
        return "this ComfyUI's blocks do not use its modulate"
    if new := sorted(found - KNOWN_WORDS):
        return f"this ComfyUI's blocks use {', '.join(new)}, which it does not know"
    try:
        same = agrees_on_a_trial_block(block_class)
    except (TypeError, ValueError, RuntimeError, AttributeError, KeyError) as error:
        return f"a trial block failed ({error})"
    return None if same else "a trial block gave other bits"


def _reason_against_modulate(forward: Any) -> str | None:
    """Why the function that a block's forward calls for modulation is not the one that is known here."""
    if core_modulate is None or forward.__globals__.get(MODULATE) is not core_modulate:
        return "this ComfyUI's blocks have a modulate of their own"
    if len(inspect.signature(core_modulate).parameters) != 4:
        return "this ComfyUI's modulate takes other arguments"
    code = core_modulate.__code__
    if new := sorted(words(code) - MODULATE_WORDS):
        return f"this ComfyUI's modulate uses {', '.join(new)}, which it does not know"
    numbers = [value for value in code.co_consts if type(value) is int and value > 1]
    return (
        None
        if numbers in ([], [MODULATE_FROM])
        else "this ComfyUI's modulate changes its way at another size"
    )


def words(code: CodeType) -> set[str]:
    """Names and strings of a function's code, its docstring and its own variables left out."""
    strings = {text for text in code.co_consts[1:] if isinstance(text, str)}
    for text in code.co_consts:
        if isinstance(text, tuple):  # names of keyword arguments
            strings.update(part for part in text if isinstance(part, str))
    return strings | set(code.co_names)


def agrees_on_a_trial_block(block_class: type) -> bool:
    """Whether both forwards give the same bits on a block of width 32, 3 frames of 4 tokens, in float32 and bfloat16."""
    heads, width, frames, tokens = 2, 32, 3, 12
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    with torch.no_grad():
        for dtype in (torch.float32, torch.bfloat16):
            settings = {"operations": torch.nn, "device": "cpu", "dtype": dtype}
            block = block_class(
                "t2v_cross_attn", width, 64, heads, cross_attn_norm=True, operation_settings=settings
            )
            for parameter in block.parameters():
                parameter.copy_(draw(*parameter.shape))
            x, e, context = draw(2, tokens, width), draw(2, frames, 6, width), draw(2, 5, width)
            freqs = draw(1, tokens, 1, width // heads // 2, 2, 2)
            given = (x.to(dtype), e.to(dtype), freqs, context.to(dtype))
            theirs = block_class.forward(block, *given, transformer_options={**PYTORCH_ATTENTION})
            ours = by_frame_forward(block, *given, transformer_options={**PYTORCH_ATTENTION})
            if not torch.equal(theirs, ours):
                return False
    return True


def _is_ours(patch: Any) -> bool:
    return getattr(patch, "__func__", None) is by_frame_forward


def _name(index: int) -> str:
    return f"diffusion_model.blocks.{index}.forward"


def _is_block_or_forward(name: str) -> bool:
    parts = name.split(".")
    return parts[:2] == ["diffusion_model", "blocks"] and (len(parts) == 3 or parts[3:] == ["forward"])


@functools.cache
def _say_once(reason: str) -> None:
    logger.info("Frame-wise modulation is left to ComfyUI's own forward: %s.", reason)
