"""What an injector leaves in a LATENT so that the frames it gave can be encoded again, at another size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .bases import Base
from .conditions import FrameCondition, place
from .encoding import Encode
from .errors import PusaError
from .images import STRETCH, fit_images

INJECTIONS = "pusa_injections"
"""Key of a LATENT: its Injections, in the order in which they were made."""


@dataclass(frozen=True)
class Injection:
    """Frames that one injector gave, and how."""

    encode: Encode  # of the VAE
    make: Callable[[Encode], list[FrameCondition]]  # all that the injector does, from pictures to conditions
    conditions: tuple[FrameCondition, ...]  # what it made

    @classmethod
    def of(cls, encode: Encode, make: Callable[[Encode], list[FrameCondition]]) -> Injection:
        """Made once, at the size of the latent."""
        return cls(encode, make, tuple(make(encode)))

    def at(self, width: int, height: int) -> list[FrameCondition]:
        """The same from the pictures at width x height pixels: as they were fitted to the video, then made smaller."""
        return self.make(lambda pictures: self.encode(fit_images(pictures, width, height, STRETCH)))


def given_at(
    samples: Tensor,
    noise_multipliers: Tensor,
    injections: Sequence[Injection],
    size: tuple[int, int],
    base: Base,
) -> Tensor:
    """A latent [B, C, F, h, w] of this size with the given frames of `samples`, encoded from their pictures, and zeros elsewhere.

    samples: [B, C, F, H, W]; noise_multipliers: [F], below 1 where a frame is given; size: rows and columns. Refuses a given frame that no
    injection made, or that was changed since.
    """
    height, width = (length * base.spatial_stride for length in size)
    made = {condition.position: condition for one in injections for condition in one.conditions}
    given = torch.nonzero(noise_multipliers < 1).flatten().tolist()
    for position in given:
        if position not in made or not _is_there(made[position], samples):
            raise PusaError(
                f"Latent frame {position} is given, and its picture, which Pusa Progressive encodes at {width} x {height} too, is not "
                "known: another pack gave it, or the latent was changed after the injector. Connect latent_small of Pusa Progressive: "
                f"the same frames injected into an empty latent of {width} x {height}."
            )
    small = samples.new_zeros((*samples.shape[:3], *size))
    for injection in injections:
        if any(one.position in given for one in injection.conditions):
            kept = [one for one in injection.at(width, height) if one.position < samples.shape[2]]
            small, _ = place(small, None, kept, base)
    return small


def _is_there(condition: FrameCondition, samples: Tensor) -> bool:
    """Whether the latent still holds what the condition put there."""
    held = samples[:, :, condition.position]
    latent = condition.latent[:, :, 0].to(samples)
    return latent.shape[1:] == held.shape[1:] and torch.equal(latent.expand_as(held), held)
