"""What the parts of a divided run are told of the whole: its schedule, which ComfyUI gives each part only its own piece of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

SCHEDULE = "pusa_whole_schedule"
"""Key of transformer_options: the levels [S+1] of the whole run, where that was divided."""


def schedule_of(guider: Any, sigmas: Tensor) -> Tensor:
    """The levels of the whole run that `sigmas` is, or is a piece of."""
    whole: Tensor = guider.model_options.get("transformer_options", {}).get(SCHEDULE, sigmas)
    return whole


@contextmanager
def told_schedule(guider: Any, whole: Tensor) -> Iterator[None]:
    """While it lasts, the guider's model calls know the levels of the whole run."""
    before = guider.model_options
    known = before.get("transformer_options", {})
    guider.model_options = {**before, "transformer_options": {**known, SCHEDULE: whole}}
    try:
        yield
    finally:
        guider.model_options = before
