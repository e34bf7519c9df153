"""The prompt that ComfyUI is working on, for what must notice a changed setting of any node."""

from __future__ import annotations

import sys
from typing import Any

from ...pusa_core.graph.fingerprint import graph_fingerprint

SETTINGS = "pusa_settings"
"""Under this name a node shows the browser its run's settings; js/settings_line.js reads it."""


def prompt_fingerprint() -> str | float:
    """A text that is equal for equal prompts; a NaN, which ComfyUI's cache finds equal to nothing, where the prompt cannot be had.

    `fingerprint_inputs` is called without hidden inputs (execution.py, IsChangedCache.get), so the prompt comes from the queue:
    its running items are (number, prompt id, prompt, ...) from 0.3.64 to 0.33.
    """
    prompt = running_prompt()
    # a new object each time: the cache compares by identity first, and math.nan is one object
    return float("nan") if prompt is None else graph_fingerprint(prompt)


def running_prompt() -> dict[str, Any] | None:
    """The API prompt under way; None without a server, or where it is not clear which one it is."""
    item = _running_item()
    prompt = item[2] if len(item) > 2 else None
    return prompt if isinstance(prompt, dict) else None


def running_prompt_id() -> str:
    """The id of the prompt under way; "" without a server, or where it is not clear which one it is."""
    item = _running_item()
    return str(item[1]) if len(item) > 1 else ""


def was_cancelled(prompt_id: str) -> bool:
    """Whether the prompt of this id was interrupted; False where the server's history does not have it any more."""
    queue = getattr(_server(), "prompt_queue", None)
    found = queue.get_history(prompt_id).get(prompt_id) if hasattr(queue, "get_history") else None
    status = (found or {}).get("status") or {}
    return any(event == "execution_interrupted" for event, *_ in status.get("messages") or ())


def graph_around(hidden: Any) -> tuple[dict[str, Any] | None, str]:
    """The API prompt and the node's own id from a node's hidden inputs; (None, "") where a node is called without a server.

    hidden: `cls.hidden` of a node that asks for io.Hidden.prompt and io.Hidden.unique_id.
    """
    prompt, node = getattr(hidden, "prompt", None), getattr(hidden, "unique_id", None)
    return (prompt, str(node)) if prompt and node is not None else (None, "")


def tell_browser(event: str, data: dict[str, Any]) -> None:
    """Send an event to the browser whose prompt is running; nothing where a node is called without a server."""
    server = _server()
    if server is not None:
        server.send_sync(event, data, getattr(server, "client_id", None))


def _running_item() -> tuple[Any, ...]:
    """What the queue works on: (number, prompt id, prompt, ...), or ()."""
    running = getattr(getattr(_server(), "prompt_queue", None), "currently_running", None)
    items = list(running.values()) if isinstance(running, dict) else []
    return tuple(items[0]) if len(items) == 1 and isinstance(items[0], tuple | list) else ()


def _server() -> Any:
    return getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
