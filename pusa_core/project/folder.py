"""A project on disk: one part per window and candidate, each whole or not there; the record that people read; the finished video."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..clips.reading import clip_of_file
from ..clips.time_stamps import Audio
from ..clips.writing import JoinedPart, join_videos, write_video
from ..colour import ColourStatistics
from ..errors import PusaError
from .lock import LOCK, held

logger = logging.getLogger("ComfyUI-Pusa")

RECORD = "project.json"
HEAD, TAIL, MEAN, COVARIANCE = "head", "tail", "mean", "covariance"
PICTURE_SIZE = 320
"""Longest side of a part's picture, pixels."""


@dataclass(frozen=True)
class PartFacts:
    """What a finished part says of itself."""

    identity: str  # of all that it was made from
    own: str  # of its own settings, without its neighbours
    before: str  # identity of the window before when this was made, "" where nothing was
    given: str  # a name of the frames it took over from there
    seed: int
    width: int
    height: int
    length: int  # frames
    fps: float
    left_seam: float | None
    right_seam: float | None
    drafted: bool  # whether it followed a draft
    sha256: str  # of the video file
    followed: tuple[str, float] | None = None  # which draft (its sha256) and how; older parts do not tell
    shared: int | None = None  # frames it shares with the window before; older parts do not tell

    @property
    def shape(self) -> tuple[int, int, int, float]:
        """Width, height, frames, frames per second."""
        return self.width, self.height, self.length, self.fps


@dataclass(frozen=True)
class Part:
    """A finished window on disk: its video, its picture, and beside them what its neighbours continue, without loss."""

    folder: Path
    stem: str
    facts: PartFacts

    @property
    def video(self) -> Path:
        """The frames of the window, H.264 without B-frames."""
        return self.folder / f"{self.stem}.mp4"

    @property
    def picture(self) -> Path:
        """A small picture of its middle, PNG."""
        return self.folder / f"{self.stem}.png"

    @property
    def files(self) -> tuple[Path, Path, Path]:
        """All that it is: its video, its picture, and its state, which holds what neighbours continue."""
        return self.video, self.picture, _state(self.folder, self.stem)

    def head(self, count: int) -> Tensor:
        """Its first frames [count, H, W, 3], 0 to 1."""
        kept = self._tensor(HEAD)
        return kept[:count].float() if count <= len(kept) else self.frames()[:count]

    def tail(self, count: int) -> Tensor:
        """Its last frames [count, H, W, 3], 0 to 1."""
        kept = self._tensor(TAIL)
        return kept[len(kept) - count :].float() if count <= len(kept) else self.frames()[-count:]

    def frames(self) -> Tensor:
        """All frames [N, H, W, 3], 0 to 1, as the video file shows them."""
        return clip_of_file(self.video, f"the part {self.video.name}").all(None)

    def colours(self) -> ColourStatistics:
        """The colours of the window as a whole."""
        return ColourStatistics(self._tensor(MEAN), self._tensor(COVARIANCE))

    def _tensor(self, name: str) -> Tensor:
        with safe_open(_state(self.folder, self.stem), framework="pt") as saved:
            kept: Tensor = saved.get_tensor(name)
            return kept.clone()  # not a view of a file that is replaced later


