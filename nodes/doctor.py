"""The doctor node: says what is wrong with a MODEL, a LATENT, SIGMAS and the graph they come from."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..pusa_core.bases import WAN
from ..pusa_core.doctor import diagnose, report
from .host.doctor_facts import facts_of
from .host.running_prompt import prompt_fingerprint
from .host.schema import search_words


class PusaDoctor(io.ComfyNode):
    """Findings about a whole graph, each with its reason and its remedy."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaDoctor",
            display_name="Pusa Doctor",
            category="Pusa/tools",
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
                    default=WAN.fps,
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
        frame_rate: float = WAN.fps,
    ) -> io.NodeOutput:
        facts = facts_of(model, latent, sigmas, cfg, sampler_name, frame_rate, cls.hidden)
        findings = diagnose(facts)
        text = report(facts, findings)
        return io.NodeOutput(text, ui={"text": (text,), "findings": (len(findings),)})
