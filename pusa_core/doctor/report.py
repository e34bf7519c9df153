"""The doctor's findings and its text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ..findings import Finding
from .experts import experts
from .facts import Facts
from .given import another_latent, conditions, given_frames_lost, loops, sampling_overridden
from .latents import frame_rate, size
from .models import base_model, coverage, lora_scale, pusa_lora
from .schedules import distillation, schedule, stochastic_sampler

RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    pusa_lora,
    coverage,
    lora_scale,
    experts,
    distillation,
    schedule,
    size,
    frame_rate,
    stochastic_sampler,
    given_frames_lost,
    another_latent,
    conditions,
    loops,
    sampling_overridden,
)


def diagnose(facts: Facts) -> list[Finding]:
    """Every finding, in the order of the rules; the base model alone when it is the wrong one."""
    wrong_model = list(base_model(facts))
    return wrong_model or [finding for rule in RULES for finding in rule(facts)]


def report(facts: Facts, findings: Iterable[Finding]) -> str:
    """The doctor's text: numbered findings, or that there is nothing; what only the run decides; what was looked at."""
    findings = list(findings)
    told = [f"{n}. {one.what}\n   Why: {one.why}\n   Fix: {one.fix}" for n, one in enumerate(findings, 1)]
    count = "1 finding." if len(findings) == 1 else f"{len(findings)} findings."
    unknown = [f"Not known before the run: {text}." for text in facts.unknown]
    if not findings:
        count = "Nothing to report from what is known." if unknown else "Nothing to report."
    experimental = [facts.base.experimental] if facts.base.experimental else []
    return "\n".join([count, *told, *unknown, *experimental, f"Looked at: {_looked_at(facts)}."])


def _looked_at(facts: Facts) -> str:
    several = "two experts" if facts.low_noise else f"{1 + len(facts.later)} stages"
    parts = [several if facts.low_noise or facts.later else "one model"]
    parts.append("no LoRA of ours" if not facts.loras else ", ".join(lora.file for lora in facts.loras))
    if len(facts.latent_shape) == 5:
        _, _, frames, height, width = facts.latent_shape
        pixels = facts.base.spatial_stride
        parts.append(f"{frames} latent frames of {width * pixels} x {height * pixels}")
    parts.append(f"{len(facts.conditions)} given frames" if len(facts.conditions) != 1 else "1 given frame")
    if facts.steps:
        parts.append(f"{'/'.join(map(str, dict.fromkeys(facts.steps)))} steps")
    if facts.cfgs:
        parts.append(f"cfg {'/'.join(f'{cfg:g}' for cfg in dict.fromkeys(facts.cfgs))}")
    return "; ".join(parts)
