"""Folders of pictures with prompts beside them: what is in one, what is still to do, and the report on what was done."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from .errors import PusaError
from .frames import NoiseMultiplier

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
REPORT = "report.csv"


@dataclass(frozen=True)
class ItemSettings:
    """What a .json beside a picture can set; the node's widgets give the rest."""

    negative: str = ""
    noise_multipliers: str = "0.2"  # as typed
    seed: int = 0
    length: int = 81  # pixel frames
    steps: int = 30
    cfg: float = 3.0


LOWEST = {"seed": 0, "length": 1, "steps": 1, "cfg": 0.0}


@dataclass(frozen=True)
class FolderItem:
    """One picture with its prompt."""

    name: str  # the files' common name, without extension; the result gets it too
    picture: Path
    prompt: str
    settings: ItemSettings
    output_folder: str  # in ComfyUI's output folder

    def result(self, output: Path) -> Path:
        """The video that makes this item count as finished; output: ComfyUI's output folder."""
        return folder_inside(output, self.output_folder, "output_folder") / f"{self.name}.mp4"


def folder_inside(base: Path, relative: str, name: str) -> Path:
    """The folder `relative` in `base`; never one outside, also not through a symbolic link.

    name: what the user knows the input as.
    """
    root = Path(os.path.realpath(base))
    folder = Path(os.path.realpath(root / relative))
    if folder != root and root not in folder.parents:
        raise PusaError(
            f"{name} is {relative!r}, which lies outside ComfyUI's {root.name} folder. Write a folder inside it, such as pusa/cats."
        )
    return folder


def read_folder(base: Path, folder: str, output_folder: str, defaults: ItemSettings) -> list[FolderItem]:
    """The items of a folder in natural order (cat2 before cat10); refuses the whole folder if one item is not complete.

    base: ComfyUI's input folder; folder, output_folder: inside the input and the output folder.
    """
    place = folder_inside(base, folder, "folder")
    if not place.is_dir():
        there = (
            sorted(path.name for path in Path(base).iterdir() if path.is_dir()) if Path(base).is_dir() else []
        )
        raise PusaError(
            f"There is no folder {folder!r} in ComfyUI's input folder. "
            + (f"It has: {', '.join(there)}." if there else "Make it, and put pictures and prompts into it.")
        )
    pictures = sorted(
        (path for path in place.iterdir() if path.suffix.lower() in PICTURES and path.is_file()),
        key=lambda path: [
            int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.stem.casefold())
        ],
    )
    if not pictures:
        raise PusaError(
            f"The folder {folder!r} has no picture. Put in files ending in {', '.join(PICTURES)}."
        )
    seen: dict[str, Path] = {}
    for picture in pictures:
        if other := seen.get(picture.stem.casefold()):
            raise PusaError(
                f"{other.name} and {picture.name} have the same name, so their videos would too. Rename one of them and its prompt."
            )
        seen[picture.stem.casefold()] = picture
    missing = [picture for picture in pictures if not picture.with_suffix(".txt").is_file()]
    if missing:
        others = f" (and {len(missing) - 1} more pictures)" if len(missing) > 1 else ""
        raise PusaError(
            f"{missing[0].name}{others} has no prompt. Put a text file {missing[0].stem}.txt beside it, or take the picture out."
        )
    return [
        FolderItem(picture.stem, picture, _prompt(picture), _settings(picture, defaults), output_folder)
        for picture in pictures
    ]


def pending(items: Sequence[FolderItem], output: Path) -> list[FolderItem]:
    """The items that have no result yet; output: ComfyUI's output folder."""
    return [item for item in items if not item.result(output).is_file()]


def load_picture(path: Path) -> Tensor:
    """A picture upright, [1, H, W, 3], 0 to 1; an alpha channel is dropped."""
    try:
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise PusaError(
            f"{path.name} cannot be read as a picture ({error}). Save it anew, or take it out."
        ) from error
    return torch.from_numpy(np.asarray(upright, dtype=np.float32) / 255.0)[None]


def report_row(item: FolderItem, frames: int, duration: float) -> dict[str, str]:
    """What the report says about a finished item. frames: of its video; duration: of its video, in seconds."""
    return {
        "name": item.name,
        "picture": item.picture.name,
        "prompt": item.prompt,
        **{key: str(value) for key, value in asdict(item.settings).items()},
        "video": f"{item.name}.mp4",
        "frames": str(frames),
        "seconds": f"{duration:.3f}",
        "finished": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC"),
    }


def add_to_report(report: Path, row: Mapping[str, str]) -> None:
    """Add a row to a CSV file, in place of an earlier one of the same name; other people's columns are kept."""
    rows: list[dict[str, str]] = []
    if report.is_file():
        with report.open(encoding="utf-8-sig", newline="") as existing:
            rows = [
                dict(earlier) for earlier in csv.DictReader(existing) if earlier.get("name") != row["name"]
            ]
    columns = list(dict.fromkeys([*row, *(key for earlier in rows for key in earlier if key)]))
    unfinished = report.with_name(report.name + ".unfinished")
    # the mark at the beginning lets spreadsheet programs see that it is UTF-8
    with unfinished.open("w", encoding="utf-8-sig", newline="") as written:
        table = csv.DictWriter(written, columns, extrasaction="ignore")
        table.writeheader()
        table.writerows([*rows, row])
    os.replace(unfinished, report)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise PusaError(
            f"{path.name} is not UTF-8 text. Save it as UTF-8 (in Windows' Notepad: Save as, Encoding)."
        ) from None


def _prompt(picture: Path) -> str:
    path = picture.with_suffix(".txt")
    prompt = _text(path).strip()
    if not prompt:
        raise PusaError(f"{path.name} is empty. Write the prompt for {picture.name} into it.")
    return prompt


def _settings(picture: Path, defaults: ItemSettings) -> ItemSettings:
    path = picture.with_suffix(".json")
    if not path.is_file():
        return defaults
    try:
        given = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise PusaError(f"{path.name} is not JSON: {error.msg} in line {error.lineno}.") from None
    known = asdict(defaults)
    if not isinstance(given, dict) or not set(given) <= set(known):
        unknown = (
            ", ".join(sorted(set(given) - set(known))) if isinstance(given, dict) else type(given).__name__
        )
        raise PusaError(f'{path.name} has {unknown}; it can set {", ".join(known)}, such as {{"seed": 7}}.')
    checked: dict[str, Any] = {key: _checked(path, key, value, known[key]) for key, value in given.items()}
    return replace(defaults, **checked)


def _checked(path: Path, key: str, value: Any, default: Any) -> Any:
    """A setting of the type its default has."""
    if key == "noise_multipliers" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(NoiseMultiplier(value))
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    fits = {
        str: isinstance(value, str),
        int: isinstance(value, int) and number,
        float: number,
    }[type(default)]
    if not fits:
        kind = {str: "text", int: "a whole number", float: "a number"}[type(default)]
        raise PusaError(f"{key} in {path.name} is {value!r}; it must be {kind}.")
    if key in LOWEST and isinstance(value, (int, float)) and not value >= LOWEST[key]:
        raise PusaError(f"{key} in {path.name} is {value}; use {LOWEST[key]} or more.")
    return type(default)(value)
