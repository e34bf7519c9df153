"""The contact sheet of a sweep, and the video in which all tiles play side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..drawing import ACCENT, INK, TEXT_SIZE, Canvas
from .choice import Choice
from .grid import Tile
from .measures import Measures

SHOWN = 3
"""Frames of each tile on the sheet: the first, the middle, the last."""

THUMB = 144  # pixels: width of a frame on the sheet
GAP, LINE = 6, TEXT_SIZE + 6
NARROWEST_TILE, WIDEST_VIDEO = (
    320,
    1920,
)  # pixels, of a tile in the video, whose settings must fit, and of all


@dataclass(frozen=True)
class Sheet:
    """A picture of all tiles and where each one is."""

    image: Tensor  # [1, H, W, 3], 0 to 1
    places: list[
        tuple[float, float, float, float]
    ]  # left, top, width, height of each tile, as shares of the picture


def tile_text(tile: Tile) -> str:
    """The settings of a tile: "multiplier 0.2, alpha 1.4, 8 steps, seed 1"."""
    alpha = "" if tile.alpha is None else f", alpha {tile.alpha:g}"
    steps = "1 step" if tile.steps == 1 else f"{tile.steps} steps"
    return f"multiplier {tile.multiplier:g}{alpha}, {steps}, seed {tile.seed}"


def draw_sheet(
    rows: Sequence[Sequence[Tile]], videos: Sequence[Tensor], found: Sequence[Measures], choice: Choice
) -> Sheet:
    """rows: the grid; videos: [N, H, W, 3] bytes of each tile, row by row; found: what was measured of each."""
    frame_height = max(1, round(THUMB * videos[0].shape[1] / videos[0].shape[2]))
    width = SHOWN * THUMB + (SHOWN - 1) * GAP
    height = 2 * LINE + frame_height + GAP
    columns = len(rows[0])
    canvas = Canvas(columns * (width + 3 * GAP) + GAP, len(rows) * (height + 3 * GAP) + GAP)
    places = []
    for number, tile in enumerate(tile for row in rows for tile in row):
        left = 2 * GAP + number % columns * (width + 3 * GAP)
        top = 2 * GAP + number // columns * (height + 3 * GAP)
        best = number == choice.number
        if best:
            canvas.draw.rectangle(
                (left - GAP, top - GAP, left + width + GAP, top + height + GAP), outline=ACCENT, width=3
            )
        canvas.text(
            left,
            top + LINE / 2,
            tile_text(tile) + (" (best trade-off)" if best else ""),
            "lm",
            ACCENT if best else INK,
        )
        for place, frame in enumerate(_spread(videos[number])):
            thumb = Image.fromarray(frame.numpy()).resize((THUMB, frame_height), Image.Resampling.LANCZOS)
            canvas.picture.paste(thumb, (left + place * (THUMB + GAP), top + LINE))
        canvas.text(left, top + LINE + frame_height + LINE / 2, found[number].text, "lm")
        size = canvas.picture.size
        places.append((left / size[0], top / size[1], width / size[0], height / size[1]))
    return Sheet(canvas.image(), places)


def draw_video(rows: Sequence[Sequence[Tile]], videos: Sequence[Tensor], choice: Choice) -> Tensor:
    """[N, H, W, 3], 0 to 1: the tiles side by side with their settings above; sides are even, as video files need."""
    columns = len(rows[0])
    count, tall, wide, _ = videos[0].shape
    width = max(1, min(max(wide, NARROWEST_TILE), WIDEST_VIDEO // columns - GAP))
    height = max(1, round(tall * width / wide))
    size = columns * (width + GAP), len(rows) * (height + LINE + GAP)
    canvas = Canvas(size[0] // 2 * 2, size[1] // 2 * 2)
    corners = []
    for number, tile in enumerate(tile for row in rows for tile in row):
        left, top = number % columns * (width + GAP), number // columns * (height + LINE + GAP)
        canvas.text(
            left + 2, top + LINE / 2, tile_text(tile), "lm", ACCENT if number == choice.number else INK
        )
        corners.append((left, top + LINE))
    frames = np.empty((count, canvas.picture.height, canvas.picture.width, 3), np.float32)
    for frame in range(count):
        picture = canvas.picture.copy()
        for corner, video in zip(corners, videos, strict=True):
            tile_picture = Image.fromarray(video[frame].numpy())
            picture.paste(tile_picture.resize((width, height), Image.Resampling.LANCZOS), corner)
        frames[frame] = np.asarray(picture, dtype=np.float32) / 255.0
    return torch.from_numpy(frames)


def _spread(video: Tensor) -> list[Tensor]:
    """SHOWN frames from the first to the last."""
    return [video[round(place * (len(video) - 1) / (SHOWN - 1))] for place in range(SHOWN)]
