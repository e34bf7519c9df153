"""Videos and pictures with captions, before they are cached: found in a folder, sorted into buckets, the bad ones named."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

from torch import Tensor

from ..bases import WAN
from ..errors import PusaError
from ..folders import load_picture
from ..images import CROP, fit_images
from ..picture_files import PICTURES, visible_files
from .clips import VIDEOS, clip_of

CSV = "metadata.csv"
TRAIN = "train"
"""Sub-folder in which the authors' metadata.csv may have its files."""
NAME = re.compile(r"[^\\/:*?\"<>|\x00-\x1f]+")
NAME_CHARACTERS, NAME_BYTES = 120, 255 - len(".safetensors.part")  # file systems take 255 bytes


@dataclass(frozen=True)
class Source:
    """A video or picture with its caption."""

    path: Path
    caption: str

    @property
    def name(self) -> str:
        """The files' common name, which the cache file gets too."""
        return self.path.stem


@dataclass(frozen=True)
class Fit:
    """The sizes and lengths that clips are brought to."""

    width: int = 832  # pixels
    height: int = 480
    lengths: tuple[int, ...] = (81,)  # pixel frames, 4n + 1; a clip takes the longest that it has
    keep_proportions: bool = False  # as many pixels as width x height, in the clip's own proportions
    multiple: int = 16  # of the sizes
    resize: str = CROP

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            value = getattr(self, name)
            if value < self.multiple or value % self.multiple:
                raise PusaError(
                    f"{name} is {value}; use a multiple of {self.multiple}, such as {max(1, value // self.multiple) * self.multiple}."
                )
        if not self.lengths:
            raise PusaError(
                "lengths is empty; write the clips' lengths in video frames, such as 81 or 81, 49, 33."
            )
        if wrong := [length for length in self.lengths if length < 1 or (length - 1) % WAN.temporal_stride]:
            raise PusaError(f"lengths has {wrong[0]}; use 4n + 1 video frames: 1 (pictures), 5, 9, ... 81.")

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height for a clip of that size, pixels."""
        if not self.keep_proportions:
            return self.width, self.height
        ratio = (self.width * self.height / (width * height)) ** 0.5
        return max(1, round(width * ratio / self.multiple)) * self.multiple, max(
            1, round(height * ratio / self.multiple)
        ) * self.multiple

    def length(self, frames: int, name: str) -> int:
        """The longest of the lengths that a clip of so many frames has; refuses one that is shorter than all."""
        fitting = [length for length in self.lengths if length <= frames]
        if not fitting:
            raise PusaError(
                f"{name} has {frames} frames at the rate used; the shortest length asked for is {min(self.lengths)}. "
                "Use a longer clip, take it out, or add a shorter length."
            )
        return max(fitting)

    def apply(self, pictures: Tensor, name: str) -> Tensor:
        """The first frames of a clip [N, H, W, 3] at its bucket's length and size, 0 to 1."""
        length = self.length(len(pictures), name)
        width, height = self.size(pictures.shape[2], pictures.shape[1])
        return fit_images(pictures[:length], width, height, self.resize)


def parse_lengths(text: str) -> tuple[int, ...]:
    """Lengths as typed: "81, 49" -> (81, 49)."""
    try:
        return tuple(int(entry) for entry in text.replace(";", ",").split(",") if entry.strip())
    except ValueError:
        raise PusaError(
            f"lengths is {text!r}; write whole numbers with commas between them, such as 81, 49, 33."
        ) from None


def name_problem(name: str) -> str:
    """Why no cache file can have a name, as the end of a sentence that begins with the name; empty where one can."""
    size = len(name.encode("utf-8", "surrogateescape"))
    if len(name) > NAME_CHARACTERS or size > NAME_BYTES:
        return (
            f"has {len(name)} characters ({size} bytes); the name of a cache file may have {NAME_CHARACTERS} characters and "
            f"{NAME_BYTES} bytes"
        )
    if not NAME.fullmatch(name) or name.strip(". ") != name:
        return "is empty, or has slashes, colons or the like in it, or dots or spaces at its ends"
    return ""


def find_sources(folder: Path) -> tuple[list[Source], list[str]]:
    """The videos and pictures of a folder with their captions, and a sentence for each that cannot be used.

    Captions: metadata.csv (the authors': columns file_name, text) where the folder has one, else a .txt of the same name.
    """
    if not folder.is_dir():
        raise PusaError(f"There is no folder {folder}. Put your clips and their captions into one.")
    table = folder / CSV
    found, bad = _from_table(table) if table.is_file() else _from_texts(folder)
    bad += _not_searched(folder, searched=(TRAIN,) if table.is_file() else ())
    names: dict[str, Path] = {}
    unique = []
    for source in found:
        if problem := name_problem(source.name):
            bad.append(f"The name of {source.path.name} {problem}. Rename it and its caption.")
            continue
        if other := names.get(source.name.casefold()):
            bad.append(
                f"{source.path.name} has the same name as {other.name}. Rename one of them and its caption."
            )
            continue
        names[source.name.casefold()] = source.path
        unique.append(source)
    if not unique and not bad:
        raise PusaError(
            f"The folder {folder.name} has no clip. Put in files ending in {', '.join(VIDEOS + PICTURES)}, each with a .txt of the same name."
        )
    return unique, bad


