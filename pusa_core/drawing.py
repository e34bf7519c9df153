"""What the pack's plots share: a canvas with text, axes and a way back to ComfyUI's pictures."""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

INK, PAPER, GRID, ACCENT, LINE = "#20242c", "#ffffff", "#d4d8de", "#c2185b", "#1f5fbf"
TEXT_SIZE = 15


class Canvas:
    """A white picture to draw on, in pixels from the top left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.picture = Image.new("RGB", (width, height), PAPER)
        self.draw = ImageDraw.Draw(self.picture)
        self.font = ImageFont.load_default(TEXT_SIZE)

    def text(self, x: float, y: float, words: str, anchor: str = "mm", fill: str = INK) -> None:
        """Words at a point; anchor as in Pillow: l, m or r, then t, m or b."""
        self.draw.text((x, y), words, fill=fill, font=self.font, anchor=anchor)

    def upright_text(self, x: float, y: float, words: str) -> None:
        """Words that read from bottom to top, centred on a point."""
        width = math.ceil(self.draw.textlength(words, font=self.font)) + 4
        strip = Image.new("RGB", (width, TEXT_SIZE + 8), PAPER)
        ImageDraw.Draw(strip).text(
            (width / 2, TEXT_SIZE / 2 + 4), words, fill=INK, font=self.font, anchor="mm"
        )
        strip = strip.rotate(90, expand=True)
        self.picture.paste(strip, (round(x - strip.width / 2), round(y - strip.height / 2)))

    def dashed_line(self, x: float, top: float, bottom: float, fill: str = ACCENT, width: int = 3) -> None:
        """A dashed vertical line."""
        for y in range(round(top), round(bottom), 14):
            self.draw.line((x, y, x, min(y + 8, bottom)), fill=fill, width=width)

    def image(self) -> Tensor:
        """The picture as ComfyUI's IMAGE: [1, height, width, 3], 0 to 1."""
        return torch.from_numpy(np.asarray(self.picture, dtype=np.float32) / 255.0)[None]


def ticks(largest: float, count: int = 6) -> list[float]:
    """Round values from 0 up to `largest`, about `count` of them, in steps of 1, 2 or 5 times a power of ten."""
    if not (math.isfinite(largest) and largest > 0):
        return [0.0]
    raw = largest / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    return [i * step for i in range(math.floor(largest / step * 1.001) + 1)]
