"""Key layouts of published Wan LoRAs as tables: from any of their spellings to Wan's own parameter names."""

from __future__ import annotations

import re
from dataclasses import dataclass

DOWN, UP, ALPHA, WEIGHT, BIAS, MODULATION = "down", "up", "alpha", "diff", "diff_b", "diff_m"

PARAMETER = {
    DOWN: ".weight",
    UP: ".weight",
    ALPHA: ".weight",
    WEIGHT: ".weight",
    BIAS: ".bias",
    MODULATION: ".modulation",
}
"""Which parameter of a layer each part changes."""

PREFIXES = (
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "pipe.dit.",
    "transformer.",
    "unet.",
    "dit.",
)
"""What trainers put before the layer's name, with dots. Longest first where one begins another."""

UNDERSCORE_PREFIXES = ("lora_unet__", "lora_unet_", "lycoris_", "lora_transformer_")
"""Prefixes of files that also write the dots of the layer's name as underscores."""

SUFFIXES = (
    # (pattern at the end of the key, part, how the report names the pair)
    (r"\.lora_A(?:\.default(?:_\d+)?)?(?:\.weight)?", DOWN, "lora_A/lora_B"),
    (r"\.lora_B(?:\.default(?:_\d+)?)?(?:\.weight)?", UP, "lora_A/lora_B"),
    (r"\.lora_down(?:\.default(?:_\d+)?)?\.weight", DOWN, "lora_down/lora_up"),
    (r"\.lora_up(?:\.default(?:_\d+)?)?\.weight", UP, "lora_down/lora_up"),
    (r"[._]lora\.down\.weight", DOWN, "lora.down/lora.up"),
    (r"[._]lora\.up\.weight", UP, "lora.down/lora.up"),
    (r"\.lora_linear_layer\.down\.weight", DOWN, "lora_linear_layer"),
    (r"\.lora_linear_layer\.up\.weight", UP, "lora_linear_layer"),
    (r"\.alpha", ALPHA, ""),
    (r"\.diff", WEIGHT, ""),
    (r"\.diff_b", BIAS, ""),
    (r"\.lora_B(?:\.default(?:_\d+)?)?\.bias", BIAS, ""),
    (r"\.diff_m", MODULATION, ""),
)
_SUFFIXES = tuple((re.compile(pattern + r"\Z"), part, pair) for pattern, part, pair in SUFFIXES)

WORDS = re.compile(
    "vace_blocks|self_attn|cross_attn|norm_added_k|norm_added_q|norm_k_img|norm_q|norm_k|k_img|v_img|img_emb"
    "|patch_embedding|text_embedding|time_embedding|time_projection|to_q|to_k|to_v|to_out|add_k_proj|add_v_proj"
    "|condition_embedder|text_embedder|time_embedder|time_proj|image_embedder|linear_1|linear_2|proj_out|scale_shift_table"
    "|[^_]+"
)
"""Names that own their underscore; every other underscore of a `lora_unet_` key stands for a dot."""

DIFFUSERS_MODULES = (
    # (diffusers' WanTransformer3DModel, Wan's own name); from convert_wan_to_diffusers.py in diffusers
    (r"(blocks\.\d+)\.attn1\.(?:processor\.)?to_([qkv])", r"\1.self_attn.\2"),
    (r"(blocks\.\d+)\.attn1\.(?:processor\.)?to_out(?:\.0)?", r"\1.self_attn.o"),
    (r"(blocks\.\d+)\.attn1\.norm_([qk])", r"\1.self_attn.norm_\2"),
    (r"(blocks\.\d+)\.attn2\.(?:processor\.)?to_([qkv])", r"\1.cross_attn.\2"),
    (r"(blocks\.\d+)\.attn2\.(?:processor\.)?to_out(?:\.0)?", r"\1.cross_attn.o"),
    (r"(blocks\.\d+)\.attn2\.norm_([qk])", r"\1.cross_attn.norm_\2"),
    (r"(blocks\.\d+)\.attn2\.add_([kv])_proj", r"\1.cross_attn.\2_img"),
    (r"(blocks\.\d+)\.attn2\.norm_added_k", r"\1.cross_attn.norm_k_img"),
    (r"(blocks\.\d+)\.ffn\.net\.0\.proj", r"\1.ffn.0"),
    (r"(blocks\.\d+)\.ffn\.net\.2", r"\1.ffn.2"),
    (r"(blocks\.\d+)\.scale_shift_table", r"\1.modulation"),
    (r"scale_shift_table", "head.modulation"),
    (r"(blocks\.\d+)\.norm2", r"\1.norm3"),  # diffusers swaps the names of norm2 and norm3
    (r"condition_embedder\.text_embedder\.linear_1", "text_embedding.0"),
    (r"condition_embedder\.text_embedder\.linear_2", "text_embedding.2"),
    (r"condition_embedder\.time_embedder\.linear_1", "time_embedding.0"),
    (r"condition_embedder\.time_embedder\.linear_2", "time_embedding.2"),
    (r"condition_embedder\.time_proj", "time_projection.1"),
    (r"condition_embedder\.image_embedder\.norm1", "img_emb.proj.0"),
    (r"condition_embedder\.image_embedder\.ff\.net\.0\.proj", "img_emb.proj.1"),
    (r"condition_embedder\.image_embedder\.ff\.net\.2", "img_emb.proj.3"),
    (r"condition_embedder\.image_embedder\.norm2", "img_emb.proj.4"),
    (r"proj_out", "head.head"),
)
_DIFFUSERS = tuple((re.compile(pattern), template) for pattern, template in DIFFUSERS_MODULES)

LAYER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")


@dataclass(frozen=True)
class Key:
    """One key of a LoRA file, understood."""

    text: str  # as the file spells it
    parameter: str  # Wan's own name, such as blocks.0.self_attn.q.weight
    part: str  # DOWN, UP, ALPHA, WEIGHT, BIAS or MODULATION
    spelling: str  # for the report: prefix, pair names and dialect


def parse_key(text: str) -> Key | None:
    """The parameter and part a key stands for, or None for a key that is no LoRA's."""
    for pattern, part, pair in _SUFFIXES:
        if suffix := pattern.search(text):
            layer, dialect = _layer_name(text[: suffix.start()])
            if layer is None:
                return None
            # a parameter that hangs on a block itself has no .weight below it
            parameter = layer if layer.endswith(".modulation") else layer + PARAMETER[part]
            return Key(text, parameter, part, f"{dialect}, {pair}" if pair else dialect)
    return None


def _layer_name(stem: str) -> tuple[str | None, str]:
    """(Wan's own layer name or None, dialect for the report) of a key without its suffix."""
    for prefix in UNDERSCORE_PREFIXES:
        if stem.startswith(prefix):
            return _wan_name(".".join(WORDS.findall(stem[len(prefix) :])), f"{prefix}*")
    prefixes = []
    for prefix in PREFIXES:
        if stem.startswith(prefix):
            prefixes.append(prefix)
            stem = stem[len(prefix) :]
    return _wan_name(stem, f"{''.join(prefixes)}*" if prefixes else "no prefix")


def _wan_name(name: str, dialect: str) -> tuple[str | None, str]:
    for pattern, template in _DIFFUSERS:
        if match := pattern.fullmatch(name):
            return match.expand(template), f"{dialect}, diffusers names"
    return (name, dialect) if LAYER_NAME.fullmatch(name) else (None, dialect)
