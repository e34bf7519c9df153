"""Context windows: which latent frames of the video a model call sees."""

from __future__ import annotations

from typing import Any


def frames_of_call(options: dict[str, Any]) -> list[int] | None:
    """The latent frames of a model call inside a context window, None where it sees the whole video.

    options: transformer_options of the call. Since 0.21 ComfyUI puts one earlier frame, causal_anchor_index, in front of a window
    that does not start at 0 (comfy/context_windows.py, causal_window_fix): the model then sees that frame first.
    """
    window = options.get("context_window")
    if window is None:
        return None
    anchor = getattr(window, "causal_anchor_index", None)
    frames = list(window.index_list)
    return frames if anchor is None or anchor < 0 else [anchor, *frames]
