"""LoRA files on disk: opened safely, listed without their data, read one tensor at a time."""

from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import PusaError

SAFETENSORS_SUFFIXES = (".safetensors", ".sft")
TORCH_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin")

MAX_KEYS = 20_000
"""More tensors than any Wan LoRA has: 40 blocks with every weight, bias and .alpha stay below 5,000."""

MAX_HEADER_BYTES = 32 * 2**20
"""A safetensors header this long is not a LoRA's; trainers' metadata stays below a few MiB."""

SAFETENSORS_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}

INTEGERS = {
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool
}  # fmt: skip
"""What an .alpha may be stored in besides."""

FINGERPRINT_BYTES = 2**18

LEGACY_PICKLE = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""How a .pt of PyTorch before 1.6 begins: torch.serialization.MAGIC_NUMBER, pickled."""

MAX_LEGACY_BYTES = 2**30
"""Such a file cannot be mapped: it lies in memory as a whole while a model uses it."""

REMEMBERED = 64
"""Files of which is known that all numbers are finite; the names of their keys are kept."""


@dataclass(frozen=True)
class FileStamp:
    """Size in bytes and modification time in nanoseconds: differs when the file was replaced."""

    size: int
    modified: int

    @classmethod
    def of(cls, path: str) -> FileStamp:
        status = os.stat(path)
        return cls(status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class TensorInfo:
    """What a file says of one tensor before its data is read."""

    shape: tuple[int, ...]
    dtype: torch.dtype | None  # None: a type no LoRA uses, such as integers

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * (self.dtype.itemsize if self.dtype else 8)


class WeightFile(Protocol):
    """An opened LoRA file; its tensors stay on disk until read."""

    @property
    def path(self) -> str: ...

    @property
    def stamp(self) -> FileStamp: ...

    @property
    def metadata(self) -> Mapping[str, str]: ...

    @property
    def tensors(self) -> Mapping[str, TensorInfo]: ...

    def read(self, key: str) -> Tensor:
        """The tensor under `key`, on the CPU, in the file's own type."""
        ...


@dataclass(frozen=True)
class SafetensorsFile:
    """A .safetensors file whose table of contents was read once. Every read takes one tensor's bytes and closes the file."""

    path: str
    stamp: FileStamp
    metadata: Mapping[str, str] = field(repr=False)
    tensors: Mapping[str, TensorInfo] = field(repr=False)
    places: Mapping[str, tuple[str, int, int]] = field(
        repr=False
    )  # the format's name of the type, first byte, end

    def read(self, key: str) -> Tensor:
        """The tensor under `key`, in memory of its own."""
        require_unchanged(self.path, self.stamp)
        kind, start, end = self.places[key]
        dtype = SAFETENSORS_DTYPES.get(kind) or INTEGERS.get(kind)
        if dtype is None:
            raise PusaError(
                f"{_name(self)} stores {shorten(key)} as {kind}, which no LoRA does. Use a file in bf16 or fp16."
            )
        data = torch.empty(end - start, dtype=torch.uint8)
        with open(self.path, "rb", buffering=0) as file:
            file.seek(start)
            if _fill(file, data.numpy().data) < end - start:
                raise PusaError(changed_text(self.path))
        return data.view(dtype).reshape(self.tensors[key].shape)


@dataclass(frozen=True)
class TorchFile:
    """A .pt file, memory-mapped. The map stays open; its pages belong to the file and the system may drop them.

    One of a PyTorch before 1.6 lies in memory instead.
    """

    path: str
    stamp: FileStamp
    weights: Mapping[str, Tensor] = field(repr=False)

    @property
    def metadata(self) -> Mapping[str, str]:
        return {}

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        return {
            key: TensorInfo(tuple(tensor.shape), _float_type(tensor.dtype))
            for key, tensor in self.weights.items()
        }

    def read(self, key: str) -> Tensor:
        """The mapped tensor under `key`."""
        return self.weights[key]


