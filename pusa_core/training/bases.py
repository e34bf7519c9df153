"""The models that can be trained: their sizes, and what their clips must be like."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from .. import bases
from ..wan_dit import WanConfig


@dataclass(frozen=True)
class Base:
    """One text-to-video model family."""

    title: str
    sizes: WanConfig | None  # None: whatever the file has
    space: bases.Base = bases.WAN  # its latents, lengths and frame rate

    @property
    def rate(self) -> Fraction:
        """Frames per second of its videos."""
        return Fraction(self.space.fps)

    @property
    def spatial_stride(self) -> int:
        """Pixels of one latent cell, each way."""
        return self.space.spatial_stride

    @property
    def pixel_multiple(self) -> int:
        """Widths and heights are multiples of it."""
        return self.space.size_multiple


BASES = {
    "wan2.1-1.3b": Base("Wan2.1 1.3B", WanConfig(1536, 8960, 30)),
    "wan2.1-14b": Base("Wan2.1 14B", WanConfig(5120, 13824, 40)),
    "wan2.2-14b": Base("Wan2.2 A14B, one expert", WanConfig(5120, 13824, 40)),
    "wan2.2-5b": Base("Wan2.2 TI2V 5B", WanConfig(3072, 14336, 30, channels=48), bases.WAN22_5B),
    "any": Base("Wan of any size", None),
}
"""Name in the configuration -> model. "any" is for small models and tests."""
