"""A short name for anything that decides a result, so that equal settings can be recognised later."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

SAMPLED = 16


def digest(value: Any, sampled: bool = False) -> str:
    """16 hex digits of a nested value: tensors, numbers, text, sequences, mappings.

    sampled: take 16 elements spread over each tensor instead of all, for model weights. Of other objects the class counts, and
    their `weights` if they have any (ComfyUI's LoRA adapters do).
    """
    found = hashlib.sha256()
    _add(found, value, sampled)
    return found.hexdigest()[:16]


def _add(found: Any, value: Any, sampled: bool) -> None:
    if isinstance(value, Tensor):
        flat = value.detach().reshape(-1)
        if sampled and flat.numel() > SAMPLED:
            flat = flat[
                torch.linspace(0, flat.numel() - 1, SAMPLED, dtype=torch.float64).long().to(flat.device)
            ]
        found.update(f"tensor {tuple(value.shape)} {value.dtype} ".encode())
        found.update(flat.cpu().contiguous().view(torch.uint8).numpy().tobytes())
    elif value is None or isinstance(value, (bool, int, float, str, bytes)):
        found.update(f"{type(value).__name__} {value!r} ".encode())
    elif isinstance(value, Mapping):
        found.update(f"mapping {len(value)} ".encode())
        for key in sorted(value, key=repr):
            _add(found, str(key), sampled)
            _add(found, value[key], sampled)
    elif isinstance(value, (list, tuple)):
        found.update(f"sequence {len(value)} ".encode())
        for item in value:
            _add(found, item, sampled)
    else:
        found.update(f"object {type(value).__qualname__} ".encode())
        if hasattr(value, "weights"):
            _add(found, value.weights, sampled)
