"""What the nodes of a graph are set to, read from ComfyUI's API prompt."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..node_names import DOCTOR, VIDEO_MAKERS
from .prompt import Prompt, class_of, connected, inputs_of, name_of, setting, source_of

NO_VIDEO = re.compile(r"animated|webp|png|gif|image|load|^Pusa", re.IGNORECASE)
"""Nodes whose rate is that of pictures read or of an animated picture, where any rate is right."""


@dataclass(frozen=True)
class Unknown:
    """A setting that a link brings and that only the run decides."""

    setting: str  # name of the input, such as "cfg"
    text: str  # of which node, and where it comes from


@dataclass(frozen=True)
class GraphSettings:
    """What the nodes around one node are set to: typed in, or by a constant they are linked to."""

    lengths: tuple[int, ...] = ()  # video lengths in pixel frames
    sizes: tuple[tuple[int, int], ...] = ()  # (width, height) in pixels
    frame_rates: tuple[float, ...] = ()  # of videos, not of pictures read
    steps: tuple[int, ...] = ()
    cfgs: tuple[float, ...] = ()
    samplers: tuple[tuple[str, str], ...] = ()  # (node class, sampler name)
    model_files: tuple[str, ...] = ()  # as Load Diffusion Model lists them, folders included
    classes: frozenset[str] = frozenset()
    unknown: tuple[Unknown, ...] = ()  # steps, cfg, sampler_name and frame rates that only the run decides


def read_graph(prompt: Prompt, centre: str) -> GraphSettings:
    """What the nodes connected with `centre` are set to, from ComfyUI's API prompt.

    prompt: {id: {"class_type", "inputs"}}; centre: id of the node that asks, left out itself as other doctors are. Unconnected graphs on the canvas do not
    count. Links are followed to constants; what a node computes is listed as unknown.
    """
    reached = connected(prompt, centre)
    nodes = [
        node for node in prompt if node in reached and class_of(prompt, node) != DOCTOR and node != centre
    ]
    sampling = [node for node in nodes if _samples(prompt, node)]
    unknown: dict[Unknown, None] = {}

    def values(among: list[str], name: str, fits: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
        for node in among:
            value = setting(prompt, node, name)
            link = source_of(prompt, node, name)
            if link is not None and not fits(value):
                source = name_of(prompt, link)
                unknown[Unknown(name, f"{name} of {name_of(prompt, node)}, which comes from {source}")] = None
            elif fits(value):
                yield node, value

    sized = [node for node in nodes if all(name in inputs_of(prompt, node) for name in _SIZE)]
    sizes = [tuple(setting(prompt, node, name) for name in _SIZE) for node in sized]
    video = [node for node in nodes if plays_video(prompt, node)]
    return GraphSettings(
        lengths=tuple(int(length) for _, _, length in sizes if _is_number(length)),
        sizes=tuple((int(w), int(h)) for w, h, _ in sizes if _is_number(w) and _is_number(h)),
        frame_rates=tuple(
            float(rate)
            for name in ("fps", "frame_rate")
            for _, rate in values(video, name, _is_number)
            if rate > 0
        ),
        steps=tuple(int(steps) for _, steps in values(sampling, "steps", _is_number)),
        cfgs=tuple(float(cfg) for _, cfg in values(nodes, "cfg", _is_number)),
        samplers=tuple(
            (class_of(prompt, node), name) for node, name in values(sampling, "sampler_name", _is_text)
        ),
        model_files=tuple(name for node in nodes if _is_text(name := setting(prompt, node, "unet_name"))),
        classes=frozenset(class_of(prompt, node) for node in nodes),
        unknown=tuple(unknown),
    )


def plays_video(prompt: Prompt, node: str) -> bool:
    """Whether a node's rate is the rate at which the video plays: CreateVideo, SaveWEBM, Video Combine, Long Video and Pusa Director do."""
    kind = class_of(prompt, node)
    picture_format = str(inputs_of(prompt, node).get("format", "")).startswith("image/")
    return kind in VIDEO_MAKERS or not (NO_VIDEO.search(kind) or picture_format)


_SIZE = ("width", "height", "length")


def _samples(prompt: Prompt, node: str) -> bool:
    kind = class_of(prompt, node)
    return "sampler_name" in inputs_of(prompt, node) or "Scheduler" in kind or "Sampler" in kind


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
