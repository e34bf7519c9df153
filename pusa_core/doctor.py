"""What can be wrong with a Pusa graph, as rules on plain facts: each finding says what, why and how to mend it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from .graph_settings import GraphSettings
from .lora.experts import HIGH_NOISE, LIGHTX2V, LOW_NOISE, PUSA, SPOKEN, LoraFacts, mismatch
from .merged_files import SUBFOLDER

PIXELS = 8
"""Pixels of one latent cell, in height and width; the DiT takes cells in pairs, hence multiples of 16."""

FRAME_RATE = 16.0
"""Frames per second of Wan's training videos."""

TRAINED_FRAMES = 21
"""Latent frames of 81 pixel frames, the length Wan and Pusa were trained on."""

ALPHA_RANGE = (1.0, 2.0)
"""Around the authors' advice for Pusa's alpha: 1.3 to 1.5 for Wan2.1, 1.4 to 1.6 for Wan2.2 (their README)."""

STRENGTH_RANGE = (0.3, 3.0)
"""LightX2V strengths in use: 1 as distilled, up to 3 for a Wan2.1 file on Wan2.2's high-noise expert."""

MULTIPLIER_LIMIT = 0.8
FIRST_FRAME_LIMIT = 0.4
"""Pusa's README: condition frames 0 to 0.8; first frame 0.2, its examples 0 to 0.3."""

SHIFT, SHIFT_RANGE = 5.0, (3.0, 12.0)
"""Pusa and LightX2V use 5; Wan's own settings lie between 3 (480p) and 12 (Wan2.2 text-to-video)."""

BOUNDARY, BOUNDARY_RANGE = 0.875, (0.8, 0.95)
FEWEST_STEPS = 5
"""Without distillation; "10 steps or more" is the authors' advice, "5 is already very good" their lower end."""

PUSA_LAYERS_PER_BLOCK = 10
"""q, k, v, o of self- and cross-attention and two of the feed-forward: what a Pusa file changes in a block."""

RULE_OF_FOUR = 4


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    what: str
    why: str
    fix: str


@dataclass(frozen=True)
class ModelFacts:
    """One diffusion model as it would be sampled."""

    refusal: str = ""  # why it is no Wan text-to-video model; empty when it is one
    channels: int = 16  # of the latents it takes
    blocks: int = 40
    loras: tuple[LoraFacts, ...] = ()
    other_patches: int = 0  # weights patched by nodes that are not ours


@dataclass(frozen=True)
class Facts:
    """All that the doctor looks at."""

    model: ModelFacts  # with two experts: the high-noise one
    latent_shape: tuple[int, ...]  # [B, C, F, H, W]
    low_noise: ModelFacts | None = None
    boundary: float = BOUNDARY
    high_noise_cfg: float = 0.0  # 0: the sampler's
    low_noise_cfg: float = 0.0
    noise_multipliers: tuple[float, ...] | None = None  # of the latent; None: all 1
    vectorized: tuple[float, ...] | None = None  # multipliers the model was patched with
    sigmas: tuple[float, ...] | None = None
    cfg: float = 0.0  # 0: read from the graph
    sampler_name: str = ""  # empty: read from the graph
    frame_rate: float = FRAME_RATE
    stochastic_samplers: frozenset[str] = frozenset()  # ComfyUI's samplers that add fresh noise
    pusa_samplers: frozenset[str] = frozenset()  # those that PusaSampler makes safe
    has_context_windows: bool = False
    graph: GraphSettings = field(default_factory=GraphSettings)

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
    def loras(self) -> tuple[LoraFacts, ...]:
        return self.model.loras + (self.low_noise.loras if self.low_noise else ())

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
    def is_distilled(self) -> bool:
        return any(facts.loader == LIGHTX2V for facts in self.loras)

    @property
    def has_other_patches(self) -> bool:
        """Whether weights were changed by what our loaders know nothing of; a file of Merge LoRAs has its LoRAs inside."""
        merged = (SUBFOLDER in re.split(r"[/\\]", name)[:-1] for name in self.graph.model_files)
        return any(merged) or any(model.other_patches for _, model, _ in self.experts)


