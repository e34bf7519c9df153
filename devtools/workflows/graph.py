"""A workflow before it has a format: nodes, links, groups and notes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING

from .model_files import ModelFile
from .node_types import NODE_TYPES, NodeType

if TYPE_CHECKING:
    from .boxes import Box

Value = str | int | float | bool | ModelFile


@dataclass(frozen=True)
class Output:
    """One output of a node, ready to be the value of another node's input."""

    node_id: int
    slot: int


@dataclass(frozen=True)
class Node:
    """One node with a value or a link for every input it has, except optional sockets left open."""

    id: int
    type: str
    inputs: dict[str, "Value | Output"]
    group: str
    title: str | None = None
    color: tuple[str, str] | None = None  # title bar, body
    after_generate: str = "randomize"  # what becomes of the seed after a run: randomize, fixed, ...
    muted: bool = False  # drawn, but run only once the user switches it on; the API prompt is without it

    @property
    def node_type(self) -> NodeType:
        return NODE_TYPES[self.type]

    def out(self, name: str | None = None) -> Output:
        """The output of that name; without a name the first."""
        names = [output.name for output in self.node_type.outputs]
        return Output(self.id, 0 if name is None else names.index(name))

    @property
    def model_files(self) -> list[ModelFile]:
        return [value for value in self.inputs.values() if isinstance(value, ModelFile)]


class Column(IntEnum):
    """Where a group stands, from left to right. MODELS stand over all before SAMPLING."""

    MODELS = 0
    LOADERS = 1
    FOLDER = 2
    PROMPT = 3
    LATER_PROMPT = 4
    FRAMES = 5
    SAMPLING = 6
    SECOND_WINDOW = 7
    VIDEO = 8
    CHECKS = 9


@dataclass(frozen=True)
class Group:
    """A titled frame around nodes; groups of one column stand above one another."""

    title: str
    column: Column
    color: str


@dataclass
class Graph:
    """A workflow. Its title is also the name of its files."""

    title: str
    nodes: list[Node] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)  # title, markdown
    box: "Box | None" = None  # what the browser shows as one node

    @contextmanager
    def group(self, title: str, column: Column, color: str = "#3f789e") -> Iterator[None]:
        """Nodes added inside belong to this group."""
        self.groups.append(Group(title, column, color))
        yield

    def add(
        self,
        type: str,
        /,
        *,
        title: str | None = None,
        color: tuple[str, str] | None = None,
        after_generate: str = "randomize",
        **inputs: "Value | Output | Node",
    ) -> Node:
        """Add a node to the newest group. Widgets not named keep their default; a Node means its first output."""
        known = NODE_TYPES[type].inputs
        if unknown := inputs.keys() - known.keys():
            raise KeyError(f"{type} has no input {sorted(unknown)}; it has {list(known)}")
        values = {name: widget.default for name, widget in known.items() if widget.default is not None}
        values |= {name: given.out() if isinstance(given, Node) else given for name, given in inputs.items()}
        if missing := [name for name in known if name not in values and not known[name].optional]:
            raise KeyError(f"{type} needs a value for {missing}")
        ordered = {name: values[name] for name in known if name in values}
        node = Node(len(self.nodes) + 1, type, ordered, self.groups[-1].title, title, color, after_generate)
        self.nodes.append(node)
        return node

    def mute(self, group: str) -> None:
        """Mute every node of a group."""
        self.nodes = [replace(node, muted=True) if node.group == group else node for node in self.nodes]

    def note(self, title: str, markdown: str) -> None:
        """Add a note at the left edge; notes exist in the UI file only."""
        self.notes.append((title, markdown.strip()))

    @property
    def model_files(self) -> list[ModelFile]:
        """Every published file the graph loads, once, in the order of its loaders."""
        return list(dict.fromkeys(file for node in self.nodes for file in node.model_files))
