"""What a ComfyUI server says about a graph it refuses or a node that fails, as sentences that name node and input."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from typing import Any

from .graphs import Graph, named

SHOWN = 5
FULL = os.strerror(errno.ENOSPC)  # "No space left on device"
LOADERS = {  # where a file belongs that an input names
    "unet_name": "models/diffusion_models",
    "lora_name": "models/loras",
    "vae_name": "models/vae",
    "clip_name": "models/text_encoders",
    "clip_name1": "models/text_encoders",
    "clip_name2": "models/text_encoders",
    "ckpt_name": "models/checkpoints",
}


def refusal(graph: Graph, answer: Mapping[str, Any]) -> str:
    """Why a server did not take a graph. answer: ComfyUI's to /prompt."""
    reasons = [
        _reason(graph, node_id, error)
        for node_id, entry in answer.get("node_errors", {}).items()
        if node_id in graph
        for error in entry["errors"]
    ]
    if reasons:
        return " ".join(dict.fromkeys(reasons))
    error = answer.get("error", {})
    message, details = str(error.get("message", "no reason given")), str(error.get("details", ""))
    if "does not exist" in message or error.get("type") == "missing_node_type":
        kinds = ", ".join(_unknown(graph, message + details)) or message
        return f"The server has no node {kinds}. Install the pack that brings it there, or use another graph."
    if error.get("type") == "prompt_no_outputs":
        return "The graph has no node that saves anything. Add one, such as Save Video."
    return f"The server refused the graph: {message}. {details}".strip()


def failure(graph: Graph, event: Mapping[str, Any]) -> str:
    """Why a node failed. event: ComfyUI's execution_error."""
    message = " ".join(str(event.get("exception_message", "")).split())
    node_id = str(event.get("node_id", ""))
    where = named(graph, node_id) if node_id in graph else str(event.get("node_type", "a node"))
    if is_full(message):
        return f"{where}: the disk of this worker's ComfyUI is full ({FULL}). Free some space there and run again."
    return f"{where}: {message or event.get('exception_type', 'it failed without a message')}"


def is_full(text: str) -> bool:
    """Whether a message says that a disk is full."""
    return FULL in text or f"Errno {errno.ENOSPC}]" in text


def _reason(graph: Graph, node_id: str, error: Mapping[str, Any]) -> str:
    extra = error.get("extra_info") or {}
    where, name = named(graph, node_id), str(extra.get("input_name", ""))
    if error.get("type") == "value_not_in_list":
        choices = _choices(extra.get("input_config"))
        more = f" and {len(choices) - SHOWN} more" if len(choices) > SHOWN else ""
        there = f" It has: {', '.join(choices[:SHOWN])}{more}." if choices else ""
        what = f"{where}: {name} is {extra.get('received_value')!r}, which this server does not have.{there}"
        if name in LOADERS:
            return f"{what} Put the file into {LOADERS[name]} there, or change the graph."
        return f"{what} Change the graph."
    if error.get("type") == "required_input_missing":
        return f"{where}: its input {name} is missing. Export the graph again, or set it."
    message, details = str(error.get("message", "it was refused")), str(error.get("details", ""))
    return f"{where}{f', input {name}' if name else ''}: {message}" + (f" ({details})." if details else ".")


def _choices(config: Any) -> list[str]:
    """Entries of a drop-down in either of ComfyUI's two forms; of one with more than 20 the server tells none."""
    if not isinstance(config, (list, tuple)) or not config:
        return []
    if isinstance(config[0], (list, tuple)):
        return [str(value) for value in config[0]]
    options = config[1].get("options", []) if len(config) > 1 and isinstance(config[1], Mapping) else []
    return [str(value) for value in options]


def _unknown(graph: Graph, text: str) -> Iterator[str]:
    for kind in dict.fromkeys(node["class_type"] for node in graph.values()):
        if f" {kind} " in text or f"'{kind}'" in text:
            yield kind
