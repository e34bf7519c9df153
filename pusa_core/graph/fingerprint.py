"""One text for all settings of a graph."""

from __future__ import annotations

import hashlib
import json

from .prompt import Prompt

SEEDS = frozenset({"seed", "noise_seed"})
"""Inputs that change with every run and say nothing about a graph."""


def graph_fingerprint(prompt: Prompt) -> str:
    """Equal for prompts that differ in seeds at most. prompt: ComfyUI's API prompt."""
    settings = {
        node: [
            content.get("class_type"),
            content.get("_meta"),
            {name: value for name, value in content.get("inputs", {}).items() if name not in SEEDS},
        ]
        for node, content in prompt.items()
    }
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
