"""Workflows with a box, and the boxes alone as blueprints, in the format that the browser loads."""

import json
import uuid
from dataclasses import replace
from typing import Any

from .boxes import INPUT_SIDE, OUTPUT_SIDE, Crossing, Split
from .export import (
    FILE_IDS,
    OPTIONAL_SHAPE,
    PACK_ID,
    PACK_VERSION,
    graph_links,
    run_order,
    ui_groups,
    ui_node,
    ui_workflow,
)
from .graph import Graph, Output
from .layout import SLOT, Rectangle, arrange, node_size
from .reroutes import Router

LINK = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
"""A link's parts, which a subgraph names."""


def boxed_workflow(graph: Graph) -> dict[str, Any]:
    """The graph as the browser saves it, with most of it in one box."""
    split = Split(graph)
    workflow = ui_workflow(split.outer_graph())
    for each in split.outside:
        name_file(next(node for node in workflow["nodes"] if node["id"] == each.id))
    (node,) = (node for node in workflow["nodes"] if node["type"] == split.id)
    finish_box(node, split)
    workflow["extra"] |= {"linearData": split.form(node["id"]), "linearMode": True}
    return {**workflow, "definitions": {"subgraphs": [definition(split)]}}


def blueprint(graph: Graph) -> dict[str, Any]:
    """The box alone, as ComfyUI's node library serves it."""
    split = Split(graph)
    unlinked_box = split.box_node()
    values = {name: value for name, value in unlinked_box.inputs.items() if not isinstance(value, Output)}
    unlinked_box = replace(unlinked_box, inputs=values)
    width, height = node_size(unlinked_box)
    node = ui_node(unlinked_box, 0, Rectangle(0, 0, width, height), [])
    finish_box(node, split)
    return {
        "id": str(uuid.uuid5(FILE_IDS, split.box.title)),
        "revision": 0,
        "last_node_id": node["id"],
        "last_link_id": 0,
        "nodes": [node],
        "links": [],
        "groups": [],
        "definitions": {"subgraphs": [definition(split)]},
        "config": {},
        "extra": {"BlueprintDescription": split.box.description},
        "version": 0.4,
    }


def name_file(node: dict[str, Any]) -> None:
    """Calls the file chooser of a loader by the loader's title, so that a form with two of them says which is which."""
    for socket in node["inputs"]:
        if node["type"].startswith("Load") and socket["name"] in ("image", "file"):
            socket["label"] = node["title"]


def finish_box(node: dict[str, Any], split: Split) -> None:
    """What a box has beyond other nodes."""
    node["properties"] = {"proxyWidgets": split.shown(), "cnr_id": PACK_ID, "ver": PACK_VERSION}
    node["widgets_values"] += split.seed_values()


def definition(split: Split) -> dict[str, Any]:
    """The subgraph that a box stands for."""
    graph = split.inner_graph()
    boxes = arrange(graph)
    links = graph_links(graph)
    router = Router(graph, boxes).lead(links)
    inputs = [boundary(split, one, slot, links, INPUT_SIDE) for slot, one in enumerate(split.inputs)]
    outputs = [boundary(split, one, slot, links, OUTPUT_SIDE) for slot, one in enumerate(split.outputs)]
    nodes = [ui_node(node, order, boxes.nodes[node.id], links) for order, node in enumerate(run_order(graph))]
    nodes.sort(key=lambda node: node["id"])
    right = max(frame.x + frame.width for frame in boxes.groups.values())
    return {
        "id": split.id,
        "version": 1,
        "state": {
            "lastGroupId": len(graph.groups),
            "lastNodeId": nodes[-1]["id"],
            "lastLinkId": len(links),
            "lastRerouteId": len(router.reroutes),
        },
        "revision": 0,
        "config": {},
        "name": split.box.title,
        "description": split.box.description,
        "category": "Pusa",
        "essentials_category": "Video Generation",
        "inputNode": {"id": INPUT_SIDE, "bounding": [-240, 0, 180, 40 + SLOT * len(inputs)]},
        "outputNode": {"id": OUTPUT_SIDE, "bounding": [right + 60, 0, 120, 40 + SLOT * len(outputs)]},
        "inputs": inputs,
        "outputs": outputs,
        "widgets": [],
        "nodes": nodes,
        "groups": ui_groups(graph, boxes),
        "links": [ui_link(link, router) for link in links],
        **({"reroutes": [one.as_file() for one in router.reroutes]} if router.reroutes else {}),
        "extra": {},
    }


def ui_link(link: list[Any], router: Router) -> dict[str, Any]:
    """A link as a subgraph lists it."""
    dot = router.last.get(link[0])
    return {**dict(zip(LINK, link, strict=True)), **({"parentId": dot.id} if dot else {})}


def boundary(split: Split, one: Crossing, slot: int, links: list[list[Any]], side: int) -> dict[str, Any]:
    """One socket of the box, seen from inside; its links are added to `links`."""
    added = []
    for node, inner_slot in one.inner:
        outer, inner = [side, slot], [node, inner_slot]
        ends = [*outer, *inner] if side == INPUT_SIDE else [*inner, *outer]
        links.append([len(links) + 1, *ends, one.type])
        added.append(len(links))
    return {
        "id": str(uuid.uuid5(FILE_IDS, f"{split.id}/{side}/{one.name}")),
        "name": one.name,
        "type": one.type,
        "linkIds": added,
        **({"shape": OPTIONAL_SHAPE} if one.optional else {}),
    }


def as_ascii(content: dict[str, Any]) -> str:
    """JSON as blueprints hold it: ComfyUI 0.3.75 reads them in the encoding of the machine."""
    return json.dumps(content, indent=1) + "\n"
