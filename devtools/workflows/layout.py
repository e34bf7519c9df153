"""Where the nodes of a graph stand: groups from left to right, in a group the nodes from source to target."""

from dataclasses import dataclass
from typing import Any

from .boxes import BoxNode
from .graph import Column, Graph, Node, Output

TITLE = 30  # LiteGraph draws a node's title bar above its position
SLOT, WIDGET = 20, 24  # height of one socket row and of one widget row
SLOTS_END, WIDGETS_END = 6, 8  # what LiteGraph adds below each kind of row
GAP_X, GAP_Y = 60, 26
GROUP_PAD, GROUP_HEAD, GROUP_GAP = 20, 50, 40
LANES = 60  # more room between the models and what stands below them, for links that pass
FIRST_SLOT = 14  # of a socket below the node's position
DEFAULT_WIDTH = 320
TIMELINE_WIDTH, TIMELINE_HEIGHT = 460, 330  # js/timeline.js: WIDTH, and VIEW_HEIGHT with its margins
TIMELINES = (
    "PusaConditionFrames",
    "PusaConditionVideo",
    "PusaKeyframes",
    "PusaTransition",
    "PusaLoopConditions",
)
CHOSEN_FIRST = ("LoadImage", "LoadVideo")
WIDTHS = {
    "UNETLoader": 420,
    "PusaFolder": 400,
    "PusaLoraLoader": 460,
    "PusaLightX2VLoader": 460,
    "CLIPLoader": 420,
    "VAELoader": 420,
    **dict.fromkeys(TIMELINES, TIMELINE_WIDTH),
}
SIZES = {  # nodes whose size their rows do not tell: text boxes, pictures, players
    "CLIPTextEncode": (420, 170),
    "PusaDemoTextEncode": (420, 170),
    "LoadImage": (320, 394),  # Nodes 2.0 shows it this high with its picture, and Load Video with its clip
    "LoadVideo": (320, 394),
    "SaveVideo": (400, 520),  # a square video fits in it
    "PreviewImage": (520, 380),
    "PreviewAny": (400, 180),
    "PusaDirector": (920, 1100),  # js/director.js: WIDTH; its timeline and form below the settings
}
TALLER_IN_NODES_2 = {
    "EmptyHunyuanLatentVideo": 16,
    "PusaClipFrames": 44,
    "PusaColorDrift": 32,
    "PusaColorMatch": 40,
    "PusaConditionFrames": 49,
    "PusaConditionVideo": 62,
    "PusaDemoClip": 28,
    "PusaDoctor": 44,
    "PusaFolder": 30,
    "PusaFolderSave": 32,
    "PusaFrozenFrameCache": 40,
    "PusaKeyframes": 49,
    "PusaLightX2VLoader": 64,
    "PusaLongVideo": 96,
    "PusaLoopConditions": 45,
    "PusaLoopDecode": 28,
    "PusaLoopModel": 28,
    "PusaLoraLoader": 64,
    "PusaMergeLoras": 28,
    "PusaMoESwitch": 36,
    "PusaProgressive": 32,
    "PusaPromptTime": 28,
    "PusaSampler": 28,
    "PusaSchedulePlot": 28,
    "PusaScheduler": 40,
    "PusaStages": 40,
    "PusaSweep": 112,
    "PusaStitch": 52,
    "PusaTrainingClip": 6,
    "PusaTrainingConfig": 120,
    "PusaTrainingFolder": 56,
    "PusaTransition": 34,
    "PusaVectorizedTimesteps": 28,
    "UNETLoader": 32,
    "VAELoader": 28,
}
"""Pixels that Nodes 2.0 of frontend 1.58 draws a node higher than its size, measured with the templates: wider rows, and lines for the
pack's name and for a missing model. The browser tests find an overlap where a number is too small."""
BARS = (80, 130)  # screen pixels that ComfyUI's bars take at the left and at the top
BOX_WIDTH, BOX_ROW = 440, 32  # rows as Nodes 2.0 draws them
NOTE_WIDTH, NOTE_COLUMNS = 460, 62  # pixels, characters a line
NOTE_LINE, NOTE_GAP, NOTE_PAD = 17, 6, 36  # pixels of a line, between paragraphs, around; as in Nodes 2.0


@dataclass
class Rectangle:
    """A rectangle of the canvas; y is below the title bar for a node."""

    x: float
    y: float
    width: float
    height: float

    def pos(self) -> list[float]:
        return [self.x, self.y]

    def size(self) -> list[float]:
        return [self.width, self.height]

    def bounding(self) -> list[float]:
        return [self.x, self.y, self.width, self.height]


@dataclass
class Arrangement:
    """Every rectangle of a workflow."""

    nodes: dict[int, Rectangle]
    groups: dict[str, Rectangle]
    notes: list[Rectangle]

    def view(self, scale: float) -> dict[str, Any]:
        """Zoom and pan that show the top left corner clear of ComfyUI's bars."""
        left = min(box.x for box in [*self.groups.values(), *self.notes])
        return {"scale": scale, "offset": [round(BARS[0] / scale - left), round(BARS[1] / scale)]}


