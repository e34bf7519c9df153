"""Loops of which one part is missing: rolled stills sampled without Loop Model, and decodings of another kind than what was sampled."""

from __future__ import annotations

from collections.abc import Iterator

from ..findings import Finding
from ..loop import ROLLED_STILL
from ..node_names import LOOP_CONDITIONS, LOOP_DECODE, LOOP_MODEL
from .latents import LATENT_INPUT, carried_into
from .prompt import Prompt, class_of, inputs_of, links_of, models_before, name_of, setting

ROLLED, STILL_ENDS = LOOP_LATENTS = ("rolled", "still at both ends")
"""Kinds of Loop Decode."""


def unrolled_stills(prompt: Prompt, sampler: str) -> Iterator[Finding]:
    """One finding for each rolled still in the latent of a sampler whose model does not roll."""
    if _rolls(prompt, sampler):
        return
    for injector in sorted(carried_into(prompt, sampler).injectors):
        if (
            class_of(prompt, injector) == LOOP_CONDITIONS
            and setting(prompt, injector, "kind") == ROLLED_STILL
        ):
            yield Finding(
                f"{name_of(prompt, injector)} gives a rolled still, but {name_of(prompt, sampler)} samples without Loop Model.",
                "Its picture is the first frame only; nothing brings the video back to it.",
                "Put Loop Model before the sampler, or set kind to still.",
            )


def wrong_decodings(prompt: Prompt, node: str) -> Iterator[Finding]:
    """A finding where a Loop Decode does not fit the way its loop was sampled; nothing for other nodes."""
    sampler = _sampler_of(prompt, node) if class_of(prompt, node) == LOOP_DECODE else None
    if sampler is None:
        return
    kind, rolls = setting(prompt, node, "kind"), _rolls(prompt, sampler)
    here, there = name_of(prompt, node), name_of(prompt, sampler)
    if kind == ROLLED and not rolls:
        yield Finding(
            f"{here} decodes a rolled loop, but {there} samples without Loop Model.",
            "The end of the video was made without its start, so it jumps where it begins again.",
            f"Put Loop Model before {there}, or set kind to {STILL_ENDS} for a still from Loop Conditions.",
        )
    elif kind == STILL_ENDS and rolls:
        yield Finding(
            f"{here} decodes a still at both ends, but {there} samples a rolled loop.",
            "The last four frames of the loop are cut off, so it jumps where it begins again.",
            "Set kind to rolled.",
        )


def _rolls(prompt: Prompt, sampler: str) -> bool:
    return any(class_of(prompt, node) == LOOP_MODEL for node in models_before(prompt, sampler))


def _sampler_of(prompt: Prompt, node: str) -> str | None:
    """The nearest node on the latent's way that has a MODEL or guider."""
    waiting, seen = [node], {node}
    for current in waiting:
        for name, source in links_of(prompt, current):
            if not LATENT_INPUT.search(name) or source in seen:
                continue
            if {"model", "guider"} & set(inputs_of(prompt, source)):
                return source
            seen.add(source)
            waiting.append(source)
    return None
