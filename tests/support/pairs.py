"""Every feature of the pack, everything it meets, and every order in which two of them can stand in a graph.

A Treatment is done to a MODEL by the node a user would connect, and to a by_hand.Setup in words. What a Feature declares decides which
treatments there must be; see tests/in_comfy/test_pairs.py.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from support import by_hand, composition
from support.by_hand import MULTIPLIERS, Setup, Side
from support.comfy_runs import CFG, SEED, SHIFT, ksampler_in_two_stages, prompt, run_node, video_latent

VECTORIZED = "Apply Vectorized Timesteps"
BY_BLOCK = "torch.compile of each block"
HIGH, LOW, BOUNDARY = 10, 11, 0.875
UNTIL = (0.875, 0.95)
"""Sigma down to which Pusa Progressive runs small, by variant."""
STAGES = ((12, 0.7), (LOW, BOUNDARY))
"""Later model and sigma of Pusa Stages, by variant; 0 may stand behind another stage."""
SWITCHES = ("Wan2.2 MoE Switch", "Pusa Stages")
ALWAYS = 1000.0
"""Threshold with which EasyCache and LazyCache leave out every step that they can: all from the third on."""
CACHE_STEPS = 6
"""Steps of a run with one of them, three for each expert."""
OTHER_MULTIPLIERS = (0.0, 0.2, 0.3, 1.0, 1.0)


@dataclass(frozen=True)
class Workshop:
    """What the nodes need: node classes by id, loaded models, LoRA files."""

    pack: dict[str, type]
    load: Callable[[int], Any]  # seed -> MODEL
    lora_file: Callable[[int], str]  # seed -> name in models/loras

    def node(self, name: str, *given: Any, **named: Any) -> Any:
        return self.pack[name].execute(*given, **named)[0]


@dataclass(frozen=True)
class Treatment:
    """Something done to a MODEL, or to the run of it."""

    name: str
    put: Callable[[Workshop, Any, int], Any]  # (workshop, MODEL, variant 0 or 1) -> MODEL
    noted: Callable[[Setup, int], Setup]  # the same in words
    seen: bool = True  # whether it changes the result
    of_a_run: bool = False  # it has no place in the order of nodes on the MODEL line
    kind: type | None = None  # the Feature behind it


def features() -> dict[type, Treatment]:
    """What makes each kind of Feature, as its node does it."""
    from comfyui_pusa.nodes.host.expert_switch import ExpertSwitch
    from comfyui_pusa.nodes.host.frozen_cache import FrozenFrameCache
    from comfyui_pusa.nodes.host.lora_patches import LoraOnDisk
    from comfyui_pusa.nodes.host.merge import MergedLoras
    from comfyui_pusa.nodes.host.progressive import ProgressiveResolution
    from comfyui_pusa.nodes.host.roll import LoopRoll
    from comfyui_pusa.nodes.host.stages import Stages
    from comfyui_pusa.nodes.host.timesteps import VectorizedTimesteps

    def latent(variant: int) -> dict:
        return video_latent((MULTIPLIERS, OTHER_MULTIPLIERS)[variant])

    def lora(workshop: Workshop, model: Any, seed: int) -> Any:
        return workshop.node(
            "PusaLoraLoader", model=model, lora_name=workshop.lora_file(seed), alpha=by_hand.ALPHA
        )

    def merged(workshop: Workshop, model: Any, variant: int) -> Any:
        workshop.pack["PusaMergeLoras"].hidden = None
        return workshop.node("PusaMergeLoras", lora(workshop, model, 104 + variant), "in memory")

    def with_lora(setup: Setup, seed: int) -> Setup:
        return replace(setup, sides=tuple(replace(side, loras=(*side.loras, seed)) for side in setup.sides))

    def staged(workshop: Workshop, model: Any, variant: int) -> Any:
        seed, end = STAGES[variant]
        return workshop.node("PusaStages", model, workshop.load(seed), end)

    def progressive(workshop: Workshop, model: Any, variant: int) -> Any:
        small = by_hand.small_latent(Setup((Side(HIGH),)))
        return workshop.node("PusaProgressive", model, "1/2", UNTIL[variant], small)

    makers = {
        LoraOnDisk: (
            lambda workshop, model, variant: lora(workshop, model, 101 + 2 * variant),
            lambda setup, variant: with_lora(setup, 101 + 2 * variant),
        ),
        MergedLoras: (merged, lambda setup, variant: with_lora(setup, 104 + variant)),
        ExpertSwitch: (
            lambda workshop, model, _: workshop.node("PusaMoESwitch", model, workshop.load(LOW), BOUNDARY),
            lambda setup, _: setup.followed_by(LOW, BOUNDARY),
        ),
        Stages: (staged, lambda setup, variant: setup.followed_by(*STAGES[variant])),
        VectorizedTimesteps: (
            lambda workshop, model, variant: workshop.node(
                "PusaVectorizedTimesteps", model, latent(variant), SHIFT
            ),
            lambda setup, variant: setup.each(multipliers=(MULTIPLIERS, OTHER_MULTIPLIERS)[variant]),
        ),
        FrozenFrameCache: (
            lambda workshop, model, variant: workshop.node("PusaFrozenFrameCache", model, 2 + variant),
            lambda setup, variant: setup.each(frozen=2 + variant),
        ),
        ProgressiveResolution: (
            progressive,
            lambda setup, variant: replace(setup, small_until=UNTIL[variant]),
        ),
        LoopRoll: (
            lambda workshop, model, variant: workshop.node("PusaLoopModel", model, 2 - variant),
            lambda setup, variant: setup.each(roll=2 - variant),
        ),
    }
    return {kind: Treatment(kind.name, put, noted, kind=kind) for kind, (put, noted) in makers.items()}


def of_a_model() -> list[Treatment]:
    """Treatments by nodes of ComfyUI that stand on the MODEL line."""
    return [
        Treatment(
            "context windows",
            lambda _, model, __: context_windows(model),
            lambda setup, _: setup.each(windows=True),
        ),
        Treatment(
            "EasyCache",
            lambda _, model, __: step_cache("EasyCacheNode", model),
            lambda setup, _: replace(setup.each(easy=True), steps=CACHE_STEPS),
        ),
        Treatment(
            "LazyCache",
            lambda _, model, __: step_cache("LazyCacheNode", model),
            lambda setup, _: replace(setup.each(lazy=True), steps=CACHE_STEPS),
        ),
        Treatment("torch.compile", lambda _, model, __: composition.compiled(model), lambda setup, _: setup, seen=False),
        Treatment(
            BY_BLOCK,
            lambda _, model, __: composition.compiled_by_block(model),
            lambda setup, _: setup,
            seen=False,
        ),
    ]  # fmt: skip


def of_a_run() -> list[Treatment]:
    """What a run can be beside CFGGuider with euler on one latent: each is a change of the Setup, which `run` follows."""
    import comfy.samplers

    from comfyui_pusa.nodes.host.samplers import HOLDING

    def change(name: str, seen: bool = False, **changes: Any) -> Treatment:
        return Treatment(
            name, lambda _, model, __: model, lambda setup, _: replace(setup, **changes), seen, True
        )

    names = [name for name in comfy.samplers.SAMPLER_NAMES if name in HOLDING and name != "euler"]
    names += ["uni_pc", "uni_pc_bh2", "ddim"]
    return [
        *(change(f"sampler {name}", sampler=name) for name in dict.fromkeys(names)),
        *(change(f"sampler {name} (ours)", sampler=name, ours=True) for name in ("euler_ancestral", "lcm")),
        *(
            change(f"sampler {name}", sampler=name)
            for name in ("euler_ancestral", "dpmpp_sde", "euler_cfg_pp")
        ),
        *(change(name, True, guider=name) for name in ("BasicGuider", "DualCFGGuider", "PerpNegGuider")),
        change("noise mask", True, masked=True),
        change("hook LoRA on the positive prompt", True, hook=True),
        change("batch of two", batch=2),
        change("two KSamplerAdvanced", stages=(2,)),
    ]


def context_windows(model: Any) -> Any:
    """After WAN Context Windows: 9 of 17 frames, so that a window sees 3 of 5 latent frames."""
    import inspect

    from comfy_extras.nodes_context_windows import WanContextWindowsManualNode as Node

    settings = {
        "context_length": 9,
        "context_overlap": 4,
        "context_schedule": "standard_static",
        "context_stride": 1,
    }
    settings |= {"closed_loop": False, "fuse_method": "pyramid"}
    if (
        "freenoise" in inspect.signature(Node.execute).parameters
    ):  # else each window's noise is drawn from the first's
        settings["freenoise"] = False
    return Node.execute(model, **settings)[0]


def step_cache(node: str, model: Any) -> Any:
    """After EasyCache or LazyCache, over the whole schedule."""
    from comfy_extras import nodes_easycache

    return getattr(nodes_easycache, node).execute(model, ALWAYS, 0.0, 1.0, False)[0]


@dataclass(frozen=True)
class Graph:
    """Treatments in their order, each with its variant; those before a switch stand on one expert or on each."""

    chain: tuple[tuple[Treatment, int], ...]
    on_each: bool = False

    @property
    def order(self) -> str:
        parts = [treatment.name for treatment, _ in self.chain if not treatment.of_a_run]
        of_run = [treatment.name for treatment, _ in self.chain if treatment.of_a_run]
        return (
            " > ".join(parts)
            + (" (on each expert)" if self.on_each else "")
            + "".join(f" + {one}" for one in of_run)
        )

    def setup(self, without: Treatment | None = None) -> Setup:
        """The graph in words; without: one treatment left out."""
        setup = Setup((Side(HIGH),))
        for treatment, variant in self.chain:
            if treatment is without:
                continue
            setup = treatment.noted(setup, variant)
        if self.on_each:  # what stands before the switch was noted for the first model only
            before, variant = self.chain[0]
            if before is not without and len(setup.sides) > 1:
                later = before.noted(Setup(setup.sides[1:]), variant)
                setup = replace(setup, sides=(setup.sides[0], *later.sides))
        if not self.vectorizes(without):
            setup = setup.each(multipliers=MULTIPLIERS)
        return setup

    def seen(self) -> list[Treatment]:
        """Treatments that change the result; of one feature applied twice, one replaces the other or adds to it."""
        found = [treatment for treatment, _ in self.chain if treatment.seen and treatment.name != VECTORIZED]
        return list(dict.fromkeys(found))

    def partner(self) -> Treatment | None:
        """What of it is ComfyUI's and not the pack's."""
        return next((treatment for treatment, _ in self.chain if treatment.kind is None), None)

    def without_frozen_cache(self) -> "Graph":
        """The graph without the nodes of that name."""
        return replace(
            self, chain=tuple(one for one in self.chain if one[0].name != "Pusa Frozen Frame Cache")
        )

    def vectorizes(self, without: Treatment | None = None) -> bool:
        return any(one.name == VECTORIZED and one is not without for one, _ in self.chain)

    def model(self, workshop: Workshop) -> Any:
        """The MODEL that comes out of the nodes."""
        model = workshop.load(HIGH)
        if self.on_each:
            (before, variant), (switch, of_switch) = self.chain
            treated = replace(workshop, load=lambda seed: before.put(workshop, workshop.load(seed), variant))
            model = switch.put(treated, treated.load(HIGH), of_switch)
        else:
            for treatment, variant in self.chain:
                model = treatment.put(workshop, model, variant)
        if not self.vectorizes():
            model = workshop.node("PusaVectorizedTimesteps", model, video_latent(MULTIPLIERS), SHIFT)
        return model

    def latent(self) -> dict:
        setup = self.setup()
        latent = video_latent(setup.sides[0].multipliers or MULTIPLIERS, setup.batch)
        if setup.masked:
            mask = torch.zeros(latent["samples"].shape[2:])
            mask[:, :, 1:] = 1
            latent["noise_mask"] = mask
            # a mask keeps what is there, so something is there in every frame
            latent["samples"] = torch.randn(
                latent["samples"].shape, generator=torch.Generator().manual_seed(5)
            )
        return latent


def graphs() -> Iterator[Graph]:
    """Each pair of features, and each feature with what it meets, in each order in which they can stand."""
    ours = features()
    everything = list(ours.values())
    for first in everything:
        for second in everything:
            yield from _ordered(first, second)
        for second in of_a_model():
            yield from _ordered(first, second)
            if second.name != BY_BLOCK:  # as the whole model compiled, which costs enough time
                yield from _ordered(second, first)
        for second in of_a_run():
            yield Graph(((first, 0), (second, 0)))


def _ordered(first: Treatment, second: Treatment) -> Iterator[Graph]:
    yield Graph(((first, int(first is second)), (second, 0)))
    if second.name in SWITCHES and first.name not in SWITCHES:
        yield Graph(((first, 0), (second, 0)), on_each=True)


def schedule(model: Any, setup: Setup) -> Tensor:
    """The noise levels of the run."""
    import comfy.samplers

    from comfyui_pusa.pusa_core.schedule import flow_sigmas

    if setup.stages:
        return comfy.samplers.calculate_sigmas(
            model.get_model_object("model_sampling"), "simple", setup.steps
        )
    return flow_sigmas(setup.steps, SHIFT)


def run(model: Any, setup: Setup, latent: dict, sigmas: Tensor) -> Tensor:
    """Samples of ComfyUI's own sampler nodes."""
    import comfy.samplers
    from comfy_extras.nodes_custom_sampler import Noise_RandomNoise, SamplerCustomAdvanced

    from comfyui_pusa.nodes.host.samplers import build_sampler

    if setup.stages:
        return ksampler_in_two_stages(model, latent, setup.stages[0], steps=setup.steps)
    if setup.ours:
        sampler = build_sampler(setup.sampler, latent["noise_multipliers"])
    else:
        sampler = comfy.samplers.sampler_object(setup.sampler)
    noise, guider = Noise_RandomNoise(SEED), guider_of(setup, model)
    return run_node(SamplerCustomAdvanced, noise, guider, sampler, sigmas.clone(), latent)[0]["samples"]


