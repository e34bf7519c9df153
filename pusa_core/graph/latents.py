"""Where given frames go on their way through a graph: which injectors a latent still carries, and what lost the others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..findings import Finding
from ..node_names import APPLY, DOCTOR, FRAME_AWARE, INJECTORS, SAMPLER
from .prompt import (
    Prompt,
    class_of,
    inputs_of,
    linked_node,
    links_of,
    models_before,
    name_of,
    names_of,
    source_of,
)

LATENT_INPUT = re.compile(r"latent|samples|^(destination|source|inputs\.input\d+)$", re.IGNORECASE)
"""Inputs that a LATENT comes through; a prompt has names and no types. VAE Encode has none, so pictures end the way back."""

DROPPING = frozenset({"RebatchLatents", "HunyuanVideo15LatentUpscaleWithModel", "HunyuanRefinerLatent"})
"""ComfyUI's nodes that make a new latent and take over the samples alone."""

KEPT_INPUTS = (
    "samples_to",
    "destination",
    "samples1",
    "latents.latent0",
    "inputs.input0",
    "latent1",
    "latents1",
)
"""Of a node that joins latents, the one whose multipliers stay: ComfyUI copies it and writes the other's samples into it."""


@dataclass(frozen=True)
class Carried:
    """What is known of a latent's given frames from the classes of the nodes before it."""

    injectors: frozenset[str] = frozenset()  # ids of those whose multipliers it has
    lost: tuple[tuple[str, str], ...] = ()  # (injector, node that lost its multipliers)


def carried_by(prompt: Prompt, node: str, known: dict[str, Carried] | None = None) -> Carried:
    """The given frames in the latent that a node puts out; known: of nodes that were looked at before."""
    known = {} if known is None else known
    if node in known:
        return known[node]
    known[node] = Carried()  # what a circle of links leads back to
    before = {
        name: carried_by(prompt, source, known)
        for name, source in links_of(prompt, node)
        if LATENT_INPUT.search(name)
    }
    kept = next((name for name in KEPT_INPUTS if name in before), None) if len(before) > 1 else None
    stays: set[str] = set()
    for name, one in before.items():
        if class_of(prompt, node) not in DROPPING and kept in (None, name):
            stays |= one.injectors
    gone = {
        injector
        for one in before.values()
        for injector in one.injectors - stays
        if not any(_give_alike(prompt, injector, other) for other in stays)
    }
    lost = dict.fromkeys(
        [*(each for one in before.values() for each in one.lost), *((one, node) for one in sorted(gone))]
    )
    if class_of(prompt, node) in INJECTORS:
        stays.add(node)
    known[node] = Carried(frozenset(stays), tuple(lost))
    return known[node]


def latent_input(prompt: Prompt, node: str) -> str | None:
    """Name of the input through which a node gets the latent it samples."""
    return next(
        (
            name
            for name in ("latent_image", "latent", "samples", "video_latent")
            if name in inputs_of(prompt, node)
        ),
        None,
    )


def carried_into(prompt: Prompt, node: str) -> Carried:
    """The given frames in the latent that a node gets."""
    name = latent_input(prompt, node)
    source = source_of(prompt, node, name) if name else None
    return carried_by(prompt, source) if source else Carried()


