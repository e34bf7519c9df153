"""What a graph should give, worked out by hand: ComfyUI's own DiT on plain weights, called one text, one window, one step at a time.

No patch, wrapper or node of the pack or of ComfyUI takes part; what they do is written down here once more, plainly.
"""

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from support import tiny_wan
from support.comfy_runs import CFG, HEIGHT, SEED, SHIFT, WIDTH, prompt, video_latent

STEPS = 4
MULTIPLIERS = (0.0, 0.0, 0.3, 1.0, 1.0)
ALPHA = 1.4
WINDOWS, FUSE = ((0, 1, 2), (2, 3, 4)), (1.0, 2.0, 1.0)
"""Latent frames of WAN Context Windows (9 frames, overlap 4, static, pyramid) over five, and what each counts."""
HOOK = (102, 0.9)
"""Seed and strength of the LoRA that hangs on the positive prompt."""
PERP_NEG_SCALE, SECOND_CFG = 0.7, 1.6


@dataclass(frozen=True)
class Side:
    """What was done to one expert."""

    seed: int  # of its weights
    loras: tuple[int, ...] = ()  # seeds, each with strength ALPHA
    roll: int = 0  # latent frames a step
    frozen: int = 1  # steps from one refresh to the next; 1 is no cache
    easy: bool = False
    lazy: bool = False
    windows: bool = False
    multipliers: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Setup:
    """A whole graph."""

    sides: tuple[Side, ...]  # models in the order in which they run
    ends: tuple[float, ...] = ()  # sigma below which the next one runs
    sampler: str = "euler"
    ours: bool = False  # the sampler is Vectorized Timestep Sampler's own
    guider: str = "CFGGuider"
    masked: bool = False
    batch: int = 1
    hook: bool = False
    stages: tuple[int, ...] = ()  # steps at which a further sampler node takes over
    steps: int = STEPS
    small_until: float | None = None  # sigma down to which steps run at half of width and height

    def each(self, **changes: Any) -> "Setup":
        """The same with changes to every model that a node reaches here: one before a switch, all of them after it."""
        return replace(self, sides=tuple(replace(side, **changes) for side in self.sides))

    def followed_by(self, seed: int, end: float) -> "Setup":
        """The same with one more model, of this seed, below a sigma."""
        return replace(self, sides=(*self.sides, Side(seed)), ends=(*self.ends, end))


@functools.cache
def dit(seed: int, loras: tuple[tuple[int, float], ...]) -> torch.nn.Module:
    """ComfyUI's DiT with the LoRAs added to the weights: W + strength * B A."""
    import comfy.sd

    weights = tiny_wan.weights(seed)
    for lora_seed, strength in loras:
        lora = tiny_wan.lora(lora_seed)
        for name in [name for name in lora if ".lora_A." in name]:
            layer = name.partition(".lora_A.")[0]
            weights[f"{layer}.weight"] += strength * lora[f"{layer}.lora_B.default.weight"] @ lora[name]
    return comfy.sd.load_diffusion_model_state_dict(weights).model.diffusion_model


@dataclass
class Memory:
    """What one part of a run keeps for one text (and window)."""

    evaluations: int = 0
    keys_and_values: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    frozen_velocity: Tensor | None = None
    difference: Tensor | None = None  # EasyCache's: velocity - x


