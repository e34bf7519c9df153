"""A run's settings as one line of text, to be copied, sent and read again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .prompt import MODEL_INPUT, Prompt, inputs_of, links_of, setting

SEPARATOR = " | "
STAGES = frozenset({"earlier", "later"})  # model inputs of Pusa Stages
STRENGTHS = ("alpha", "strength", "strength_model")
FILES = ("unet_name", "ckpt_name", "model_name", "gguf_name")
DEPTH = 60
"""More nodes than any chain of models has: a circle ends here."""


def run_line(settings: Mapping[str, Any], prompt: Prompt | None, node: str) -> str:
    """The settings of a run, then its models and prompt as the graph has them: "Pusa | seed: 5 | steps: 4 | ... | prompt: A cat".

    settings: name -> value as run, None for what did not count; prompt: ComfyUI's API prompt, None where it is not known; node: id of the
    node that runs. The prompt comes last, as it alone may hold any sign.
    """
    known = prompt or {}
    parts = [f"{name}: {_plain(value)}" for name, value in settings.items() if value is not None]
    parts += [f"model: {one}" for one in model_texts(known, node)]
    text = _text_of(known, node)
    return SEPARATOR.join(["Pusa", *parts, *([f"prompt: {' '.join(text.split())}"] if text else [])])


def model_texts(prompt: Prompt, node: str) -> list[str]:
    """Each model behind a node, a file with its LoRAs: "wan_high.safetensors + pusa_high.safetensors (1.5)"."""
    return list(dict.fromkeys(_models(prompt, node, "", 0)))


def _models(prompt: Prompt, node: str, loras: str, depth: int) -> list[str]:
    """loras: of the nodes after this one, as a model's text ends with them."""
    inputs = inputs_of(prompt, node)
    lora = setting(prompt, node, "lora_name")
    if isinstance(lora, str):
        strength = next((setting(prompt, node, name) for name in STRENGTHS if name in inputs), None)
        loras = f" + {lora}{f' ({_plain(strength)})' if isinstance(strength, int | float) else ''}{loras}"
    file = next((name for key in FILES if isinstance(name := setting(prompt, node, key), str)), None)
    if file is not None:
        return [file + loras]
    sources = [
        source for name, source in links_of(prompt, node) if MODEL_INPUT.search(name) or name in STAGES
    ]
    if depth > DEPTH:
        return []
    return [one for source in sources for one in _models(prompt, source, loras, depth + 1)]


def _text_of(prompt: Prompt, node: str) -> str | None:
    """The nearest text behind a node's positive conditioning."""
    waiting = [source for name, source in links_of(prompt, node) if name == "positive"]
    for one in waiting:
        text = setting(prompt, one, "text")
        if isinstance(text, str):
            return text
        if len(waiting) < DEPTH:
            waiting += [source for _, source in links_of(prompt, one) if source not in waiting]
    return None


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
