"""Which Wan model and which expert a LoRA was made for, and whether two experts carry what belongs on them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

AUTO, WAN21, HIGH_NOISE, LOW_NOISE = "auto", "wan2.1", "high_noise", "low_noise"
EXPERTS = (AUTO, WAN21, HIGH_NOISE, LOW_NOISE)

PUSA, LIGHTX2V = "Pusa", "LightX2V"

SPOKEN = {WAN21: "Wan2.1", HIGH_NOISE: "high-noise", LOW_NOISE: "low-noise"}

_NOT_NOISE = (
    r"(?![a-z]|[ _.-]?(?:res(?:olution)?|quality|details?|fps|def(?:inition)?|motion|v?ram|mem(?:ory)?|dynamic|ranks?|dims?|alpha|lr|cfg"
    r"|steps?|strength|weight|scale|contrast|light(?:ing)?|key|angle|shot|speed|poly|budget|bit(?:rate)?|precision|fidelity|freq(?:uency)?"
    r"|saturation|exposure|heels?|school|fashion|fantasy|pass)(?![a-z]))"
)
"""After "high" or "low": the rest of another word, or a word that makes it speak of something else (low_rank64, high-angle)."""
WHOLE_TERMS = {
    "high_noise": re.compile(r"high[ _.-]?noise", re.IGNORECASE),
    "low_noise": re.compile(r"low[ _.-]?noise", re.IGNORECASE),
}

NAME_PATTERNS = (
    (HIGH_NOISE, re.compile(rf"(?<![a-z])high(?:[ _.-]?noise|{_NOT_NOISE})", re.IGNORECASE)),
    (LOW_NOISE, re.compile(rf"(?<![a-z])low(?:[ _.-]?noise|{_NOT_NOISE})", re.IGNORECASE)),
)
METADATA_PATTERNS = (
    # prose may say "high quality": only the whole term counts
    *WHOLE_TERMS.items(),
)
WAN22_PATTERN = re.compile(r"wan[ _.-]?2[ _.-]?2", re.IGNORECASE)
WAN21_PATTERN = re.compile(r"wan[ _.-]?2[ _.-]?1|(?<![a-z])pusa[ _-]?v1(?:\.[a-z]+)?$", re.IGNORECASE)
"""The Pusa authors' own file for Wan2.1 is called pusa_v1."""

METADATA_WORDS = 4096
"""Characters of each metadata value that are looked at; trainers' tag tables are megabytes."""

STEPS_PATTERN = re.compile(r"(?<!\d)(\d{1,2})[ _-]?steps?(?![a-z])", re.IGNORECASE)
DISTILLED_STEPS = 4
"""LightX2V files that name no number of steps are the four-step ones."""


@dataclass(frozen=True)
class ExpertGuess:
    """For which model a file was made, and how we know."""

    expert: str | None  # WAN21, HIGH_NOISE, LOW_NOISE, or None when nothing tells
    source: str  # "file name", "metadata", "node" or ""


@dataclass(frozen=True)
class LoraFacts:
    """What one loader did to a model, as plain data; travels with the model to the MoE switch and the doctor."""

    loader: str  # PUSA or LIGHTX2V
    file: str  # name below models/loras
    fingerprint: str  # equal for equal files only
    strength: float  # what the user set: alpha or strength
    matched: int  # layers changed
    layers: int  # layers in the file
    rank_min: int
    rank_max: int
    scale_min: float  # smallest and largest factor in W + factor * B @ A
    scale_max: float
    expert: str | None
    expert_source: str
    distilled_steps: int | None  # LightX2V: steps it was made for


def guess_expert(file_name: str, metadata: Mapping[str, str]) -> ExpertGuess:
    """The expert a LoRA says it is for: in its own name, else in its metadata, else in its folder's name."""
    words = " ".join(f"{key} {value[:METADATA_WORDS]}" for key, value in metadata.items() if "tag" not in key)
    base = re.split(r"[\\/]", file_name)[-1]
    for text, source, patterns in (
        (base, "file name", NAME_PATTERNS),
        (words, "metadata", METADATA_PATTERNS),
        (file_name, "folder name", NAME_PATTERNS),
    ):
        expert = _expert_in(text, patterns)
        if expert:
            return ExpertGuess(expert, source)
    return ExpertGuess(None, "")


def name_in_folder(path: str) -> str:
    """A path's last two parts: folders further up say nothing about the file."""
    return "/".join(re.split(r"[\\/]", path)[-2:])


