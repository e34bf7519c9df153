"""Rules on steps, guidance, shift and sampler."""

from __future__ import annotations

from collections.abc import Iterator

from ..bases import LINEAR_QUADRATIC
from ..findings import Finding
from ..lora.experts import LIGHTX2V, SPOKEN
from ..node_names import SAMPLER
from ..schedule import SHIFT, THRESHOLD, linear_quadratic_sigmas
from .facts import Facts

SHIFT_RANGE = (3.0, 12.0)
"""Pusa and LightX2V use 5; Wan's own settings lie between 3 (480p) and 12 (Wan2.2 text-to-video)."""

OFF_SCHEDULE = 0.05
"""Sigma: beyond this a level does not belong to the linear-quadratic schedule."""

FEWEST_STEPS = 5
"""Without distillation; "10 steps or more" is the authors' advice, "5 is already very good" their lower end."""


def distillation(facts: Facts) -> Iterator[Finding]:
    """LightX2V with guidance or too many steps, and their absence without it."""
    guided = {
        name: cfg
        for name, model, override in facts.experts
        if any(lora.loader == LIGHTX2V for lora in model.loras)
        and (cfg := override or max(facts.cfgs, default=0.0)) > 1.0
    }
    if guided:
        on = "" if len(guided) == len(facts.experts) else f" on the {SPOKEN[next(iter(guided))]} expert"
        yield Finding(
            f"LightX2V{on} runs with cfg {max(guided.values()):g}.",
            "It was distilled with guidance built in: a second dose burns the picture and doubles the time.",
            "Set cfg to 1.",
        )
    made_for = min((lora.distilled_steps for lora in facts.loras if lora.distilled_steps), default=0)
    if made_for and max(facts.steps, default=0) > made_for:
        yield Finding(
            f"LightX2V runs with {max(facts.steps)} steps; it was distilled for {made_for}.",
            "More steps than that cost time and make the motion stiff.",
            f"Set steps to {made_for}.",
        )
    if facts.is_distilled or facts.has_other_patches:
        return
    if facts.steps and 0 < min(facts.steps) < FEWEST_STEPS:
        yield Finding(
            f"{min(facts.steps)} steps without {_distillation(facts)}.",
            "A model that was not distilled needs more steps than that for a clean picture.",
            f"Set steps to {facts.base.steps} (10 at least)" + _or_lightx2v(facts, " and cfg 1"),
        )
    if facts.cfgs and max(facts.cfgs) <= 1.0:
        yield Finding(
            f"cfg {max(facts.cfgs):g} without {_distillation(facts)}.",
            "Without guidance the prompt hardly counts and the negative prompt not at all.",
            f"Set cfg to {facts.base.cfg:g}" + _or_lightx2v(facts, ""),
        )


def schedule(facts: Facts) -> Iterator[Finding]:
    """The shift that the sigmas were made with."""
    if facts.sigmas is None:
        return
    if len(facts.sigmas) < 2:
        yield Finding(
            "The sigmas hold no step.",
            "The latent comes out as it went in.",
            "Set steps and denoise above 0.",
        )
        return
    if facts.base.schedule == LINEAR_QUADRATIC:
        yield from _linear_quadratic(facts)
        return
    shift = implied_shift(facts.sigmas)
    low, high = (SHIFT - 0.5, SHIFT + 0.5) if facts.is_distilled else SHIFT_RANGE
    if shift is not None and not low <= shift <= high:
        yield Finding(
            f"The sigmas have a shift of about {shift:.1f}.",
            "LightX2V was distilled on the levels of shift 5."
            if facts.is_distilled
            else f"Pusa was trained for {SHIFT:g}; far from it too few steps fall where the motion is decided.",
            f"Use Pusa Scheduler with shift {SHIFT:g}.",
        )


def _linear_quadratic(facts: Facts) -> Iterator[Finding]:
    sigmas = facts.sigmas or ()
    wanted = linear_quadratic_sigmas(len(sigmas) - 1).tolist()
    if sigmas[0] > 0.999 and max(abs(a - b) for a, b in zip(sigmas, wanted, strict=True)) > OFF_SCHEDULE:
        yield Finding(
            "The sigmas are not of the linear-quadratic schedule.",
            f"{facts.base.title} and Pusa V0.5 are sampled on it: half of the steps take away the first {THRESHOLD:g} of the noise.",
            "Connect the model to Pusa Scheduler, or set its schedule to linear quadratic.",
        )


def _distillation(facts: Facts) -> str:
    return "LightX2V" if facts.base.needs_pusa_lora else "distillation"


def _or_lightx2v(facts: Facts, more: str) -> str:
    return f", or add LightX2V Loader{more}." if facts.base.needs_pusa_lora else "."


def stochastic_sampler(facts: Facts) -> Iterator[Finding]:
    """Fresh noise on given frames."""
    if not facts.conditions:
        return
    for node_class, name in dict.fromkeys(facts.samplers):
        if node_class == SAMPLER and name in facts.pusa_samplers:
            continue
        if name in facts.stochastic_samplers:
            yield Finding(
                f"The sampler {name} adds fresh noise at every step.",
                "It adds it to the given frames too, which are then lost.",
                "Choose euler, heun, dpmpp_2m or uni_pc; Vectorized Timestep Sampler also has euler_ancestral and lcm.",
            )


def implied_shift(sigmas: tuple[float, ...]) -> float | None:
    """Shift of a schedule that starts at pure noise, from its second level; None where that cannot be told.

    sigmas: [S+1], falling. Inverts sigma = s u / (1 + (s - 1) u) at u = 1 - 1/S.
    """
    steps = len(sigmas) - 1
    if steps < 2 or sigmas[0] < 0.999 or not 0.0 < sigmas[1] < 1.0:
        return None
    ramp = 1.0 - 1.0 / steps
    return sigmas[1] * (1.0 - ramp) / (ramp * (1.0 - sigmas[1]))