class Part:
    """One run of a sampler on one expert."""

    def __init__(
        self,
        setup: Setup,
        side: Side,
        sigmas: Tensor,
        clean: Tensor,
        noise: Tensor,
        mask: Tensor | None,
        whole: Tensor | None = None,
    ):
        self.setup, self.side, self.sigmas = setup, side, sigmas
        # the levels of the sampler node that this is a part of
        self.whole = sigmas if whole is None else whole
        self.clean, self.noise, self.mask = clean, noise, mask
        self.multipliers = torch.tensor(side.multipliers)
        self.memories: dict[Any, Memory] = {}
        self.evaluations = 0
        self.last: Tensor | None = None  # the last clean estimate
        self.lazy_difference: Tensor | None = None

    def levels(self, sigma: Tensor) -> Tensor:
        return (sigma.flatten()[:1] * self.multipliers)[None, None, :, None, None]

    def denoised(self, x: Tensor, sigma: Tensor, options: dict | None = None) -> Tensor:
        """What the sampler sees: guidance, LazyCache and the noise mask around the model."""
        if self.mask is not None:
            level = self.levels(sigma)
            x = x * self.mask + ((1 - level) * self.clean + level * self.noise) * (1 - self.mask)
        if self.side.lazy and self.evaluations >= 2:
            found = x + self.lazy_difference
        else:
            found, negative = self.guided(x, sigma, options)
            self.lazy_difference = found - x
            for function in (options or {}).get("sampler_post_cfg_function", ()):
                found = function({"denoised": found, "uncond_denoised": negative})
        self.evaluations += 1
        self.last = found if self.mask is None else found * self.mask + self.clean * (1 - self.mask)
        return self.last

    def guided(self, x: Tensor, sigma: Tensor, options: dict | None) -> tuple[Tensor, Tensor | None]:
        def of(text: int) -> Tensor:
            return self.of_text(x, sigma, text)

        match self.setup.guider:
            case "BasicGuider":
                return of(1), None
            case "CFGGuider":
                positive, negative = of(1), of(2)
                return negative + CFG * (positive - negative), negative
            case "DualCFGGuider":
                positive, middle, negative = of(1), of(3), of(2)
                return negative + SECOND_CFG * (middle - negative) + CFG * (positive - middle), negative
            case "PerpNegGuider":
                positive, negative, empty = of(1), of(2), of(3)
                towards, away = positive - empty, negative - empty
                across = away - (away * towards).sum() / towards.norm() ** 2 * towards
                return empty + CFG * (towards - PERP_NEG_SCALE * across), negative
        raise ValueError(self.setup.guider)

    def of_text(self, x: Tensor, sigma: Tensor, text: int) -> Tensor:
        """The clean estimate for one prompt, over windows where there are some."""
        if not self.side.windows:
            return self.of_frames(x, sigma, text, tuple(range(x.shape[2])))
        total, weight = torch.zeros_like(x), torch.zeros(1, 1, x.shape[2], 1, 1)
        for frames in WINDOWS:
            anchor = (frames[0] - 1,) if anchored() and frames[0] > 0 else ()
            found = self.of_frames(x, sigma, text, anchor + frames)
            fuse = torch.tensor(FUSE)[None, None, :, None, None]
            total[:, :, list(frames)] += fuse * found[:, :, len(anchor) :]
            weight[:, :, list(frames)] += fuse
        return total / weight

    def of_frames(self, x: Tensor, sigma: Tensor, text: int, frames: tuple[int, ...]) -> Tensor:
        places = list(frames)
        x, multipliers = x[:, :, places], self.multipliers[places]
        timesteps = 1000 * sigma.flatten()[:1] * multipliers
        memory = self.memories.setdefault((text, frames), Memory())
        if self.side.easy and memory.evaluations >= 2:
            velocity = x + memory.difference
        else:
            velocity = self.velocity(x, timesteps, sigma, text, memory)
            memory.difference = velocity - x
        memory.evaluations += 1
        return x - self.levels(sigma)[:, :, places] * velocity

    def velocity(self, x: Tensor, timesteps: Tensor, sigma: Tensor, text: int, memory: Memory) -> Tensor:
        """The DiT's answer for x [B, C, F, H, W] at timesteps [F]."""
        frames = x.shape[2]
        step = max(0, int((self.whole >= sigma.flatten()[0] * (1 - 1e-6)).sum()) - 1)
        turn = -step * self.side.roll
        hooked = (HOOK,) if self.setup.hook and text == 1 else ()
        model = dit(self.side.seed, tuple((seed, ALPHA) for seed in self.side.loras) + hooked)
        options: dict[str, Any] = {}
        frozen = [frame for frame in range(frames) if timesteps[frame] == 0]
        caching = self.side.frozen > 1 and 0 < len(frozen) < frames
        if caching:
            options["optimized_attention_override"] = self.remembering(memory, frozen, frames)
        velocity = model(
            x.roll(turn, 2),
            timesteps.roll(turn, 0).expand(len(x), -1),
            prompt(text)[0][0].expand(len(x), -1, -1),
            transformer_options=options,
        ).roll(-turn, 2)
        if caching:
            if memory.evaluations % self.side.frozen == 0:
                memory.frozen_velocity = velocity[:, :, frozen]
            velocity[:, :, frozen] = memory.frozen_velocity
        return velocity

    def remembering(self, memory: Memory, frozen: list[int], frames: int) -> Callable[..., Tensor]:
        """All tokens are computed, and those of frozen frames have the keys and values of the last refresh."""
        refresh = memory.evaluations % self.side.frozen == 0
        if refresh:
            memory.keys_and_values = []
        layers = iter(range(tiny_wan.LAYERS))

        def attend(
            function: Any, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
        ) -> Tensor:
            if key.shape[1] == query.shape[1]:  # self-attention
                per_frame = key.shape[1] // frames
                tokens = torch.tensor(frozen).repeat_interleave(per_frame) * per_frame
                tokens = tokens + torch.arange(per_frame).repeat(len(frozen))
                if refresh:
                    memory.keys_and_values.append((key[:, tokens], value[:, tokens]))
                else:
                    kept = memory.keys_and_values[next(layers)]
                    key, value = key.index_copy(1, tokens, kept[0]), value.index_copy(1, tokens, kept[1])
            return function(query, key, value, *args, **kwargs)

        return attend