def diagnose(facts: Facts) -> list[Finding]:
    """Every finding, in the order of the rules; the base model alone when it is the wrong one."""
    wrong_model = list(base_model(facts))
    return wrong_model or [finding for rule in RULES for finding in rule(facts)]


def report(facts: Facts, findings: Iterable[Finding]) -> str:
    """The doctor's text: numbered findings, or that there is nothing, and what was looked at."""
    findings = list(findings)
    if not findings:
        return f"Nothing to report.\nLooked at: {_looked_at(facts)}."
    told = [f"{n}. {one.what}\n   Why: {one.why}\n   Fix: {one.fix}" for n, one in enumerate(findings, 1)]
    count = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
    return "\n".join([f"{count}.", *told, f"Looked at: {_looked_at(facts)}."])


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
                    "Compare it with the original (python -m pusa_core.lora inspect FILE) and download it again.",
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
                f"Wan2.2's text-to-video experts were trained to change at {BOUNDARY:g}.",
                f"Set boundary to {BOUNDARY:g}.",
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


def distillation(facts: Facts) -> Iterator[Finding]:
    """LightX2V with guidance or too many steps, and their absence without it."""
    guided = {
        name: cfg
        for name, model, override in facts.experts
        if any(lora.loader == LIGHTX2V for lora in model.loras)
        and (cfg := override or max(facts.cfgs, default=0.0)) > 1.0
    }
    if guided:
        on = "" if len(guided) == len(facts.experts) else f" on the {SPOKEN[next(iter(guided))]} expert"
        yield Finding(
            f"LightX2V{on} runs with cfg {max(guided.values()):g}.",
            "It was distilled with guidance built in: a second dose burns the picture and doubles the time.",
            "Set cfg to 1.",
        )
    made_for = min((lora.distilled_steps for lora in facts.loras if lora.distilled_steps), default=0)
    if made_for and max(facts.steps, default=0) > made_for:
        yield Finding(
            f"LightX2V runs with {max(facts.steps)} steps; it was distilled for {made_for}.",
            "More steps than that cost time and make the motion stiff.",
            f"Set steps to {made_for}.",
        )
    if facts.is_distilled or facts.has_other_patches:
        return
    if facts.steps and 0 < min(facts.steps) < FEWEST_STEPS:
        yield Finding(
            f"{min(facts.steps)} steps without LightX2V.",
            "A model that was not distilled needs more steps than that for a clean picture.",
            "Set steps to 30 (10 at least), or add LightX2V Loader and cfg 1.",
        )
    if facts.cfgs and max(facts.cfgs) <= 1.0:
        yield Finding(
            f"cfg {max(facts.cfgs):g} without LightX2V.",
            "Without guidance the prompt hardly counts and the negative prompt not at all.",
            "Set cfg to 3, or add LightX2V Loader.",
        )


def schedule(facts: Facts) -> Iterator[Finding]:
    """The shift that the sigmas were made with."""
    if facts.sigmas is None:
        return
    if len(facts.sigmas) < 2:
        yield Finding(
            "The sigmas hold no step.",
            "The latent comes out as it went in.",
            "Set steps and denoise above 0.",
        )
        return
    shift = implied_shift(facts.sigmas)
    low, high = (SHIFT - 0.5, SHIFT + 0.5) if facts.is_distilled else SHIFT_RANGE
    if shift is not None and not low <= shift <= high:
        yield Finding(
            f"The sigmas have a shift of about {shift:.1f}.",
            "LightX2V was distilled on the levels of shift 5."
            if facts.is_distilled
            else f"Pusa was trained for {SHIFT:g}; far from it too few steps fall where the motion is decided.",
            f"Use Pusa Scheduler with shift {SHIFT:g}.",
        )


