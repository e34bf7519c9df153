"""The models that can be trained: their sizes, and what their clips must be like."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ..wan_dit import WanConfig


@dataclass(frozen=True)
class Base:
    """One text-to-video model family."""

    title: str
    sizes: WanConfig | None  # None: whatever the file has
    rate: Fraction  # frames per second of its videos
    spatial_stride: int  # pixels a latent position, each way
    pixel_multiple: int  # widths and heights are multiples of it


BASES = {
    "wan2.1-1.3b": Base("Wan2.1 1.3B", WanConfig(1536, 8960, 30), Fraction(16), 8, 16),
    "wan2.1-14b": Base("Wan2.1 14B", WanConfig(5120, 13824, 40), Fraction(16), 8, 16),
    "wan2.2-14b": Base("Wan2.2 A14B, one expert", WanConfig(5120, 13824, 40), Fraction(16), 8, 16),
    "wan2.2-5b": Base("Wan2.2 TI2V 5B", WanConfig(3072, 14336, 30, channels=48), Fraction(24), 16, 32),
    "any": Base("Wan of any size", None, Fraction(16), 8, 16),
}
"""Name in the configuration -> model. "any" is for small models and tests."""
