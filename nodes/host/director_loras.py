"""LoRAs of one window of a project: put on the model, or on those of its experts that they are for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from ...pusa_core.errors import PusaError
from ...pusa_core.lora.experts import AUTO, HIGH_NOISE, LOW_NOISE, guess_expert
from ...pusa_core.lora.matching import STOP
from ...pusa_core.project.text import LoraUse
from .expert_switch import ExpertSwitch
from .features import apply, feature_of
from .folders import lora_path
from .lora_loading import contents_of, load_lora
from .lora_patches import lora_facts
from .stages import Stages, without_stages

LOADER = "Director"


def with_loras(model: Any, loras: Iterable[LoraUse]) -> Any:
    """The MODEL with these LoRAs, each on the experts that it is for."""
    for use in loras:
        model = _with_lora(model, use)
    return model


def _with_lora(model: Any, use: LoraUse) -> Any:
    stages = feature_of(model, Stages)
    if stages is None:
        if use.expert != AUTO:
            raise PusaError(
                f"The LoRA {use.name} is for the expert {use.expert}, but the model has none. Connect a Wan2.2 MoE Switch, or set expert to auto."
            )
        return _loaded(model, use)
    members = [without_stages(model, stages), *stages.later_models(model)]
    expert = use.expert
    if expert == AUTO:
        expert = guess_expert(use.name, contents_of(lora_path(use.name)).file.metadata).expert or AUTO
    chosen = _members_of(expert, stages, members)
    if not chosen:
        raise PusaError(
            f"The LoRA {use.name} is for the expert {expert}, but Pusa Stages does not say which of its models that is. Load the experts' "
            "own LoRAs with the loaders of this pack, or use Wan2.2 MoE Switch."
        )
    members = [_loaded(member, use) if index in chosen else member for index, member in enumerate(members)]
    joined = tuple(replace(stage, model=member) for stage, member in zip(stages.stages, members, strict=True))
    return apply(members[0], replace(stages, stages=joined))


def _members_of(expert: str, stages: Stages, members: Sequence[Any]) -> list[int]:
    """Which of the models a LoRA for this expert goes on; all of them where it is for none."""
    if expert not in (HIGH_NOISE, LOW_NOISE):
        return list(range(len(members)))
    if isinstance(stages, ExpertSwitch):
        return [0] if expert == HIGH_NOISE else [1]
    return [
        n for n, member in enumerate(members) if any(facts.expert == expert for facts in lora_facts(member))
    ]


def _loaded(model: Any, use: LoraUse) -> Any:
    return load_lora(LOADER, model, use.name, use.strength, use.expert, STOP)[0]
