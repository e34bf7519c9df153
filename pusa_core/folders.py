"""Folders of pictures with prompts beside them: what is in one, what is still to do, and the report on what was done."""

from __future__ import annotations

import csv
import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from .digest import digest
from .errors import PusaError
from .frames import NoiseMultiplier, parse_multipliers
from .picture_files import PICTURES, as_read, natural_order, visible_files

REPORT = "report.csv"
MOST_FAILURES = 2


@dataclass(frozen=True)
class ItemSettings:
    """What a .json beside a picture can set; the node's widgets give the rest."""

    negative: str = ""
    noise_multipliers: str = "0.2"  # as typed
    seed: int = 0
    length: int = 81  # pixel frames
    steps: int = 30
    cfg: float = 3.0


LIMITS: dict[str, tuple[float, float]] = {
    "seed": (0, 2**64 - 1),
    "length": (1, 10001),
    "steps": (1, 1000),
    "cfg": (0.0, 100.0),
}
"""What the widgets of these names take."""

NAME_BYTES = 255
"""Length of a file's name on the common file systems: bytes of UTF-8, on Windows and macOS characters of UTF-16."""
WINDOWS_SIGNS = re.compile(r'[<>:"|?*\x00-\x1f]')
WINDOWS_DEVICES = re.compile(
    r"(?:CON|PRN|AUX|NUL|COM[0-9\u00b9\u00b2\u00b3]|LPT[0-9\u00b9\u00b2\u00b3])", re.IGNORECASE
)
"""Names that Windows keeps for devices, also with an extension behind them."""


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
    if "\0" in relative:
        raise PusaError(f"{name} is {relative!r}, which no folder can be called. Write a folder's name.")
    root = Path(os.path.realpath(base))
    folder = Path(os.path.realpath(root / relative))
    if folder != root and root not in folder.parents:
        raise PusaError(
            f"{name} is {relative!r}, which lies outside ComfyUI's {root.name} folder. Write a folder inside it, such as pusa/cats."
        )
    return folder


def check_names(path: str, name: str, windows: bool = os.name == "nt") -> None:
    """Refuse names that cannot be written, here or on the user's Windows; path: a file's name or a folder with / between.

    name: what the user knows the path as.
    """
    for part in re.split(r"[\\/]", path) if windows else path.split("/"):
        try:
            length = len(part.encode("utf-8"))
        except UnicodeEncodeError:
            raise PusaError(f"{name} {part!r} is no text: its bytes are not UTF-8. Rename it.") from None
        if windows:
            length = len(part.encode("utf-16-le")) // 2
        if length > NAME_BYTES:
            raise PusaError(
                f"{name} {_brief(part)!r} is {length} {'characters' if windows else 'bytes'} long; file systems take {NAME_BYTES}. Use a shorter name."
            )
        if not windows or part in ("", ".", ".."):
            continue
        if sign := WINDOWS_SIGNS.search(part):
            raise PusaError(
                f"{name} {part!r} has the sign {sign[0]!r}, which Windows does not allow in names."
            )
        if WINDOWS_DEVICES.fullmatch(part.split(".")[0].rstrip(" ")):
            raise PusaError(
                f"{name} {part!r} is the name of a device on Windows. Use another, such as my_{part}."
            )
        if part[-1] in ". ":
            raise PusaError(
                f"{name} {part!r} ends in a dot or a space, which Windows leaves out. Take it away."
            )


