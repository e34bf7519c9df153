"""Every random draw of training, from (seed, step, sample) alone: the result does not depend on who computes it.

sample counts the clips of one step, over all devices.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import PusaError
from ..frames import parse_positions, resolve_position
from .loss import SHIFT, loss_weights, timestep_table


def number(*parts: object) -> int:
    """A number of 63 bits that depends on all the parts and on nothing else, the same on every machine."""
    digest = hashlib.sha256(" ".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(*parts: object) -> torch.Generator:
    """A CPU generator seeded by the parts."""
    return torch.Generator().manual_seed(number(*parts))


def draw_noise(shape: Sequence[int], seed: int, step: int, sample: int) -> Tensor:
    """Standard normal noise of one clip, float32 on the CPU."""
    return torch.randn(tuple(shape), generator=generator("noise", seed, step, sample))


def drops_caption(share: float, seed: int, step: int, sample: int) -> bool:
    """Whether this clip is shown without its caption, for classifier-free guidance."""
    return random.Random(number("caption", seed, step, sample)).random() < share


@dataclass(frozen=True)
class TimestepDraw:
    """How the noise levels of a clip's latent frames are drawn."""

    shift: float = SHIFT
    equal_share: float = 0.0  # of the clips have one level for all frames (FVDM's probabilistic sampling)
    given_share: float = 0.0  # of the clips have given frames, as in image-to-video
    given_frames: tuple[str, ...] = ("0",)  # sets of latent frames, one is taken for a clip
    given_multipliers: tuple[float, float] = (0.0, 0.5)  # range of the given frames' noise multiplier
    sigma_min: float = 0.0
    sigma_max: float = 1.0

    def __post_init__(self) -> None:
        if not (self.shift >= 1.0):
            raise PusaError(f"draw.shift is {self.shift}; use 1 or more (Pusa was trained with 5).")
        for name in ("equal_share", "given_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise PusaError(
                    f"draw.{name} is {getattr(self, name)}; it is a share of the clips, from 0 to 1."
                )
        if self.equal_share + self.given_share > 1.0:
            raise PusaError(
                f"draw.equal_share {self.equal_share} and draw.given_share {self.given_share} are more than 1 together; "
                "the rest of the clips is drawn independently. Lower one of them."
            )
        if not (0.0 <= self.sigma_min < self.sigma_max <= 1.0):
            raise PusaError(
                f"draw.sigma_min is {self.sigma_min} and draw.sigma_max {self.sigma_max}; use 0 <= sigma_min < sigma_max <= 1 "
                "(0 and 1 train the full range, which Pusa's author advises for both Wan2.2 experts)."
            )
        low, high = self.given_multipliers
        if not 0.0 <= low <= high <= 1.0:
            raise PusaError(
                f"draw.given_multipliers is {list(self.given_multipliers)}; write the least and the largest noise multiplier, "
                "such as [0.0, 0.5]."
            )
        if not self.given_frames:
            raise PusaError(
                'draw.given_frames is empty; write sets of latent frames, such as ["0", "0, -1"].'
            )
        for text in self.given_frames:
            parse_positions(text)
        if not bool((loss_weights(self.rows(), self.shift) > 0).any()):
            raise PusaError(
                f"No training timestep that counts lies between draw.sigma_min {self.sigma_min} and draw.sigma_max {self.sigma_max}. "
                "Widen the range."
            )

    def rows(self) -> Tensor:
        """The noise levels of the table that lie in the range, falling."""
        sigmas = timestep_table(self.shift)[0]
        return sigmas[(sigmas >= self.sigma_min) & (sigmas <= self.sigma_max)]

    def check_frames(self, frames: int, name: str) -> None:
        """Refuse given frames that lie outside a clip of so many latent frames, called `name`."""
        for text in self.given_frames if self.given_share else ():
            if outside := [p for p in parse_positions(text) if not -frames <= p < frames]:
                raise PusaError(
                    f"draw.given_frames has {outside[0]}, but {name} has {frames} latent frames: count them from 0 to {frames - 1}, or from the "
                    f"end from -1 to -{frames}."
                )

    def draw(self, frames: int, seed: int, step: int, sample: int) -> tuple[Tensor, Tensor]:
        """Noise levels [F] of one clip, and [F] bool: which frames the loss counts (all but given clean ones).

        Independent levels are the authors' (train_wan_pusa.py): each frame takes any row of the table. With given frames the
        others share one level s and the given ones have multiplier * s, as they will in sampling.
        """
        chance = random.Random(number("sigmas", seed, step, sample))
        rows = self.rows()

        def any_row(count: int) -> Tensor:
            return rows[torch.tensor([int(chance.random() * len(rows)) for _ in range(count)])]

        kind = chance.random()
        learned = torch.ones(frames, dtype=torch.bool)
        if kind < self.equal_share:
            return any_row(1).expand(frames).clone(), learned
        if kind < self.equal_share + self.given_share:
            sigmas = any_row(1).expand(frames).clone()
            text = self.given_frames[int(chance.random() * len(self.given_frames))]
            low, high = self.given_multipliers
            given = {resolve_position(p, frames) for p in parse_positions(text) if -frames <= p < frames}
            for position in sorted(given):
                sigmas[position] *= low + (high - low) * chance.random()
            learned = sigmas > 0
            return sigmas, learned
        return any_row(frames), learned
