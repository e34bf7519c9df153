"""Workflows whose middle is one box: a subgraph that shows the inputs a person turns, made of the same graph as its API twin."""

import uuid
from dataclasses import dataclass, field, replace
from typing import Any

from .graph import Column, Graph, Group, Node, Output
from .node_types import Input, NodeType, OutputType

OUTSIDE = frozenset({"LoadImage", "LoadVideo", "SaveVideo", "PreviewAny"})
"""Node types that stay beside a box: what it is given and what comes out."""
INPUT_SIDE, OUTPUT_SIDE = -10, -20  # ids of a subgraph's two boundary nodes
IDS = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/comfyui-pusa/ComfyUI-Pusa/subgraphs")
CONTROL = "control_after_generate"


@dataclass(frozen=True)
class Turned:
    """An input of an inner node that stands on the box."""

    name: str  # on the box
    node: str  # the inner node's title, or its type
    input: str
    says: str = ""  # line of the note
    in_form: bool = True  # whether App Mode shows it

    def of(self, graph: Graph) -> Node:
        """The inner node."""
        found = [node for node in graph.nodes if self.node in (node.title, node.type)]
        if len(found) != 1:
            raise KeyError(f"{graph.title}: {len(found)} nodes are called {self.node}")
        return found[0]

    @property
    def is_seed(self) -> bool:
        """Seeds are shown through, together with what becomes of them after a run; all others are linked."""
        return self.input == "seed"


@dataclass(frozen=True)
class Box:
    """What is boxed of a graph, and what the box shows."""

    title: str  # also the name of the blueprint's file
    description: str
    turned: tuple[Turned, ...]
    results: tuple[tuple[str, str], ...] = ()  # (node's title or type, output) that nothing outside takes


@dataclass(frozen=True)
class Crossing:
    """One socket of a box: where it leads to inside, and what it is linked to outside."""

    name: str
    type: str
    inner: tuple[tuple[int, int], ...]  # (node id, slot)
    outer: Output | None = None  # of an input: its source
    optional: bool = False


@dataclass(frozen=True)
class BoxNode(Node):
    """The box as a node among those outside."""

    kind: NodeType = field(default_factory=lambda: NodeType("", True, {}, ()))

    @property
    def node_type(self) -> NodeType:
        return self.kind


