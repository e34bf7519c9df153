"""A safetensors file written tensor by tensor, which has its name only once it is whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

DTYPE_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
if hasattr(torch, "float8_e8m0fnu"):  # since PyTorch 2.7; scales of mxfp8
    DTYPE_NAMES[torch.float8_e8m0fnu] = "F8_E8M0"


class SafetensorsStream:
    """The data goes first, into the space behind a header that is filled in at the end."""

    def __init__(self, file: BinaryIO, header_bytes: int):
        """header_bytes: a multiple of 8, as header_bound gives it."""
        self.file = file
        self.header_bytes = header_bytes
        self.entries: dict[str, object] = {}
        self.offset = 0
        file.seek(8 + header_bytes)

    def add(self, key: str, tensor: Tensor) -> None:
        """Write one more tensor, which lies on the CPU and has a type of DTYPE_NAMES.

        Readers take each tensor at a multiple of its element's size: give them in the order of `aligned`.
        """
        data = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
        end = self.offset + data.nbytes
        self.entries[key] = {
            "dtype": DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [self.offset, end],
        }
        self.file.write(data.data)
        self.offset = end

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Write the header; metadata: what header_bound was told of, or shorter."""
        header = json.dumps({"__metadata__": metadata, **self.entries}, separators=(",", ":")).encode()
        self.file.seek(0)
        self.file.write(self.header_bytes.to_bytes(8, "little") + header.ljust(self.header_bytes))


def aligned(tensors: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """(key, tensor) in an order in which each begins at a multiple of its element's size.

    Those that take a multiple of 8 bytes pass as they come, the few others (scales, texts) follow, wide types first.
    """
    others = []
    for key, tensor in tensors:
        if tensor.nbytes % 8:
            others.append((key, tensor))
        else:
            yield key, tensor
    yield from sorted(others, key=lambda entry: -entry[1].dtype.itemsize)


def header_bound(keys: Iterable[str], metadata: Mapping[str, str]) -> int:
    """At least the bytes of the header for tensors of these names, of up to five dimensions; a multiple of 8."""
    longest = {"dtype": "F8_E4M3", "shape": [10**6] * 5, "data_offsets": [10**15] * 2}
    text = json.dumps({"__metadata__": metadata, **dict.fromkeys(keys, longest)})
    return -(-len(text.encode()) // 8) * 8


@contextmanager
def complete_file(path: str | Path) -> Iterator[BinaryIO]:
    """A file beside `path` that takes its name when all went well and is removed otherwise.

    It is on the disk before it has the name, so that not even a power cut leaves half a file under it.
    """
    part = Path(f"{path}.part")
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