def distilled_steps(file_name: str) -> int:
    """Steps a LightX2V file was distilled for, from its name; 4 when the name does not say."""
    found = STEPS_PATTERN.search(file_name)
    return int(found[1]) if found else DISTILLED_STEPS


def contradiction(facts_file: str, chosen: str, guess: ExpertGuess) -> str | None:
    """A sentence when the user's choice and the file disagree, else None."""
    if chosen == AUTO or guess.expert in (None, chosen):
        return None
    return (
        f"expert is set to {chosen}, but the {guess.source} of {facts_file} says {SPOKEN[str(guess.expert)]}. "
        "Set expert to auto, or choose the other file."
    )


def mismatch(high: Sequence[LoraFacts], low: Sequence[LoraFacts]) -> list[str]:
    """One sentence for each LoRA that is on the wrong expert, on both, or missing from one.

    high, low: what was loaded on the high-noise and on the low-noise model, in order.
    """
    sentences = []
    for loader in (PUSA, LIGHTX2V):
        on_high = [facts.file for facts in _of(high, loader) if facts.expert == LOW_NOISE]
        on_low = [facts.file for facts in _of(low, loader) if facts.expert == HIGH_NOISE]
        if on_high and on_low:
            sentences.append(
                f"{on_high[0]} and {on_low[0]} are swapped: each is loaded on the other expert. Exchange the two files."
            )
            continue
        for file, wrong, right in (
            *((file, LOW_NOISE, HIGH_NOISE) for file in on_high),
            *((file, HIGH_NOISE, LOW_NOISE) for file in on_low),
        ):
            sentences.append(
                f"{file} is a {SPOKEN[wrong]} LoRA, but it is loaded on the {SPOKEN[right]} expert. "
                f"Load the {SPOKEN[right]} file there."
            )
    pusa_low = {facts.fingerprint for facts in low if facts.loader == PUSA}
    for facts in _of(high, PUSA):
        if facts.fingerprint in pusa_low and facts.expert not in (HIGH_NOISE, LOW_NOISE):
            sentences.append(
                f"The same Pusa file, {facts.file}, is loaded on both experts. "
                "Wan2.2 has one Pusa LoRA for each: high_noise_pusa and low_noise_pusa."
            )
    for facts in _unique([*_of(high, PUSA), *_of(low, PUSA)]):
        if facts.expert == WAN21:
            sentences.append(
                f"{facts.file} is Pusa's LoRA for Wan2.1, in a graph with Wan2.2's two experts. "
                "Use Pusa's Wan2.2 pair, or a Wan2.1 model without the MoE switch."
            )
    for loader in (PUSA, LIGHTX2V):
        if bool(_of(high, loader)) != bool(_of(low, loader)):
            having, lacking = (
                ("high-noise", "low-noise") if _of(high, loader) else ("low-noise", "high-noise")
            )
            sentences.append(
                f"The {having} expert has a {loader} LoRA and the {lacking} expert has none. "
                f"Load the {lacking} {loader} LoRA on the other model too."
            )
    return sentences


def lacking_pusa(stages: Sequence[Sequence[LoraFacts]]) -> str:
    """A sentence where some of several models have a Pusa LoRA and others none, else "". stages: what each carries, in their order."""
    having = [number for number, loras in enumerate(stages, 1) if _of(loras, PUSA)]
    lacking = [number for number in range(1, len(stages) + 1) if number not in having]
    if not having or not lacking:
        return ""
    return f"Model {having[0]} of the stages has a {PUSA} LoRA and model {lacking[0]} has none. Load one on every model, or once after Pusa Stages."


def _of(facts: Iterable[LoraFacts], loader: str) -> list[LoraFacts]:
    return [one for one in facts if one.loader == loader]


def _unique(facts: Iterable[LoraFacts]) -> list[LoraFacts]:
    return list({one.fingerprint: one for one in facts}.values())


def _expert_in(text: str, patterns: Iterable[tuple[str, re.Pattern[str]]]) -> str | None:
    found = [expert for expert, pattern in patterns if pattern.search(text)]
    says_wan21 = bool(WAN21_PATTERN.search(text)) and not WAN22_PATTERN.search(text)
    if len(found) == 1 and not (says_wan21 and not WHOLE_TERMS[found[0]].search(text)):
        return found[0]
    # Wan2.1 has no experts: in its files' names a lone "low" speaks of something else
    return WAN21 if says_wan21 and len(found) < 2 else None
