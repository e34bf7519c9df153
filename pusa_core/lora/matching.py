"""A LoRA against a model: what fits, what does not, and the likely reason."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..choices import check_choice
from ..errors import PusaError
from .contents import Change, LoraContents
from .weight_files import shorten

STOP, APPLY_WHAT_MATCHES = "stop", "apply what matches"
ON_MISMATCH = (STOP, APPLY_WHAT_MATCHES)

SHOWN_KEYS = 3

WIDTHS = {1536: "1.3B", 2048: "1.3B with VACE", 3072: "5B", 5120: "14B"}
"""Width of the released Wan models, to name them in a message."""

OTHER_MODELS = (
    # (sign in the keys, what the file is); the first that occurs is named
    (
        re.compile(r"lora_magnitude_vector"),
        "it is a DoRA file in PEFT's layout, which neither this node nor ComfyUI reads: have its trainer export a plain LoRA, or merge it",
    ),
    *(
        (
            re.compile(sign),
            f"it is {kind}, which ComfyUI's own Load LoRA node reads: use that in place of this one, with the same strength",
        )
        for sign, kind in (
            (r"hada_w[12]", "a LoHa file"),
            (r"lokr_w[12]", "a LoKr file"),
            (r"boft_|oft_(?:blocks|diag)|\.oft_", "an OFT file"),
            (r"dora_scale", "a DoRA file"),
            (r"lora_mid", "a LoCon file with a core matrix (Tucker)"),
            (r"glora|\.[ab][12]\.weight", "a GLoRA file"),
            (r"\.[wb]_norm\b", "a LyCORIS file"),
        )
    ),
    (
        re.compile(r"on_input|ia3_l|\.ia3"),
        "it is an IA3 file, which no loader of ComfyUI reads: train or export a LoRA",
    ),
    (
        re.compile(r"lora_te\d?_|text_encoder|text_model|\bt5\b|umt5"),
        "it also changes a text encoder, so it was made for another kind of model",
    ),
    (
        re.compile(r"individual_token_refiner|txt_in|double_blocks[._]\d+[._](?:img|txt)_attn_qkv"),
        "it is a LoRA for HunyuanVideo, load it on that model with ComfyUI's own Load LoRA node",
    ),
    (
        re.compile(r"double_blocks|single_blocks|single_transformer_blocks"),
        "it is a Flux or HunyuanVideo LoRA, load it on that model with ComfyUI's own Load LoRA node",
    ),
    (
        re.compile(r"down_blocks|up_blocks|mid_block|input_blocks|output_blocks"),
        "it is a Stable Diffusion LoRA, which no Wan model can use",
    ),
    (
        re.compile(r"transformer_blocks|joint_blocks"),
        "it is a LoRA for Qwen-Image, LTX-Video, SD3 or a similar model",
    ),
    (re.compile(r"layers[._]\d+[._](?:attention|feed_forward|adaLN)"), "it is a LoRA for Lumina or Z-Image"),
    (re.compile(r"attn\.(?:qkv_x|qkv_y|proj_x|proj_y)|mlp_x|mlp_y"), "it is a LoRA for Mochi (Pusa V0.5)"),
    (
        re.compile(r"control_adapter|control_layer|ref_conv"),
        "it is for a Wan Fun or control variant, not for plain text-to-video",
    ),
    (re.compile(r"ip_adapter|image_proj|to_k_ip"), "it is an IP-Adapter, not a LoRA"),
    (re.compile(r"vace"), "it is a LoRA for the VACE variant of Wan"),
    (
        re.compile(r"audio|face_adapter|face_encoder|motion_encoder|pose_patch"),
        "it is for a variant of Wan with audio, face or pose inputs",
    ),
)
IMAGE_LAYERS = re.compile(r"(?:k_img|v_img|norm_k_img|img_emb)")
BLOCK = re.compile(r"^blocks\.(\d+)\.")
WHOLE_MODEL_KEY = re.compile(
    r"(?:^|\.)(?:blocks\.\d+(?:\.\S+)?|patch_embedding|head\.head)\.(?:weight|bias|modulation)$"
)


@dataclass(frozen=True)
class Misfit:
    """A change that this model has no place for."""

    change: Change
    shape: tuple[int, ...] | None  # of the model's parameter; None when it has none of this name


@dataclass(frozen=True)
class Match:
    """How a file fits a model."""

    contents: LoraContents
    applied: tuple[Change, ...]
    misfits: tuple[Misfit, ...]
    reason: str  # likely reason for what does not fit, a sentence; empty when all fits

    @property
    def total(self) -> int:
        return len(self.applied) + len(self.misfits)

    @property
    def unmatched_keys(self) -> list[str]:
        return [*self.contents.unknown, *(key for misfit in self.misfits for key in misfit.change.keys)]


def match(contents: LoraContents, parameters: Mapping[str, tuple[int, ...]]) -> Match:
    """Sort a file's changes by whether the model has the parameter in the right shape.

    parameters: the model's own names, such as blocks.0.self_attn.q.weight, and their shapes.
    """
    applied, misfits = [], []
    for change in contents.changes:
        shape = parameters.get(change.parameter)
        if shape is not None and _fits(change, shape):
            applied.append(change)
        else:
            misfits.append(Misfit(change, shape))
    reason = likely_reason(contents, misfits, parameters) if misfits or contents.unknown else ""
    return Match(contents, tuple(applied), tuple(misfits), reason)


def require_match(found: Match, on_mismatch: str) -> Match:
    """The match itself, if all of the file fits; with "apply what matches", if any of it does."""
    check_choice("on_mismatch", on_mismatch, ON_MISMATCH)
    name, unmatched = found.contents.name, found.unmatched_keys
    if not unmatched and found.applied:
        return found
    if not found.applied:
        raise PusaError(
            f"{name} fits nothing in this model: none of its {len(found.contents.file.tensors)} keys matches. "
            f"{_first(unmatched)}{found.reason}"
        )
    if on_mismatch == STOP:
        raise PusaError(
            f"{len(unmatched)} of {len(found.contents.file.tensors)} keys in {name} do not fit this model. "
            f"{_first(unmatched)}{found.reason} Choose the LoRA for this model, "
            f'or set on_mismatch to "{APPLY_WHAT_MATCHES}".'
        )
    return found


def likely_reason(
    contents: LoraContents, misfits: Iterable[Misfit], parameters: Mapping[str, tuple[int, ...]]
) -> str:
    """One or two sentences: why these keys have no place in this model, as far as names and shapes tell."""
    misfits = list(misfits)
    names = [*contents.unknown, *(misfit.change.parameter for misfit in misfits)]
    if not contents.changes and sum(map(_is_whole_model_key, names)) * 2 > len(names):
        return "This file is a whole model, not a LoRA: load it with Load Diffusion Model."
    if names and all(IMAGE_LAYERS.search(name) for name in names):
        return "It is an image-to-video LoRA and the model is text-to-video."
    for sign, what in OTHER_MODELS:
        if any(sign.search(name) for name in names):
            return f"The likely reason: {what}."
    if not any(BLOCK.match(name) for name in parameters):
        return "The model is not a Wan model. Connect a Wan2.1 or Wan2.2 text-to-video model."
    if reason := _size_reason(misfits, parameters):
        return reason
    if any(IMAGE_LAYERS.search(name) for name in names):
        return "The likely reason: it is an image-to-video LoRA and the model is text-to-video."
    if any(misfit.change.parameter.startswith("patch_embedding") for misfit in misfits):
        return "The likely reason: it changes the input layer, for a Wan variant with another number of channels."
    return "The likely reason: the file was made for another model family, or by a trainer this pack does not know."


def _size_reason(misfits: Iterable[Misfit], parameters: Mapping[str, tuple[int, ...]]) -> str:
    """The sentence for a LoRA of one size on a model of another."""
    model_width = next(
        (shape[0] for name, shape in parameters.items() if name.endswith("self_attn.q.weight")), 0
    )
    widths = {
        m.change.rows
        for m in misfits
        if m.shape is not None and m.change.parameter.endswith("self_attn.q.weight")
    }
    lora_width = widths.pop() if len(widths) == 1 else 0
    if lora_width and lora_width != model_width:
        return f"The LoRA is for Wan {_size(lora_width)} and the model is Wan {_size(model_width)}."
    blocks = 1 + max((int(found[1]) for name in parameters if (found := BLOCK.match(name))), default=-1)
    beyond = [int(found[1]) for m in misfits if (found := BLOCK.match(m.change.parameter))]
    if beyond and max(beyond) >= blocks:
        return (
            f"The LoRA has {max(beyond) + 1} or more blocks and the model has {blocks}: they differ in size."
        )
    return ""


def _fits(change: Change, shape: tuple[int, ...]) -> bool:
    return (change.rows, change.rows * change.columns) == (shape[0] if shape else 1, math.prod(shape))


def _first(keys: list[str]) -> str:
    if not keys:
        return ""
    return f"The first: {', '.join(shorten(key) for key in keys[:SHOWN_KEYS])}. "


def _size(width: int) -> str:
    return f"{WIDTHS[width]} (width {width})" if width in WIDTHS else f"of width {width}"


def _is_whole_model_key(name: str) -> bool:
    return WHOLE_MODEL_KEY.search(name) is not None
