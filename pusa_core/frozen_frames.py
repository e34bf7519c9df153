"""Frozen-frame cache: how often given frames are computed again, and what that saves.

A frame with multiplier 0 keeps its latent and its timestep through all steps; only what it hears from the free frames
changes. In between, the free frames attend to the keys and values it had, and its own tokens are not computed.
"""

from __future__ import annotations

from collections.abc import Sequence


def split_frames(noise_multipliers: Sequence[float], up_to: float) -> tuple[list[int], list[int]]:
    """(frozen, free) latent frames: frozen are those with a multiplier of at most `up_to`."""
    frozen = [frame for frame, multiplier in enumerate(noise_multipliers) if multiplier <= up_to]
    free = [frame for frame, multiplier in enumerate(noise_multipliers) if multiplier > up_to]
    return frozen, free


def is_refresh(step: int, every: int) -> bool:
    """Whether step (0 the first in the cache's range) computes all frames: the first and every `every`-th after it."""
    return step % every == 0


def share_of_operations(
    frames: int, frozen: int, tokens: int, width: int, hidden: int, every: int, text_tokens: int = 512
) -> float:
    """Multiplications of a run with the cache over those of one without, in (0, 1].

    frames, frozen: latent frames, and how many of them are held; tokens: of one latent frame; width, hidden: of the DiT
    and of its feed-forward; every: steps from refresh to refresh. Counted for each token of a block: 4 width^2 of
    self-attention's layers, 2 width^2 of cross-attention's (those of the text are few), 2 width hidden of the
    feed-forward, 2 width for each token or word attended to.
    """

    def block(queries: int, keys: int) -> int:
        linear = 6 * width**2 + 2 * width * hidden
        return queries * tokens * (linear + 2 * width * (keys * tokens + text_tokens))

    full, reuse = block(frames, frames), block(frames - frozen, frames)
    return (full + (every - 1) * reuse) / (every * full)


def cache_bytes(
    frozen: int, tokens: int, width: int, layers: int, batch: int = 1, bytes_each: int = 2
) -> int:
    """Bytes of the kept keys and values; batch counts prompts (2 with cfg above 1)."""
    return 2 * frozen * tokens * width * layers * batch * bytes_each
