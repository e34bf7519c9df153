"""The text that asks a Director for one candidate of one window: of the project only what that window depends on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..project.order import looked_at, spans
from ..project.text import Project

LAYOUT = ("id", "length", "overlap", "bridge")
"""What of every window decides where the others lie and what they take over."""


def text_for(
    typed: Mapping[str, Any], project: Project, index: int, candidate: int, place: Callable[[str], str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The text, and where the files that it names lie: name -> place. typed: the whole text; place: a file's, by its name."""
    start, end = spans(project)[index]
    places: dict[str, str] = {}

    def moved(entry: Mapping[str, Any], key: str) -> dict[str, Any]:
        places[entry[key]] = place(entry[key])
        return {**entry, key: places[entry[key]]}

    text = {key: value for key, value in typed.items() if key != "sound"}
    asked = _asked(typed, project, index, candidate)
    unread = {"prompt": ""} if asked.get("prompt") is not None or project.prompts else {}
    text["windows"] = [
        asked if other == index else _other(typed, project, index, other) | unread
        for other in range(len(project.windows))
    ]
    text["only"] = project.windows[index].id
    text["keys"] = [
        moved(entry, "picture")
        for entry, key in zip(typed.get("keys") or (), project.keys, strict=True)
        if start <= key.at < end
    ]
    text["clips"] = [
        moved(entry, "file")
        for entry, clip in zip(typed.get("clips") or (), project.clips, strict=True)
        if clip.at < end and start < clip.at + clip.frames
    ]
    if project.anchor is not None:
        text["anchor"] = moved(typed["anchor"], "picture")
    return text, places


def _asked(typed: Mapping[str, Any], project: Project, index: int, candidate: int) -> dict[str, Any]:
    """The window that is made: no longer locked, and the candidate the one that is chosen."""
    window = {key: value for key, value in typed["windows"][index].items() if key != "lock"}
    if project.windows[index].prompt is None and not project.prompts:
        before = [one.prompt for one in project.windows[:index] if one.prompt is not None]
        window |= {"prompt": before[-1]} if before else {}
    return window | {"candidates": candidate + 1, "chosen": candidate}


def _other(typed: Mapping[str, Any], project: Project, index: int, other: int) -> dict[str, Any]:
    """Another window: where it lies and, where it decides the one that is made, which of its parts does."""
    kept = set(LAYOUT)
    if other == index + 1 or project.windows[other].bridge:
        kept.add("lock")
    if other in looked_at(project, index):
        kept |= {"candidates", "chosen"}
    return {key: value for key, value in typed["windows"][other].items() if key in kept}