def size(facts: Facts) -> Iterator[Finding]:
    """The latent's axes, channels, size and length."""
    shape = facts.latent_shape
    if len(shape) != 5:
        yield Finding(
            "The latent is of a picture, not of a video.",
            f"A video latent has five axes, this one has {len(shape)}: {list(shape)}.",
            "Use Empty Hunyuan Latent Video (16 channels) for the size and length.",
        )
        return
    if shape[1] != facts.model.channels:
        yield Finding(
            f"The latent has {shape[1]} channels, the model takes {facts.model.channels}.",
            "It was made by another VAE or for another model (Wan2.2 5B has 48).",
            "Use the Wan 2.1 VAE and Empty Hunyuan Latent Video.",
        )
    sizes = dict.fromkeys([*facts.graph.sizes, (shape[4] * PIXELS, shape[3] * PIXELS)])
    odd = next(((w, h) for w, h in sizes if w % (2 * PIXELS) or h % (2 * PIXELS)), None)
    if odd:
        width, height = odd
        nearest = tuple(max(1, round(side / (2 * PIXELS))) * 2 * PIXELS for side in odd)
        yield Finding(
            f"The size {width} x {height} is not a multiple of 16.",
            "Wan works on squares of 16 pixels; the rest is cut or filled up, and condition frames no longer fit exactly.",
            f"Use {nearest[0]} x {nearest[1]}.",
        )
    for length in dict.fromkeys(facts.graph.lengths):
        if length % RULE_OF_FOUR != 1:
            shorter = (length - 1) // RULE_OF_FOUR * RULE_OF_FOUR + 1
            yield Finding(
                f"The length {length} is not 4n + 1.",
                "Wan's VAE makes one latent frame of the first picture and one of every four that follow.",
                f"Use {max(1, shorter)} or {shorter + RULE_OF_FOUR}.",
            )
    if shape[2] > TRAINED_FRAMES and not facts.has_context_windows:
        yield Finding(
            f"{shape[2]} latent frames ({shape[2] * 4 - 3} pictures) in one pass.",
            "Wan and Pusa were trained on 81 pictures; beyond that the motion repeats or falls apart.",
            "Use a length of 81 and extend the video in further passes, or add WAN Context Windows.",
        )


def frame_rate(facts: Facts) -> Iterator[Finding]:
    """A rate that Wan does not make."""
    # multiples of 16 come from frame interpolation
    wrong = [rate for rate in (facts.frame_rate, *facts.graph.frame_rates) if rate <= 0 or rate % FRAME_RATE]
    for rate in dict.fromkeys(wrong):
        yield Finding(
            f"The frame rate is {rate:g}.",
            "Wan makes 16 pictures a second; at another rate everything moves too fast or too slow.",
            "Set it to 16 (32 after doubling the frames by interpolation).",
        )


def stochastic_sampler(facts: Facts) -> Iterator[Finding]:
    """Fresh noise on given frames."""
    if not facts.conditions:
        return
    for node_class, name in dict.fromkeys(facts.samplers):
        if node_class == "PusaSampler" and name in facts.pusa_samplers:
            continue
        if name in facts.stochastic_samplers:
            yield Finding(
                f"The sampler {name} adds fresh noise at every step.",
                "It adds it to the given frames too, which are then lost.",
                "Choose euler, heun, dpmpp_2m or uni_pc; Vectorized Timestep Sampler also has euler_ancestral and lcm.",
            )


