"""The doctor node: gathers facts from the real MODEL, LATENT and SIGMAS, and says what is wrong with them."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..pusa_core.doctor import Facts, ModelFacts, diagnose, report
from ..pusa_core.errors import PusaError
from ..pusa_core.frames import FRAME_RATE
from ..pusa_core.given_frames import filled_frames
from ..pusa_core.graph import GraphFaults, GraphSettings, read_faults, read_graph
from ..pusa_core.lora.experts import LoraFacts
from .host.expert_switch import experts_of
from .host.lora_patches import lora_facts, parameter_shapes, patches_of_others
from .host.models import require_wan_t2v
from .host.running_prompt import graph_around, prompt_fingerprint
from .host.samplers import OFFERED, STOCHASTIC
from .host.schema import search_words
from .host.timesteps import multipliers_of


class PusaDoctor(io.ComfyNode):
    """Findings about a whole graph, each with its reason and its remedy."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaDoctor",
            display_name="Pusa Doctor",
            category="Pusa",
            **search_words("debug", "check graph"),
            description=(
                "Looks at the model, its LoRAs, the latent, the schedule and the settings of the connected nodes, and says what "
                "will not work and how to mend it. Runs without sampling; says so when there is nothing to report."
            ),
            inputs=[
                io.Model.Input(
                    "model", tooltip="The model as the sampler gets it, after all LoRAs and switches."
                ),
                io.Latent.Input(
                    "latent", tooltip="The latent as the sampler gets it, with the given frames."
                ),
                io.Sigmas.Input(
                    "sigmas",
                    optional=True,
                    tooltip="Noise levels of the sampler, if it takes them as an input.",
                ),
                io.Float.Input(
                    "cfg",
                    default=0.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    optional=True,
                    tooltip="Guidance of the sampler. 0 reads it from the sampler nodes connected with this one.",
                ),
                io.String.Input(
                    "sampler_name",
                    default="",
                    optional=True,
                    tooltip="Name of the sampler. Empty reads it from the sampler nodes connected with this one.",
                ),
                io.Float.Input(
                    "frame_rate",
                    default=FRAME_RATE,
                    min=0.0,
                    max=240.0,
                    step=1.0,
                    optional=True,
                    tooltip="Pictures per second the video is saved with; 0 leaves it out. Wan makes 16; connected nodes' fps is read too.",
                ),
            ],
            outputs=[io.String.Output(display_name="report", tooltip="All findings as text.")],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, **kwargs: Any) -> str | float:
        """Equal for equal graphs only: settings of other nodes count, and ComfyUI's cache does not know of them."""
        return prompt_fingerprint()

    @classmethod
    def execute(
        cls,
        model: Any,
        latent: dict[str, Any],
        sigmas: Any = None,
        cfg: float = 0.0,
        sampler_name: str = "",
        frame_rate: float = FRAME_RATE,
    ) -> io.NodeOutput:
        prompt, node = graph_around(cls.hidden)
        graph, faults = GraphSettings(), GraphFaults()
        if prompt:
            graph = read_graph(prompt, node)
            faults = read_faults(prompt, node, latent.get("noise_multipliers") is None)
        facts = gather(model, latent, sigmas, cfg, sampler_name, frame_rate, graph, faults)
        findings = diagnose(facts)
        text = report(facts, findings)
        return io.NodeOutput(text, ui={"text": (text,), "findings": (len(findings),)})


def gather(
    model: Any,
    latent: dict[str, Any],
    sigmas: Any,
    cfg: float,
    sampler_name: str,
    frame_rate: float,
    graph: GraphSettings,
    faults: GraphFaults | None = None,
) -> Facts:
    """The doctor's facts from ComfyUI's objects; changes none of them."""
    switch = experts_of(model)
    after_switch = lora_facts(model)[len(lora_facts(switch.high)) :] if switch else ()
    multipliers = latent.get("noise_multipliers")
    vectorized = multipliers_of(model)
    return Facts(
        model=model_facts(model),
        low_noise=model_facts(switch.low, after_switch) if switch else None,
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
        filled=filled_frames(latent["samples"]),
        graph=graph,
        faults=faults or GraphFaults(),
    )


def model_facts(model: Any, loras_after_switch: tuple[LoraFacts, ...] = ()) -> ModelFacts:
    """What a MODEL is and what was loaded on it."""
    shapes = parameter_shapes(model)
    return ModelFacts(
        refusal=_refusal(model),
        channels=model.get_model_object("latent_format").latent_channels,
        blocks=sum(name.endswith("self_attn.q.weight") and name.startswith("blocks.") for name in shapes),
        loras=(*lora_facts(model), *loras_after_switch),
        other_patches=patches_of_others(model),
    )


def _refusal(model: Any) -> str:
    try:
        require_wan_t2v(model)
    except PusaError as error:
        return str(error)
    return ""