@functools.cache
def anchored() -> bool:
    """Whether this ComfyUI puts one earlier frame in front of a window (0.21 and later)."""
    import inspect

    from comfy.context_windows import IndexListContextHandler

    return "causal_window_fix" in inspect.signature(IndexListContextHandler).parameters


def result(setup: Setup, latent: dict, sigmas: Tensor) -> Tensor:
    """Samples of the graph."""
    import comfy.sample
    from comfy.latent_formats import Wan21

    noise = comfy.sample.prepare_noise(latent["samples"], SEED)
    clean = Wan21().process_in(latent["samples"])
    mask = latent["noise_mask"].reshape(1, 1, *latent["samples"].shape[2:]) if setup.masked else None
    seed, stages, begun = SEED, setup.stages, clean
    nodes = [
        sigmas[begin : end + 1] for begin, end in itertools.pairwise(sorted({0, *stages, len(sigmas) - 1}))
    ]
    if setup.small_until is not None:
        steps = small_steps(sigmas[: stages[0] + 1] if stages else sigmas, setup.small_until)
        multipliers = torch.tensor(setup.sides[0].multipliers)
        small = Wan21().process_in(small_latent(setup)["samples"]).expand(setup.batch, -1, -1, -1, -1)
        levels = torch.cat((sigmas[:steps], torch.zeros(1)))
        half = (
            None
            if mask is None
            else torch.nn.functional.interpolate(mask, scale_factor=(1, 0.5, 0.5), mode="trilinear")
        )
        made = run_phase(setup, levels, small, half_noise(noise), half, (), SEED, nodes)
        larger = torch.nn.functional.interpolate(made, scale_factor=(1, 2, 2), mode="trilinear")
        begun = torch.where((multipliers < 1)[:, None, None], clean, larger)
        sigmas, seed = sigmas[steps:], SEED + 1
        stages = tuple(stage - steps for stage in stages if stage > steps)
    return Wan21().process_out(run_phase(setup, sigmas, clean, noise, mask, stages, seed, nodes, begun))


