"""Smaller LoRA files: each layer's best approximation of lower rank, written as it is computed."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import PusaError
from ..safetensors_stream import SafetensorsStream, complete_file, header_bound
from .contents import Change, LoraContents
from .experts import SPOKEN, guess_expert, name_in_folder
from .layouts import BIAS, MODULATION, PARAMETER, WEIGHT

PREFIX = "diffusion_model."
"""ComfyUI's own prefix: the written file also loads in its Load LoRA node."""

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}

ERROR = "pusa_relative_error"
"""Metadata key: how far the written file is from its source."""

HASH_CHUNK = 2**22


@dataclass(frozen=True)
class Target:
    """How small: a rank for every layer, or the share of each layer's squared norm to keep."""

    rank: int | None = None  # >= 1
    energy: float | None = None  # in (0, 1]

    def __post_init__(self) -> None:
        if (self.rank is None) == (self.energy is None):
            raise PusaError(
                "Give either --rank or --energy: the rank of every layer, or the share of it to keep."
            )
        if self.rank is not None and self.rank < 1:
            raise PusaError(
                f"--rank is {self.rank}; use 1 or more. 64 to 128 keeps most of a rank-512 Pusa LoRA."
            )
        if self.energy is not None and not 0.0 < self.energy <= 1.0:
            raise PusaError(f"--energy is {self.energy}; use a share above 0, up to 1, such as 0.98.")

    def rank_for(self, singular_values: Tensor) -> int:
        """Rank to keep of falling singular values [R]."""
        if self.rank is not None:
            return min(self.rank, len(singular_values))
        share = singular_values.square().cumsum(0) / singular_values.square().sum()
        # the last share is 1 up to rounding, so at least one entry reaches any energy below 1
        return min(int((share < float(self.energy or 1.0)).sum()) + 1, len(singular_values))

    def __str__(self) -> str:
        return f"rank {self.rank}" if self.rank is not None else f"energy {self.energy}"


@dataclass(frozen=True)
class ResizeResult:
    """What was written, and how far it is from the source."""

    layers: int
    rank_min: int
    rank_max: int
    relative_error: (
        float  # |source - written| / |source| over all layers, Frobenius, measured on the written factors
    )
    bytes_before: int
    bytes_after: int


def shrink(up: Tensor, down: Tensor, target: Target) -> tuple[Tensor, Tensor]:
    """Factors of the best approximation of up @ down that meets the target, by the SVD of an [R, R] core.

    up: [N, R]; down: [R, M], float32 or float64. Returns (up [N, K], down [K, M]), K <= R, each carrying the root
    of the singular values. QR of both factors first, so the cost grows with N * R^2 and never with N * M.
    """
    left, left_core = torch.linalg.qr(up)
    right, right_core = torch.linalg.qr(down.T)
    u, singular_values, vh = torch.linalg.svd(left_core @ right_core.T)
    rank = target.rank_for(singular_values)
    root = singular_values[:rank].sqrt()
    return left @ (u[:, :rank] * root), (root[:, None] * vh[:rank]) @ right.T


def difference_norms(up: Tensor, down: Tensor, new_up: Tensor, new_down: Tensor) -> tuple[float, float]:
    """(|up @ down - new_up @ new_down|^2, |up @ down|^2), Frobenius, in float64 from the small Gram matrices.

    up: [N, R]; down: [R, M]; new_up: [N, K]; new_down: [K, M].
    """
    columns = torch.cat([up, -new_up], dim=1).double()
    rows = torch.cat([down, new_down], dim=0).double()
    gram = (columns.T @ columns) * (rows @ rows.T)
    rank = up.shape[1]
    return max(0.0, float(gram.sum())), float(gram[:rank, :rank].sum())


