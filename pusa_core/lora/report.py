"""What a loader did, in words for the node and for the command line."""

from __future__ import annotations

from collections.abc import Sequence

from .contents import LoraContents
from .experts import LIGHTX2V, SPOKEN, LoraFacts
from .matching import Match
from .weight_files import shorten


def rank_text(low: int, high: int) -> str:
    """Rank or range of ranks: 512, or 4 to 128."""
    return str(low) if low == high else f"{low} to {high}"


def scale_text(facts: LoraFacts, has_alpha: bool) -> str:
    """The factor on each layer and where it comes from."""
    word = "strength" if facts.loader == LIGHTX2V else "alpha"
    low, high = facts.scale_min, facts.scale_max
    value = f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
    why = f"{word} {facts.strength:g} * .alpha / rank" if has_alpha else f"{word}; the file has no .alpha"
    return f"{value} ({why})"


def load_report(found: Match, facts: LoraFacts, warnings: Sequence[str]) -> str:
    """The text under a loader: file, layout, layers matched, ranks, scale, expert, then warnings."""
    expert = (
        f"{SPOKEN[facts.expert]} (from the {facts.expert_source})"
        if facts.expert
        else "not named by the file"
    )
    diffs = sum(change.rank is None for change in found.applied)
    lines = [
        f"{facts.loader} LoRA: {facts.file}",
        f"Layout: {found.contents.layout}",
        f"Layers: {facts.matched} of {facts.layers} matched"
        + (f", {diffs} of them whole differences" if diffs else ""),
        f"Rank: {rank_text(facts.rank_min, facts.rank_max)}"
        if found.contents.ranks
        else "Rank: none, whole differences only",
        f"Scale: {scale_text(facts, found.contents.has_alpha)}",
        f"Expert: {expert}",
    ]
    unmatched = found.unmatched_keys
    if unmatched:
        lines.append(f"Left out: {len(unmatched)} keys, the first {shorten(unmatched[0])}. {found.reason}")
    return "\n".join([*lines, *(f"Warning: {warning}" for warning in warnings)])


def contents_report(contents: LoraContents, size: int, expert: str) -> str:
    """The text of `python -m pusa_core.lora inspect`; size: bytes of the file."""
    diffs = sum(change.rank is None for change in contents.changes)
    types = sorted(
        {str(info.dtype).removeprefix("torch.") for info in contents.file.tensors.values() if info.dtype}
    )
    lines = [
        f"File: {contents.name}, {size / 1e6:.1f} MB, {', '.join(types)}",
        f"Layout: {contents.layout or 'none that this pack knows'}",
        f"Layers: {len(contents.changes) - diffs} pairs, {diffs} whole differences",
        f"Rank: {rank_text(min(contents.ranks), max(contents.ranks))}" if contents.ranks else "Rank: none",
        f"Scale: {_scales(contents)}",
        f"Expert: {expert}",
        f"Largest layer: {contents.largest / 1e6:.1f} MB",
    ]
    lines += [
        f"Metadata: {shorten(key)}: {shorten(value)}" for key, value in sorted(contents.file.metadata.items())
    ]
    if contents.unknown:
        lines.append(
            f"Unknown keys: {len(contents.unknown)}: {', '.join(map(shorten, contents.unknown[:3]))}"
        )
    return "\n".join(lines)


def _scales(contents: LoraContents) -> str:
    if not contents.has_alpha:
        return "the loader's alpha or strength as it is (no .alpha in the file)"
    low, high = min(contents.scales), max(contents.scales)
    return (
        f"the loader's alpha or strength times {low:.6g}"
        + ("" if low == high else f" to {high:.6g}")
        + " (.alpha / rank)"
    )
