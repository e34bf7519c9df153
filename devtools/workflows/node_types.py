"""What is known about each node type: inputs in ComfyUI's order, which of them are widgets, outputs.

The facts lie in node_types.json, taken from a server's /object_info by `learn`; a test compares the two.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

FACTS = Path(__file__).with_name("node_types.json")
WIDGET_TYPES = {"COMBO", "INT", "FLOAT", "STRING", "BOOLEAN", "IMAGEUPLOAD"}
SEED_NAMES = {"seed", "noise_seed"}  # the frontend adds "control after generate" to these by itself


@dataclass(frozen=True)
class Input:
    """One input: a socket, or a widget that has a socket too."""

    name: str
    type: str
    optional: bool = False
    default: str | int | float | bool | None = None
    socket_only: bool = False  # a plain type whose widget is switched off (forceInput)
    multiline: bool = False
    companion: str | None = None  # widget that the frontend puts behind this one: "control" or "upload"

    @property
    def is_widget(self) -> bool:
        return self.type in WIDGET_TYPES and not self.socket_only


UPLOAD = Input("upload", "IMAGEUPLOAD")  # pictures and videos alike


@dataclass(frozen=True)
class OutputType:
    """One output."""

    name: str
    type: str


@dataclass(frozen=True)
class NodeType:
    """One node type."""

    name: str
    ours: bool
    inputs: dict[str, Input]
    outputs: tuple[OutputType, ...]

    @cached_property
    def sockets_in_frontend_order(self) -> list[Input]:
        """Plain sockets first, then the sockets of the widgets: the order the frontend gives them."""
        inputs = sorted(self.inputs.values(), key=lambda input: input.is_widget)
        return [*inputs, *(UPLOAD for input in inputs if input.companion == "upload")]

    @cached_property
    def widgets(self) -> list[Input]:
        return [input for input in self.inputs.values() if input.is_widget]


def facts_of(info: dict[str, Any]) -> dict[str, Any]:
    """The part of one /object_info entry that a workflow file depends on, as stored in node_types.json."""
    inputs = {}
    for section in ("required", "optional"):
        for name in info["input_order"].get(section, []):
            kind, *rest = info["input"][section][name]
            options = rest[0] if rest else {}
            choices = kind if isinstance(kind, list) else options.get("options", [])
            fact: dict[str, Any] = {"type": "COMBO" if isinstance(kind, list) else kind}
            if section == "optional":
                fact["optional"] = True
            if options.get("forceInput"):
                fact["socket_only"] = True
            if options.get("multiline"):
                fact["multiline"] = True
            if fact["type"] in WIDGET_TYPES and "socket_only" not in fact:
                default = options.get("default")
                if default is None and choices and not name.endswith("_name"):
                    default = choices[0]
                is_file = fact["type"] == "COMBO" and "." in str(default)  # file lists differ by machine
                if default is not None and not is_file:
                    fact["default"] = default
                if options.get("control_after_generate", fact["type"] == "INT" and name in SEED_NAMES):
                    fact["companion"] = "control"
                if options.get("image_upload") or options.get("video_upload"):
                    fact["companion"] = "upload"
            inputs[name] = fact
    return {
        "ours": info["name"].startswith("Pusa"),
        "inputs": inputs,
        "outputs": [list(pair) for pair in zip(info["output_name"], info["output"], strict=True)],
    }


def learn(object_info: dict[str, Any], names: list[str]) -> None:
    """Write node_types.json for these node types from a server's /object_info."""
    facts = {name: facts_of(object_info[name]) for name in sorted(names)}
    FACTS.write_text(facts_text(facts), encoding="utf-8", newline="\n")


def facts_text(facts: dict[str, Any]) -> str:
    """JSON with one line an input, so that a change reads well."""
    nodes = []
    for name, fact in facts.items():
        inputs = [f"   {json.dumps(key)}: {json.dumps(value)}" for key, value in fact["inputs"].items()]
        listed = "{\n" + ",\n".join(inputs) + "\n  }" if inputs else "{}"
        nodes.append(
            f' {json.dumps(name)}: {{\n  "ours": {json.dumps(fact["ours"])},\n  "inputs": {listed},\n'
            f'  "outputs": {json.dumps(fact["outputs"])}\n }}'
        )
    return "{\n" + ",\n".join(nodes) + "\n}\n"


def read_facts() -> dict[str, NodeType]:
    """Every known node type by name."""
    return {
        name: NodeType(
            name,
            fact["ours"],
            {key: Input(key, **value) for key, value in fact["inputs"].items()},
            tuple(OutputType(*pair) for pair in fact["outputs"]),
        )
        for name, fact in json.loads(FACTS.read_text(encoding="utf-8")).items()
    }


NODE_TYPES = read_facts()