def lost_frames(prompt: Prompt, node: str, without: bool = False) -> Iterator[Finding]:
    """One finding for each node before `node` that lost the multipliers of given frames.

    without: that the latent which has come to `node` is known to have no multipliers, so that unknown nodes can be named too.
    """
    carried = carried_into(prompt, node)
    by_loser: dict[str, list[str]] = {}
    for injector, loser in carried.lost:
        by_loser.setdefault(loser, []).append(injector)
    for loser, injectors in by_loser.items():
        givers, where = names_of(prompt, injectors), name_of(prompt, loser)
        joined = len([name for name, _ in links_of(prompt, loser) if LATENT_INPUT.search(name)]) > 1
        yield Finding(
            f"The frames given by {givers} are lost in {where}.",
            "It joins two latents and keeps the noise multipliers of one of them, so the other's frames count as free."
            if joined
            else "It hands the samples on without their noise multipliers, so these frames count as free: plain text-to-video.",
            f"Put the injector after {where}{', or sample the two latents one after the other' if joined else ''}.",
        )
    if without and carried.injectors and not carried.lost:
        between = _between(prompt, node)
        if between:
            yield Finding(
                f"The frames given by {names_of(prompt, sorted(carried.injectors))} are lost on the way, in "
                f"{names_of(prompt, between, 'or')}.",
                "A latent without noise multipliers comes out there, so these frames count as free: plain text-to-video.",
                "Put the injector after it.",
            )


def other_latents(prompt: Prompt, centre: str) -> Iterator[Finding]:
    """One finding for each Apply Vectorized Timesteps whose latent has other given frames than the one that is sampled.

    Looks at the samplers whose model comes from an Apply; where none is connected with a doctor, the doctor's own inputs stand for one.
    """
    samplers = [node for node in prompt if is_sampler(prompt, node)]
    ours = any(class_of(prompt, node) == SAMPLER for node in prompt)
    if not (samplers or ours) and class_of(prompt, centre) == DOCTOR:
        samplers = [centre]
    for sampler in samplers:
        apply = next((one for one in models_before(prompt, sampler) if class_of(prompt, one) == APPLY), None)
        if apply is None or source_of(prompt, apply, "latent") == source_of(
            prompt, sampler, latent_input(prompt, sampler) or ""
        ):
            continue
        applied, sampled = carried_into(prompt, apply), carried_into(prompt, sampler)
        if applied.injectors == sampled.injectors or applied.lost or sampled.lost:
            continue
        missing, surplus = sampled.injectors - applied.injectors, applied.injectors - sampled.injectors
        here, there = name_of(prompt, apply), name_of(prompt, sampler)
        yield Finding(
            f"{here} was given another latent than the one that {there} samples.",
            f"The frames of {names_of(prompt, sorted(missing))} are in the sampled latent only, and count as free."
            if missing
            else f"The frames of {names_of(prompt, sorted(surplus))} are not in the sampled latent, so its empty frames are kept.",
            "Connect the latent of the last injector to both.",
        )


def is_sampler(prompt: Prompt, node: str) -> bool:
    """Whether a node samples a latent with a MODEL or guider as it comes, so that an Apply before it counts."""
    inputs = inputs_of(prompt, node)
    if class_of(prompt, node) in (*FRAME_AWARE, DOCTOR) or latent_input(prompt, node) is None:
        return False
    return ("model" in inputs or "guider" in inputs) and (
        "sampler_name" in inputs or "sampler" in inputs or "Sampler" in class_of(prompt, node)
    )


def _give_alike(prompt: Prompt, injector: str, other: str) -> bool:
    """Whether two injectors have the same settings, so that the multipliers of one hold for the frames of both."""

    def settings(node: str) -> tuple[str, dict[str, Any]]:
        inputs = inputs_of(prompt, node).items()
        return class_of(prompt, node), {name: value for name, value in inputs if linked_node(value) is None}

    return settings(injector) == settings(other)


def _between(prompt: Prompt, node: str) -> list[str]:
    """Nodes on the latent's ways between the nearest injectors and `node`, nearest first; both left out."""
    found, waiting = dict[str, None](), [node]
    while waiting:
        current = waiting.pop(0)
        for name, source in links_of(prompt, current):
            of_latent = LATENT_INPUT.search(name) or (current == node and name == latent_input(prompt, node))
            if not of_latent or source in found or class_of(prompt, source) in INJECTORS:
                continue
            if carried_by(prompt, source).injectors:
                found[source] = None
                waiting.append(source)
    return list(found)
