"""Where two windows meet: how large the jump is, and colours brought together on one side or on both."""

from __future__ import annotations

import statistics
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ..bases import WAN, Base
from ..colour import (
    MONGE_KANTOROVICH,
    ColourStatistics,
    ColourTransfer,
    apply_transfer,
    colour_statistics,
    fit_transfer,
)

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


def cross_fade(given: Tensor, frames: Tensor, base: Base = WAN) -> Tensor:
    """The shared frames as shown: given ones, turning into the new window's version over the last latent frame.

    given: [M, H, W, 3]; frames: [N, H, W, 3], the new window, which begins with its version of them. Returns [M, H, W, 3]. The
    oldest frame always stays as given.
    """
    faded = min(base.temporal_stride, len(given) - 1)
    weights = given.new_zeros(len(given))
    weights[len(given) - faded :] = torch.arange(1, faded + 1) / (faded + 1)
    return torch.lerp(given, frames[: len(given)].to(given), weights[:, None, None, None])


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


def coarse(pictures: Tensor, base: Base) -> Tensor:
    """Means over the squares of latent cells, s pixels each side. pictures: [N, H, W, 3]. Returns [N, H/s, W/s, 3].

    Colours are compared in these: the VAE blurs a little, and the contrast that fine detail lost must not be taken from the
    rest, window after window.
    """
    return avg_pool2d(pictures.movedim(-1, 1).float(), base.spatial_stride).movedim(1, -1)


def window_statistics(frames: Tensor, base: Base = WAN, method: str = MONGE_KANTOROVICH) -> ColourStatistics:
    """The colours of a window as a whole, of the squares of latent cells. frames: [N, H, W, 3], 0 to 1."""
    return colour_statistics(coarse(frames, base), method)


def seam_transfer(
    made: Tensor, shown: Tensor, base: Base = WAN, method: str = MONGE_KANTOROVICH
) -> ColourTransfer:
    """The colour map that makes frames look as the same frames do in another window. made, shown: [M, H, W, 3]."""
    return fit_transfer(window_statistics(made, base, method), window_statistics(shown, base, method), method)


def match_sides(
    frames: Tensor,
    given: Tensor | None,
    head: Tensor | None,
    base: Base = WAN,
    method: str = MONGE_KANTOROVICH,
) -> Tensor:
    """A window in the colours of the frames it continues and of those it leads to.

    frames: [N, H, W, 3]; given: [M, H, W, 3], what its first frames should look like; head: what its last frames should look
    like. They show the same, so the change between them is the model's and the VAE's; it is undone in all N. With both, the one
    colour map turns into the other over the window.
    """
    sides = [
        apply_transfer(frames, seam_transfer(made, shown, base, method))
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