def conditions(facts: Facts) -> Iterator[Finding]:
    """Multipliers that do not fit the latent, the model, or the advice."""
    frames = facts.latent_shape[2] if len(facts.latent_shape) == 5 else None
    if facts.noise_multipliers is not None and frames is not None and len(facts.noise_multipliers) != frames:
        yield Finding(
            f"The latent has {frames} frames and {len(facts.noise_multipliers)} noise multipliers.",
            "A node between Condition Frame Injector and the sampler cut or joined the latent.",
            "Put Condition Frame Injector after it.",
        )
        return
    if not facts.conditions:
        return
    pusa_nodes = {"PusaSampler", "PusaVectorizedTimesteps", "PusaLongVideo"}
    if (
        facts.vectorized is None
        and facts.graph.classes
        and not pusa_nodes & facts.graph.classes
        and facts.graph.samplers
    ):
        yield Finding(
            "Frames are given, but nothing gives them timesteps of their own.",
            "A plain sampler noises them like all others; they do not show in the result.",
            "Put Apply Vectorized Timesteps between the model and the sampler, or use Vectorized Timestep Sampler.",
        )
    if facts.vectorized is not None and facts.vectorized != facts.noise_multipliers:
        yield Finding(
            "Apply Vectorized Timesteps was given another latent than the one that is sampled.",
            "Its frames get timesteps that belong to other conditions.",
            "Connect the latent of the last Condition Frame Injector to both.",
        )
    high = {frame: m for frame, m in facts.conditions.items() if m > MULTIPLIER_LIMIT}
    if high:
        frame, multiplier = next(iter(high.items()))
        yield Finding(
            f"Latent frame {frame} has the noise multiplier {multiplier:g}.",
            f"Above {MULTIPLIER_LIMIT:g} hardly anything of the given picture is left.",
            "Use 0 to 0.8: 0.2 for a first frame, 0.4 to 0.5 for a last one.",
        )
    first = facts.conditions.get(0)
    if first is not None and FIRST_FRAME_LIMIT < first <= MULTIPLIER_LIMIT:
        yield Finding(
            f"The first frame has the noise multiplier {first:g}.",
            "The video then starts with another picture than the one given.",
            "Use 0.2, the authors' value; 0 to 0.3 in their examples.",
        )
    if first == 0.0 and len(facts.conditions) == 1 and facts.low_noise is not None:
        yield Finding(
            "The first frame has the noise multiplier 0, on Wan2.2.",
            'Pusa\'s authors "strongly suggest some noise" there; without it the subject stays stiff.',
            "Use 0.2.",
        )


RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    pusa_lora,
    coverage,
    lora_scale,
    experts,
    distillation,
    schedule,
    size,
    frame_rate,
    stochastic_sampler,
    conditions,
)


def implied_shift(sigmas: tuple[float, ...]) -> float | None:
    """Shift of a schedule that starts at pure noise, from its second level; None where that cannot be told.

    sigmas: [S+1], falling. Inverts sigma = s u / (1 + (s - 1) u) at u = 1 - 1/S.
    """
    steps = len(sigmas) - 1
    if steps < 2 or sigmas[0] < 0.999 or not 0.0 < sigmas[1] < 1.0:
        return None
    ramp = 1.0 - 1.0 / steps
    return sigmas[1] * (1.0 - ramp) / (ramp * (1.0 - sigmas[1]))


def _looked_at(facts: Facts) -> str:
    parts = ["two experts" if facts.low_noise else "one model"]
    parts.append("no LoRA of ours" if not facts.loras else ", ".join(lora.file for lora in facts.loras))
    if len(facts.latent_shape) == 5:
        _, _, frames, height, width = facts.latent_shape
        parts.append(f"{frames} latent frames of {width * PIXELS} x {height * PIXELS}")
    parts.append(f"{len(facts.conditions)} given frames" if len(facts.conditions) != 1 else "1 given frame")
    if facts.steps:
        parts.append(f"{'/'.join(map(str, dict.fromkeys(facts.steps)))} steps")
    if facts.cfgs:
        parts.append(f"cfg {'/'.join(f'{cfg:g}' for cfg in dict.fromkeys(facts.cfgs))}")
    return "; ".join(parts)
