"""The two formats of a graph: the UI file that the browser loads and the API prompt that a server runs."""

import json
import uuid
from typing import Any

from .graph import Graph, Node, Output, Value
from .layout import Arrangement, Rectangle, arrange
from .model_files import ModelFile
from .node_types import Input
from .reroutes import Router

COMFYUI_VERSION = "0.3.75"  # the version that the files were tested with
PACK_ID = "pusa"
PACK_VERSION = "0.1.0"
NOTE_COLORS = {"color": "#432", "bgcolor": "#000"}  # as in ComfyUI's templates: read in both renderers
ZOOM = 0.8  # the notes, which a person reads first, have letters of 10 pixels
MUTED = 2  # LiteGraph's mode of a node that never runs
OPTIONAL_SHAPE = 7  # LiteGraph's hollow circle
FILE_IDS = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/comfyui-pusa/ComfyUI-Pusa/workflows")


def plain(value: Value) -> str | int | float | bool:
    """A value as the formats write it."""
    return value.name if isinstance(value, ModelFile) else value


def api_prompt(graph: Graph) -> dict[str, Any]:
    """The graph as the body of POST /prompt wants it."""
    return {
        str(node.id): {
            "class_type": node.type,
            "inputs": {
                name: [str(value.node_id), value.slot] if isinstance(value, Output) else plain(value)
                for name, value in node.inputs.items()
            },
            "_meta": {"title": node.title or node.type},
        }
        for node in graph.nodes
        if not node.muted
    }


def ui_workflow(graph: Graph) -> dict[str, Any]:
    """The graph as the browser saves it, format 0.4, without subgraphs."""
    links = graph_links(graph)
    boxes = arrange(graph)
    router = Router(graph, boxes).lead(links)
    nodes = [ui_node(node, order, boxes.nodes[node.id], links) for order, node in enumerate(run_order(graph))]
    nodes.sort(key=lambda node: node["id"])
    first_note = max(node.id for node in graph.nodes) + 1
    for number, ((title, text), box) in enumerate(zip(graph.notes, boxes.notes, strict=True)):
        nodes.append(ui_note(first_note + number, len(graph.nodes) + number, title, text, box))
    return {
        "id": str(uuid.uuid5(FILE_IDS, graph.title)),
        "revision": 0,
        "last_node_id": nodes[-1]["id"],
        "last_link_id": len(links),
        "nodes": nodes,
        "links": links,
        "groups": ui_groups(graph, boxes),
        "config": {},
        "extra": {"ds": boxes.view(ZOOM), **ui_reroutes(router)},
        "version": 0.4,
    }


def ui_reroutes(router: Router) -> dict[str, Any]:
    """The dots that links pass through, as format 0.4 keeps them."""
    if not router.reroutes:
        return {}
    return {
        "reroutes": [one.as_file() for one in router.reroutes],
        "linkExtensions": [{"id": link, "parentId": dot.id} for link, dot in sorted(router.last.items())],
    }


def ui_groups(graph: Graph, boxes: Arrangement) -> list[dict[str, Any]]:
    """The frames around nodes."""
    return [
        {
            "id": number,
            "title": group.title,
            "bounding": boxes.groups[group.title].bounding(),
            "color": group.color,
            "font_size": 24,
            "flags": {},
        }
        for number, group in enumerate(graph.groups, 1)
    ]


def graph_links(graph: Graph) -> list[list[Any]]:
    """Every link as [id, from node, from slot, to node, to slot, type], numbered from 1."""
    by_id = {node.id: node for node in graph.nodes}
    links: list[list[Any]] = []
    for node in graph.nodes:
        for slot, input in enumerate(node.node_type.sockets_in_frontend_order):
            source = node.inputs.get(input.name)
            if isinstance(source, Output):
                kind = by_id[source.node_id].node_type.outputs[source.slot].type
                links.append([len(links) + 1, source.node_id, source.slot, node.id, slot, kind])
    return links


def run_order(graph: Graph) -> list[Node]:
    """Nodes with every node behind those it takes something from."""
    done: dict[int, Node] = {}
    waiting = list(graph.nodes)
    while waiting:
        sources = {
            node.id: [v.node_id for v in node.inputs.values() if isinstance(v, Output)] for node in waiting
        }
        ready = [node for node in waiting if all(source in done for source in sources[node.id])]
        if not ready:
            raise ValueError(f"{graph.title}: the links form a circle or lead to a missing node")
        done |= {node.id: node for node in ready}
        waiting = [node for node in waiting if node.id not in done]
    return list(done.values())


def ui_node(node: Node, order: int, box: Rectangle, links: list[list[Any]]) -> dict[str, Any]:
    """One node of the UI file."""
    into = {link[4]: link[0] for link in links if link[3] == node.id}
    inputs = [
        ui_input(input, into.get(slot)) for slot, input in enumerate(node.node_type.sockets_in_frontend_order)
    ]
    outputs = [
        {
            "name": output.name,
            "type": output.type,
            "links": [link[0] for link in links if link[1] == node.id and link[2] == slot],
        }
        for slot, output in enumerate(node.node_type.outputs)
    ]
    properties: dict[str, Any] = {
        "Node name for S&R": node.type,
        "cnr_id": PACK_ID if node.node_type.ours else "comfy-core",
        "ver": PACK_VERSION if node.node_type.ours else COMFYUI_VERSION,
    }
    if published := [file for file in node.model_files if file.is_published]:
        properties["models"] = [
            {"name": file.name, "url": file.url, "directory": file.directory} for file in published
        ]
    return {
        "id": node.id,
        "type": node.type,
        "pos": box.pos(),
        "size": box.size(),
        "flags": {},
        "order": order,
        "mode": MUTED if node.muted else 0,
        "inputs": inputs,
        "outputs": outputs,
        **({"title": node.title} if node.title else {}),
        "properties": properties,
        "widgets_values": widgets_values(node),
        **({"color": node.color[0], "bgcolor": node.color[1]} if node.color else {}),
    }


def ui_input(input: Input, link: int | None) -> dict[str, Any]:
    """One input socket; a widget's socket names the widget."""
    return {
        "name": input.name,
        **({"shape": OPTIONAL_SHAPE} if input.optional else {}),
        "type": input.type,
        **({"widget": {"name": input.name}} if input.is_widget else {}),
        "link": link,
    }


def widgets_values(node: Node) -> list[str | int | float | bool]:
    """Values in the order of the widgets, with those that the frontend adds behind a seed or a file chooser."""
    companions = {"control": node.after_generate, "upload": "image"}
    values: list[str | int | float | bool] = []
    for widget in node.node_type.widgets:
        given = node.inputs.get(widget.name)
        values.append(unlinked(widget) if given is None or isinstance(given, Output) else plain(given))
        if widget.companion:
            values.append(companions[widget.companion])
    return values


def unlinked(widget: Input) -> str | int | float | bool:
    """What a widget shows while a link gives its value."""
    return "" if widget.default is None else widget.default


def ui_note(id: int, order: int, title: str, text: str, box: Rectangle) -> dict[str, Any]:
    """One markdown note."""
    return {
        "id": id,
        "type": "MarkdownNote",
        "pos": box.pos(),
        "size": box.size(),
        "flags": {},
        "order": order,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "title": title,
        "properties": {},
        "widgets_values": [text],
        **NOTE_COLORS,
    }


def as_text(content: dict[str, Any]) -> str:
    """JSON as the files hold it."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
