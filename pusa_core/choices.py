"""The one check of a value that must be one of several words."""

from __future__ import annotations

from collections.abc import Iterable

from .errors import PusaError


def check_choice(name: str, value: str, choices: Iterable[str]) -> str:
    """The value itself, if it is one of the choices; ComfyUI's server does not check combos before version 0.8."""
    allowed = tuple(choices)
    if value not in allowed:
        raise PusaError(f"{name} is {value!r}; use one of {', '.join(allowed)}.")
    return value