def open_weights(path: str) -> WeightFile:
    """The file at `path`, listed but not read; refuses what is broken, or could run code."""
    suffix = Path(path).suffix.lower()
    if not os.path.isfile(path):
        raise PusaError(
            f"There is no file {path}. Choose the LoRA again; ComfyUI reads the folder models/loras."
        )
    if suffix in SAFETENSORS_SUFFIXES:
        return _open_safetensors(path)
    if suffix in TORCH_SUFFIXES:
        return _open_torch(path)
    raise PusaError(
        f"{Path(path).name} is not a LoRA file this node reads. Use .safetensors, or the Pusa authors' .pt."
    )


def require_unchanged(path: str, stamp: FileStamp) -> None:
    """Refuse to go on with a file that was removed or replaced since it was opened."""
    if not os.path.isfile(path) or FileStamp.of(path) != stamp:
        raise PusaError(changed_text(path))


def changed_text(path: str) -> str:
    """What to say of a file that is no longer what it was."""
    return (
        f"{Path(path).name} was changed or removed while a model that uses it was in memory. "
        "Queue the workflow again, so that the LoRA is loaded anew."
    )


def require_finite(file: WeightFile, keys: Iterable[str]) -> None:
    """Read the tensors under `keys` once, one at a time, and refuse NaN and infinity.

    A file that went through is remembered by its stamp, so that another strength does not read it again.
    """
    wanted = frozenset(keys)
    if any((file.path, file.stamp) == known and wanted <= finite for known, finite in _finite):
        return
    for key in sorted(wanted):
        _require_finite_tensor(file, key)
    _finite.append(((file.path, file.stamp), wanted))


_finite: deque[tuple[tuple[str, FileStamp], frozenset[str]]] = deque(maxlen=REMEMBERED)


def _require_finite_tensor(file: WeightFile, key: str) -> None:
    tensor = file.read(key)
    if tensor.numel() == 0:
        raise PusaError(f"{_name(file)} is damaged: {shorten(key)} is empty. Download the file again.")
    if tensor.dtype.itemsize == 1:
        tensor = tensor.to(torch.float32)  # float8 has no reductions
    low, high = torch.aminmax(tensor)  # both are NaN when any value is
    if not (torch.isfinite(low) and torch.isfinite(high)):
        raise PusaError(
            f"{_name(file)} is damaged: {shorten(key)} holds values that are not numbers (NaN or infinity). "
            "Nothing was applied. Download the file again, or ask its author for another."
        )


def fingerprint(path: str) -> str:
    """Sixteen hex digits that differ for different LoRAs: from the size, the start, the middle and the end.

    Two experts' files have the same keys and shapes, so the names alone cannot tell them apart.
    """
    return _fingerprint(path, FileStamp.of(path))


