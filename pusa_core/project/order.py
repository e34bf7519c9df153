"""In which order windows can be made: what each is made from, and which frames of the video it covers."""

from __future__ import annotations

from .text import FIRST, Project


def made_from(project: Project, index: int) -> list[int]:
    """The windows whose chosen parts must be there before this one can be made; the engine asks for no others.

    They never wait for each other: a window leads to the one after it only if that one begins anew.
    """
    windows = project.windows
    found = {index - 1} if index and not windows[index - 1].bridge else set()
    if windows[index].bridge:
        found.add(index + 1)
    if project.colour == FIRST and index:
        found.add(0)
    return sorted(found)


def looked_at(project: Project, index: int) -> list[int]:
    """The windows whose parts decide this one where they are there: those it is made from, and a locked one after it."""
    following = project.windows[index + 1 : index + 2]
    return sorted({*made_from(project, index), *([index + 1] if any(one.lock for one in following) else [])})


def spans(project: Project) -> list[tuple[int, int]]:
    """First frame of the video and the one after the last, of every window."""
    found: list[tuple[int, int]] = []
    for window in project.windows:
        start = found[-1][1] - project.overlap_of(window) if found else 0
        found.append((start, start + project.length_of(window)))
    return found