def run_phase(
    setup: Setup, sigmas: Tensor, clean: Tensor, noise: Tensor, mask: Tensor | None,
    stages: tuple[int, ...], seed: int, nodes: list[Tensor], begun: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """All steps at one size; nodes: the levels of each sampler node; begun: the clean latent that they begin with. Without it, small steps: the last clean estimate."""
    changes = [int((sigmas[:-1] >= end).sum()) for end in setup.ends]
    cuts = sorted({0, *stages, *changes, len(sigmas) - 1})
    x, first = None, None
    for begin, end in itertools.pairwise(cuts):
        number = sum(begin >= change for change in changes)
        first = number if first is None else first
        whole = [levels for levels in nodes if levels[0] >= sigmas[begin]][-1]
        part = Part(setup, setup.sides[number], sigmas[begin : end + 1], clean, noise, mask, whole)
        if x is None:
            level = part.levels(sigmas[begin])
            x = (1 - level) * (clean if begun is None else begun) + level * noise
        # a further model's fresh noise must not repeat the first one's
        x = run_sampler(setup, part, x, seed + number - first)
    # uni_pc calls nobody back, so its result is what goes on
    return x if begun is not None or setup.sampler.startswith("uni_pc") else part.last


def small_steps(sigmas: Tensor, until: float) -> int:
    levels = sigmas.tolist()
    return sum(level >= until and after > 0 for level, after in itertools.pairwise(levels))


def small_latent(setup: Setup) -> dict:
    """The given frames at half of width and height, the same for all of a batch."""
    return video_latent(setup.sides[0].multipliers or MULTIPLIERS, seed=901, size=(HEIGHT // 2, WIDTH // 2))


def half_noise(noise: Tensor) -> Tensor:
    """The lower half of the noise's frequencies along height and width, as noise of half the size."""
    for axis in (3, 4):
        size = noise.shape[axis]
        waves = cosines(size // 2).T @ cosines(size)[: size // 2]
        noise = torch.tensordot(noise.double(), waves, dims=([axis], [1])).movedim(-1, axis)
    return noise.float()


def cosines(size: int) -> Tensor:
    """Orthonormal waves, row k with k half periods."""
    rows = [
        [math.cos(math.pi * k * (place + 0.5) / size) * math.sqrt((1 if k == 0 else 2) / size) for place in range(size)]
        for k in range(size)
    ]  # fmt: skip
    return torch.tensor(rows, dtype=torch.float64)


def run_sampler(setup: Setup, part: Part, x: Tensor, seed: int) -> Tensor:
    """ComfyUI's own sampler function, or the pack's loop for its own two, on the hand-made denoiser."""
    import comfy.model_sampling
    import comfy.samplers
    from comfy.k_diffusion.sampling import default_noise_sampler

    from comfyui_pusa.pusa_core import samplers

    if setup.ours:
        loop = {"euler_ancestral": samplers.sample_euler_ancestral, "lcm": samplers.sample_lcm}[setup.sampler]
        draw = default_noise_sampler(x, seed=seed)
        table = part.sigmas[:, None] * part.multipliers
        return loop(lambda x, step: part.denoised(x, part.sigmas[step]), x, table, lambda: draw(None, None))

    class Sampling(comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST):
        pass

    sampling = Sampling()
    sampling.set_parameters(shift=SHIFT, multiplier=1000)
    sampler = comfy.samplers.sampler_object(setup.sampler)
    seen_by_sampler = SimpleNamespace(
        model_patcher=SimpleNamespace(get_model_object=lambda _: sampling),
        inner_model=SimpleNamespace(model_sampling=sampling),
    )

    class Denoiser:
        inner_model = seen_by_sampler

        def __call__(self, x: Tensor, sigma: Tensor, model_options: dict | None = None, **_: Any) -> Tensor:
            return part.denoised(x, sigma, model_options)

    extra = {"model_options": {}, "seed": seed, "denoise_mask": part.mask}
    sigmas = part.sigmas.clone()
    x = sampler.sampler_function(
        Denoiser(), x, sigmas, extra_args=extra, callback=None, disable=True, **sampler.extra_options
    )
    # uni_pc ends at 0.001 and writes that into the sigmas; ComfyUI then takes what the noise is held to leave of the picture
    return x if sigmas[-1] == part.sigmas[-1] else x / (1 - part.levels(sigmas[-1]))
