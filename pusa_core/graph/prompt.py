"""Walking ComfyUI's API prompt, {id: {"class_type", "inputs"}}: links through reroutes, constants behind links, names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..node_names import SPEED, SPEED_OUTPUTS, SPEED_WAYS

Prompt = Mapping[str, Any]

MODEL_INPUT = re.compile(r"model|guider|(high|low)_noise$", re.IGNORECASE)
"""Inputs that a MODEL comes through; a guider carries its own."""

_REROUTE = re.compile(r"reroute", re.IGNORECASE)
_CONSTANT = re.compile(
    r"(?i:primitive|constant|literal)|(?:^|[^A-Za-z])(?i:int|integer|float|number|string|text|bool|boolean)$"
    r"|(?:Int|INT|Integer|Float|FLOAT|Number|String|Bool|Boolean)$"
)
"""Classes that hand out the one value typed into them; any other class may compute, and then nothing is claimed."""

_CONTROLS = frozenset({"control_after_generate", "control_before_generate"})


@dataclass(frozen=True)
class Linked:
    """A setting that another node decides while the graph runs."""

    node: str  # id of that node


def class_of(prompt: Prompt, node: str) -> str:
    """ComfyUI's name of a node's class; empty where the prompt has no such node."""
    return str(prompt.get(node, {}).get("class_type", ""))


def inputs_of(prompt: Prompt, node: str) -> Mapping[str, Any]:
    """A node's inputs: values, and links as [id, output]."""
    inputs = prompt.get(node, {}).get("inputs", {})
    return inputs if isinstance(inputs, Mapping) else {}


def name_of(prompt: Prompt, node: str) -> str:
    """How a sentence names a node: its title where the browser sent it, else its class, and its id."""
    title = prompt.get(node, {}).get("_meta", {}).get("title")
    return f"{title or class_of(prompt, node) or 'a node'} (node {node})"


def names_of(prompt: Prompt, nodes: Iterable[str], joint: str = "and") -> str:
    """Several nodes in a sentence: "A (node 1), B (node 2) and C (node 3)"."""
    *first, last = [name_of(prompt, node) for node in nodes]
    return f"{', '.join(first)} {joint} {last}" if first else last


def linked_node(value: Any) -> str | None:
    """Id of the node that a link [id, output] comes from; None for a value."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
        return value[0]
    return None


def links_of(prompt: Prompt, node: str) -> Iterator[tuple[str, str]]:
    """(input, id of the node it comes from, reroutes looked through) of every linked input that is used."""
    unused = unused_model(prompt, node)
    for name, value in inputs_of(prompt, node).items():
        if linked_node(value) is not None and name != unused:
            source = source_of(prompt, node, name)
            if source is not None:
                yield name, source


def source_of(prompt: Prompt, node: str, name: str) -> str | None:
    """Id of the node an input gets its value from, through reroutes; None where nothing is connected."""
    source, seen = linked_node(inputs_of(prompt, node).get(name)), set[str]()
    while source is not None and _REROUTE.search(class_of(prompt, source)) and source not in seen:
        seen.add(source)
        links = [end for value in inputs_of(prompt, source).values() if (end := linked_node(value))]
        if len(links) != 1:
            break
        source = links[0]
    return source


def setting(prompt: Prompt, node: str, name: str) -> Any:
    """What an input is set to: its own value or the constant it is linked to; Linked where only the run decides, None without it.

    A constant is a node that computes nothing: it has no links and one value (PrimitiveFloat and its like in other packs); Speed or Quality
    hands out one of its own. Subgraphs are flat in a prompt, so their inner links are links like others. Source: the frontend's graphToPrompt.
    """
    found = _constant(prompt, node, name)
    if isinstance(found, Linked) and (way := speed_way(prompt, found.node)):
        slot = inputs_of(prompt, node)[name][1]
        return _constant(prompt, found.node, f"{way}_{SPEED_OUTPUTS[slot]}")
    return found


def _constant(prompt: Prompt, node: str, name: str) -> Any:
    value = inputs_of(prompt, node).get(name)
    if linked_node(value) is None:
        return value
    source = source_of(prompt, node, name)
    if source is None:
        return None
    values = {key: one for key, one in inputs_of(prompt, source).items() if key not in _CONTROLS}
    if len(values) == 1 and _CONSTANT.search(class_of(prompt, source)):
        (constant,) = values.values()
        if isinstance(constant, bool | int | float | str):
            return constant
    return Linked(source)


def speed_way(prompt: Prompt, node: str) -> str | None:
    """The way that a Speed or Quality node takes, "fast" or "full"; None for any other node, and where only the run decides."""
    fast = _constant(prompt, node, "fast") if class_of(prompt, node) == SPEED else None
    return SPEED_WAYS[not fast] if isinstance(fast, bool) else None


def unused_model(prompt: Prompt, node: str) -> str | None:
    """The model input that a Speed or Quality node leaves alone; None for any other node."""
    way = speed_way(prompt, node)
    return f"{SPEED_WAYS[way == SPEED_WAYS[0]]}_model" if way else None


def connected(prompt: Prompt, start: str) -> set[str]:
    """Ids that links lead to from `start`, in either direction, `start` among them."""
    neighbours: dict[str, set[str]] = {}
    for node in prompt:
        for value in inputs_of(prompt, node).values():
            if (source := linked_node(value)) is not None:
                neighbours.setdefault(node, set()).add(source)
                neighbours.setdefault(source, set()).add(node)
    return _reached(start, lambda node: neighbours.get(node, ()))


def models_before(prompt: Prompt, node: str) -> list[str]:
    """Nodes that a node's MODEL comes through, nearest first."""
    found, waiting = dict[str, None](), [node]
    while waiting:
        current = waiting.pop(0)
        for name, source in links_of(prompt, current):
            if MODEL_INPUT.search(name) and source not in found and source != node:
                found[source] = None
                waiting.append(source)
    return list(found)


def _reached(start: str, neighbours: Any) -> set[str]:
    found, waiting = {start}, [start]
    while waiting:
        for node in set(neighbours(waiting.pop())) - found:
            found.add(node)
            waiting.append(node)
    return found
