"""Progressive resolution on the zoo, against full size: `python demo progressive` writes its tables into docs/PERFORMANCE.md.

Each clip is sampled with the first 1, 2 or 5 of its nine latent frames given, at full size and with the first steps small, from
the same noise. PSNR is that of the frames after the given ones against the true clip. Time is processor time of the sampling.
"""

from __future__ import annotations

import argparse
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..pusa_core.bases import WAN
from ..pusa_core.operations import Architecture, forward_operations
from ..pusa_core.progressive import (
    SHARES,
    UNTIL,
    resumed,
    shrunk_noise,
    small_schedule,
    small_size,
    small_steps,
)
from ..pusa_core.samplers import add_noise, sample_euler
from ..pusa_core.schedule import TIMESTEPS, flow_sigmas, frame_sigmas, over_frames
from . import data, zoo
from .evaluate import DISTILLED_GUIDANCE, LONG, Bench, half_width, mean
from .nodes.words import text_embedding
from .report import DOCS, table, write_section
from .training.vae import psnr

PAGE = DOCS / "PERFORMANCE.md"
GIVEN = (1, 2, 5)  # of nine latent frames: the shares of 1, 4 and 11 of 21
SEED = 7

log = logging.getLogger("demo")


@dataclass(frozen=True)
class Way:
    """How a run is made."""

    name: str
    size: str = "full"  # of SHARES
    until: float = UNTIL
    fewer: bool = False  # at full size, with as many steps less as cost the same operations
    matched: bool = (
        False  # small steps at levels where the large forms are as clear as at full size: shift times share
    )


@dataclass(frozen=True)
class Kind:
    """A model and its settings."""

    name: str
    loras: Mapping[str, float]
    steps: int
    guidance: float


KINDS = (
    Kind("16 steps, guidance 2", {zoo.PUSA: 1.0}, 16, 2.0),
    Kind("4 steps, distilled", {zoo.PUSA: 1.0, zoo.LIGHTX2V: 1.0}, 4, DISTILLED_GUIDANCE),
)
WAYS = (
    Way("full size"),
    Way("1/2 to 0.95", "1/2", 0.95),
    Way("1/2 to 0.875", "1/2", 0.875),
    Way("1/2 to 0.875, small steps at shift 2.5", "1/2", 0.875, matched=True),
    Way("1/2 to 0.75", "1/2", 0.75),
    Way("2/3 to 0.95", "2/3", 0.95),
    Way("2/3 to 0.875", "2/3", 0.875),
    Way("2/3 to 0.75", "2/3", 0.75),
    Way("full size, fewer steps: as cheap as 1/2 to 0.875", "1/2", 0.875, fewer=True),
)


class Runner:
    """One model on the captions of a bench."""

    def __init__(self, kind: Kind, captions: Sequence[str]):
        self.model, self.kind = zoo.dit(zoo.BASE, kind.loras), kind
        vectors = torch.cat([text_embedding(caption) for caption in captions])
        empty = text_embedding("").expand(len(captions), -1, -1)
        self.positive, self.negative = self.model.text_embedding(vectors), self.model.text_embedding(empty)

    def part(self, clean: Tensor, noise: Tensor, sigmas: Tensor, multipliers: Tensor) -> Tensor:
        """Steps at one size from noised latents [B, C, F, h, w]."""
        table = frame_sigmas(sigmas, multipliers)

        def denoiser(x: Tensor, step: int) -> Tensor:
            timestep = TIMESTEPS * table[step].expand(len(x), -1)
            velocity = self.model.velocity(x, timestep, self.positive)
            if self.kind.guidance != 1:
                free = self.model.velocity(x, timestep, self.negative)
                velocity = free + self.kind.guidance * (velocity - free)
            return x - over_frames(table[step]) * velocity

        return sample_euler(denoiser, add_noise(clean, noise, over_frames(table[0])), table)

    def run(
        self, way: Way, given: Tensor, given_at: Callable[[str], Tensor], noise: Tensor, multipliers: Tensor
    ) -> Tensor:
        """Latents [B, C, F, H, W]; given, given_at(size): the clips' latents at both sizes, of which m < 1 are given."""
        steps = steps_as_cheap(self.kind, way) if way.fewer else self.kind.steps
        sigmas, share = flow_sigmas(steps), SHARES[way.size]
        known = over_frames(multipliers < 1)
        small = 0 if way.fewer else small_steps(sigmas, way.until)
        if share < 1 and small:
            latent = given_at(way.size) * known
            size = latent.shape[-2:]
            levels = small_schedule(sigmas, small)
            if way.matched:
                levels = share * levels / (1 - (1 - share) * levels)
            made = self.part(latent, shrunk_noise(noise, *size), levels, multipliers)
            return self.part(resumed(made, given, multipliers), noise, sigmas[small:], multipliers)
        return self.part(given * known, noise, sigmas, multipliers)