def guider_of(setup: Setup, model: Any) -> Any:
    """The guider node's guider."""
    import comfy.hooks
    import comfy.samplers
    from comfy_extras.nodes_custom_sampler import Guider_Basic, Guider_DualCFG
    from comfy_extras.nodes_perpneg import Guider_PerpNeg

    from support import tiny_wan

    positive, negative, third = (prompt(number) for number in (1, 2, 3))
    if setup.hook:
        seed, strength = by_hand.HOOK
        names = tiny_wan.lora(seed).items()
        lora = {f"diffusion_model.{name.replace('.default', '')}": value for name, value in names}
        hooks = comfy.hooks.create_hook_lora(lora=lora, strength_model=strength, strength_clip=0.0)
        positive = comfy.hooks.set_hooks_for_conditioning(positive, hooks)
    match setup.guider:
        case "CFGGuider":
            guider = comfy.samplers.CFGGuider(model)
            guider.set_conds(positive, negative)
            guider.set_cfg(CFG)
        case "BasicGuider":
            guider = Guider_Basic(model)
            guider.set_conds(positive)
        case "DualCFGGuider":
            guider = Guider_DualCFG(model)
            guider.set_conds(positive, third, negative)
            guider.set_cfg(CFG, by_hand.SECOND_CFG)
        case "PerpNegGuider":
            guider = Guider_PerpNeg(model)
            guider.set_conds(positive, negative, third)
            guider.set_cfg(CFG, by_hand.PERP_NEG_SCALE)
    return guider