@lru_cache(maxsize=REMEMBERED)
def _fingerprint(path: str, stamp: FileStamp) -> str:
    digest = hashlib.sha256(str(stamp.size).encode())
    with open(path, "rb") as file:
        for start in (0, stamp.size // 2, max(0, stamp.size - FINGERPRINT_BYTES)):
            file.seek(start)
            digest.update(file.read(FINGERPRINT_BYTES))
    return digest.hexdigest()[:16]


def shorten(key: str, limit: int = 100) -> str:
    """A key as it may be shown: quoted, control characters escaped, not longer than `limit`."""
    return ascii(key if len(key) <= limit else key[: limit - 3] + "...")


def _open_safetensors(path: str) -> SafetensorsFile:
    name, stamp = Path(path).name, FileStamp.of(path)
    with open(path, "rb") as raw:
        header_bytes = int.from_bytes(raw.read(8), "little")
        header = raw.read(min(header_bytes, MAX_HEADER_BYTES))
    if not header.startswith(b"{") or header_bytes > stamp.size - 8:
        raise PusaError(
            f"{name} is not a safetensors file, or only part of one ({stamp.size} bytes). "
            "A web page saved under this name is a common cause. Download it again and compare the size."
        )
    if header_bytes > MAX_HEADER_BYTES:
        raise PusaError(
            f"{name} begins with a table of contents of {header_bytes / 2**20:.0f} MiB; a Wan LoRA's is below 1 MiB. "
            "This is not a LoRA. Choose another file."
        )
    _require_key_count(name, header.count(b'"data_offsets"'))  # counted before they are read
    try:
        with safe_open(
            path, framework="pt", device="cpu"
        ) as file:  # the format's own check of the whole table
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError, UnicodeDecodeError) as error:
        raise PusaError(
            f"{name} is damaged or incomplete ({stamp.size} bytes): {error}. "
            "Download it again and compare the size with the page it came from."
        ) from error
    entries = {key: entry for key, entry in json.loads(header).items() if key != "__metadata__"}
    tensors = {
        key: TensorInfo(tuple(entry["shape"]), SAFETENSORS_DTYPES.get(entry["dtype"]))
        for key, entry in entries.items()
    }
    places = {
        key: (entry["dtype"], *(8 + header_bytes + offset for offset in entry["data_offsets"]))
        for key, entry in entries.items()
    }
    return SafetensorsFile(path, stamp, metadata, tensors, places)


def _fill(file: Any, memory: memoryview) -> int:
    """Read until the memory is full or the file ends; the bytes that were read (one call reads 2 GiB at most)."""
    filled = 0
    while filled < len(memory) and (count := file.readinto(memory[filled:])):
        filled += count
    return filled


def _open_torch(path: str) -> TorchFile:
    name, stamp = Path(path).name, FileStamp.of(path)
    legacy = _is_legacy(path)
    if legacy and stamp.size > MAX_LEGACY_BYTES:
        raise PusaError(
            f"{name} is in the file format of PyTorch before 1.6, which can only be read as a whole ({stamp.size / 2**30:.1f} GiB; "
            f"this node takes up to {MAX_LEGACY_BYTES / 2**30:.0f}). Use the .safetensors version of this LoRA, or convert the file: "
            "load it with torch.load(file, weights_only=True) and save it with safetensors.torch.save_file."
        )
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True, mmap=not legacy)
    except (
        pickle.UnpicklingError,
        RuntimeError,
        OSError,
        EOFError,
        ValueError,
        KeyError,
        IndexError,
    ) as error:
        raise PusaError(
            f"{name} holds more than weights, or is damaged, and was not opened: such files can carry code. "
            f"Use the .safetensors version of this LoRA. ({type(error).__name__})"
        ) from error
    if isinstance(weights, dict) and len(weights) <= 3 and isinstance(weights.get("state_dict"), dict):
        weights = weights["state_dict"]
    if not isinstance(weights, dict) or not weights:
        raise PusaError(f"{name} is not a table of weights. Use the .safetensors version of this LoRA.")
    _require_key_count(name, len(weights))
    for key, tensor in weights.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor):
            raise PusaError(
                f"{name} holds more than weights: {shorten(str(key))}. Use the .safetensors version."
            )
        if tensor.layout != torch.strided or not tensor.is_contiguous():
            raise PusaError(
                f"{name} stores {shorten(key)} in a way no LoRA does. Use the .safetensors version."
            )
    return TorchFile(path, stamp, weights)


def _is_legacy(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(len(LEGACY_PICKLE)) == LEGACY_PICKLE


def _require_key_count(name: str, count: int) -> None:
    if count == 0:
        raise PusaError(f"{name} is empty: it holds no weights. Download it again.")
    if count > MAX_KEYS:
        raise PusaError(
            f"{name} holds {count} tensors; no Wan LoRA has more than {MAX_KEYS}. This is not a LoRA. Choose another file."
        )


def _float_type(dtype: torch.dtype) -> torch.dtype | None:
    return dtype if dtype in SAFETENSORS_DTYPES.values() else None


def _name(file: WeightFile) -> str:
    return Path(file.path).name
