"""The doctor's facts, read from ComfyUI's objects and from the prompt that is running."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...pusa_core.doctor import Facts, ModelFacts
from ...pusa_core.errors import PusaError
from ...pusa_core.given_frames import filled_frames
from ...pusa_core.graph import GraphFaults, GraphSettings, read_faults, read_graph
from .expert_switch import experts_of
from .features import models_of
from .lora_patches import lora_facts, loras_of_stages, parameter_shapes, patches_of_others
from .models import require_base
from .running_prompt import graph_around
from .samplers import OFFERED, STOCHASTIC
from .timesteps import multipliers_of


def facts_of(
    model: Any,
    latent: dict[str, Any],
    sigmas: Any,
    cfg: float,
    sampler_name: str,
    frame_rate: float,
    hidden: Any,
) -> Facts:
    """All that the doctor looks at, from what its node was given; hidden: its hidden inputs, None outside a running graph."""
    prompt, node = graph_around(hidden)
    if not prompt:
        return gather(model, latent, sigmas, cfg, sampler_name, frame_rate, GraphSettings(), GraphFaults())
    faults = read_faults(prompt, node, without=latent.get("noise_multipliers") is None)
    return gather(model, latent, sigmas, cfg, sampler_name, frame_rate, read_graph(prompt, node), faults)


def gather(
    model: Any,
    latent: dict[str, Any],
    sigmas: Any,
    cfg: float,
    sampler_name: str,
    frame_rate: float,
    graph: GraphSettings,
    faults: GraphFaults,
) -> Facts:
    """The doctor's facts from ComfyUI's objects; changes none of them."""
    switch = experts_of(model)
    first, *later = (
        replace(model_facts(one), loras=carried)
        for one, carried in zip(models_of(model), loras_of_stages(model), strict=True)
    )
    multipliers = latent.get("noise_multipliers")
    vectorized = multipliers_of(model)
    return Facts(
        model=first,
        low_noise=later[0] if switch else None,
        later=() if switch else tuple(later),
        boundary=switch.boundary if switch else Facts.boundary,
        high_noise_cfg=switch.high_cfg if switch else 0.0,
        low_noise_cfg=switch.low_cfg if switch else 0.0,
        latent_shape=tuple(latent["samples"].shape),
        noise_multipliers=None if multipliers is None else tuple(multipliers.tolist()),
        vectorized=None if vectorized is None else tuple(vectorized.tolist()),
        sigmas=None if sigmas is None else tuple(sigmas.tolist()),
        cfg=cfg,
        sampler_name=sampler_name.strip(),
        frame_rate=frame_rate,
        stochastic_samplers=STOCHASTIC,
        pusa_samplers=frozenset(OFFERED),
        has_context_windows=model.model_options.get("context_handler") is not None,
        filled=filled_frames(latent),
        graph=graph,
        faults=faults,
    )


def model_facts(model: Any) -> ModelFacts:
    """What a MODEL is and what was loaded on it itself."""
    shapes = parameter_shapes(model)
    return ModelFacts(
        refusal=_refusal(model),
        channels=model.get_model_object("latent_format").latent_channels,
        blocks=sum(name.endswith("self_attn.q.weight") and name.startswith("blocks.") for name in shapes),
        loras=lora_facts(model),
        other_patches=patches_of_others(model),
    )


def _refusal(model: Any) -> str:
    try:
        require_base(model)
    except PusaError as error:
        return str(error)
    return ""