def resize(
    contents: LoraContents,
    out: str,
    target: Target,
    dtype: torch.dtype | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ResizeResult:
    """Write `contents` with smaller pairs to `out` and say how far the result is from the source.

    The scale .alpha / rank goes into the matrices and .alpha is written as the new rank, which every loader
    reads as 1. Whole differences are copied. dtype: of the written matrices, None keeps the file's own;
    progress: called with (layers done, layers in all). One layer is in memory at a time, and `out` appears
    only when it is complete.
    """
    if contents.unknown:
        raise PusaError(
            f"{contents.name} has {len(contents.unknown)} keys this pack does not know, the first {contents.unknown[0]!r}. "
            "Resizing would lose them."
        )
    residual = total = 0.0
    ranks: list[int] = []
    source = contents.file.path
    metadata = {
        **contents.file.metadata,
        "pusa_source": contents.name,
        "pusa_source_sha256": sha256(source),
        "pusa_resized_to": str(target),
    }
    if expert := guess_expert(name_in_folder(source), contents.file.metadata).expert:
        metadata["pusa_expert"] = f"{expert} ({SPOKEN[expert]})"
    with complete_file(out) as file:
        writer = SafetensorsStream(file, header_bound(_keys(contents), {**metadata, ERROR: "0" * 32}))
        for done, change in enumerate(contents.changes):
            progress(done, len(contents.changes))
            if change.rank is None:
                diff = contents.file.read(change.keys[0])
                writer.add(_diff_key(change), diff.to(_stored_dtype(diff.dtype)))
                continue
            up, down = (contents.file.read(key) for key in change.keys)
            kept = _stored_dtype(dtype or up.dtype)
            up, down = (matrix.to(device, torch.float32).flatten(1) for matrix in (up, down))
            up = up * change.scale
            new_up, new_down = (matrix.to(kept) for matrix in shrink(up, down, target))
            part, whole = difference_norms(up, down, new_up, new_down)
            residual, total = residual + part, total + whole
            ranks.append(new_up.shape[1])
            layer = PREFIX + change.parameter.removesuffix(PARAMETER[WEIGHT])
            writer.add(f"{layer}.lora_A.weight", new_down.cpu().reshape(-1, *_inner_shape(contents, change)))
            writer.add(
                f"{layer}.lora_B.weight", new_up.cpu().reshape(*new_up.shape, *_ones(contents, change))
            )
            writer.add(f"{layer}.alpha", torch.tensor(float(ranks[-1])))
        progress(len(contents.changes), len(contents.changes))
        error = math.sqrt(residual / total) if total else 0.0
        writer.finish({**metadata, ERROR: f"{error:.6f}"})
    return ResizeResult(
        layers=len(ranks),
        rank_min=min(ranks, default=0),
        rank_max=max(ranks, default=0),
        relative_error=error,
        bytes_before=os.path.getsize(source),
        bytes_after=os.path.getsize(out),
    )


def sha256(path: str) -> str:
    """Hex digest of a whole file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _keys(contents: LoraContents) -> list[str]:
    """More names than the file will have: three for each change."""
    return [
        f"{PREFIX}{change.parameter}.{part}"
        for change in contents.changes
        for part in ("lora_A", "lora_B", "alpha")
    ]


def _diff_key(change: Change) -> str:
    """ComfyUI's and LightX2V's name for a whole difference."""
    for part in (WEIGHT, BIAS, MODULATION):
        if change.parameter.endswith(PARAMETER[part]):
            return f"{PREFIX}{change.parameter.removesuffix(PARAMETER[part])}.{part}"
    return f"{PREFIX}{change.parameter}.{WEIGHT}"


def _inner_shape(contents: LoraContents, change: Change) -> tuple[int, ...]:
    """Shape of one row of down: (M,) for a linear layer, (C, kF, kH, kW) for the patch embedding."""
    return contents.file.tensors[change.keys[1]].shape[1:]


def _ones(contents: LoraContents, change: Change) -> tuple[int, ...]:
    """The trailing ones of up in a convolution, none in a linear layer."""
    return (1,) * (len(contents.file.tensors[change.keys[0]].shape) - 2)


def _stored_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type written for one that is read: float8 becomes bfloat16, which holds all of its values."""
    return torch.bfloat16 if dtype.itemsize == 1 else torch.float32 if dtype == torch.float64 else dtype
