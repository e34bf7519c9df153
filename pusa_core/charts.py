"""Line charts for logs and reports, drawn with Pillow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from .drawing import GRID, INK, Canvas

SERIES_COLOURS = ("#1f5fbf", "#c2185b", "#2e8b57", "#d97706", "#6b4fbb", "#555b66")
LEFT, RIGHT, TOP, BOTTOM = 74, 24, 46, 62  # margins in pixels
TICKS = 5


@dataclass(frozen=True)
class Series:
    """One line of a chart."""

    name: str
    points: Sequence[tuple[float, float]]  # (x, y), x rising
    half_widths: Sequence[float] = ()  # of a confidence interval around each y; none draws no bars


def line_chart(
    title: str,
    x_label: str,
    y_label: str,
    series: Sequence[Series],
    width: int = 620,
    height: int = 380,
    log_y: bool = False,
) -> Image.Image:
    """A chart of one or more lines with their legend. log_y: the vertical axis counts in powers of ten."""

    def scaled(value: float) -> float:
        return math.log10(max(value, 1e-9)) if log_y else value

    canvas = Canvas(width, height)
    xs = [x for line in series for x, _ in line.points]
    ys = [scaled(y + side * half) for line in series for (_, y), half, side in _bars(line)]
    x_least, x_most = min(xs), max(xs)
    margin = 0.06 * (max(ys) - min(ys) or 1.0)
    y_least, y_most = min(ys) - margin, max(ys) + margin

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_least) / (x_most - x_least or 1.0)
        up = (scaled(y) - y_least) / (y_most - y_least)
        return LEFT + across * (width - LEFT - RIGHT), height - BOTTOM - up * (height - TOP - BOTTOM)

    canvas.text(width / 2, 18, title)
    canvas.text((LEFT + width - RIGHT) / 2, height - 38, x_label)
    canvas.upright_text(14, (TOP + height - BOTTOM) / 2, y_label)
    for tick in range(TICKS + 1):
        level = y_least + (y_most - y_least) * tick / TICKS
        y = height - BOTTOM - tick / TICKS * (height - TOP - BOTTOM)
        canvas.draw.line((LEFT, y, width - RIGHT, y), fill=GRID)
        canvas.text(LEFT - 6, y, _number(10**level if log_y else level), anchor="rm")
    for x in (
        sorted(set(xs))
        if len(set(xs)) <= 8
        else [x_least + (x_most - x_least) * i / TICKS for i in range(TICKS + 1)]
    ):
        canvas.text(place(x, 10**y_least if log_y else y_least)[0], height - BOTTOM + 10, _number(x))
    for number, line in enumerate(series):
        colour = SERIES_COLOURS[number % len(SERIES_COLOURS)]
        dots = [place(x, y) for x, y in line.points]
        canvas.draw.line(dots, fill=colour, width=2)
        if line.half_widths:
            for (x, y), half in zip(line.points, line.half_widths, strict=True):
                low, high = place(x, y - half), place(x, y + half)
                canvas.draw.line((*low, *high), fill=colour, width=1)
            for x, y in dots:
                canvas.draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)
        left = LEFT + number * (width - LEFT - RIGHT) / len(series)
        canvas.draw.line((left, height - 16, left + 18, height - 16), fill=colour, width=3)
        canvas.text(left + 24, height - 16, line.name, anchor="lm", fill=INK)
    return canvas.picture


def _bars(line: Series) -> list[tuple[tuple[float, float], float, int]]:
    halves = line.half_widths or [0.0] * len(line.points)
    return [(point, half, side) for point, half in zip(line.points, halves, strict=True) for side in (-1, 1)]


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def beside(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one height side by side."""
    sheet = Image.new("RGB", (sum(p.width for p in pictures), max(p.height for p in pictures)), "white")
    x = 0
    for picture in pictures:
        sheet.paste(picture, (x, 0))
        x += picture.width
    return sheet
