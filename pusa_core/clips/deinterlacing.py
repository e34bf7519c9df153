"""Interlaced pictures made whole: FFmpeg's bwdif, one picture for each that goes in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

import av
import av.filter

from .notes import Notes
from .stamp_repair import Stamped

COUNTING = Fraction(1, 1000)
"""Time base in which the filter counts the pictures; their real times wait beside it."""


def deinterlaced(
    frames: Iterable[Stamped[av.VideoFrame]], name: str, notes: Notes
) -> Iterator[Stamped[av.VideoFrame]]:
    """The frames in their order and at their times, those that the file marks as interlaced without combing.

    From the first marked one on, FFmpeg's bwdif sees them all (it needs the neighbours) and changes the marked ones only. The rate
    stays: each pair of fields gives one picture.
    """
    graph: av.filter.Graph | None = None
    kind: tuple[int, int, str] | None = None
    waiting: deque[Stamped[av.VideoFrame]] = deque()
    for stamped in frames:
        frame = stamped.item
        if graph is not None and kind != _kind(frame):
            yield from _finished(graph, waiting)
            graph = None
        if graph is None and not frame.interlaced_frame:
            yield stamped
            continue
        if graph is None:
            notes.add(f"{name} is interlaced; each pair of fields was made one picture.")
            graph, kind = _bwdif(frame), _kind(frame)
        waiting.append(stamped)
        frame.pts, frame.time_base = len(waiting), COUNTING
        graph.push(frame)
        yield from _ready(graph, waiting)
    if graph is not None:
        yield from _finished(graph, waiting)


def _kind(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name


def _bwdif(frame: av.VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    width, height, name = _kind(frame)
    source = graph.add_buffer(
        width=width, height=height, format=av.VideoFormat(name, width, height), time_base=COUNTING
    )
    bwdif, sink = graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")
    source.link_to(bwdif)
    bwdif.link_to(sink)
    graph.configure()
    return graph


def _ready(
    graph: av.filter.Graph, waiting: deque[Stamped[av.VideoFrame]]
) -> Iterator[Stamped[av.VideoFrame]]:
    while waiting:
        try:
            whole = graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        yield replace(waiting.popleft(), item=whole)


def _finished(
    graph: av.filter.Graph, waiting: deque[Stamped[av.VideoFrame]]
) -> Iterator[Stamped[av.VideoFrame]]:
    """The pictures still in the filter."""
    graph.push(None)
    yield from _ready(graph, waiting)
    yield from waiting  # none, unless FFmpeg dropped one: then as it came
    waiting.clear()