def read_folder(base: Path, folder: str, output_folder: str, defaults: ItemSettings) -> list[FolderItem]:
    """The items of a folder in natural order (cat2 before cat10); refuses the whole folder if one item is not complete.

    base: ComfyUI's input folder; folder, output_folder: inside the input and the output folder. Names are compared as people
    read them: letters of either size, accents written as one sign or two.
    """
    check_names(output_folder, "The output folder")
    defaults = checked_settings(defaults, "the node")
    place = folder_inside(base, folder, "folder")
    if not place.is_dir():
        there = (
            sorted(path.name for path in Path(base).iterdir() if path.is_dir()) if Path(base).is_dir() else []
        )
        raise PusaError(
            f"There is no folder {folder!r} in ComfyUI's input folder. "
            + (f"It has: {', '.join(there)}." if there else "Make it, and put pictures and prompts into it.")
        )
    files = visible_files(place)
    beside = {(as_read(path.stem), path.suffix.lower()): path for path in files}
    pictures = sorted(
        (path for path in files if path.suffix.lower() in PICTURES), key=lambda path: natural_order(path.stem)
    )
    if not pictures:
        raise PusaError(
            f"The folder {folder!r} has no picture. Put in files ending in {', '.join(PICTURES)}."
        )
    seen: dict[str, Path] = {}
    for picture in pictures:
        check_names(f"{picture.stem}.mp4", "The video of an item would be called")
        if other := seen.get(as_read(picture.stem)):
            raise PusaError(
                f"{other.name} and {picture.name} have the same name, so their videos would too. Rename one of them and its prompt."
            )
        seen[as_read(picture.stem)] = picture
    missing = [picture for picture in pictures if (as_read(picture.stem), ".txt") not in beside]
    if missing:
        others = f" (and {len(missing) - 1} more pictures)" if len(missing) > 1 else ""
        raise PusaError(
            f"{missing[0].name}{others} has no prompt. Put a text file {missing[0].stem}.txt beside it, or take the picture out."
        )
    return [
        FolderItem(
            picture.stem,
            picture,
            _prompt(beside[as_read(picture.stem), ".txt"], picture),
            _settings(beside.get((as_read(picture.stem), ".json")), defaults),
            output_folder,
        )
        for picture in pictures
    ]


def pending(items: Sequence[FolderItem], output: Path) -> list[FolderItem]:
    """The items that have no result yet; output: ComfyUI's output folder."""
    return [item for item in items if not item.result(output).is_file()]


def unfinished_result(result: Path) -> Path:
    """Where a video is written before it gets its name; never longer than a name may be."""
    return result.with_name(f".{digest(result.name)[:16]}.unfinished.mp4")


@dataclass(frozen=True)
class Tries:
    """How often an item was begun without getting its video."""

    begun: int = 0
    cancelled: int = 0  # of these
    run: str = ""  # the last one, while it is not known to be cancelled

    @property
    def failed(self) -> int:
        """Times it was begun and not cancelled."""
        return self.begun - self.cancelled


class Attempts:
    """The tries of each item, in a file beside the results: one that fails is not taken for ever.

    What ends a run is not seen while it runs; whether it was cancelled is asked afterwards. An item whose picture, prompt or settings
    change begins anew.
    """

    def __init__(self, folder: Path, was_cancelled: Callable[[str], bool] = lambda run: False):
        """was_cancelled(run): whether the run of this id was; False where that is no longer known."""
        self.file = folder / "attempts.json"
        self.was_cancelled = was_cancelled

    def of(self, items: Sequence[FolderItem]) -> dict[str, Tries]:
        """The tries of each item, as it is now."""
        known = self._read()
        found = {}
        for item in items:
            state, tries = known.get(item.name, ("", Tries()))
            if state != _state(item):
                tries = Tries()
            elif tries.run and self.was_cancelled(tries.run):
                tries = Tries(tries.begun, tries.cancelled + 1)
            found[item.name] = tries
        return found

    def begin(self, items: Sequence[FolderItem], waiting: Sequence[FolderItem], run: str = "") -> None:
        """One try more for each of items, in the run of this id; of the others only those still waiting are kept."""
        tries = self.of(waiting)
        for item in items:
            before = tries.get(item.name, Tries())
            tries[item.name] = Tries(before.begun + 1, before.cancelled, run)
        self._write(
            {item.name: (_state(item), tries[item.name]) for item in waiting if tries[item.name].begun}
        )

    def finish(self, name: str) -> None:
        """The item of this name has its video: its tries are forgotten. The file goes with the last one."""
        known = self._read()
        if known.pop(name, None):
            self._write(known)

    def _write(self, kept: Mapping[str, tuple[str, Tries]]) -> None:
        if not kept:
            self.file.unlink(missing_ok=True)
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.file.with_name(self.file.name + ".unfinished")
        rows = {name: {"state": state, **asdict(tries)} for name, (state, tries) in kept.items()}
        unfinished.write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
        os.replace(unfinished, self.file)

    def _read(self) -> dict[str, tuple[str, Tries]]:
        try:
            found = json.loads(self.file.read_text(encoding="utf-8"))
            return {
                str(name): (
                    str(row["state"]),
                    Tries(int(row["begun"]), int(row["cancelled"]), str(row["run"])),
                )
                for name, row in found.items()
            }
        except (OSError, ValueError, TypeError, AttributeError, KeyError):
            return {}  # not there, or edited: begin to count


