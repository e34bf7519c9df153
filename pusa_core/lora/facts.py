"""LoraFacts of a match: what a loader is about to do, as plain data."""

from __future__ import annotations

from .experts import AUTO, LIGHTX2V, ExpertGuess, LoraFacts, distilled_steps
from .matching import Match
from .weight_files import fingerprint


def facts_of(
    found: Match, loader: str, file: str, strength: float, chosen: str, guess: ExpertGuess
) -> LoraFacts:
    """What is applied and from where; chosen: the node's expert input, which overrules the guess."""
    ranks = [change.rank for change in found.applied if change.rank is not None] or [0]
    factors = [strength * change.scale for change in found.applied]
    return LoraFacts(
        loader=loader,
        file=file,
        fingerprint=fingerprint(found.contents.file.path),
        strength=strength,
        matched=len(found.applied),
        layers=found.total,
        rank_min=min(ranks),
        rank_max=max(ranks),
        scale_min=min(factors),
        scale_max=max(factors),
        expert=guess.expert if chosen == AUTO else chosen,
        expert_source=guess.source if chosen == AUTO else "node",
        distilled_steps=distilled_steps(file) if loader == LIGHTX2V else None,
    )