def node_size(node: Node) -> tuple[int, int]:
    """Width and height that fit the node's rows."""
    if node.type in SIZES:
        return SIZES[node.type]
    kind = node.node_type
    if isinstance(node, BoxNode):
        rows = len(kind.widgets) + 2 + 3 * sum(widget.multiline for widget in kind.widgets)
        head = SLOT * max(sockets(node), len(kind.outputs)) + SLOTS_END
        return BOX_WIDTH, head + BOX_ROW * rows + WIDGETS_END
    widgets = len(kind.widgets) + sum(widget.companion is not None for widget in kind.widgets)
    tall = sum(widget.multiline for widget in kind.widgets)
    height = SLOT * max(sockets(node), len(kind.outputs)) + SLOTS_END + 70 * tall
    if widgets:
        height += WIDGET * widgets + WIDGETS_END
    if node.type in TIMELINES:
        height += TIMELINE_HEIGHT
    return WIDTHS.get(node.type, DEFAULT_WIDTH), height


def sockets(node: Node) -> int:
    """Inputs that are no widgets."""
    return sum(not input.is_widget for input in node.node_type.inputs.values())


def arrange(graph: Graph) -> Arrangement:
    """Places every node, group and note without overlaps, right of x = 0: Nodes 2.0 of frontend 1.32 enlarges a graph about that point.

    The loaders of models stand over what prepares a video, so that what a person sets first is in the opening view; the rest is right of both.
    """
    nodes: dict[int, Rectangle] = {}
    groups: dict[str, Rectangle] = {}
    edge = float(NOTE_WIDTH + GROUP_GAP) if graph.notes else 0.0

    def place_column(column: Column, left: float, top: float) -> tuple[float, float]:
        """Returns where it ends at the right and below."""
        right = left
        for title in (group.title for group in graph.groups if group.column == column):
            members = [node for node in graph.nodes if node.group == title]
            frame = groups[title] = place_group(members, left, top, nodes)
            top = frame.y + frame.height + GROUP_GAP
            right = max(right, frame.x + frame.width + GROUP_GAP)
        return right, top

    widest, below = place_column(Column.MODELS, edge, 0.0)
    left, top = edge, below + LANES if below else 0.0
    for column in sorted({group.column for group in graph.groups} - {Column.MODELS}):
        if column >= Column.SAMPLING:
            left, top = max(left, widest), 0.0
        left, _ = place_column(column, left, top)
    return Arrangement(nodes, groups, place_notes(graph))


def depths(nodes: list[Node]) -> dict[int, int]:
    """For each node the longest chain of these nodes that leads to it."""
    inside = {node.id: node for node in nodes}
    known: dict[int, int] = {}

    def depth(node: Node) -> int:
        if node.id not in known:
            sources = {value.node_id for value in node.inputs.values() if isinstance(value, Output)}
            known[node.id] = max((depth(inside[id]) + 1 for id in sources if id in inside), default=0)
        return known[node.id]

    return {node.id: depth(node) for node in nodes}


def place_group(members: list[Node], left: float, top: float, nodes: dict[int, Rectangle]) -> Rectangle:
    """Places a group's nodes in columns by depth into `nodes`, files to choose on top; returns the group's frame."""
    depth = depths(members)
    x, bottom = left + GROUP_PAD, top + GROUP_HEAD
    for column in range(max(depth.values()) + 1):
        y, width = top + GROUP_HEAD, 0
        inside = [node for node in members if depth[node.id] == column]
        for node in sorted(inside, key=lambda node: node.type not in CHOSEN_FIRST):
            node_width, height = node_size(node)
            nodes[node.id] = Rectangle(x, y + TITLE, node_width, height)
            y += TITLE + drawn_height(node, nodes[node.id]) + GAP_Y
            width = max(width, node_width)
        x += width + GAP_X
        bottom = max(bottom, y - GAP_Y)
    return Rectangle(left, top, x - GAP_X + GROUP_PAD - left, bottom + GROUP_PAD - top)


def drawn_height(node: Node, box: Rectangle) -> float:
    """The node's height below its title as the renderer that needs most draws it."""
    return box.height + TALLER_IN_NODES_2.get(node.type, 0)


def place_notes(graph: Graph) -> list[Rectangle]:
    """Notes stand left of the groups, one above the other."""
    boxes: list[Rectangle] = []
    y = float(TITLE)
    for _, text in graph.notes:
        paragraphs = [visible(line) for line in text.splitlines() if line]
        lines = sum(-(-len(line) // NOTE_COLUMNS) for line in paragraphs)
        height = NOTE_LINE * lines + NOTE_GAP * len(paragraphs) + NOTE_PAD
        boxes.append(Rectangle(0, y, NOTE_WIDTH, height))
        y += height + TITLE + GROUP_GAP
    return boxes


def visible(line: str) -> str:
    """A markdown line without the addresses of its links."""
    while "](" in line and ")" in line[line.index("](") :]:
        start = line.index("](")
        line = line[:start] + line[line.index(")", start) + 1 :]
    return line
