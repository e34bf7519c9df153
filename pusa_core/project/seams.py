"""Where two windows meet: how large the jump is, and colours brought together on one side or on both."""

from __future__ import annotations

import statistics
from itertools import pairwise

import torch
from torch import Tensor

from ..bases import WAN, Base
from ..colour import (
    MONGE_KANTOROVICH,
    ColourStatistics,
    ColourTransfer,
    apply_transfer,
    colour_statistics,
    fit_transfer,
)
from ..long_video import coarse

LEAST_ORDINARY = 0.002
"""Mean change from frame to frame, 0 to 1, below which a picture stands still: jumps are not counted in smaller ones."""


def changes(frames: Tensor) -> list[float]:
    """Mean change of every frame to the next, 0 to 1. frames: [N, H, W, 3]. Returns N - 1 values."""
    return [float((later.float() - earlier.float()).abs().mean()) for earlier, later in pairwise(frames)]


def left_seam(frames: Tensor, given: int, base: Base = WAN) -> float:
    """The largest change across a window's start and its cross-fade, over what is usual at that distance elsewhere in it.

    frames: [N, H, W, 3] as shown, beginning with `given` frames of the window before.
    """
    steps = changes(frames)
    return _largest(steps, given, base) / _usual(steps, given, base)


def right_seam(frames: Tensor, head: Tensor, fresh: int, base: Base = WAN) -> float:
    """The largest change from a window's last own frames to the window after it, over what is usual elsewhere in it.

    frames: [N, H, W, 3], the last M of which the window after shows instead; head: [M, H, W, 3], what it shows there; fresh: first
    frame that the window made itself.
    """
    own = frames[: len(frames) - len(head)]
    steps = changes(own)
    across = float((head[0].float() - own[-1].float()).abs().mean())
    return _largest([*steps, across], len(steps) + 1, base) / _usual(steps, fresh, base)


def _largest(steps: list[float], frame: int, base: Base) -> float:
    """The largest of the changes of one latent frame's length up to a frame."""
    return max(steps[max(0, frame - 1 - base.temporal_stride) : frame])


def _usual(steps: list[float], fresh: int, base: Base) -> float:
    """The same at every place among the frames that the window made itself, the middle of these."""
    places = range(fresh + 1 + base.temporal_stride, len(steps) + 1, base.temporal_stride)
    found = [_largest(steps, place, base) for place in places] or steps
    return max(statistics.median(found), LEAST_ORDINARY)


def window_statistics(frames: Tensor, base: Base = WAN) -> ColourStatistics:
    """The colours of a window as a whole, of the squares of latent cells. frames: [N, H, W, 3], 0 to 1."""
    return colour_statistics(coarse(frames, base), MONGE_KANTOROVICH)


def seam_transfer(made: Tensor, shown: Tensor, base: Base = WAN) -> ColourTransfer:
    """The colour map that makes frames look as the same frames do in another window. made, shown: [M, H, W, 3]."""
    return fit_transfer(window_statistics(made, base), window_statistics(shown, base), MONGE_KANTOROVICH)


def match_sides(frames: Tensor, given: Tensor | None, head: Tensor | None, base: Base = WAN) -> Tensor:
    """A window in the colours of the frames it continues and of those it leads to.

    frames: [N, H, W, 3]; given: [M, H, W, 3], what its first frames should look like; head: what its last frames should look
    like. With both, the one colour map turns into the other over the window.
    """
    sides = [
        apply_transfer(frames, seam_transfer(made, shown, base))
        for made, shown in (
            (frames[: len(given)] if given is not None else frames, given),
            (frames[len(frames) - len(head) :] if head is not None else frames, head),
        )
        if shown is not None
    ]
    if len(sides) < 2:
        return sides[0] if sides else frames
    weights = torch.linspace(0, 1, len(frames), device=frames.device)[:, None, None, None]
    return torch.lerp(sides[0], sides[1], weights.to(sides[0]))
