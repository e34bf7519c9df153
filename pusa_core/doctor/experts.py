"""Rules on Wan2.2's two experts."""

from __future__ import annotations

from collections.abc import Iterator

from ..experts import BOUNDARY_T2V
from ..findings import Finding
from ..lora.experts import HIGH_NOISE, LOW_NOISE, SPOKEN, lacking_pusa, mismatch
from .facts import Facts

BOUNDARY_RANGE = (0.8, 0.95)
"""Around 0.875 of text-to-video and 0.9 of image-to-video."""


def experts(facts: Facts) -> Iterator[Finding]:
    """Swapped, missing and idle experts of Wan2.2."""
    if facts.low_noise is not None:
        for sentence in mismatch(facts.model.loras, facts.low_noise.loras):
            what, _, fix = sentence.partition(". ")
            yield Finding(
                f"{what}.",
                "Each Wan2.2 expert was trained with its own LoRA; the wrong one, or none, spoils its part of the noise levels.",
                fix or "Load the matching file on each expert.",
            )
        low, high = BOUNDARY_RANGE
        if not low <= facts.boundary <= high:
            yield Finding(
                f"The boundary between the experts is {facts.boundary:g}.",
                f"Wan2.2's text-to-video experts were trained to change at {BOUNDARY_T2V:g}.",
                f"Set boundary to {BOUNDARY_T2V:g}.",
            )
        if facts.sigmas and len(facts.sigmas) > 1:
            at_high = sum(sigma >= facts.boundary for sigma in facts.sigmas[:-1])
            if at_high in (0, len(facts.sigmas) - 1):
                unused = HIGH_NOISE if at_high == 0 else LOW_NOISE
                yield Finding(
                    f"No step runs on the {SPOKEN[unused]} expert.",
                    f"All sigmas are {'below' if at_high == 0 else 'at or above'} the boundary {facts.boundary:g}.",
                    "Use Pusa Scheduler with more steps or denoise 1, or leave the MoE switch out.",
                )
        return
    stages = [facts.model.loras, *(model.loras for model in facts.later)]
    if sentence := lacking_pusa(stages):
        what, _, fix = sentence.partition(". ")
        yield Finding(f"{what}.", "A model without it does not take given frames.", fix)
    if facts.later:
        return
    halves = {lora.expert for lora in facts.loras if lora.expert in (HIGH_NOISE, LOW_NOISE)}
    if len(halves) == 2:
        yield Finding(
            "One model carries both a high-noise and a low-noise LoRA.",
            "They belong on the two experts of Wan2.2, one each.",
            "Load each on its own expert and join the experts with Wan2.2 MoE Switch.",
        )
    elif halves:
        half = str(halves.pop())
        other = LOW_NOISE if half == HIGH_NOISE else HIGH_NOISE
        yield Finding(
            f"The {SPOKEN[other]} expert is missing.",
            f"The model carries a {SPOKEN[half]} LoRA, so it is one of Wan2.2's two experts, each good for a part of the noise levels.",
            "Join both experts with Wan2.2 MoE Switch and give the doctor its output. "
            "Where two samplers share the steps by hand, this needs no change.",
        )
