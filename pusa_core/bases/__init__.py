"""The bases that this pack knows, one file each, and how a latent tells which one it belongs to: by its channels."""

from __future__ import annotations

from ..errors import PusaError
from .base import FLOW, LINEAR_QUADRATIC, SCHEDULES, Base
from .ltxv import LTXV
from .mochi import MOCHI
from .wan import WAN
from .wan22_5b import WAN22_5B

BASES: tuple[Base, ...] = (WAN, WAN22_5B, MOCHI, LTXV)

__all__ = [
    "BASES",
    "FLOW",
    "LINEAR_QUADRATIC",
    "LTXV",
    "MOCHI",
    "SCHEDULES",
    "WAN",
    "WAN22_5B",
    "Base",
    "base_of_channels",
    "known_bases",
]


def base_of_channels(channels: int) -> Base:
    """The base whose latents have this number of channels."""
    for base in BASES:
        if base.channels == channels:
            return base
    raise PusaError(f"A latent of {channels} channels belongs to no model that Pusa knows. {known_bases()}")


def known_bases() -> str:
    """The bases in a sentence, each with its channels and its VAE."""
    listed = "; ".join(f"{base.title} ({base.channels} channels, {base.vae_file})" for base in BASES)
    return f"Known are: {listed}."
