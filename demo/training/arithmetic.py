"""In which arithmetic this machine trains the zoo."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch


def computes_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16; one that only imitates it is 30 times slower at it than at float32."""
    capabilities = getattr(torch.cpu, "get_capabilities", None)  # older versions of torch cannot tell
    return bool(capabilities and capabilities().get("avx512_bf16"))


PRECISION = "bf16" if computes_bfloat16() else "fp32"
"""As the trainer's train.precision and model.held_in."""


def autocast() -> AbstractContextManager[None]:
    """bfloat16 where the processor has it, float32 as it is elsewhere."""
    return torch.autocast("cpu", torch.bfloat16, enabled=PRECISION == "bf16")
