"""Colour drift as a picture: Delta E over the frames, the windows marked."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .drawing import GRID, INK, LINE, Canvas, ticks

LEFT, TOP, RIGHT, BOTTOM, WIDTH, HEIGHT = 72, 52, 24, 60, 860, 380
VISIBLE = 2.0
"""CIEDE2000 that an untrained eye notices between two pictures."""


def plot_drift(differences: Tensor, starts: Sequence[int]) -> Tensor:
    """A line of CIEDE2000 against the frame number; a grey line stands where a window begins.

    differences: [N], >= 0; starts: first frame of each window. Returns an IMAGE [1, height, width, 3], 0 to 1.
    """
    values: list[float] = differences.tolist()
    top_value = max(*values, VISIBLE * 1.5) * 1.08
    canvas = Canvas(LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM)

    def x_of(frame: float) -> float:
        return LEFT + WIDTH * frame / max(1, len(values) - 1)

    def y_of(value: float) -> float:
        return TOP + HEIGHT * (1 - value / top_value)

    for value in ticks(top_value):
        canvas.draw.line((LEFT, y_of(value), LEFT + WIDTH, y_of(value)), fill=GRID)
        canvas.text(LEFT - 8, y_of(value), f"{value:g}", anchor="rm")
    for number, start in enumerate(starts, 1):
        canvas.draw.line((x_of(start), TOP, x_of(start), TOP + HEIGHT), fill="#9aa1ab", width=2)
        canvas.text(x_of(start) + 5, TOP + 10, str(number), anchor="lm", fill="#5b626d")
    for frame in ticks(len(values) - 1, 10):
        canvas.text(x_of(frame), TOP + HEIGHT + 14, f"{frame:g}")
    points = [(x_of(frame), y_of(value)) for frame, value in enumerate(values)]
    canvas.draw.line(points if len(points) > 1 else points * 2, fill=LINE, width=3)
    canvas.draw.rectangle((LEFT, TOP, LEFT + WIDTH, TOP + HEIGHT), outline=INK)
    canvas.text(LEFT + WIDTH / 2, TOP + HEIGHT + 40, "video frame (numbers at the top: windows)")
    canvas.upright_text(20, TOP + HEIGHT / 2, "Delta E (CIEDE2000)")
    canvas.text(
        LEFT,
        24,
        "Mean colour of each frame against the reference; about 2 is where an eye begins to notice",
        anchor="lm",
    )
    return canvas.image()
