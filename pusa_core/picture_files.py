"""Which files of a folder are its pictures, and in which order people read them. Imports no torch: a fleet's command starts at once."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def visible_files(folder: Path) -> list[Path]:
    """The files of a folder, without hidden ones such as the ._ files of macOS beside every picture on a foreign disk."""
    return [path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file()]


def natural_order(name: str) -> list[tuple[str, int]]:
    """A key that sorts cat2 before cat10, in any script's digits."""
    parts = re.split(r"(\d+)", as_read(name))  # words and digits in turn
    words, digits = parts[0::2], [*map(int, parts[1::2]), -1]
    return list(zip(words, digits, strict=True))


def as_read(name: str) -> str:
    """A name as people read it: neither the size of letters nor how accents are stored counts."""
    return unicodedata.normalize("NFC", name).casefold()
