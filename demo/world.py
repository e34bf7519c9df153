"""A richer world than data.py's straight lines: shapes that also bounce, circle, swing, spin and fade.

The zoo is trained on this world. A share of the scenes are data.py's own, with
the same captions, so what is measured there stays measurable. Same rules: a scene decides its pixels, a seed its scenes.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from . import data

STRAIGHT_SHARE = 0.5  # of the scenes move in a straight line
MOTIONS = ("bouncing", "circling", "swinging", "spinning", "fading")
TURNS = ("clockwise", "counterclockwise")

PERIODS = {"slowly": (25.0, 34.0), "quickly": (17.0, 24.0)}  # pixel frames of a whole turn, least and most
RESTING_SHARE = 0.4  # of the moving scenes come to rest after the last whole turn that a clip has room for
AMPLITUDE = (4.0, 8.0)  # pixels, of circles and swings
FAINTEST = 0.15  # opacity of a shape that has faded


@dataclass(frozen=True)
class Pose:
    """Where a shape is in each pixel frame."""

    x: Tensor  # [T], pixels
    y: Tensor
    angle: Tensor  # [T], radians, clockwise as seen
    opacity: Tensor  # [T], 0 to 1


@dataclass(frozen=True)
class MovingScene:
    """One shape on one background with one of MOTIONS."""

    shape: str
    colour: str
    background: str
    size: str
    speed: str
    motion: str
    turn: str  # of TURNS; only circling and spinning have one
    across: bool  # bouncing and swinging: sideways, or up and down
    radius: float  # pixels
    amplitude: float  # pixels
    phase: float  # of the motion in pixel frame 0, radians
    period: float  # pixel frames of a whole circle, bounce, swing, spin or fade
    rests: bool  # stands still once it is back, after one turn or two
    x: float  # pixels, centre of the motion
    y: float

    @property
    def caption(self) -> str:
        """All attributes in plain words, in one fixed order, in the style of data.py."""
        return f"a {self.size} {self.colour} {self.shape} {self.motion}{self._how()} {self.speed} on a {self.background} background"

    def _how(self) -> str:
        if self.motion in ("circling", "spinning"):
            return f" {self.turn}"
        if self.motion in ("bouncing", "swinging"):
            return " sideways" if self.across else " up"
        return " away"

    @property
    def is_held_out(self) -> bool:
        """True for about a tenth of all captions, by the same rule as data.py's."""
        return hashlib.sha256(self.caption.encode()).digest()[0] < 26

    @property
    def resting_frame(self) -> float:
        """Where a scene that rests does so, in pixel frames: after as many whole turns as a clip has room for, but after one at least."""
        return self.period * max(1, math.floor((data.LENGTH - 1) / self.period))

    def pose(self, length: int) -> Pose:
        """The shape's way through `length` pixel frames."""
        moved = torch.arange(length, dtype=torch.float32)
        if self.rests:
            moved = moved.clamp(max=self.resting_frame)
        turn = 2 * math.pi * moved / self.period + self.phase
        way = 1.0 if self.turn == "clockwise" else -1.0
        still, full = torch.zeros(length), torch.ones(length)
        dx = dy = angle = still
        opacity = full
        if self.motion == "circling":
            dx, dy = self.amplitude * turn.cos(), way * self.amplitude * turn.sin()
        elif self.motion == "swinging":
            dx = self.amplitude * turn.sin()
        elif self.motion == "bouncing":  # the constant speed of a ball between two walls: a triangle wave
            dx = self.amplitude * (2 / math.pi) * turn.sin().asin()
        elif self.motion == "spinning":
            angle = way * turn
        else:
            opacity = 1 - (1 - FAINTEST) * (0.5 - 0.5 * turn.cos())
        if self.motion in ("bouncing", "swinging") and not self.across:
            dx, dy = dy, dx
        return Pose(self.x + dx, self.y + dy, angle, opacity)


Scene = data.Scene | MovingScene


def random_scene(rng: random.Random) -> Scene:
    """A scene of either world; the shape stays inside the picture."""
    if rng.random() < STRAIGHT_SHARE:
        return data.random_scene(rng)

    def pick(options: Sequence[str]) -> str:
        return options[int(rng.random() * len(options))]

    def between(least: float, most: float) -> float:
        return least + (most - least) * rng.random()

    size, motion, speed = pick(list(data.SIZES)), pick(MOTIONS), pick(list(data.SPEEDS))
    # a turning circle looks like one that stands still
    shape = pick(data.SHAPES[1:] if motion == "spinning" else data.SHAPES)
    radius, amplitude = between(*data.SIZES[size]), between(*AMPLITUDE)
    margin = radius * 1.25 + 1 + (amplitude if motion not in ("spinning", "fading") else 0)
    return MovingScene(
        shape=shape,
        colour=pick(list(data.COLOURS)),
        background=pick(list(data.BACKGROUNDS)),
        size=size,
        speed=speed,
        motion=motion,
        turn=pick(TURNS),
        across=rng.random() < 0.5,
        radius=radius,
        amplitude=amplitude,
        phase=2 * math.pi * rng.random(),
        period=between(*PERIODS[speed]),
        rests=rng.random() < RESTING_SHARE,
        x=between(margin, data.SIZE - margin),
        y=between(margin, data.SIZE - margin),
    )


def scenes(seed: int, held_out: bool) -> Iterator[Scene]:
    """Endless scenes of one seed: only captions that training sees, or only those it never sees."""
    rng = random.Random(seed)
    while True:
        scene = random_scene(rng)
        if scene.is_held_out == held_out:
            yield scene


def moving_scenes(seed: int, held_out: bool) -> Iterator[MovingScene]:
    """The same without those that move in a straight line."""
    return (scene for scene in scenes(seed, held_out) if isinstance(scene, MovingScene))


def render(scenes: Sequence[Scene], length: int = data.LENGTH) -> Tensor:
    """Anti-aliased clips of the scenes, [B, 3, length, SIZE, SIZE], in [-1, 1]; data.py's scenes look as they do there."""
    return torch.cat(
        [
            data.render([scene], length) if isinstance(scene, data.Scene) else _render(scene, length)
            for scene in scenes
        ]
    )


def _render(scene: MovingScene, length: int) -> Tensor:
    pose = scene.pose(length)
    pixels = torch.arange(data.SIZE) + 0.5
    dx = pixels[None, None, :] - pose.x[:, None, None]
    dy = pixels[None, :, None] - pose.y[:, None, None]
    cos, sin = pose.angle.cos()[:, None, None], pose.angle.sin()[:, None, None]
    turned_x, turned_y = cos * dx + sin * dy, cos * dy - sin * dx
    coverage = (0.5 - data.signed_distance(scene.shape, turned_x, turned_y, scene.radius)).clamp(0, 1)
    return data.composed(scene, coverage * pose.opacity[:, None, None])
