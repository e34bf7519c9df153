"""EasyCache and LazyCache beside condition frames: their measure of change is taken of the frames that move.

Both skip a model call while the latent has changed by less than a threshold since the last one, averaged over all
frames. Frames that are held never change, so with many of them a cache would skip too much and the free frames would pay.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

CACHE = "easycache"
"""Where both leave their state of a run in transformer_options (comfy_extras/nodes_easycache.py)."""


class OfMovingFrames:
    """Stands in for a cache's `subsample`: what it compares from step to step, of the freest frames only."""

    def __init__(self, cache: Any, frames: list[int], latent_frames: int):
        self.cache = cache
        self.frames = frames
        self.latent_frames = latent_frames

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """x: [B, C, F, H, W]; a context window, which has other frames, is measured whole."""
        if x.ndim == 5 and x.shape[2] == self.latent_frames:
            x = x[:, :, self.frames]
        return type(self.cache).subsample(self.cache, x, *args, **kwargs)


def measure_moving_frames(options: dict[str, Any], noise_multipliers: Tensor) -> None:
    """Let the cache of a run, if there is one, look at the frames with the largest multiplier.

    options: the transformer_options of the run, whose cache is a copy made for it; noise_multipliers: [F].
    """
    cache = options.get(CACHE)
    if hasattr(cache, "subsample") and not isinstance(cache.subsample, OfMovingFrames):
        free = (noise_multipliers == noise_multipliers.max()).nonzero().flatten().tolist()
        cache.subsample = OfMovingFrames(cache, free, len(noise_multipliers))
