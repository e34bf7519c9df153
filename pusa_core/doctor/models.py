"""Rules on the base model and its LoRAs."""

from __future__ import annotations

from collections.abc import Iterator

from ..findings import Finding
from ..lora.experts import PUSA, SPOKEN
from .facts import Facts

ALPHA_RANGE = (1.0, 2.0)
"""Around the authors' advice for Pusa's alpha: 1.3 to 1.5 for Wan2.1, 1.4 to 1.6 for Wan2.2 (their README)."""

STRENGTH_RANGE = (0.3, 3.0)
"""LightX2V strengths in use: 1 as distilled, up to 3 for a Wan2.1 file on Wan2.2's high-noise expert."""

PUSA_LAYERS_PER_BLOCK = 10
"""q, k, v, o of self- and cross-attention and two of the feed-forward: what a Pusa file changes in a block."""


def base_model(facts: Facts) -> Iterator[Finding]:
    """A model that Pusa cannot work with, before anything else is said."""
    for name, model, _ in facts.experts:
        if model.refusal:
            yield Finding(
                f"The {SPOKEN[name]} model is not a Wan text-to-video model."
                if name
                else "The model is not a Wan text-to-video model.",
                model.refusal,
                "Load a Wan2.1 or Wan2.2 14B text-to-video model; Pusa's LoRA makes it do image-to-video and the rest.",
            )


def pusa_lora(facts: Facts) -> Iterator[Finding]:
    """Given frames need a Pusa LoRA."""
    if not facts.base.needs_pusa_lora or facts.knows_frames_without_lora:
        return
    if facts.conditions and not facts.has_other_patches and not any(f.loader == PUSA for f in facts.loras):
        yield Finding(
            "Frames are given, but the model has no Pusa LoRA.",
            "A plain Wan model has never seen frames with timesteps of their own; it flickers or ignores them.",
            "Add Pusa LoRA Loader between the model and the sampler, alpha 1.4 (one for each Wan2.2 expert).",
        )


def coverage(facts: Facts) -> Iterator[Finding]:
    """A LoRA that is applied in part, is cut off, or is loaded twice."""
    for name, model, _ in facts.experts:
        for lora in model.loras:
            if lora.matched < lora.layers:
                yield Finding(
                    f"{lora.file} is applied in part: {lora.matched} of {lora.layers} layers.",
                    "The rest does not fit this model, so the LoRA was made for another one.",
                    "Choose the LoRA for this model and set on_mismatch back to stop.",
                )
            elif lora.loader == PUSA and lora.matched * 2 < model.blocks * PUSA_LAYERS_PER_BLOCK:
                yield Finding(
                    f"{lora.file} changes {lora.matched} layers; a Pusa LoRA for this model has {model.blocks * PUSA_LAYERS_PER_BLOCK}.",
                    "The file is cut off, or it is not a Pusa LoRA.",
                    "Compare it with the original (python pusa_core/run.py lora inspect FILE in this pack's folder) and download it again.",
                )
        twice = {lora.fingerprint for lora in model.loras}
        if len(twice) < len(model.loras):
            where = f" on the {SPOKEN[name]} expert" if name else ""
            yield Finding(
                f"The same LoRA file is loaded twice{where}.",
                "Its effect counts twice, which is beyond what any of these files was made for.",
                "Remove one of the two loaders.",
            )


def lora_scale(facts: Facts) -> Iterator[Finding]:
    """A multiplier far from what the authors advise."""
    for lora in facts.loras:
        word, (low, high) = ("alpha", ALPHA_RANGE) if lora.loader == PUSA else ("strength", STRENGTH_RANGE)
        if low <= lora.strength <= high:
            continue
        effect = (
            "has next to no effect" if abs(lora.strength) < low else "stops the motion or breaks the picture"
        )
        if lora.strength < 0:
            effect = "works against its purpose"
        advice = "1.4 (Wan2.2: high 1.5, low 1.4)" if lora.loader == PUSA else "1"
        yield Finding(
            f"{word} of {lora.file} is {lora.strength:g}.",
            f"Outside {low:g} to {high:g} the LoRA {effect}.",
            f"Set {word} to {advice}.",
        )
