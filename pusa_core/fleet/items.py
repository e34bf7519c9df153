"""Items of a run: pictures of a folder with prompts of the same name, or rows of a CSV file of graph inputs."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import PusaError
from ..picture_files import PICTURES, natural_order, visible_files

NAME_COLUMN = "name"
UNFIT = re.compile(r'[<>:"/\\|?*\x00-\x1f]|^\.|[. ]$')  # what no file name on Windows may hold


@dataclass(frozen=True)
class Item:
    """One run of the graph."""

    name: str  # the results get it too
    folder: Path  # files that the values name are found from here
    values: Mapping[str, Any] = field(default_factory=dict)  # by what names the input, as the user wrote it
    picture: Path | None = None
    prompt: str | None = None


def folder_items(folder: Path) -> list[Item]:
    """The pictures of a folder in natural order (cat2 before cat10), each with its prompt and, from a .json, other inputs."""
    if not folder.is_dir():
        raise PusaError(f"There is no folder {folder}. Give --folder one with pictures and a .txt for each.")
    pictures = sorted(
        (path for path in visible_files(folder) if path.suffix.lower() in PICTURES),
        key=lambda path: natural_order(path.stem),
    )
    if not pictures:
        raise PusaError(f"The folder {folder} has no picture. Put in files ending in {', '.join(PICTURES)}.")
    items = [
        Item(path.stem, folder, _settings(path.with_suffix(".json")), path, _prompt(path))
        for path in pictures
    ]
    _require_own_names(items, "Rename one of the pictures and its prompt.")
    return items


def csv_items(file: Path) -> list[Item]:
    """The rows of a CSV file: column `name`, and a column for each input to set. An empty cell leaves the graph's own value."""
    rows = list(csv.reader(io.StringIO(_text(file, "--csv"), newline="")))
    columns = [column.strip() for column in rows[0]] if rows else []
    if NAME_COLUMN not in columns or len(columns) < 2:
        raise PusaError(
            f"{file.name} needs a first line with the columns {NAME_COLUMN} and the graph's inputs, such as: name,What to show.text,seed"
        )
    if twice := sorted({column for column in columns if columns.count(column) > 1}):
        raise PusaError(f"{file.name} has the column {twice[0]!r} twice. Rename or remove one.")
    items = []
    for number, cells in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(columns):
            raise PusaError(
                f"Line {number} of {file.name} has {len(cells)} cells for {len(columns)} columns. Put text with commas in quotes."
            )
        row = dict(zip(columns, cells, strict=False))
        name = row.pop(NAME_COLUMN, "").strip()
        if not name or UNFIT.search(name):
            raise PusaError(
                f"The item in line {number} of {file.name} is named {name!r}; its results get that name, so write letters, digits, - and _."
            )
        items.append(Item(name, file.parent, {key: value for key, value in row.items() if value != ""}))
    if not items:
        raise PusaError(f"{file.name} has no row below its columns. Write one for each item.")
    _require_own_names(items, "Rename one of the rows.")
    return items


def _require_own_names(items: list[Item], advice: str) -> None:
    seen: dict[str, str] = {}
    for item in items:
        if item.name.casefold() in seen:
            raise PusaError(
                f"Two items are named {item.name!r} (large and small letters are the same), so their results would be too. {advice}"
            )
        seen[item.name.casefold()] = item.name


def _prompt(picture: Path) -> str:
    file = picture.with_suffix(".txt")
    if not file.is_file():
        raise PusaError(
            f"{picture.name} has no prompt. Put a text file {file.name} beside it, or take the picture out."
        )
    if text := _text(file, "--folder").strip():
        return text
    raise PusaError(f"{file.name} is empty. Write the prompt of {picture.name} into it.")


def _settings(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        found = json.loads(_text(file, "--folder"))
    except ValueError as error:
        raise PusaError(
            f'{file.name} is not JSON ({error}). Write inputs of the graph, such as {{"seed": 7}}.'
        ) from error
    if not isinstance(found, dict):
        raise PusaError(f'{file.name} must hold inputs of the graph by name, such as {{"seed": 7}}.')
    return found


def _text(file: Path, option: str) -> str:
    try:
        return file.read_text("utf-8-sig")
    except FileNotFoundError:
        raise PusaError(f"There is no file {file}. Give {option} one that exists.") from None
    except UnicodeDecodeError:
        raise PusaError(
            f"{file.name} is not UTF-8 text. Save it as UTF-8 (in Windows' Notepad: Save as, Encoding)."
        ) from None