def _state(item: FolderItem) -> str:
    stamp = item.picture.stat()
    return digest([stamp.st_size, stamp.st_mtime_ns, item.prompt, str(item.settings)])[:16]


def next_items(waiting: Sequence[FolderItem], tries: Mapping[str, Tries], at_most: int) -> list[FolderItem]:
    """What is taken next: up to at_most (0: all) of those never begun, else one alone that was, the least tried first.

    Refuses when all that are left failed MOST_FAILURES times. An item that failed is taken alone, so that it takes no other with it.
    """
    fresh = [item for item in waiting if not tries[item.name].begun]
    if fresh:
        return fresh[: at_most or len(fresh)]
    again = sorted(
        (item for item in waiting if tries[item.name].failed < MOST_FAILURES),
        key=lambda item: tries[item.name].begun,
    )
    if again:
        return again[:1]
    names = ", ".join(item.name for item in waiting[:5]) + (", ..." if len(waiting) > 5 else "")
    raise PusaError(
        f"{len(waiting)} items were begun {MOST_FAILURES} times and have no video: {names}. Each failed, or is still being made elsewhere; "
        "ComfyUI's log has the errors. Change the picture, prompt or settings of an item to take it again, or delete attempts.json "
        "in the output folder."
    )


def load_picture(path: Path) -> Tensor:
    """A picture upright, [1, H, W, 3], 0 to 1, as ComfyUI's Load Image reads it; an alpha channel is dropped.

    Depths that Pillow would cut off at 255 keep their range: grey of 16 bits, whole numbers of 32 bits that hold 16 (as
    ComfyUI takes them), and floating point of 0 to 1.
    """
    try:
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened)
            mode = upright.mode
            values = np.asarray(upright if _is_deep(mode) else upright.convert("RGB"), dtype=np.float32)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PusaError(
            f"{path.name} cannot be read as a picture ({error}). Save it anew, or take it out."
        ) from error
    largest = 255.0
    if mode == "F":
        largest = 1.0
    elif _is_deep(mode):
        largest = 65535.0
    if not np.isfinite(values).all() or values.mean() > largest or values.mean() < 0:
        raise PusaError(
            f"{path.name} has values of {float(np.nanmin(values)):g} to {float(np.nanmax(values)):g}, but a picture of its kind goes from 0 to {largest:g}. "
            "Save it as PNG with 8 or 16 bits."
        )
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    return torch.from_numpy(values / largest).clamp(0, 1)[None]


def _is_deep(mode: str) -> bool:
    """Whether Pillow's mode holds more than 8 bits in one channel."""
    return mode == "F" or mode.startswith("I")


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


def add_to_report(report: Path, row: Mapping[str, str], patience: float = 10.0) -> str:
    """Add a row to a CSV file, in place of an earlier one of the same name; other people's columns are kept.

    A spreadsheet program that has the file open locks it on Windows: it is tried again for `patience` seconds, then the row
    waits in a file beside it and is added with the next one. Returns a sentence about that, "" where the row is in.
    """
    waiting = report.with_name(report.name + ".waiting")
    end = time.monotonic() + patience
    reason = ""
    while not reason:
        try:
            _write_rows(report, [*_rows(report), *_rows(waiting), row])
            waiting.unlink(missing_ok=True)
            return ""
        except PermissionError:
            if time.monotonic() >= end:
                reason = "is open in another program: close it there"
            else:
                time.sleep(min(0.5, patience))
        except (UnicodeDecodeError, csv.Error) as error:
            reason = f"is no CSV file any more ({error}): rename it"
    _write_rows(waiting, [*_rows(waiting), row])
    return (
        f"{report.name} {reason}. The line of {row['name']} waits in {waiting.name} and is added with the next item. "
        "The video itself is saved."
    )


