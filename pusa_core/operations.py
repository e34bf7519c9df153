"""Operations and memory of a whole run, in closed form from the architecture: steps x tokens x prompts, and what spares some of them.

An operation is a multiplication or an addition in a matrix product, a convolution or attention, as torch.utils.flop_counter
counts them; norms, modulation and rotation are left out (they are copies of the tokens, not products of them).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from .errors import PusaError
from .frozen_frames import cache_bytes, is_refresh
from .schedule import flow_sigmas

PATCH = 2  # latent positions along height and width that make one token
TEXT_TOKENS = 512  # that ComfyUI gives every Wan model, whatever the prompt's length
FRAMES_EACH = 4  # pixel frames of a latent frame; the first one holds one


@dataclass(frozen=True)
class Architecture:
    """The sizes of a Wan model that decide its operations."""

    name: str
    width: int  # D
    hidden: int  # of the feed-forward
    layers: int
    channels: int = 16  # of the latent
    stride: int = 8  # pixels of a latent position
    experts: int = 1
    text_width: int = 4096
    time_width: int = 256

    @property
    def grid(self) -> int:
        """Pixels of a token along height and width: sizes are multiples of it."""
        return self.stride * PATCH


WAN_21_14B = Architecture("Wan2.1 14B", 5120, 13824, 40)
WAN_22_A14B = replace(WAN_21_14B, name="Wan2.2 A14B", experts=2)
WAN_21_1_3B = Architecture("Wan2.1 1.3B", 1536, 8960, 30)
WAN_22_5B = Architecture("Wan2.2 TI2V 5B", 3072, 14336, 30, channels=48, stride=16)
MODELS = (WAN_22_A14B, WAN_21_14B, WAN_21_1_3B, WAN_22_5B)


@dataclass(frozen=True)
class Run:
    """One video: what is set in the graph."""

    model: Architecture
    width: int  # pixels
    height: int
    length: int = 81  # pixel frames
    steps: int = 30
    cfg: float = 3.0
    shift: float = 5.0
    boundary: float = 0.875  # sigma of the hand-over between two experts
    frozen: int = 0  # latent frames with multiplier 0 that the cache holds
    every: int = 1  # steps from refresh to refresh of the cache; 1 is no cache
    small: float = 1.0  # share of width and height that the first steps run at
    small_above: float = 0.875  # the lowest sigma of a small step

    def __post_init__(self) -> None:
        if not 0 <= self.frozen < self.frames:
            raise PusaError(
                f"frozen is {self.frozen}; this video has {self.frames} latent frames, give fewer."
            )
        if not 0 < self.small <= 1:
            raise PusaError(f"small is {self.small}; give a share of the size, above 0 and at most 1.")

    @property
    def frames(self) -> int:
        """Latent frames."""
        return (self.length - 1) // FRAMES_EACH + 1

    @property
    def prompts(self) -> int:
        """Forwards of a step: two with guidance."""
        return 1 if self.cfg == 1 else 2

    def tokens(self, share: float = 1.0) -> int:
        """Tokens of a latent frame at a share of the size."""
        return fitting(self.width * share, self.model.grid) * fitting(self.height * share, self.model.grid)


@dataclass(frozen=True)
class Step:
    """What decides the operations of one step."""

    tokens: int  # of a latent frame
    is_small: bool
    is_reuse: bool  # of the cache: frozen frames are not computed
    expert: int


def fitting(pixels: float, grid: int) -> int:
    """Tokens along a side: the nearest whole number, the lower one of two as near."""
    return max(1, -int(-(pixels / grid - 0.5) // 1))


def steps_of(run: Run) -> list[Step]:
    """The steps of a run. The cache begins anew with each expert and each size, since neither's keys fit the other."""
    found: list[Step] = []
    since, before = 0, None
    for sigma, after in pairwise(flow_sigmas(run.steps, run.shift).tolist()):
        expert = int(run.model.experts == 2 and sigma < run.boundary)
        is_small = run.small < 1 and sigma >= run.small_above and after > 0  # the last step never is
        since = since + 1 if (expert, is_small) == before else 0
        before = (expert, is_small)
        reuse = run.frozen > 0 and not is_refresh(since, run.every)
        found.append(Step(run.tokens(run.small if is_small else 1.0), is_small, reuse, expert))
    return found


def forward_operations(model: Architecture, frames: int, tokens: int, computed: int | None = None) -> int:
    """Operations of one forward for one prompt.

    frames: latent frames; tokens: of each; computed: frames whose tokens go through the model, the others are only
    attended to (the frozen-frame cache). The timestep is counted once a computed frame.
    """
    computed = frames if computed is None else computed
    width, queries, keys = model.width, computed * tokens, frames * tokens
    linear = 2 * queries * (6 * width**2 + 2 * width * model.hidden)
    text_keys = 2 * TEXT_TOKENS * 2 * width**2
    attention = 2 * queries * 2 * width * (keys + TEXT_TOKENS)
    patches = 2 * queries * 2 * width * model.channels * PATCH**2  # in and out
    text = 2 * TEXT_TOKENS * (model.text_width * width + width**2)
    time = 2 * computed * (model.time_width * width + width**2 + 6 * width**2)
    return model.layers * (linear + text_keys + attention) + patches + text + time


def attention_share(model: Architecture, frames: int, tokens: int) -> float:
    """Share of self-attention's products, which grow with the square of the tokens."""
    whole = forward_operations(model, frames, tokens)
    return model.layers * 4 * (frames * tokens) ** 2 * model.width / whole


def run_operations(run: Run) -> int:
    """Operations of all forwards of a run: encoders, decoder and sampler are not in it."""
    return run.prompts * sum(
        forward_operations(run.model, run.frames, step.tokens, run.frames - run.frozen * step.is_reuse)
        for step in steps_of(run)
    )


def parameters(model: Architecture) -> int:
    """Numbers in one expert's weights."""
    width = model.width
    attention = 4 * (width**2 + width) + 2 * width  # four layers with bias, two norms
    block = 2 * attention + 2 * width + 2 * width * model.hidden + model.hidden + width + 6 * width
    patch = model.channels * PATCH**2
    text = model.text_width * width + width + width**2 + width
    time = model.time_width * width + width + width**2 + width + 6 * width**2 + 6 * width
    return model.layers * block + (patch * width + width) + text + time + (width * patch + patch) + 2 * width


def weight_bytes(model: Architecture, bytes_each: int = 1) -> int:
    """Bytes of one expert; bytes_each: 1 in fp8, 2 in bf16."""
    return parameters(model) * bytes_each


def kept_bytes(run: Run, bytes_each: int = 2) -> int:
    """Most bytes of the cache's keys and values in a run; 0 where no step uses them."""
    sizes = [step.tokens for step in steps_of(run) if step.is_reuse]
    if not sizes:
        return 0
    return cache_bytes(run.frozen, max(sizes), run.model.width, run.model.layers, run.prompts, bytes_each)


def activation_bytes(run: Run, bytes_each: int = 2) -> int:
    """Bytes that the widest moment of a forward needs at least: x, its normed copy, and the feed-forward before and after GELU.

    With guidance ComfyUI runs both prompts at once where there is room, which doubles it, and one after the other else.
    """
    tokens = max(step.tokens for step in steps_of(run)) * run.frames
    return tokens * 2 * (run.model.width + run.model.hidden) * bytes_each


def small_steps(steps: Sequence[Step]) -> int:
    """How many steps run at the smaller size."""
    return sum(step.is_small for step in steps)
