"""Links of a workflow file as ComfyUI's canvas draws them: curves from socket to socket, through reroutes where they have some."""

import math
from collections.abc import Iterator
from itertools import pairwise

from devtools.workflows.layout import FIRST_SLOT, SLOT, SLOTS_END, WIDGET

PULL = 0.25  # how far a curve goes straight on, of the distance between its ends
MOST_PULL = 80  # pixels, at a reroute
POINTS = 24  # of each piece that are looked at


def drawn_links(
    nodes: list[dict], links: list[list], reroutes: list[dict], last: dict[int, int]
) -> Iterator[tuple[list, list]]:
    """(link, its points). last: link -> the reroute before its input. Links from and to the sides of a box have no place of their own."""
    by_id = {node["id"]: node for node in nodes}
    dots = {dot["id"]: dot for dot in reroutes}
    ways = {link[0]: way(link, by_id, dots, last) for link in links if link[1] >= 0 and link[3] >= 0}
    angles = {id: angle(id, dot, dots, ways) for id, dot in dots.items()}
    for link in links:
        if link[0] in ways:
            yield link, list(points(ways[link[0]], angles))


def way(link: list, by_id: dict, dots: dict, last: dict[int, int]) -> list[tuple[int | None, tuple]]:
    """(reroute or None, position) from the output to the input."""
    _, source, source_slot, target, target_slot, *_ = link
    between, dot = [], last.get(link[0])
    while dot is not None:
        assert link[0] in dots[dot]["linkIds"]
        between.append((dot, tuple(dots[dot]["pos"])))
        dot = dots[dot].get("parentId")
    start, end = by_id[source], by_id[target]
    begin = (start["pos"][0] + start["size"][0], start["pos"][1] + FIRST_SLOT + SLOT * source_slot)
    finish = (end["pos"][0], end["pos"][1] + input_height(end, target_slot))
    return [(None, begin), *reversed(between), (None, finish)]


def input_height(node: dict, slot: int) -> float:
    """A widget's socket stands beside the widget, below the others."""
    inputs = node["inputs"]
    if "widget" not in inputs[slot]:
        return FIRST_SLOT + SLOT * sum("widget" not in one for one in inputs[:slot])
    rows = max(sum("widget" not in one for one in inputs), len(node["outputs"]))
    return SLOT * rows + SLOTS_END + WIDGET * (sum("widget" in one for one in inputs[:slot]) + 0.5)


def angle(id: int, dot: dict, dots: dict, ways: dict) -> float:
    """The direction in which links pass a reroute: the middle between where they come from and where they go on the mean."""
    onward = []
    for link in dot["linkIds"]:
        at = [name for name, _ in ways[link]].index(id)
        onward.append(direction(ways[link][at][1], ways[link][at + 1][1]))
        before = ways[link][at - 1][1]
    come = direction(before, dot["pos"])
    half = (come - sum(onward) / len(onward)) / 2
    return come - (half + math.pi if abs(half) > math.pi / 2 else half)


def direction(start, end) -> float:
    return math.atan2(end[1] - start[1], end[0] - start[0])


def points(way: list[tuple], angles: dict[int, float]) -> Iterator[tuple[float, float]]:
    """Along the whole way."""
    for (before, start), (after, end) in pairwise(way):
        out, into = pull(before, angles, start, end), pull(after, angles, start, end)
        bends = (start, (start[0] + out[0], start[1] + out[1]), (end[0] - into[0], end[1] - into[1]), end)
        for step in range(1, POINTS):
            t = step / POINTS
            shares = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3)
            x, y = (
                sum(share * bend[axis] for share, bend in zip(shares, bends, strict=True)) for axis in (0, 1)
            )
            yield x, y


def pull(dot: int | None, angles: dict[int, float], start, end) -> tuple[float, float]:
    """How far and where to a curve goes straight on at an end: sockets have links run to the right."""
    by = PULL * math.dist(start, end)
    if dot is None:
        return by, 0.0
    by = min(MOST_PULL, by)
    return by * math.cos(angles[dot]), by * math.sin(angles[dot])
