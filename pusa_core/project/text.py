"""The text of a project: JSON, read into checked values; what is wrong is said with its place ("windows[2].length")."""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NoReturn, TypeVar

from ..errors import PusaError
from ..images import CROP, RESIZES
from ..lora.experts import AUTO, HIGH_NOISE, LOW_NOISE

VERSION = 1
BEFORE, FIRST, ANCHOR, OFF = COLOURS = ("before", "first", "anchor", "off")
WINDOW, FRAME = PROMPT_STEPS = ("window", "frame")
WINDOW_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
EXPERTS = (AUTO, HIGH_NOISE, LOW_NOISE)
MOST_WINDOWS, MOST_CANDIDATES = 10_000, 64


@dataclass(frozen=True)
class LoraUse:
    """A LoRA on the model of one window."""

    name: str  # below models/loras
    strength: float = 1.0
    expert: str = AUTO  # or HIGH_NOISE, LOW_NOISE


@dataclass(frozen=True)
class WindowText:
    """One window as typed; None where the project's or the node's default holds."""

    id: str  # names the files of its parts
    prompt: str | None = None
    negative: str | None = None
    length: int | None = None  # video frames that the model makes
    overlap: int | None = None  # of them, shared with the window before
    seed: int | None = None
    steps: int | None = None
    cfg: float | None = None
    noise_multipliers: str | None = None
    loras: tuple[LoraUse, ...] = ()
    lock: bool = False
    bridge: bool = False
    retake: int = 0
    candidates: int = 1
    chosen: int = 0


@dataclass(frozen=True)
class Key:
    """A picture at one frame of the video."""

    at: int
    picture: str  # in the input folder
    multiplier: float = 0.0


@dataclass(frozen=True)
class ClipUse:
    """Frames of a clip, given at one place of the video."""

    at: int
    file: str  # in the input folder
    start: float = 0.0  # second of the clip
    frames: int = 13
    multiplier: float = 0.2


@dataclass(frozen=True)
class PromptAt:
    """A prompt that holds from a second of the video on."""

    at: float
    text: str


@dataclass(frozen=True)
class AnchorUse:
    """A picture that every window after the first looks at and never shows."""

    picture: str
    multiplier: float = 0.0


@dataclass(frozen=True)
class SoundUse:
    """The sound under the video."""

    file: str
    start: float = 0.0  # second of the file


@dataclass(frozen=True)
class Project:
    """A project as typed."""

    windows: tuple[WindowText, ...]
    window: int = 81
    overlap: int = 13
    negative: str = ""
    noise_multipliers: str = "0..0.2"
    colour: str = BEFORE
    resize: str = CROP
    keys: tuple[Key, ...] = ()
    clips: tuple[ClipUse, ...] = ()
    prompts: tuple[PromptAt, ...] = ()
    prompts_by: str = WINDOW  # what follows a prompt as a whole: a window, or every latent frame of it
    anchor: AnchorUse | None = None
    sound: SoundUse | None = None
    only: str | None = None  # id of the one window that this run makes, from what lies in the folder

    def length_of(self, window: WindowText) -> int:
        """Frames of a window: its own number, else the project's."""
        return self.window if window.length is None else window.length

    def overlap_of(self, window: WindowText) -> int:
        """Frames that a window shares with the one before: its own number, else the project's."""
        return self.overlap if window.overlap is None else window.overlap


