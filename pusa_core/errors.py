"""The one exception users see."""

from __future__ import annotations


class PusaError(ValueError):
    """Bad input, told as: what was given, what is allowed, what to do next.

    ComfyUI shows the text on the node that raised it.
    """
