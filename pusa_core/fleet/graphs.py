"""Graphs in API format: reading one, finding the input that a text names, and setting it to a value of the right kind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import PusaError

Graph = dict[str, Any]
Target = tuple[str, str]  # node id, input name

# Inputs that name a file of ComfyUI's input folder, which a browser uploads.
FILE_INPUTS = {
    "LoadImage": "image",
    "LoadImageMask": "image",
    "LoadVideo": "file",
    "LoadAudio": "audio",
    "VHS_LoadVideo": "video",
    "VHS_LoadAudioUpload": "audio",
}
PICTURE_NODE = "LoadImage"
TEXT_INPUTS = ("text", "prompt", "value", "string")
SHOWN = 12  # candidates that a sentence lists


def read_graph(file: Path) -> Graph:
    """The graph of a file in ComfyUI's API format."""
    try:
        found = json.loads(file.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise PusaError(
            f"There is no graph {file}. Give --graph a file in API format, such as one of workflows/api."
        ) from None
    except (OSError, ValueError) as error:
        raise PusaError(
            f"{file} cannot be read as a graph ({error}). Export it again with Workflow > Export (API)."
        ) from error
    if isinstance(found, dict) and "nodes" in found and "links" in found:
        raise PusaError(
            f"{file.name} is a workflow in the browser's format. Export it with Workflow > Export (API), or take the file of "
            "the same name from workflows/api."
        )
    if not isinstance(found, dict) or not found:
        raise PusaError(f"{file.name} holds no graph. Export one with Workflow > Export (API).")
    for node_id, node in found.items():
        if not isinstance(node, dict) or "class_type" not in node or not isinstance(node.get("inputs"), dict):
            raise PusaError(
                f"{file.name} is not a graph in API format: its entry {node_id!r} has no class_type and inputs. "
                "Export it with Workflow > Export (API)."
            )
    return found


def title(graph: Graph, node_id: str) -> str:
    """What the user calls a node."""
    node = graph[node_id]
    return str(node.get("_meta", {}).get("title") or node["class_type"])


def named(graph: Graph, node_id: str) -> str:
    """A node in a sentence: its title and id."""
    return f"{title(graph, node_id)} (node {node_id})"


def is_link(value: Any) -> bool:
    """Whether an input comes from another node."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def own_inputs(graph: Graph) -> Iterator[tuple[Target, Any]]:
    """Every input with a value of its own, that is not a link."""
    for node_id, node in graph.items():
        for name, value in node["inputs"].items():
            if not is_link(value):
                yield (node_id, name), value


def find_input(graph: Graph, address: str) -> Target:
    """The input that a text names: "node id.input", "node title.input", "class.input", or the input's name where one node has it."""
    if "." not in address:
        found = [target for target, _ in own_inputs(graph) if target[1] == address]
    else:
        found = [
            (node_id, name)
            for node_id, node in graph.items()
            for name in node["inputs"]
            if address
            in (f"{node_id}.{name}", f"{title(graph, node_id)}.{name}", f"{node['class_type']}.{name}")
        ]
    if len(found) > 1:
        choices = _listed(f"{node_id}.{name}" for node_id, name in found)
        raise PusaError(
            f"{address!r} names {len(found)} inputs of the graph: {choices}. Write the node's id before it."
        )
    if not found:
        choices = _listed(f"{title(graph, node_id)}.{name}" for (node_id, name), _ in own_inputs(graph))
        raise PusaError(f"The graph has no input {address!r}. Write one of: {choices}.")
    node_id, name = found[0]
    if is_link(value := graph[node_id]["inputs"][name]):
        raise PusaError(
            f"{address!r} comes from {named(graph, value[0])} in this graph; set an input of that node instead."
        )
    return found[0]


def is_file_input(graph: Graph, target: Target) -> bool:
    """Whether an input names a file that is uploaded."""
    node_id, name = target
    return FILE_INPUTS.get(graph[node_id]["class_type"]) == name


def picture_input(graph: Graph) -> Target:
    """The input of the only picture that the graph loads."""
    found = [node_id for node_id, node in graph.items() if node["class_type"] == PICTURE_NODE]
    if len(found) == 1:
        return found[0], FILE_INPUTS[PICTURE_NODE]
    if not found:
        raise PusaError(
            "The graph loads no picture (it has no Load Image), so a folder of pictures does not fit it. Use another graph, or "
            "--csv with the inputs to set."
        )
    choices = _listed(f"{title(graph, node_id)}.{FILE_INPUTS[PICTURE_NODE]}" for node_id in found)
    raise PusaError(
        f"The graph loads {len(found)} pictures: {choices}. Say with --picture which one the folder's pictures take; the others "
        "stay as the graph names them."
    )


def prompt_input(graph: Graph) -> Target:
    """The only text that reaches an input named `positive`."""
    start = [
        node["inputs"]["positive"][0]
        for node in graph.values()
        if is_link(node["inputs"].get("positive")) and node["inputs"]["positive"][0] in graph
    ]
    found = sorted({target for node_id in start for target in _texts(graph, node_id, set())})
    if len(found) == 1:
        return found[0]
    choices = _listed(
        f"{title(graph, node_id)}.{name}"
        for (node_id, name), value in own_inputs(graph)
        if name in TEXT_INPUTS and isinstance(value, str)
    )
    raise PusaError(
        f"{len(found)} texts of the graph reach its positive input, so it is not clear which one the prompts take. Say it with "
        f"--prompt: {choices or 'the graph has none'}."
    )


def converted(graph: Graph, target: Target, value: Any) -> Any:
    """A value for an input, of the kind that the graph has there; text, as from a CSV file, is read as that kind."""
    node_id, name = target
    present = graph[node_id]["inputs"][name]
    kind = type(present)
    try:
        if kind is bool:
            return _boolean(value)
        if kind is int and not isinstance(value, bool):
            return int(value) if isinstance(value, str) else _whole(value)
        if kind is float and not isinstance(value, bool):
            return float(value)
        if kind is str and isinstance(value, str):
            return value
    except ValueError:
        pass
    if kind not in (bool, int, float, str):
        return value
    spoken = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[kind]
    raise PusaError(
        f"{title(graph, node_id)}.{name} is {value!r}; write {spoken}, as the graph has ({present!r})."
    )


def with_inputs(graph: Graph, values: Mapping[Target, Any]) -> Graph:
    """A copy of the graph with other values."""
    changed: Graph = json.loads(json.dumps(graph))
    for (node_id, name), value in values.items():
        changed[node_id]["inputs"][name] = value
    return changed


def only_with(graph: Graph, node_id: str) -> Graph:
    """The graph of one node and all that it is made from."""
    found, waiting = {node_id}, [node_id]
    while waiting:
        for value in graph[waiting.pop()]["inputs"].values():
            if is_link(value) and value[0] in graph and value[0] not in found:
                found.add(value[0])
                waiting.append(value[0])
    return {key: node for key, node in graph.items() if key in found}


def graph_digest(graph: Graph) -> str:
    """16 hex digits of what decides the result: classes and inputs of every node, not their titles."""
    bare = {node_id: [node["class_type"], node["inputs"]] for node_id, node in graph.items()}
    return hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()[:16]


def _texts(graph: Graph, node_id: str, seen: set[str]) -> Iterator[Target]:
    """Text inputs of a node, or else of the nodes that it is made from."""
    if node_id in seen or node_id not in graph:
        return
    seen.add(node_id)
    inputs = graph[node_id]["inputs"]
    own = [name for name in TEXT_INPUTS if isinstance(inputs.get(name), str)]
    if own:
        yield from ((node_id, name) for name in own)
        return
    for value in inputs.values():
        if is_link(value):
            yield from _texts(graph, value[0], seen)


def _boolean(value: Any) -> bool:
    text = str(value).strip().lower()
    if text in ("true", "yes", "1"):
        return True
    if text in ("false", "no", "0"):
        return False
    raise ValueError


def _whole(value: Any) -> int:
    if value != int(value):
        raise ValueError
    return int(value)


def _listed(names: Iterator[str]) -> str:
    found = list(dict.fromkeys(names))
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more