def steps_as_cheap(kind: Kind, way: Way) -> int:
    """Steps at full size that cost no less than `way` with a large model (Wan 14B at 480p)."""
    share = operations(kind.steps, small_steps(flow_sigmas(kind.steps), way.until), SHARES[way.size])
    return math.ceil(kind.steps * share - 1e-9)


def operations(steps: int, small: int, share: float) -> float:
    """Share of the operations of a run of Wan 14B at 480p with `small` of its steps at a share of the sides."""
    model = Architecture("Wan 14B", 5120, 13824, 40)
    whole = forward_operations(model, 21, 1560)
    height, width = small_size(60, 104, share, WAN)
    part = forward_operations(model, 21, height * width // 4)
    return (small * part + (steps - small) * whole) / (steps * whole)


@torch.inference_mode()
def measure(bench: Bench) -> Iterator[tuple[Kind, int, Way, Tensor, float]]:
    """(kind, given, way, PSNR [N], seconds) of every row."""
    pixels = data.SIZE
    smaller = {}
    for size, share in SHARES.items():
        height, width = (8 * side for side in small_size(pixels // 8, pixels // 8, share, WAN))
        smaller[size] = zoo.encode(bench.vae, shrunk_pictures(bench.real, height, width))
    noise = torch.randn(bench.latents.shape, generator=torch.Generator().manual_seed(SEED))
    for kind in KINDS:
        runner = Runner(kind, bench.captions)
        for given in GIVEN:
            multipliers = torch.ones(LONG)
            multipliers[:given] = 0
            follows = slice(4 * (given - 1) + 1, None)
            for way in WAYS:
                start = time.process_time()
                made = runner.run(way, bench.latents, smaller.__getitem__, noise, multipliers)
                seconds = time.process_time() - start
                videos = zoo.decode(bench.vae, made)
                yield kind, given, way, psnr(videos[:, :, follows], bench.real[:, :, follows]), seconds
                log.info("%s, %s given, %s", kind.name, given, way.name)


def shrunk_pictures(videos: Tensor, height: int, width: int) -> Tensor:
    """Videos [B, 3, T, H, W] in [-1, 1] made smaller as the pack makes pictures smaller."""
    frames = torch.nn.functional.interpolate(
        videos.movedim(2, 1).flatten(0, 1), (height, width), mode="bicubic", antialias=True
    )
    return frames.clamp(-1, 1).unflatten(0, (len(videos), -1)).movedim(1, 2)


def main(arguments: Sequence[str]) -> None:
    """Measure, and write the section."""
    parser = argparse.ArgumentParser(prog="python demo progressive", description=__doc__)
    parser.add_argument("--clips", type=int, default=32, help="held-out clips (default %(default)s)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    rows, full = [], {}
    for kind, given, way, decibels, seconds in measure(Bench(options.clips)):
        key = kind.name, given
        if way.size == "full":
            full[key] = decibels, seconds
        plain, plain_seconds = full[key]
        loss = decibels - plain
        small = small_steps(flow_sigmas(kind.steps), way.until)
        small = 0 if way.fewer or way.size == "full" else small
        steps = steps_as_cheap(kind, way) if way.fewer else kind.steps
        asked = operations(kind.steps, small, SHARES[way.size]) if not way.fewer else steps / kind.steps
        rows.append(
            [
                kind.name, str(given), way.name, f"{small} of {steps}" if not way.fewer else f"0 of {steps}", f"{asked:.2f}",
                f"{seconds / plain_seconds:.2f}", mean(decibels, " dB"),
                "" if way.size == "full" else f"{loss.mean():+.1f} ± {half_width(loss):.1f} dB",
            ]
        )  # fmt: skip
    head = ["run", "given, of 9", "how", "small steps", "operations, 14B at 480p", "time, zoo", "PSNR of what follows", "against full size"]  # fmt: skip
    text = (
        f"`python demo progressive --clips {options.clips}`: {options.clips} held-out clips of 33 frames, 64 x 64 pixels, Wan2.1 demo model with "
        "the Pusa LoRA, multiplier 0; ± is the 95 % interval of the mean, of the differences clip by clip in the last column. "
        "At this size 2/3 is rounded to 48 pixels, three quarters.\n\n" + table(head, rows)
    )
    write_section(PAGE, "progressive", text)
