"""What a clip of the moving-shapes world shows, by plain image measurement: no learned judge anywhere.

The background is estimated from the clip itself, the shape is what differs from it, and its colour, outline and path are read
off that mask. Colours are those of the palette in data.py, nearest first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import data

DIFFERENCE = 0.35  # in one colour channel, out of 2: more than this is not background
LEAST_AREA, MOST_AREA = 60, 900  # pixels of a sensible shape; the real ones have about 110 to 420
MOST_SPREAD = 1.6  # second moment relative to a disc of the same area; a triangle's is 1.21
WHOLE_SHARE = 0.9  # of the frames must show one compact shape
LEAST_TRAVEL = (
    4.0  # pixels over the clip, below which nothing moves; the slowest real clip of 17 frames has 8
)
FILL_OF_SQUARE, FILL_OF_CIRCLE = (
    0.88,
    0.645,
)  # least share of the bounding box that is covered; triangles have 0.5


@dataclass(frozen=True)
class Observation:
    """What the measuring program sees in one clip. None where no shape is seen."""

    background: str
    colour: str | None
    shape: str | None
    direction: str | None  # None also when it does not move
    speed: float  # pixels per frame along the direction
    is_whole: bool  # one compact shape in nearly every frame

    def matches(self, scene: data.Scene) -> dict[str, bool]:
        """Attribute by attribute, whether the clip shows what the caption asked for; `all` includes is_whole."""
        found = {
            "background": self.background == scene.background,
            "colour": self.colour == scene.colour,
            "shape": self.shape == scene.shape,
            "direction": self.direction == scene.direction,
            "whole": self.is_whole,
        }
        return found | {"all": all(found.values())}


def observe(video: Tensor) -> Observation:
    """video: [3, T, H, W] in [-1, 1], red green blue."""
    rows = (
        video.median(dim=3).values.median(dim=1).values
    )  # [3, H], as the shape covers less than half of any row
    difference = (video - rows[:, None, :, None]).abs().amax(0)  # [T, H, W]
    mask = difference > DIFFERENCE
    background = nearest(data.BACKGROUNDS, rows.mean(1))
    seen = mask.flatten(1).sum(1) >= LEAST_AREA  # [T]
    if not bool(seen.any()):
        return Observation(background, None, None, None, 0.0, False)
    masks = mask[seen].float()
    places = torch.stack([_centre(one) for one in masks])  # [seen, 2]
    areas = masks.flatten(1).sum(1)
    spreads = torch.stack([_spread(one) for one in masks])
    compact = (areas <= MOST_AREA) & (spreads < MOST_SPREAD)
    solid = difference > 0.8 * difference.flatten(1).amax(1)[:, None, None]  # leaves the blurred rim out
    colour = (video * solid).flatten(1).sum(1) / solid.sum().clamp(min=1)
    travel = places[-1] - places[0]
    axis = int(travel.abs().argmax())
    distance = float(travel[axis])
    direction = None
    if abs(distance) >= LEAST_TRAVEL:
        direction = (("right", "left"), ("down", "up"))[axis][distance < 0]
    frames = int(seen.nonzero()[-1] - seen.nonzero()[0])
    return Observation(
        background=background,
        colour=nearest(data.COLOURS, colour),
        shape=_shape(masks[compact]) if bool(compact.any()) else None,
        direction=direction,
        speed=abs(distance) / max(frames, 1),
        is_whole=float(compact.sum()) >= WHOLE_SHARE * len(video[0]),
    )


def nearest(palette: dict[str, tuple[float, float, float]], colour: Tensor) -> str:
    """Name of the palette's colour nearest to [3] in [-1, 1]."""
    distances = {
        name: float((torch.tensor(value) * 2 - 1 - colour).square().sum()) for name, value in palette.items()
    }
    return min(distances, key=distances.__getitem__)


def _centre(mask: Tensor) -> Tensor:
    """Centre of a mask [H, W], pixels (x, y)."""
    ys, xs = mask.nonzero(as_tuple=True)
    return torch.stack([xs.float().mean(), ys.float().mean()])


def _spread(mask: Tensor) -> Tensor:
    """Second moment of a mask [H, W], 1 for a disc: two separate shapes, or a long one, have more."""
    ys, xs = (place.float() for place in mask.nonzero(as_tuple=True))
    moment = xs.var(correction=0) + ys.var(correction=0)
    return moment / (len(xs) / (2 * torch.pi))


def _shape(masks: Tensor) -> str:
    """The shape whose share of its bounding box the masks [T, H, W] have, in the middle of the frames."""
    fills = []
    for mask in masks:
        ys, xs = mask.nonzero(as_tuple=True)
        box = (xs.max() - xs.min() + 1) * (ys.max() - ys.min() + 1)
        fills.append(len(xs) / float(box))
    fill = float(torch.tensor(fills).median())
    if fill >= FILL_OF_SQUARE:
        return "square"
    return "circle" if fill >= FILL_OF_CIRCLE else "triangle"


def jump(video: Tensor, frame: int) -> Tensor:
    """How much a pixel frame differs from the next, mean absolute difference. video: [B, 3, T, H, W]; returns [B]."""
    return (video[:, :, frame + 1] - video[:, :, frame]).abs().flatten(1).mean(1)
