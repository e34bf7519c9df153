"""Nodes whose patch of the model is undone further on in a graph."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..findings import Finding
from ..node_names import FRAME_AWARE
from .prompt import Linked, Prompt, class_of, models_before, name_of, setting

SAMPLING_PATCH = re.compile(
    r"^ModelSampling|^ModelShift|SamplingShift|^PusaVectorizedTimesteps$", re.IGNORECASE
)
"""ModelSamplingSD3 and its like: they replace the model's sampling, and the last one counts. Ours is one of them."""


def overridden_samplings(prompt: Prompt, node: str) -> Iterator[Finding]:
    """One finding for each sampling patch before one of this pack's sampling nodes, whose own shift replaces it.

    A patch that sets the same shift changes nothing and is left alone.
    """
    if class_of(prompt, node) not in FRAME_AWARE:
        return
    shift = setting(prompt, node, "shift")
    for patch in models_before(prompt, node):
        if not SAMPLING_PATCH.search(class_of(prompt, patch)):
            continue
        theirs = setting(prompt, patch, "shift")
        if theirs is not None and theirs == shift and not isinstance(theirs, Linked):
            continue
        here, value = name_of(prompt, node), "" if not _is_number(shift) else f" {shift:g}"
        yield Finding(
            f"{name_of(prompt, patch)}{f' sets shift {theirs:g}, which' if _is_number(theirs) else ''} has no effect.",
            f"{here} comes after it and sets the model's sampling itself, with its own shift{value}.",
            f"Remove {name_of(prompt, patch)}, and set shift on {here}.",
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
