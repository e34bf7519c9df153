"""One picture of all the demo's videos, for a person to judge at a glance."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SCALE = 2  # enlargement of the small frames
COLUMNS = 9
GAP = 4
LABEL_WIDTH = 340
BACKGROUND, INK, FAINT, GIVEN = "#ffffff", "#202020", "#707070", "#f08000"


@dataclass(frozen=True)
class Row:
    """One clip on the sheet."""

    title: str
    notes: Sequence[str]
    frames: np.ndarray  # [length, height, width, 3], 0 to 255
    given: frozenset[int] = frozenset()  # pixel frames the model was given; they get an orange frame


def contact_sheet(rows: Sequence[Row], file: Path) -> None:
    """Writes the sheet: one row a clip, COLUMNS frames of it spread over its length."""
    sizes = [np.array(row.frames.shape[1:3]) * SCALE for row in rows]
    height = sum(size[0] + 2 * GAP for size in sizes) + 3 * GAP + 16
    width = LABEL_WIDTH + COLUMNS * (max(size[1] for size in sizes) + 2 * GAP) + GAP
    sheet = Image.new("RGB", (int(width), int(height)), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    top = 2 * GAP
    for row, (tall, wide) in zip(rows, sizes, strict=True):
        write_label(draw, row, top)
        for column, number in enumerate(spread(len(row.frames))):
            left = LABEL_WIDTH + column * (wide + 2 * GAP)
            frame = Image.fromarray(row.frames[number]).resize(
                (int(wide), int(tall)), Image.Resampling.NEAREST
            )
            if number in row.given:
                draw.rectangle(
                    (left - GAP, top - GAP, left + wide + GAP - 1, top + tall + GAP - 1), fill=GIVEN
                )
            sheet.paste(frame, (int(left), int(top)))
        top += tall + 2 * GAP
    draw.text((LABEL_WIDTH, top + GAP), "orange: the frames the model was given", fill=GIVEN, font=font(13))
    sheet.save(file)


def spread(length: int) -> list[int]:
    """COLUMNS frame numbers from the first to the last."""
    return [round(column * (length - 1) / (COLUMNS - 1)) for column in range(COLUMNS)]


def write_label(draw: ImageDraw.ImageDraw, row: Row, top: int) -> None:
    """Title and notes, left of a row."""
    draw.text((3 * GAP, top + 4), row.title, fill=INK, font=font(17))
    for line, note in enumerate(row.notes):
        draw.text((3 * GAP, top + 32 + 20 * line), note, fill=FAINT, font=font(13))


def font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Pillow's own typeface."""
    return ImageFont.load_default(size)
