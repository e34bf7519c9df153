"""Where the nodes of a graph stand: groups from left to right, in a group the nodes from source to target."""

from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from .boxes import BoxNode
from .graph import Graph, Node, Output

TITLE = 30  # LiteGraph draws a node's title bar above its position
SLOT, WIDGET = 20, 24  # height of one socket row and of one widget row
SLOTS_END, WIDGETS_END = 6, 8  # what LiteGraph adds below each kind of row
GAP_X, GAP_Y = 40, 26
GROUP_PAD, GROUP_HEAD, GROUP_GAP = 20, 50, 40
FIRST_SLOT = 14  # of a socket below the node's position
TOP_LANE = 200  # links that leave above this height pass over the groups to their right, others between them
DEFAULT_WIDTH = 320
TIMELINE_WIDTH, TIMELINE_HEIGHT = 460, 330  # js/timeline.js: WIDTH, and VIEW_HEIGHT with its margins
TIMELINES = (
    "PusaConditionFrames",
    "PusaConditionVideo",
    "PusaKeyframes",
    "PusaTransition",
    "PusaLoopConditions",
)
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


def sources(node: Node) -> list[int]:
    """Ids of the nodes that a node takes something from."""
    return [value.node_id for value in node.inputs.values() if isinstance(value, Output)]


def depths(nodes: list[Node]) -> dict[int, int]:
    """For each node the longest chain of these nodes that leads to it."""
    inside = {node.id: node for node in nodes}
    known: dict[int, int] = {}

    def depth(node: Node) -> int:
        if node.id not in known:
            known[node.id] = max((depth(inside[id]) + 1 for id in sources(node) if id in inside), default=0)
        return known[node.id]

    return {node.id: depth(node) for node in nodes}


def arrange(graph: Graph) -> Arrangement:
    """Places every node, group and note without overlaps, right of x = 0: Nodes 2.0 of frontend 1.32 enlarges a graph about that point.

    A link that leads past a column gets a lane of its own there, above the column's groups or below its first one.
    """
    nodes: dict[int, Rectangle] = {}
    groups: dict[str, Rectangle] = {}
    lanes: dict[Output, float] = {}
    left = float(NOTE_WIDTH + GROUP_GAP) if graph.notes else 0.0
    for column in sorted({group.column for group in graph.groups}):
        members = {
            group.title: [node for node in graph.nodes if node.group == group.title]
            for group in graph.groups
            if group.column == column
        }
        passing = {output: socket_height(output, nodes) for output in passing_links(graph, column)}
        has_lane = sum(group.column == column + 1 for group in graph.groups) > 1
        leaving = {output.node_id for output in passing_links(graph, column + 1)} if has_lane else set()
        top = max((height + GROUP_GAP for height in passing.values() if height < TOP_LANE), default=0.0)
        for title, inside in members.items():
            is_first = title == next(iter(members))
            groups[title] = place_group(inside, left, top, nodes, lanes, leaving, under_others=not is_first)
            bottom = groups[title].y + groups[title].height
            top = bottom + GROUP_GAP
            low = [output for output, height in passing.items() if height >= TOP_LANE and output not in lanes]
            if is_first and len(members) > 1 and len(low) == 1:
                lane = lanes[low[0]] = max(passing[low[0]], bottom + GROUP_GAP / 2)
                move_down(graph, low[0], lane - passing[low[0]], nodes, groups)
                top = lane + GROUP_GAP / 2
        right = max(groups[title].x + groups[title].width for title in members)
        for title, inside in members.items():
            if takes_nothing(inside):
                move_right(
                    right - groups[title].width - left, [groups[title], *(nodes[node.id] for node in inside)]
                )
        left = right + GROUP_GAP
    return Arrangement(nodes, groups, place_notes(graph))


def passing_links(graph: Graph, column: int) -> list[Output]:
    """Outputs left of a column that lead to a node right of it."""
    columns = {group.title: group.column for group in graph.groups}
    at = {node.id: columns[node.group] for node in graph.nodes}
    links = [
        (value, node) for node in graph.nodes for value in node.inputs.values() if isinstance(value, Output)
    ]
    return list(dict.fromkeys(value for value, node in links if at[value.node_id] < column < at[node.id]))


def socket_height(output: Output, nodes: dict[int, Rectangle]) -> float:
    """Where a placed node's output is drawn."""
    return nodes[output.node_id].y + FIRST_SLOT + SLOT * output.slot


