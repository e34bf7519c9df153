"""Rules on given frames: their multipliers, and what loses them on the way."""

from __future__ import annotations

from collections.abc import Iterator

from ..findings import Finding
from ..given_frames import content_faults
from ..node_names import FRAME_AWARE, SAMPLER
from .facts import Facts

MULTIPLIER_LIMIT = 0.8
FIRST_FRAME_LIMIT = 0.4
"""Pusa's README: condition frames 0 to 0.8; first frame 0.2, its examples 0 to 0.3."""


def given_frames_lost(facts: Facts) -> Iterator[Finding]:
    """Frames whose multipliers got lost: what the graph shows, else what the samples themselves tell."""
    if facts.faults.lost:
        yield from facts.faults.lost
    elif len(facts.latent_shape) == 5:
        yield from content_faults(facts.noise_multipliers, facts.filled, facts.latent_shape[2])


def another_latent(facts: Facts) -> Iterator[Finding]:
    """Apply Vectorized Timesteps on another latent than the sampled one."""
    if facts.faults.other_latents:
        yield from facts.faults.other_latents
    elif facts.vectorized is not None and len(facts.latent_shape) == 5 and SAMPLER not in facts.graph.classes:
        sampled = facts.noise_multipliers or (1.0,) * facts.latent_shape[2]
        if facts.vectorized != sampled and len(sampled) == facts.latent_shape[2]:
            yield Finding(
                "Apply Vectorized Timesteps was given another latent than the one that is sampled.",
                "Its frames get timesteps that belong to other conditions.",
                "Connect the latent of the last Condition Frame Injector to both.",
            )


def sampling_overridden(facts: Facts) -> Iterator[Finding]:
    """A sampling patch in front of a node that sets the sampling itself."""
    yield from facts.faults.overridden


def loops(facts: Facts) -> Iterator[Finding]:
    """A loop of which one part is missing."""
    yield from facts.faults.loops


def conditions(facts: Facts) -> Iterator[Finding]:
    """Multipliers that do not fit the latent, the model, or the advice."""
    frames = facts.latent_shape[2] if len(facts.latent_shape) == 5 else None
    if facts.noise_multipliers is not None and frames is not None and len(facts.noise_multipliers) != frames:
        yield Finding(
            f"The latent has {frames} frames and {len(facts.noise_multipliers)} noise multipliers.",
            "A node between Condition Frame Injector and the sampler cut or joined the latent.",
            "Put Condition Frame Injector after it.",
        )
        return
    if not facts.conditions:
        return
    if (
        facts.vectorized is None
        and facts.graph.classes
        and facts.graph.classes.isdisjoint(FRAME_AWARE)
        and facts.graph.samplers
    ):
        yield Finding(
            "Frames are given, but nothing gives them timesteps of their own.",
            "A plain sampler noises them like all others; they do not show in the result.",
            "Put Apply Vectorized Timesteps between the model and the sampler, or use Vectorized Timestep Sampler.",
        )
    high = {frame: m for frame, m in facts.conditions.items() if m > MULTIPLIER_LIMIT}
    if high:
        frame, multiplier = next(iter(high.items()))
        yield Finding(
            f"Latent frame {frame} has the noise multiplier {multiplier:g}.",
            f"Above {MULTIPLIER_LIMIT:g} hardly anything of the given picture is left.",
            f"Use 0 to 0.8: {facts.base.multiplier_advice}.",
        )
    first = facts.conditions.get(0)
    if first is not None and FIRST_FRAME_LIMIT < first <= MULTIPLIER_LIMIT:
        yield Finding(
            f"The first frame has the noise multiplier {first:g}.",
            "The video then starts with another picture than the one given.",
            "Use 0.2, the authors' value; 0 to 0.3 in their examples.",
        )
    if first == 0.0 and len(facts.conditions) == 1 and facts.low_noise is not None:
        yield Finding(
            "The first frame has the noise multiplier 0, on Wan2.2.",
            'Pusa\'s authors "strongly suggest some noise" there; without it the subject stays stiff.',
            "Use 0.2.",
        )
