"""Links that would run behind a node are led around it, by reroutes: the dots that ComfyUI's links may pass through."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .graph import Graph, Node, Output
from .layout import FIRST_SLOT, SLOT, SLOTS_END, TITLE, WIDGET, Arrangement, Rectangle, drawn_height, sockets

Point = tuple[float, float]

CLEAR = 8  # pixels that a link keeps from a node
LANE_CLEAR = 40  # the same along a lane, into which it swings with a curve
LANE, SIDE = 14, 10  # pixels between two links that run side by side, and up and down
LANES_TRIED, SIDES_TRIED, EDGES_TRIED = 8, 5, 10
NEAR = 60  # pixels from a socket within which a curve turns without a dot
CURVE = 0.25  # LiteGraph's: how far a link runs straight out of its socket, of the distance between its ends
SAMPLES = 32  # points of a curve that are looked at
TITLE_LETTER, TITLE_HEIGHT = 14, 40  # pixels of a group's title


@dataclass(frozen=True)
class Reroute:
    """One dot on the way of one link."""

    id: int
    x: float
    y: float
    before: "Reroute | None"  # on the way from the output
    link: int  # id

    def as_file(self) -> dict[str, Any]:
        """As workflow files write it."""
        return {
            "id": self.id,
            **({"parentId": self.before.id} if self.before else {}),
            "pos": [self.x, self.y],
            "linkIds": [self.link],
        }


@dataclass
class Router:
    """Finds the ways of a graph's links, one after the other: a later one keeps beside those before it."""

    graph: Graph
    arrangement: Arrangement
    taken: list[tuple[Output, Rectangle]] = field(default_factory=list)
    reroutes: list[Reroute] = field(default_factory=list)
    last: dict[int, Reroute] = field(default_factory=dict)  # link id -> the dot before its input

    def __post_init__(self) -> None:
        places = self.arrangement.nodes
        self.nodes = {node.id: node for node in self.graph.nodes}
        self.bodies = {id: body(self.nodes[id], box) for id, box in places.items()}
        titles = [
            Rectangle(frame.x, frame.y, TITLE_LETTER * len(title), TITLE_HEIGHT)
            for title, frame in self.arrangement.groups.items()
        ]
        self.obstacles = [*map(widened, self.bodies.values()), *titles, *self.arrangement.notes]
        offsets = [LANE_CLEAR - CLEAR + LANE * number for number in range(LANES_TRIED)]
        self.lanes = {box.y - by for box in self.obstacles for by in offsets}
        self.lanes |= {box.y + box.height + by for box in self.obstacles for by in offsets}
        """Heights at which a link may run: above and below every obstacle."""

    def lead(self, links: list[list[Any]]) -> "Router":
        """links: as the UI file lists them. Those that are clear as they are stay so; short ways are found first. Returns itself."""
        blocked = [link for link in links if not self.is_clear(link)]
        for link in sorted(blocked, key=lambda link: math.dist(*self.ends(link))):
            way = self.way(link)
            if way is not None:
                self.take(link, way)
        return self

    def ends(self, link: list[Any]) -> tuple[Point, Point]:
        """Where a link begins and ends."""
        _, source, slot, target, input, *_ = link
        begin, end = self.arrangement.nodes[source], self.arrangement.nodes[target]
        return (
            (begin.x + begin.width, begin.y + FIRST_SLOT + SLOT * slot),
            (end.x, end.y + input_height(self.nodes[target], input)),
        )

    def is_clear(self, link: list[Any]) -> bool:
        """Whether no node hides the link, drawn as one curve."""
        points = list(curve(*self.ends(link)))[1:-1]
        return not any(holds(box, point) for box in self.bodies.values() for point in points)

    def way(self, link: list[Any]) -> list[Point] | None:
        """The shortest of the ways that lead out, along a lane and in, keep clear of nodes and titles, and lie on no other output's way."""
        start, end = self.ends(link)
        output = Output(link[1], link[2])
        outs = [x for x in self.edges(start, 1) if self.is_open(piece(start, (x, start[1])), link[1])]
        ins = [x for x in self.edges(end, -1) if self.is_open(piece(end, (x, end[1])), link[3])]
        lanes = sorted((abs(y - start[1]) + abs(end[1] - y), y) for y in self.lanes)
        best, found = math.inf, None
        for left, right in itertools.product(outs, ins):
            along = abs(left - start[0]) + abs(right - left) + abs(end[0] - right)
            for down, lane in lanes:
                if along + down >= best:
                    break
                points = [(left, start[1]), (left, lane), (right, lane), (right, end[1])]
                if all(self.is_free(output, piece(*pair)) for pair in itertools.pairwise(points)):
                    best, found = along + down, points[1:3]
        return found

    def edges(self, socket: Point, direction: int) -> list[float]:
        """Where a link may turn: close to its socket, then beside each node further on. direction: 1 out of an output, -1 into an input."""
        sides = {socket[0]} | {box.x + (box.width if direction > 0 else 0) for box in self.bodies.values()}
        ahead = sorted(direction * (side - socket[0]) for side in sides)
        turns = [by + SIDE * number for by in ahead if by >= 0 for number in range(1, SIDES_TRIED + 1)]
        return [socket[0] + direction * by for by in turns[:EDGES_TRIED]]

    def is_open(self, piece: Rectangle, own: int) -> bool:
        """Whether a piece that begins at a node keeps clear of all others."""
        return not any(touch(piece, box if id == own else widened(box)) for id, box in self.bodies.items())

    def is_free(self, output: Output, piece: Rectangle) -> bool:
        """Whether a piece keeps clear of everything; two links of one output may share it."""
        swing = LANE_CLEAR - CLEAR if piece.height == 0 else 0
        swept = Rectangle(piece.x, piece.y - swing, piece.width, piece.height + 2 * swing)
        return not any(touch(swept, box) for box in self.obstacles) and not any(
            other != output and side_by_side(piece, taken) for other, taken in self.taken
        )

    def take(self, link: list[Any], way: list[Point]) -> None:
        """Writes a way down."""
        start, end = self.ends(link)
        output = Output(link[1], link[2])
        out, into = (way[0][0], start[1]), (way[-1][0], end[1])
        self.taken += [(output, piece(*pair)) for pair in itertools.pairwise([out, *way, into])]
        if out[0] - start[0] > NEAR:
            way = [out, *way]
        if end[0] - into[0] > NEAR:
            way = [*way, into]
        before: Reroute | None = None
        for x, y in way:
            before = self.last[link[0]] = Reroute(len(self.reroutes) + 1, x, y, before, link[0])
            self.reroutes.append(before)