class ProjectFolder:
    """The folder of one project."""

    def __init__(self, folder: Path, draft: bool = False, precision: torch.dtype = torch.float16):
        """draft: works on the parts of the draft, which have names of their own; precision: of the frames for neighbours."""
        self.folder = folder
        self.draft = draft
        self.precision = precision

    @property
    def name(self) -> str:
        """What the project is called."""
        return self.folder.name

    @property
    def target(self) -> Path:
        """The finished video."""
        return self.folder / f"{self.name}{self._suffix}.mp4"

    @property
    def _suffix(self) -> str:
        return ".draft" if self.draft else ""

    def of_draft(self) -> ProjectFolder:
        """The same folder, for the parts of the draft."""
        return ProjectFolder(self.folder, draft=True)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """The folder, made when needed, for this run alone; what an earlier run wrote halfway is removed."""
        with _told(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with held(self.folder):
            with _told(self.folder):
                self._sweep()
            yield

    def forget(self) -> None:
        """Remove all that runs left, the record last, but for the lock. The folder must be taken."""
        with _told(self.folder):
            for path in sorted(self.folder.iterdir(), key=lambda path: path.name == RECORD):
                if path.name != LOCK and path.is_file():
                    path.unlink()

    def remove(self) -> None:
        """Remove the whole folder, unless a run works in it or a file of it is in use."""
        try:
            with held(self.folder):
                self.forget()
            (self.folder / LOCK).unlink()
            self.folder.rmdir()
        except (OSError, PusaError) as error:
            logger.info("%s stays: %s", self.folder.name, error)

    def finished_video(self) -> str | None:
        """The name of the finished video, as the record has it; None where there is none yet."""
        try:
            found = json.loads((self.folder / RECORD).read_text("utf-8"))["video"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if isinstance(found, str) else None

    def facts(self, window: str, candidate: int) -> PartFacts | None:
        """What a part says of itself, without a look at whether it is whole; None where it is missing."""
        return _facts(_state(self.folder, self.stem(window, candidate)))

    def set_finished_aside(self) -> Path | None:
        """Give the finished video the next free number, so that another one does not replace it; None where there is none."""
        if not self.target.is_file():
            return None
        numbered = (self.target.with_stem(f"{self.target.stem}_{number:05}") for number in count(1))
        free = next(path for path in numbered if not path.exists())
        with _told(self.folder):
            self.target.rename(free)
        return free

    def stem(self, window: str, candidate: int) -> str:
        """What the files of a part are called, without their endings."""
        return f"{window}.{candidate}{self._suffix}"

    def part(self, window: str, candidate: int) -> Part | None:
        """A finished part; None where it is missing, not whole, or its video is not the one that was written with it."""
        stem = self.stem(window, candidate)
        state, video, picture = _files(self.folder, stem)
        with _told(self.folder):
            # one that another program keeps to itself for a moment is not one that is missing
            for path in filter(Path.is_file, (state, video)):
                path.open("rb").close()
        facts = _facts(state)
        if facts is None or not video.is_file() or _sha256(video) != facts.sha256:
            return None
        part = Part(self.folder, stem, facts)
        if not picture.is_file():
            frames = part.frames()
            with _told(self.folder), _cleared(picture):
                _picture(frames[len(frames) // 2]).save(_unfinished(picture), format="PNG")
                _settle(picture)
        return part

    def locked_part(self, window: str, candidate: int, named: str) -> Part | None:
        """The part of a locked window, None where it has none yet; refuses one that is not whole. named: the window, in a sentence."""
        part, stem = self.part(window, candidate), self.stem(window, candidate)
        if part is None and (self.folder / f"{stem}.mp4").is_file():
            raise PusaError(
                f"{named} is locked, but {stem}.mp4 and {stem}.safetensors do not belong together: one was changed or is missing. Put both "
                "back, take the lock out, or delete the video to have the window made anew."
            )
        return part

    def write(
        self,
        window: str,
        candidate: int,
        frames: Tensor,
        written: int,
        kept: tuple[int, int],
        colours: ColourStatistics,
        crf: int,
        facts: dict[str, Any],
    ) -> Part:
        """Write a part.

        frames: [N, H, W, 3], 0 to 1; written: how many of its first frames the video file holds; kept: how many of its first and
        last frames stay without loss.

        It counts once its state is there. All three files are whole before the first of them gets its name, so what a kill or a
        file that another program holds open interrupts is finished by the next run.
        """
        stem = self.stem(window, candidate)
        paths = state, video, picture = _files(self.folder, stem)
        with _told(self.folder), _cleared(*paths):
            rate = Fraction(facts["fps"]).limit_denominator(1001)
            write_video(_unfinished(video), frames[:written], rate, crf=crf, bframes=False)
            _picture(frames[written // 2]).save(_unfinished(picture), format="PNG")
            height, width = frames.shape[1:3]
            found = _sha256(_unfinished(video))
            told = PartFacts(**facts, width=width, height=height, length=len(frames), sha256=found)
            saved = {HEAD: frames[: kept[0]], TAIL: frames[len(frames) - kept[1] :]}
            save_file(
                {name: value.to("cpu", self.precision).contiguous() for name, value in saved.items()}
                | {MEAN: colours.mean.contiguous(), COVARIANCE: colours.covariance.contiguous()},
                _unfinished(state),
                metadata={"part": json.dumps(asdict(told), sort_keys=True)},
            )
        with _told(self.folder):
            self._finish(stem)
        return Part(self.folder, stem, told)

    def take_over(self, window: str, candidate: int, contents: Mapping[str, bytes]) -> Part:
        """Put in a part that was made elsewhere. contents: of its files, by their endings."""
        stem = self.stem(window, candidate)
        paths = state, video, _ = _files(self.folder, stem)
        with _told(self.folder), _cleared(*paths):
            for path in paths:
                _unfinished(path).write_bytes(contents.get(path.suffix, b""))
            facts = _facts(_unfinished(state))
            if facts is None or _sha256(_unfinished(video)) != facts.sha256:
                raise PusaError(
                    f"What came back as {stem} is no part of a project: its files are missing or do not belong together. Use the same "
                    "version of ComfyUI-Pusa on both sides."
                )
        with _told(self.folder):
            if any(not path.is_file() or _sha256(path) != _sha256(_unfinished(path)) for path in paths):
                self._finish(stem)
            _clear(*paths)
        return Part(self.folder, stem, facts)

    def _finish(self, stem: str) -> None:
        """Give a part that is written whole its names."""
        state, video, picture = _files(self.folder, stem)
        state.unlink(missing_ok=True)
        for path in (video, picture, state):
            if _unfinished(path).is_file():
                _settle(path)

    def record(self, content: Mapping[str, Any]) -> None:
        """Write project.json."""
        path = self.folder / RECORD
        with _told(self.folder), _cleared(path):
            text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
            # half of a surrogate pair, which a prompt from elsewhere can have, becomes JSON's own escape
            _unfinished(path).write_text(text, "utf-8", errors="backslashreplace")
            _settle(path)

    def join(
        self,
        parts: Sequence[JoinedPart],
        audio: Audio | None,
        metadata: Mapping[str, object],
        crf: int,
        target: Path | None = None,
    ) -> Path:
        """Make the finished video of parts with the sound under it, in this folder or at `target`; see join_videos for crf."""
        target = target or self.target
        with _told(target.parent), _cleared(target):
            join_videos(_unfinished(target), parts, metadata, audio, crf)
            _settle(target)
        return target

    def _sweep(self) -> None:
        """Finish what an earlier run had written whole, and remove what it had not."""
        for state in self.folder.glob(f"*.safetensors{UNFINISHED}"):
            stem = state.name.removesuffix(f".safetensors{UNFINISHED}")
            video, facts = self.folder / f"{stem}.mp4", _facts(state)
            written = _unfinished(video) if _unfinished(video).is_file() else video
            if facts is not None and written.is_file() and _sha256(written) == facts.sha256:
                self._finish(stem)
        for path in self.folder.iterdir():
            if path.name.endswith(UNFINISHED) or path.name.startswith(".tmp"):  # the latter safetensors' own
                path.unlink(missing_ok=True)


UNFINISHED = ".unfinished"


def _files(folder: Path, stem: str) -> tuple[Path, Path, Path]:
    """State, video and picture of a part."""
    return _state(folder, stem), folder / f"{stem}.mp4", folder / f"{stem}.png"


def _state(folder: Path, stem: str) -> Path:
    return folder / f"{stem}.safetensors"


def _facts(state: Path) -> PartFacts | None:
    """What a state says of its part; None where it is missing or not one of this version."""
    try:
        with safe_open(state, framework="pt") as saved:
            told = json.loads(saved.metadata()["part"])
            followed = told.pop("followed", None)
            return PartFacts(**told, followed=None if followed is None else (followed[0], followed[1]))
    except (OSError, SafetensorError, LookupError, TypeError, ValueError):
        return None


def _unfinished(path: Path) -> Path:
    return path.with_name(path.name + UNFINISHED)


def _settle(path: Path) -> None:
    """Give a file that is written whole its name."""
    with _unfinished(path).open("rb+") as file:
        os.fsync(file.fileno())  # a name must not survive a power cut that its content does not
    os.replace(_unfinished(path), path)


def _picture(pixels: Tensor) -> Image.Image:
    whole = Image.fromarray((pixels.float() * 255).round().clamp(0, 255).to("cpu", torch.uint8).numpy())
    whole.thumbnail((PICTURE_SIZE, PICTURE_SIZE))
    return whole


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        found = hashlib.sha256()
        while block := file.read(2**20):
            found.update(block)
    return found.hexdigest()


@contextmanager
def _cleared(*paths: Path) -> Iterator[None]:
    """Leaves nothing unfinished behind where writing fails."""
    try:
        yield
    except BaseException:
        _clear(*paths)
        raise


def _clear(*paths: Path) -> None:
    for path in paths:
        _unfinished(path).unlink(missing_ok=True)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """What a disk refuses, as a sentence."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        full = os.strerror(errno.ENOSPC)
        if getattr(error, "errno", None) == errno.ENOSPC or full in str(error):
            raise PusaError(
                f"The disk is full: {folder.name} cannot be written. Free some space and queue again; finished windows are kept."
            ) from error
        raise PusaError(
            f"The project's folder {folder.name} cannot be read or written ({error}). Close what has its files open, check that it may be changed, "
            "or use another name."
        ) from error