def move_down(
    graph: Graph, output: Output, by: float, nodes: dict[int, Rectangle], groups: dict[str, Rectangle]
) -> None:
    """Moves the group of an output's node, with those below it in its column."""
    frame = {node.id: groups[node.group] for node in graph.nodes if node.group in groups}
    source = frame[output.node_id]
    columns = {group.title: group.column for group in graph.groups}
    column = next(columns[node.group] for node in graph.nodes if node.id == output.node_id)
    lower = [one for title, one in groups.items() if columns[title] == column and one.y >= source.y]
    for box in [*lower, *(nodes[id] for id, one in frame.items() if one in lower)]:
        box.y += by


def takes_nothing(members: list[Node]) -> bool:
    """Whether no link leads into these nodes from elsewhere: their links then go to the right only, and cross least from there."""
    inside = {node.id for node in members}
    return not any(is_from_elsewhere(value, inside) for node in members for value in node.inputs.values())


def move_right(by: float, boxes: list[Rectangle]) -> None:
    """Moves rectangles."""
    for box in boxes:
        box.x += by


def place_group(
    members: list[Node],
    left: float,
    top: float,
    nodes: dict[int, Rectangle],
    lanes: dict[Output, float],
    passing: Container[int],
    *,
    under_others: bool,
) -> Rectangle:
    """Places a group's nodes in columns by depth into `nodes`; returns the group's frame.

    passing: the nodes whose links lead past the next column of groups; they stand first. under_others: links from outside come from above,
    and the first column leaves room for those that lead past it. A node whose link has a lane stands on its height.
    """
    depth = depths(members)
    last = max(depth.values())
    above = [
        SLOT * (slot + 1) + TITLE
        for node in members
        if depth[node.id]
        for slot, input in enumerate(node.node_type.sockets_in_frontend_order)
        if is_from_elsewhere(node.inputs.get(input.name), depth)
    ]
    x, bottom = left + GROUP_PAD, top + GROUP_HEAD
    for column in range(last + 1):
        inside = sorted(
            (node for node in members if depth[node.id] == column), key=lambda node: node.id not in passing
        )
        y = top + GROUP_HEAD
        if column == 0 and under_others:
            y += max(above, default=0)
        if column > 0:
            y = max(y, lane_of(inside[0], lanes) - FIRST_SLOT - TITLE)
        width = 0
        for node in inside:
            if 0 < column < last:
                y = max(y, min(nodes[id].y - TITLE for id in sources(node) if id in depth))
            node_width, height = node_size(node)
            nodes[node.id] = Rectangle(x, y + TITLE, node_width, height)
            y += TITLE + height + TALLER_IN_NODES_2.get(node.type, 0) + GAP_Y
            width = max(width, node_width)
        x += width + GAP_X
        bottom = max(bottom, y - GAP_Y)
    return Rectangle(left, top, x - GAP_X + GROUP_PAD - left, bottom + GROUP_PAD - top)


def is_from_elsewhere(value: object, inside: Container[int]) -> bool:
    """Whether a link comes from a node that is not among these."""
    return isinstance(value, Output) and value.node_id not in inside


def lane_of(node: Node, lanes: dict[Output, float]) -> float:
    """Height at which the node's first socket must stand for a straight link in its lane; 0 without one."""
    heights = [
        lanes[value] - SLOT * slot
        for slot, input in enumerate(node.node_type.sockets_in_frontend_order)
        if isinstance(value := node.inputs.get(input.name), Output) and value in lanes
    ]
    return max(heights, default=0.0)


def place_notes(graph: Graph) -> list[Rectangle]:
    """Notes stand left of the groups, one above the other."""
    boxes: list[Rectangle] = []
    y = float(TITLE)
    for _, text in graph.notes:
        paragraphs = [visible(line) for line in text.splitlines() if line]
        lines = sum(-(-len(line) // NOTE_COLUMNS) for line in paragraphs)
        height = NOTE_LINE * lines + NOTE_GAP * len(paragraphs) + NOTE_PAD
        boxes.append(Rectangle(0, y, NOTE_WIDTH, height))
        y += height + TITLE + GAP_Y
    return boxes


def visible(line: str) -> str:
    """A markdown line without the addresses of its links."""
    while "](" in line and ")" in line[line.index("](") :]:
        start = line.index("](")
        line = line[:start] + line[line.index(")", start) + 1 :]
    return line