def read_project(text: str) -> Project:
    """The project in a text; a PusaError names what is wrong and where."""
    try:
        value = json.loads(text, object_pairs_hook=_without_twins)
    except json.JSONDecodeError as error:
        raise PusaError(
            f"project is no JSON: {error.msg} in line {error.lineno}, column {error.colno}. Mend it there, or empty it and begin "
            f'with {{"version": {VERSION}, "windows": [{{"id": "w1", "prompt": "..."}}]}}.'
        ) from None
    except ValueError as error:
        raise PusaError(f"project has a number that no project has ({error}). Mend it there.") from None
    except RecursionError:
        raise PusaError("project is nested far deeper than any project. Paste its text again.") from None
    found = _Entry("project", value)
    version = found.take("version", _whole(1, None))
    if version is None:
        raise PusaError(f'project has no version. Write "version": {VERSION}.')
    if version != VERSION:
        raise PusaError(
            f"project has version {version}; this ComfyUI-Pusa reads version {VERSION}. "
            + ("Update ComfyUI-Pusa." if version > VERSION else f'Write "version": {VERSION}.')
        )
    windows = tuple(_window(entry) for entry in found.entries("windows"))
    if not windows:
        raise PusaError('project has no windows. Add at least one, such as {"id": "w1", "prompt": "..."}.')
    if len(windows) > MOST_WINDOWS:
        raise PusaError(f"project has {len(windows)} windows; {MOST_WINDOWS} is the most.")
    project = found.build(
        Project,
        read={
            "windows": windows,
            "keys": tuple(_key(one) for one in found.entries("keys")),
            "clips": tuple(_clip(one) for one in found.entries("clips")),
            "prompts": tuple(
                one.build(PromptAt, at=_number(0, None), text=_text) for one in found.entries("prompts")
            ),
            "anchor": _only(found.entry("anchor"), _anchor),
            "sound": _only(found.entry("sound"), _sound),
        },
        window=_whole(1, 10_001),
        overlap=_whole(1, 10_001),
        negative=_text,
        noise_multipliers=_text,
        colour=_one_of(COLOURS),
        resize=_one_of(RESIZES),
        only=_window_id,
        prompts_by=_one_of(PROMPT_STEPS),
    )
    _check_together(project)
    return project


def _key(entry: _Entry) -> Key:
    return entry.build(Key, at=_whole(0, None), picture=_name, multiplier=_share)


def _clip(entry: _Entry) -> ClipUse:
    return entry.build(
        ClipUse,
        {"start": "from"},
        at=_whole(0, None),
        file=_name,
        start=_number(0, None),
        frames=_whole(1, None),
        multiplier=_share,
    )


def _anchor(entry: _Entry) -> AnchorUse:
    return entry.build(AnchorUse, picture=_name, multiplier=_share)


def _sound(entry: _Entry) -> SoundUse:
    return entry.build(SoundUse, {"start": "from"}, file=_name, start=_number(0, None))


def _lora(entry: _Entry) -> LoraUse:
    return entry.build(LoraUse, name=_name, strength=_number(-20, 20), expert=_one_of(EXPERTS))


def _window(entry: _Entry) -> WindowText:
    return entry.build(
        WindowText,
        read={"loras": tuple(_lora(one) for one in entry.entries("loras"))},
        id=_window_id,
        prompt=_text,
        negative=_text,
        length=_whole(1, 10_001),
        overlap=_whole(1, 10_001),
        seed=_whole(0, 2**64 - 1),
        steps=_whole(1, 1000),
        cfg=_number(0, 100),
        noise_multipliers=_text,
        lock=_truth,
        bridge=_truth,
        retake=_whole(0, 1_000_000),
        candidates=_whole(1, MOST_CANDIDATES),
        chosen=_whole(0, MOST_CANDIDATES - 1),
    )


def _check_together(project: Project) -> None:
    """What no entry can tell alone: names given twice, a choice that is not made, bridges without a side, colour without an anchor."""
    first: dict[str, int] = {}
    for number, window in enumerate(project.windows):
        place = f"windows[{number}]"
        if (twin := first.setdefault(window.id.lower(), number)) != number:
            raise PusaError(
                f"{place}.id is {window.id!r}, as windows[{twin}].id is; files are named after it, and some disks take capital and "
                "small letters for one. Give each window an id of its own."
            )
        if window.chosen >= window.candidates:
            raise PusaError(
                f"{place}.chosen is {window.chosen}, but {window.candidates} {'is' if window.candidates == 1 else 'are'} made, counted from 0. "
                f"Use 0 to {window.candidates - 1}, or more candidates."
            )
        if window.bridge and number == 0:
            raise PusaError(
                f"{place} is a bridge, but nothing is before it. Take bridge out, or move it behind another window."
            )
        if window.bridge and number == len(project.windows) - 1:
            raise PusaError(
                f"{place} is a bridge, but nothing is after it. Take bridge out, or add a window behind it."
            )
    if project.colour == ANCHOR and project.anchor is None:
        raise PusaError(
            'colour is "anchor", but the project has no anchor. Add "anchor": {"picture": "..."}, or use another colour.'
        )
    if project.only is not None and project.only not in {window.id for window in project.windows}:
        raise PusaError(
            f"only is {project.only!r}, but no window has this id. Write the id of one of windows."
        )
    timed = sorted(project.prompts, key=lambda one: one.at)
    for earlier, later in itertools.pairwise(timed):
        if later.at == earlier.at:
            raise PusaError(f"Two prompts hold from second {later.at:g}. Give each a second of its own.")


