"""The base model's file, whatever layout it has: ComfyUI's or the official one, whole or in shards, fp8 with or without scales."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import PusaError
from ..wan_dit import PREFIXES, WanConfig, WanDiT
from .bases import BASES

FLOATS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
SCALES = (".scale_weight", ".weight_scale")
"""Beside a float8 `<layer>.weight`: the weight is the stored number times this. ComfyUI's fp8_scaled files, old and new."""
IGNORED = re.compile(r"scaled_fp8|.*\.(scale_input|input_scale|comfy_quant)")
"""Marks and input scales of fp8 files, which say nothing of the weights."""


@dataclass(frozen=True)
class BaseWeights:
    """A base model on disk; tensors are read one at a time."""

    name: str
    files: dict[str, Path] = field(repr=False)  # official name -> file
    keys: dict[str, str] = field(repr=False)  # official name -> name in the file
    shapes: dict[str, tuple[int, ...]] = field(repr=False)
    sizes: WanConfig

    def read(self, name: str) -> Tensor:
        """The weight under its official name on the CPU; float8 comes out as float32, scaled."""
        key = self.keys[name]
        with safe_open(self.files[name], framework="pt", device="cpu") as file:
            value: Tensor = file.get_tensor(key)
            if value.dtype.itemsize > 1:
                return value
            stem, keys = key.removesuffix(".weight"), set(file.keys())
            scales = [
                file.get_tensor(f"{stem}{scale}").float() for scale in SCALES if f"{stem}{scale}" in keys
            ]
        return math.prod(scales, start=value.float())

    def fingerprint(self) -> str:
        """Sixteen hex digits that differ between models of one architecture: of some of the weights as they are stored."""
        last = self.sizes.layers - 1
        found = hashlib.sha256()
        for name in (
            "patch_embedding.weight",
            "head.head.weight",
            "blocks.0.self_attn.q.weight",
            f"blocks.{last}.ffn.2.weight",
        ):
            with safe_open(self.files[name], framework="pt", device="cpu") as file:
                value: Tensor = file.get_tensor(self.keys[name])
            found.update(f"{name} {value.dtype} ".encode())
            found.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return found.hexdigest()[:16]


def open_base(path: Path, base: str = "any") -> BaseWeights:
    """The model in a .safetensors file, or in a folder of official shards; refuses one of other sizes than `base`."""
    parts = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if not parts or not all(part.is_file() for part in parts):
        raise PusaError(
            f"There is no model at {path}. model.weights is a .safetensors file of a Wan text-to-video model, or the folder of its official shards."
        )
    files: dict[str, Path] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for part in parts:
        if part.suffix != ".safetensors":
            raise PusaError(
                f"{part.name} is not a .safetensors file, the only kind that is read for a base model (GGUF cannot be trained on)."
            )
        try:
            with safe_open(part, framework="pt", device="cpu") as file:
                for key in file.keys():  # noqa: SIM118
                    view = file.get_slice(key)
                    if IGNORED.fullmatch(key) or key.endswith(SCALES):
                        continue
                    if view.get_dtype() not in FLOATS:
                        raise PusaError(
                            f"{part.name} keeps {key!r} as {view.get_dtype()}, a packed type that cannot be trained on. "
                            "Use the bf16, fp16, fp8 or fp8_scaled file."
                        )
                    files[key], shapes[key] = part, tuple(view.get_shape())
        except SafetensorError as error:
            raise PusaError(f"{part.name} is damaged or incomplete ({error}). Download it again.") from error
    prefix = next((p for p in PREFIXES if f"{p}patch_embedding.weight" in files), "")
    keys = {key.removeprefix(prefix): key for key in files if key.startswith(prefix)}
    shapes = {name: shapes[key] for name, key in keys.items()}
    sizes = WanConfig.of({name: torch.empty(shape, device="meta") for name, shape in shapes.items()})
    expected = BASES[base].sizes
    if expected is not None and sizes != expected:
        raise PusaError(
            f"{path.name} has width {sizes.dim} and {sizes.layers} blocks; {BASES[base].title} has width {expected.dim} and {expected.layers}. "
            "Set model.base to what the file is, or choose another file."
        )
    with torch.device("meta"):
        wanted = {name: tuple(value.shape) for name, value in WanDiT(sizes).state_dict().items()}
    if wrong := sorted(set(wanted) ^ set(shapes)) or sorted(n for n in wanted if wanted[n] != shapes[n]):
        raise PusaError(
            f"{path.name} is not a plain Wan text-to-video model: {wrong[0]!r} is missing, unknown or of another shape ({len(wrong)} in all). "
            "Use a T2V model."
        )
    return BaseWeights(path.name, {name: files[key] for name, key in keys.items()}, keys, shapes, sizes)
