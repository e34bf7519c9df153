"""Moving shapes: small captioned clips, drawn from a seed alone.

A clip is decided by its Scene; the same scene gives the same pixels on every machine, and a seed always gives the
same scenes (only `random.Random.random` is used, whose values Python guarantees across versions). Given the first frame
and the caption, the continuation is fully determined, so image-to-video has a true answer to compare with.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .nodes.words import text_embedding as text_embedding

if TYPE_CHECKING:
    from .world import MovingScene

SIZE = 64  # pixels, width and height
LENGTH = 33  # pixel frames: 9 latent frames
FRAMES_PER_SECOND = 16
TRAVEL_FRAMES = 32  # a shape stays inside the picture for this many frames

SHAPES = ("circle", "square", "triangle")
COLOURS = {
    "red": (0.90, 0.15, 0.15),
    "green": (0.15, 0.75, 0.20),
    "blue": (0.20, 0.35, 0.95),
    "yellow": (0.95, 0.85, 0.15),
    "white": (0.95, 0.95, 0.95),
}
BACKGROUNDS = {"dark": (0.10, 0.10, 0.14), "gray": (0.45, 0.45, 0.47), "teal": (0.05, 0.33, 0.36)}
DIRECTIONS = {"right": (1, 0), "left": (-1, 0), "up": (0, -1), "down": (0, 1)}  # y grows downwards
SPEEDS = {"slowly": 0.5, "quickly": 1.0}  # pixels per frame
SIZES = {"small": (7.0, 8.5), "large": (10.0, 11.5)}  # radius in pixels, least and most
GRADIENT = 0.25  # a background is this much brighter at the bottom than at the top

# Clips of these seeds are never trained on; the measuring programs use them and no others.
TRAINING_SEED = 1
HELD_OUT_SEED = 1_000_001


@dataclass(frozen=True)
class Scene:
    """One shape on one background, moving at constant speed."""

    shape: str
    colour: str
    background: str
    direction: str
    speed: str
    size: str
    radius: float  # pixels
    x: float  # pixels, centre in pixel frame 0
    y: float  # pixels, centre in pixel frame 0; grows downwards

    @property
    def caption(self) -> str:
        """All attributes in plain words, in one fixed order."""
        return (
            f"a {self.size} {self.colour} {self.shape} moving {self.direction} {self.speed} "
            f"on a {self.background} background"
        )

    @property
    def step(self) -> tuple[float, float]:
        """Movement per pixel frame, pixels (x, y)."""
        speed = SPEEDS[self.speed]
        across, down = DIRECTIONS[self.direction]
        return across * speed, down * speed

    @property
    def is_held_out(self) -> bool:
        """True for about a tenth of all captions: no training clip carries one of these."""
        return hashlib.sha256(self.caption.encode()).digest()[0] < 26


def random_scene(rng: random.Random) -> Scene:
    """A scene whose shape stays inside the picture for TRAVEL_FRAMES frames."""

    def pick(options: Sequence[str]) -> str:
        return options[int(rng.random() * len(options))]

    def between(least: float, most: float) -> float:
        return least + (most - least) * rng.random()

    size = pick(list(SIZES))
    scene = Scene(
        shape=pick(SHAPES),
        colour=pick(list(COLOURS)),
        background=pick(list(BACKGROUNDS)),
        direction=pick(list(DIRECTIONS)),
        speed=pick(list(SPEEDS)),
        size=size,
        radius=between(*SIZES[size]),
        x=0.0,
        y=0.0,
    )
    margin = scene.radius + 1
    starts = []
    for step in scene.step:
        travel = step * TRAVEL_FRAMES
        starts.append(between(margin - min(travel, 0), SIZE - margin - max(travel, 0)))
    return replace(scene, x=starts[0], y=starts[1])


def scenes(seed: int, held_out: bool) -> Iterator[Scene]:
    """Endless scenes of one seed: only captions that training sees, or only those it never sees."""
    rng = random.Random(seed)
    while True:
        scene = random_scene(rng)
        if scene.is_held_out == held_out:
            yield scene


def render(scenes: Sequence[Scene], length: int = LENGTH) -> Tensor:
    """Anti-aliased clips of the scenes.

    length: pixel frames. Returns [B, 3, length, SIZE, SIZE], in [-1, 1], red green blue.
    """
    frames = torch.arange(length)
    pixels = torch.arange(SIZE) + 0.5
    clips = []
    for scene in scenes:
        across, down = scene.step
        dx = pixels[None, None, :] - (scene.x + across * frames)[:, None, None]  # [length, 1, SIZE]
        dy = pixels[None, :, None] - (scene.y + down * frames)[:, None, None]  # [length, SIZE, 1]
        coverage = (0.5 - signed_distance(scene.shape, dx, dy, scene.radius)).clamp(0, 1)
        clips.append(composed(scene, coverage))
    return torch.cat(clips)


def composed(scene: Scene | MovingScene, coverage: Tensor) -> Tensor:
    """A shape of the scene's colour on its background.

    coverage: [length, SIZE, SIZE], 0 to 1. Returns [1, 3, length, SIZE, SIZE], in [-1, 1].
    """
    shade = 1 + GRADIENT * ((torch.arange(SIZE) + 0.5) / SIZE - 0.5)[:, None]  # [SIZE, 1]
    background = torch.tensor(BACKGROUNDS[scene.background])[:, None, None, None] * shade
    colour = torch.tensor(COLOURS[scene.colour])[:, None, None, None]
    return torch.lerp(background.expand(3, *coverage.shape), colour, coverage)[None] * 2 - 1


def signed_distance(shape: str, dx: Tensor, dy: Tensor, radius: float) -> Tensor:
    """Signed distance in pixels from the outline (negative inside), shapes of about equal area."""
    if shape == "circle":
        return (dx.square() + dy.square()).sqrt() - radius
    if shape == "square":
        return torch.maximum(dx.abs(), dy.abs()) - 0.88 * radius
    lowered = dy + 0.15 * radius
    slope = (math.sqrt(3) * dx.abs() - (lowered + 1.15 * radius)) / 2
    return torch.maximum(lowered - 0.85 * radius, slope)
