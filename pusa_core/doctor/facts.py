"""All that the doctor knows of a graph: its models, its latent, its schedule and what the nodes around are set to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..bases import WAN, Base, base_of_channels
from ..errors import PusaError
from ..experts import BOUNDARY_T2V
from ..graph.faults import GraphFaults
from ..graph.settings import GraphSettings
from ..lora.experts import HIGH_NOISE, LIGHTX2V, LOW_NOISE, LoraFacts
from ..merged_files import is_merged_file


@dataclass(frozen=True)
class ModelFacts:
    """One diffusion model as it would be sampled."""

    refusal: str = ""  # why Pusa cannot work with it; empty when it is one
    channels: int = WAN.channels  # of the latents it takes
    blocks: int = 40
    loras: tuple[LoraFacts, ...] = ()
    other_patches: int = 0  # weights patched by nodes that are not ours


@dataclass(frozen=True)
class Facts:
    """All that the doctor looks at."""

    model: ModelFacts  # with two experts: the high-noise one
    latent_shape: tuple[int, ...]  # [B, C, F, H, W]
    low_noise: ModelFacts | None = None
    later: tuple[ModelFacts, ...] = ()  # of Pusa Stages, after the first
    boundary: float = BOUNDARY_T2V
    high_noise_cfg: float = 0.0  # 0: the sampler's
    low_noise_cfg: float = 0.0
    noise_multipliers: tuple[float, ...] | None = None  # of the latent; None: all 1
    filled: tuple[
        frozenset[int], ...
    ] = ()  # of each item of the batch, the latent frames that are not all zero
    vectorized: tuple[float, ...] | None = None  # multipliers the model was patched with
    sigmas: tuple[float, ...] | None = None
    cfg: float = 0.0  # 0: read from the graph
    sampler_name: str = ""  # empty: read from the graph
    frame_rate: float = WAN.fps  # as the node is set, whose default this is; 0: not known
    stochastic_samplers: frozenset[str] = frozenset()  # ComfyUI's samplers that add fresh noise
    pusa_samplers: frozenset[str] = frozenset()  # those that PusaSampler makes safe
    has_context_windows: bool = False
    graph: GraphSettings = field(default_factory=GraphSettings)
    faults: GraphFaults = field(default_factory=GraphFaults)

    @property
    def experts(self) -> tuple[tuple[str, ModelFacts, float], ...]:
        """(name, model, cfg override) of each model."""
        if self.low_noise is None:
            return (("", self.model, 0.0),)
        return (
            (HIGH_NOISE, self.model, self.high_noise_cfg),
            (LOW_NOISE, self.low_noise, self.low_noise_cfg),
        )

    @property
    def base(self) -> Base:
        """What counts frames and pixels; Wan's where the model is refused anyway."""
        try:
            return base_of_channels(self.model.channels)
        except PusaError:
            return WAN

    @property
    def loras(self) -> tuple[LoraFacts, ...]:
        others = (*((self.low_noise,) if self.low_noise else ()), *self.later)
        return self.model.loras + tuple(lora for other in others for lora in other.loras)

    @property
    def conditions(self) -> dict[int, float]:
        """Multiplier of each latent frame that has a condition."""
        return {frame: m for frame, m in enumerate(self.noise_multipliers or ()) if m < 1.0}

    @property
    def steps(self) -> tuple[int, ...]:
        return (len(self.sigmas) - 1,) if self.sigmas else self.graph.steps

    @property
    def cfgs(self) -> tuple[float, ...]:
        return (self.cfg,) if self.cfg > 0 else self.graph.cfgs

    @property
    def samplers(self) -> tuple[tuple[str, str], ...]:
        return (("", self.sampler_name),) if self.sampler_name else self.graph.samplers

    @property
    def unknown(self) -> tuple[str, ...]:
        """Settings that decide and that only the run knows, in words."""
        known = {
            "cfg": self.cfg > 0,
            "steps": self.sigmas is not None,
            "sampler_name": bool(self.sampler_name),
        }
        return tuple(one.text for one in self.graph.unknown if not known.get(one.setting, False))

    @property
    def is_distilled(self) -> bool:
        return any(facts.loader == LIGHTX2V for facts in self.loras)

    @property
    def knows_frames_without_lora(self) -> bool:
        """Whether the model's file says that it was trained with a timestep for every frame."""
        return any(
            re.search(r"sky-?reels.*[ _.-]df[ _.-]", name, re.IGNORECASE) for name in self.graph.model_files
        )

    @property
    def has_other_patches(self) -> bool:
        """Whether weights were changed by what our loaders know nothing of; a file of Merge LoRAs has its LoRAs inside."""
        return any(map(is_merged_file, self.graph.model_files)) or any(
            model.other_patches for _, model, _ in self.experts
        )