def _rows(report: Path) -> list[dict[str, str]]:
    if not report.is_file():
        return []
    with report.open(encoding="utf-8-sig", newline="") as existing:
        table = csv.DictReader(existing)
        if table.fieldnames and "name" not in table.fieldnames:
            raise csv.Error("it has no column name")
        return [{key: value for key, value in row.items() if key} for row in table]


def _write_rows(report: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """The rows as a CSV file, of equal names the last and all that have none; appears whole or not at all."""
    last = {name: row for row in rows if (name := row.get("name"))}
    kept = [row for row in rows if last.get(row.get("name") or "", row) is row]
    columns = list(dict.fromkeys([*rows[-1], *(key for row in kept for key in row)]))
    unfinished = report.with_name(report.name + ".unfinished")
    # the mark at the beginning lets spreadsheet programs see that it is UTF-8
    with unfinished.open("w", encoding="utf-8-sig", newline="") as written:
        table = csv.DictWriter(written, columns, extrasaction="ignore")
        table.writeheader()
        table.writerows(kept)
    os.replace(unfinished, report)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise PusaError(
            f"{path.name} is not UTF-8 text. Save it as UTF-8 (in Windows' Notepad: Save as, Encoding)."
        ) from None


def _prompt(path: Path, picture: Path) -> str:
    prompt = _text(path).strip()
    if not prompt:
        raise PusaError(f"{path.name} is empty. Write the prompt for {picture.name} into it.")
    return prompt


def _settings(path: Path | None, defaults: ItemSettings) -> ItemSettings:
    if path is None:
        return defaults
    try:
        given = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise PusaError(f"{path.name} is not JSON: {error.msg} in line {error.lineno}.") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise PusaError(
            f'{path.name} cannot be read: {error}. Write settings such as {{"seed": 7}}.'
        ) from None
    known = asdict(defaults)
    if not isinstance(given, dict) or not set(given) <= set(known):
        unknown = (
            ", ".join(sorted(set(given) - set(known))) if isinstance(given, dict) else type(given).__name__
        )
        raise PusaError(f'{path.name} has {unknown}; it can set {", ".join(known)}, such as {{"seed": 7}}.')
    checked: dict[str, Any] = {key: _checked(path, key, value, known[key]) for key, value in given.items()}
    return checked_settings(replace(defaults, **checked), path.name)


def checked_settings(settings: ItemSettings, where: str) -> ItemSettings:
    """The settings themselves, if every number is one that the widgets of this name take."""
    for key, (lowest, highest) in LIMITS.items():
        value = getattr(settings, key)
        if not lowest <= value <= highest:  # also false for what is no number
            raise PusaError(f"{key} in {where} is {value}; use {lowest:g} or more, up to {_spoken(highest)}.")
    text = settings.noise_multipliers
    try:
        parse_multipliers(text, max(1, sum(bool(entry.strip()) for entry in re.split("[,;]", text))))
    except PusaError as error:
        raise PusaError(f"noise_multipliers in {where}: {error}") from None
    return settings


def _brief(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _spoken(number: float) -> str:
    return "2^64 - 1 (18446744073709551615)" if number == 2**64 - 1 else f"{number:g}"


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
    if key in LIMITS and not LIMITS[key][0] <= value <= LIMITS[key][1]:
        lowest, highest = LIMITS[key]
        raise PusaError(
            f"{key} in {path.name} is {_brief(str(value))}; use {lowest:g} or more, up to {_spoken(highest)}."
        )
    return type(default)(value)
