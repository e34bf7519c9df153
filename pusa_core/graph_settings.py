"""What the nodes of a graph are set to, read from ComfyUI's API prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class GraphSettings:
    """What the nodes around one node are set to; only values typed in, not linked ones."""

    lengths: tuple[int, ...] = ()  # video lengths in pixel frames
    sizes: tuple[tuple[int, int], ...] = ()  # (width, height) in pixels
    frame_rates: tuple[float, ...] = ()
    steps: tuple[int, ...] = ()
    cfgs: tuple[float, ...] = ()
    samplers: tuple[tuple[str, str], ...] = ()  # (node class, sampler name)
    model_files: tuple[str, ...] = ()  # as Load Diffusion Model lists them, folders included
    classes: frozenset[str] = frozenset()


def read_graph(prompt: Mapping[str, Any], centre: str) -> GraphSettings:
    """What the nodes connected with `centre` are set to, from ComfyUI's API prompt.

    prompt: {id: {"class_type", "inputs"}}; centre: id of the node that asks, left out itself. Unconnected graphs on the canvas do not count.
    """
    nodes = {node: prompt[node] for node in _connected(prompt, centre) if node != centre and node in prompt}
    inputs = [(str(node.get("class_type", "")), node.get("inputs", {})) for node in nodes.values()]
    sampling = [
        (kind, values)
        for kind, values in inputs
        if "sampler_name" in values or "Scheduler" in kind or "Sampler" in kind
    ]
    sized = [values for _, values in inputs if _are_numbers(values, "width", "height", "length")]
    return GraphSettings(
        lengths=tuple(int(values["length"]) for values in sized),
        sizes=tuple((int(values["width"]), int(values["height"])) for values in sized),
        frame_rates=tuple(
            float(values[name])
            for _, values in inputs
            for name in ("fps", "frame_rate")
            if _are_numbers(values, name)
        ),
        steps=tuple(int(values["steps"]) for _, values in sampling if _are_numbers(values, "steps")),
        cfgs=tuple(float(values["cfg"]) for _, values in inputs if _are_numbers(values, "cfg")),
        samplers=tuple(
            (kind, values["sampler_name"])
            for kind, values in sampling
            if isinstance(values.get("sampler_name"), str)
        ),
        model_files=tuple(
            values["unet_name"] for _, values in inputs if isinstance(values.get("unet_name"), str)
        ),
        classes=frozenset(kind for kind, _ in inputs),
    )


def _connected(prompt: Mapping[str, Any], start: str) -> set[str]:
    """Ids that links lead to from `start`, in either direction."""
    neighbours: dict[str, set[str]] = {}
    for node, content in prompt.items():
        for value in content.get("inputs", {}).values():
            if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
                neighbours.setdefault(node, set()).add(value[0])
                neighbours.setdefault(value[0], set()).add(node)
    found, waiting = {start}, [start]
    while waiting:
        for node in neighbours.get(waiting.pop(), set()) - found:
            found.add(node)
            waiting.append(node)
    return found


def _are_numbers(values: Mapping[str, Any], *names: str) -> bool:
    return all(isinstance(values.get(name), int | float) for name in names)
