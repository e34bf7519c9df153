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


def seam_jump(frames: Tensor, seam: int, base: Base = WAN) -> float:
    """The largest change in the steps of one latent frame up to a seam, over what is usual elsewhere.

    frames: [N, H, W, 3] as shown on both sides; seam: the first frame after it. 1 is a seam that nobody can find.
    """
    steps, stride = changes(frames), base.temporal_stride
    places = range(stride + 1, len(frames), stride)
    usual = [_largest(steps, place, stride) for place in places if abs(place - seam) > stride] or steps
    return _largest(steps, seam, stride) / max(statistics.median(usual), LEAST_ORDINARY)


def _largest(steps: list[float], frame: int, stride: int) -> float:
    return max(steps[max(0, frame - 1 - stride) : frame])


def lead_into(frames: Tensor, head: Tensor, base: Base = WAN) -> Tensor:
    """A window whose last own frames turn towards the window after it, as its shared frames do at its start (cross_fade).

    frames: [N, H, W, 3], the last M of which the window after shows in its own version, head: [M, H, W, 3]. What differs
    between the two versions of the first shared frame is added to the frames before it, the more the nearer.
    """
    first = len(frames) - len(head)
    faded = min(base.temporal_stride, first - 1)
    weights = torch.arange(1, faded + 1, device=frames.device) / (faded + 1)
    change = (head[0].to(frames) - frames[first]) * weights[:, None, None, None].to(frames)
    turned = (frames[first - faded : first] + change).clamp(0, 1)
    return torch.cat((frames[: first - faded], turned, frames[first:]))


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