class Split:
    """A graph taken apart into what is in the box and what is outside."""

    def __init__(self, graph: Graph) -> None:
        if graph.box is None:
            raise ValueError(f"{graph.title} has no box")
        self.graph, self.box = graph, graph.box
        self.id = str(uuid.uuid5(IDS, graph.title))
        self.by_id = {node.id: node for node in graph.nodes}
        self.inside = [node for node in graph.nodes if node.type not in OUTSIDE]
        self.outside = [node for node in graph.nodes if node.type in OUTSIDE]
        self.inner_ids = {node.id for node in self.inside}
        self.linked = [turned for turned in self.box.turned if not turned.is_seed]
        self.seeds = [turned for turned in self.box.turned if turned.is_seed]
        self.inputs = [*self._given(), *map(self._turned, self.linked)]
        self.outputs = self._results()

    def _given(self) -> list[Crossing]:
        """Sockets for what comes from outside nodes; one source is one socket."""
        found: dict[Output, list[tuple[int, int]]] = {}
        optional = dict[Output, bool]()
        for node in self.inside:
            for slot, input in enumerate(node.node_type.sockets_in_frontend_order):
                source = node.inputs.get(input.name)
                if isinstance(source, Output) and source.node_id not in self.inner_ids:
                    found.setdefault(source, []).append((node.id, slot))
                    optional[source] = optional.get(source, True) and input.optional
        return [
            Crossing(name_of(self.by_id[source.node_id]), self.kind_of(source), tuple(ends), source, optional[source])
            for source, ends in found.items()
        ]  # fmt: skip

    def _turned(self, turned: Turned) -> Crossing:
        node = turned.of(self.graph)
        sockets = node.node_type.sockets_in_frontend_order
        slot = next(index for index, input in enumerate(sockets) if input.name == turned.input)
        return Crossing(turned.name, sockets[slot].type, ((node.id, slot),))

    def _results(self) -> list[Crossing]:
        taken = [
            value
            for node in self.outside
            for value in node.inputs.values()
            if isinstance(value, Output) and value.node_id in self.inner_ids
        ]
        taken += [Turned("", name, "").of(self.graph).out(output) for name, output in self.box.results]
        return [
            Crossing(self.output_of(one).name.lower(), self.kind_of(one), ((one.node_id, one.slot),))
            for one in dict.fromkeys(taken)
        ]

    def output_of(self, output: Output) -> OutputType:
        """What is known about an output."""
        return self.by_id[output.node_id].node_type.outputs[output.slot]

    def kind_of(self, output: Output) -> str:
        """An output's type."""
        return self.output_of(output).type

    def inner_graph(self) -> Graph:
        """The graph in the box; links that come from outside are left away."""
        nodes = [
            replace(
                node,
                inputs={
                    name: value
                    for name, value in node.inputs.items()
                    if not isinstance(value, Output) or value.node_id in self.inner_ids
                },
            )
            for node in self.inside
        ]
        held = {node.group for node in nodes}
        return Graph(self.box.title, nodes, [group for group in self.graph.groups if group.title in held])

    def outer_graph(self) -> Graph:
        """The nodes outside with the box in their middle."""
        titles = {Column.FRAMES: "Given", Column.SAMPLING: self.box.title, Column.VIDEO: "Result"}
        box = self.box_node(self.box.title)
        slots = {one.inner[0]: slot for slot, one in enumerate(self.outputs)}
        nodes: list[Node] = []
        for node in self.outside:
            given = {
                name: Output(box.id, slots[(value.node_id, value.slot)])
                if isinstance(value, Output) and value.node_id in self.inner_ids
                else value
                for name, value in node.inputs.items()
            }
            after = any(isinstance(value, Output) for value in given.values())
            nodes.append(replace(node, inputs=given, group=titles[Column.VIDEO if after else Column.FRAMES]))
        used = {node.group for node in (*nodes, box)}
        groups = [Group(title, column, "#3f789e") for column, title in titles.items() if title in used]
        return Graph(self.graph.title, [*nodes, box], groups, self.graph.notes)

    def box_node(self, group: str = "") -> BoxNode:
        """The box as a node, with the values of what it shows."""
        inputs: dict[str, Input] = {}
        values: dict[str, Any] = {}
        for crossing in self.inputs:
            if crossing.outer:
                inputs[crossing.name] = Input(crossing.name, crossing.type, optional=crossing.optional)
                values[crossing.name] = crossing.outer
        for turned in self.linked:
            node = turned.of(self.graph)
            inputs[turned.name] = replace(
                node.node_type.inputs[turned.input], name=turned.name, optional=False
            )
            values[turned.name] = node.inputs[turned.input]
        outputs = tuple(OutputType(one.name, one.type) for one in self.outputs)
        return BoxNode(
            max(self.by_id) + 1, self.id, values, group, self.box.title, kind=NodeType(self.id, True, inputs, outputs)
        )  # fmt: skip

    def shown(self) -> list[list[str]]:
        """proxyWidgets of the box: linked inputs first, then the seeds with what becomes of them."""
        seeds = [
            (str(turned.of(self.graph).id), name) for turned in self.seeds for name in (turned.input, CONTROL)
        ]
        return [["-1", turned.name] for turned in self.linked] + [list(pair) for pair in seeds]

    def form(self, box_id: int) -> dict[str, Any]:
        """linearData of App Mode: what its form shows, as (node, widget), and the nodes whose results stand beside it."""
        files = [
            [node.id, next(iter(node.inputs))]
            for node in self.outside
            if node.type in ("LoadImage", "LoadVideo")
        ]
        shown = [[box_id, turned.name] for turned in self.box.turned if turned.in_form]
        results = [node.id for node in self.outside if node.type == "SaveVideo"]
        return {"inputs": files + shown, "outputs": results}

    def seed_values(self) -> list[Any]:
        """Values of the shown seeds."""
        nodes = [turned.of(self.graph) for turned in self.seeds]
        return [value for node in nodes for value in (node.inputs["seed"], node.after_generate)]


def name_of(node: Node) -> str:
    """A socket's name from the title of the node it is for: First frame is first_frame."""
    return (node.title or node.type).lower().replace(" ", "_")
