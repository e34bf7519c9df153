"""The one place where training meets the pack's clip reader."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from torch import Tensor

from ..clips.reading import clip_of_file
from ..clips.time_stamps import Clip
from ..folders import load_picture
from ..picture_files import PICTURES

VIDEOS = (
    ".mp4",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".m4v",
    ".gif",
    ".mpg",
    ".mpeg",
    ".ts",
    ".mts",
    ".wmv",
    ".flv",
    ".ogv",
    ".3gp",
)


def clip_of(path: Path) -> Clip:
    """A video file as a clip."""
    return clip_of_file(path)


def pictures_of(path: Path, rate: Fraction) -> Tensor:
    """The pictures of a video at `rate` frames per second by its time stamps, or the one of a picture file. [N, H, W, 3], 0 to 1."""
    return load_picture(path) if path.suffix.lower() in PICTURES else clip_of(path).all(rate)
