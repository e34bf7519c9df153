"""What ComfyUI writes into a video so that dropping the file brings the workflow back."""

from __future__ import annotations

from typing import Any

import comfy.cli_args


def video_metadata(hidden: Any) -> dict[str, Any]:
    """Workflow and prompt of the running graph, empty where the user switched them off.

    hidden: the node's hidden inputs `prompt` and `extra_pnginfo`, None outside a running graph.
    """
    if comfy.cli_args.args.disable_metadata or hidden is None:
        return {}
    found = dict(hidden.extra_pnginfo or {})
    if hidden.prompt is not None:
        found["prompt"] = hidden.prompt
    return found