def piece(start: Point, end: Point) -> Rectangle:
    """A horizontal or vertical piece of a way, as a rectangle of no height or no width."""
    (x1, y1), (x2, y2) = start, end
    return Rectangle(min(x1, x2), min(y1, y2), abs(x2 - x1), abs(y2 - y1))


def body(node: Node, box: Rectangle) -> Rectangle:
    """What a node covers, with its title; its sockets lie on the edge."""
    return Rectangle(box.x + 1, box.y - TITLE, box.width - 2, TITLE + drawn_height(node, box))


def widened(box: Rectangle) -> Rectangle:
    """A node's rectangle with the room that passing links leave around it."""
    return Rectangle(box.x - CLEAR, box.y - CLEAR, box.width + 2 * CLEAR, box.height + 2 * CLEAR)


def input_height(node: Node, slot: int) -> float:
    """Of an input below its node's position: sockets come first, a widget's socket stands beside the widget."""
    inputs = node.node_type.sockets_in_frontend_order
    if not inputs[slot].is_widget:
        return FIRST_SLOT + SLOT * sum(not one.is_widget for one in inputs[:slot])
    row = sum(one.is_widget for one in inputs[:slot])
    return SLOT * max(sockets(node), len(node.node_type.outputs)) + SLOTS_END + WIDGET * (row + 0.5)


def curve(start: Point, end: Point) -> Iterator[Point]:
    """Points of a link as LiteGraph draws it."""
    out = CURVE * math.dist(start, end)
    bends = (start, (start[0] + out, start[1]), (end[0] - out, end[1]), end)
    for number in range(SAMPLES + 1):
        t = number / SAMPLES
        weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
        yield (
            sum(weight * bend[0] for weight, bend in zip(weights, bends, strict=True)),
            sum(weight * bend[1] for weight, bend in zip(weights, bends, strict=True)),
        )


def holds(box: Rectangle, point: Point) -> bool:
    """Whether a point lies in a rectangle."""
    return box.x < point[0] < box.x + box.width and box.y < point[1] < box.y + box.height


def touch(one: Rectangle, other: Rectangle) -> bool:
    """Whether two rectangles share a point inside one of them."""
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def side_by_side(one: Rectangle, other: Rectangle) -> bool:
    """Whether two pieces run the same way so close that they look like one."""
    if one.height == other.height == 0:
        return abs(one.y - other.y) < LANE and one.x < other.x + other.width and other.x < one.x + one.width
    if one.width == other.width == 0:
        return abs(one.x - other.x) < SIDE and one.y < other.y + other.height and other.y < one.y + one.height
    return False
