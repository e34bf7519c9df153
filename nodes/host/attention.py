"""Attention: how small trials are kept on PyTorch's own, whatever is installed for sampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from . import symbols


def _by_pytorch(chosen: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    return symbols.attention_pytorch(*args, **kwargs)


PYTORCH_ATTENTION = {"optimized_attention_override": _by_pytorch}
"""transformer_options for a trial on the CPU, where xformers and SageAttention cannot run (comfy/ldm/modules/attention.py)."""