T = TypeVar("T")
Check = Callable[[str, Any], Any]


class _Entry:
    """A JSON object and where it stands; every key is asked for, and what was not is unknown."""

    def __init__(self, place: str, value: Any):
        if not isinstance(value, dict):
            _refuse(place, value, "an object in { }")
        self.place = place
        self.value = value

    def inside(self, key: str) -> str:
        """How sentences call something in this entry."""
        return key if self.place == "project" else f"{self.place}.{key}"

    def take(self, key: str, check: Check) -> Any:
        """A checked value, None where it is not set."""
        value = self.value.get(key)
        return None if value is None else check(self.inside(key), value)

    def entry(self, key: str) -> _Entry | None:
        """An object inside this one."""
        value = self.value.get(key)
        return None if value is None else _Entry(self.inside(key), value)

    def entries(self, key: str) -> list[_Entry]:
        """A list of objects inside this one."""
        value = self.value.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            _refuse(self.inside(key), value, "a list in [ ]")
        return [_Entry(f"{self.inside(key)}[{number}]", one) for number, one in enumerate(value)]

    def build(
        self,
        kind: Callable[..., T],
        spelt: Mapping[str, str] | None = None,
        read: Mapping[str, Any] | None = None,
        **checks: Check,
    ) -> T:
        """An instance of a dataclass, each of its fields checked.

        spelt: keys that are called otherwise than the field; read: fields that were read already.
        """
        keys = {name: (spelt or {}).get(name, name) for name in checks}
        known = {*keys.values(), *(read or ()), *(["version"] if self.place == "project" else [])}
        if unknown := sorted(str(key) for key in self.value if key not in known):
            raise PusaError(
                f"{self.inside(unknown[0])} is not known. {self.place} takes: {', '.join(sorted(known))}."
            )
        missing = [
            key for name, key in keys.items() if name in _required(kind) and self.value.get(key) is None
        ]
        if missing:
            raise PusaError(f"{self.inside(missing[0])} is missing. Write it; {self.place} needs it.")
        given = {
            name: check(self.inside(keys[name]), self.value[keys[name]])
            for name, check in checks.items()
            if self.value.get(keys[name]) is not None
        }
        return kind(**given, **(read or {}))


def _required(kind: Any) -> set[str]:
    return {one.name for one in fields(kind) if one.default is one.default_factory}  # both are MISSING


def _only(entry: _Entry | None, build: Callable[[_Entry], T]) -> T | None:
    return None if entry is None else build(entry)


def _text(place: str, value: Any) -> str:
    return value if isinstance(value, str) else _refuse(place, value, "text in quotes")


def _name(place: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        _refuse(place, value, "the name of a file")
    return value


def _window_id(place: str, value: Any) -> str:
    if not isinstance(value, str) or not WINDOW_ID.fullmatch(value):
        _refuse(place, value, "1 to 32 letters, digits, _ and -")
    return value


def _truth(place: str, value: Any) -> bool:
    return value if isinstance(value, bool) else _refuse(place, value, "true or false")


def _share(place: str, value: Any) -> float:
    return float(_number(0, 1)(place, value))


def _number(least: float, most: float | None) -> Check:
    def check(place: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not _within(value, least, most):
            _refuse(place, value, f"a number {_range(least, most)}")
        return float(value)

    return check


def _whole(least: int, most: int | None) -> Check:
    def check(place: str, value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # browsers write 81.0 in some cases
        if isinstance(value, bool) or not isinstance(value, int) or not _within(value, least, most):
            _refuse(place, value, f"a whole number {_range(least, most)}")
        return value

    return check


def _one_of(choices: tuple[str, ...]) -> Check:
    def check(place: str, value: Any) -> str:
        if value not in choices:
            _refuse(place, value, f"one of {', '.join(choices)}")
        return str(value)

    return check


def _within(value: float, least: float, most: float | None) -> bool:
    return least <= value <= sys.float_info.max and (most is None or value <= most)


def _range(least: float, most: float | None) -> str:
    return f"from {least} on" if most is None else f"from {least} to {most}"


def _refuse(place: str, value: Any, wanted: str) -> NoReturn:
    shown = json.dumps(value, ensure_ascii=False)
    raise PusaError(f"{place} is {shown if len(shown) <= 60 else shown[:57] + '...'}; use {wanted}.")


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise PusaError(f"project has {key!r} twice in one object. Keep one of them.")
        found[key] = value
    return found