def _from_texts(folder: Path) -> tuple[list[Source], list[str]]:
    found, bad = [], []
    files = sorted(visible_files(folder))
    clips = [path for path in files if _is_clip(path)]
    captioned = {path.stem for path in files if path.suffix == ".txt"} - {path.stem for path in clips}
    for path in files:
        if path.stem in captioned and path.suffix != ".txt":
            bad.append(
                f"{path.name} has a caption, but files of its kind are not read. Make it one of {', '.join(VIDEOS + PICTURES)}, or take it out."
            )
    for path in clips:
        text = path.with_suffix(".txt")
        try:
            caption = text.read_text(encoding="utf-8-sig").strip()
        except FileNotFoundError:
            bad.append(f"{path.name} has no caption. Put a text file {text.name} beside it.")
            continue
        except UnicodeDecodeError:
            bad.append(f"{text.name} is not UTF-8 text. Save it as UTF-8.")
            continue
        if caption:
            found.append(Source(path, caption))
        else:
            bad.append(f"{text.name} is empty. Write what {path.name} shows into it.")
    return found, bad


def _from_table(table: Path) -> tuple[list[Source], list[str]]:
    found, bad = [], []
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise PusaError(f"{CSV} cannot be read as UTF-8 CSV ({error}). Save it anew.") from error
    if rows and not {"file_name", "text"} <= set(rows[0]):
        raise PusaError(f"{CSV} has the columns {', '.join(map(str, rows[0]))}; it needs file_name and text.")
    places = (table.parent, table.parent / TRAIN)
    for number, row in enumerate(rows, 2):
        name, caption = (row["file_name"] or "").strip(), (row["text"] or "").strip()
        path = next(
            (place / name for place in places if name and os.path.isfile(place / name)),
            None,
        )
        if path is None:
            bad.append(
                f"line {number} of {CSV} names {name!r}, which is not there. Correct the line, or add the file."
            )
        elif not caption:
            bad.append(f"line {number} of {CSV} has no text for {name}. Write a caption.")
        else:
            found.append(Source(path, caption))
    listed = {os.path.basename((row["file_name"] or "").strip()) for row in rows}
    for clip in sorted(clip for place in places if place.is_dir() for clip in visible_files(place)):
        if _is_clip(clip) and clip.name not in listed:
            bad.append(f"{clip.name} has no line in {CSV}. Add one, or take the file out.")
    return found, bad


def _is_clip(path: Path) -> bool:
    return path.suffix.lower() in VIDEOS + PICTURES


def _not_searched(folder: Path, searched: Sequence[str]) -> list[str]:
    """A sentence for each sub-folder with clips; `searched` are those that are read too."""
    bad = []
    for below in sorted(folder.iterdir()):
        if not below.is_dir() or below.name.startswith(".") or below.name in searched:
            continue
        clips = sorted(path.name for path in visible_files(below) if _is_clip(path))
        if clips:
            bad.append(
                f"The sub-folder {below.name} is not searched; it has {len(clips)} clips ({clips[0]}{', ...' if clips[1:] else ''}). Move them "
                "up, or cache the folder by itself."
            )
    return bad


def measure(source: Source, rate: Fraction, at_most: int) -> tuple[int, int, int]:
    """Frames at `rate` (counted up to at_most), width and height of a source; refuses one that cannot be read."""
    if source.path.suffix.lower() in PICTURES:
        picture = load_picture(source.path)
        return 1, picture.shape[2], picture.shape[1]
    pictures = list(islice(clip_of(source.path).frames(rate), at_most))
    height, width = pictures[0].pixels.shape[:2]
    return len(pictures), width, height


def bucket_of(source: Source, fit: Fit, rate: Fraction) -> tuple[int, int, int]:
    """(length, width, height) that a source will have; refuses a broken or too short one, by name."""
    frames, width, height = measure(source, rate, max(fit.lengths))
    # a picture is a clip of one frame whatever lengths are asked for
    length = 1 if source.path.suffix.lower() in PICTURES else fit.length(frames, source.path.name)
    return (length, *fit.size(width, height))


def fitted(source: Source, pictures: Tensor, fit: Fit) -> Tensor:
    """The source's pictures as they are encoded, [length, height, width, 3]."""
    if source.path.suffix.lower() in PICTURES:
        width, height = fit.size(pictures.shape[2], pictures.shape[1])
        return fit_images(pictures[:1], width, height, fit.resize)
    return fit.apply(pictures, source.path.name)


def buckets_text(buckets: Sequence[tuple[int, int, int]]) -> str:
    """How many clips each bucket has, one line each."""
    lines = [
        f"  {length} frames, {width} x {height}: {buckets.count((length, width, height))}"
        for length, width, height in sorted(set(buckets))
    ]
    return "\n".join(lines)
