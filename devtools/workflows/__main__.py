"""Writes the workflow files, or learns node types from a ComfyUI."""

import sys
from pathlib import Path
from typing import Any

from .box_export import as_ascii, blueprint, boxed_workflow
from .boxes import Split
from .demo_zoo import demo_version, has_demo
from .export import api_prompt, as_text, ui_workflow
from .graph import Graph
from .node_types import NODE_TYPES, learn
from .other_bases import other_workflows
from .recipes import all_workflows, blueprints

ROOT = Path(__file__).resolve().parents[2]


def workflow_files() -> dict[str, str]:
    """Path below the checkout -> content, for every workflow in both formats, shipped and demo."""
    contents: dict[str, str] = {}
    for graph in (*all_workflows(), *other_workflows()):
        versions = [("workflows", graph)]
        if has_demo(graph):
            versions.append(("demo/workflows", demo_version(graph)))
        for folder, version in versions:
            contents[f"{folder}/{version.title}.json"] = as_text(ui_file(version))
            contents[f"{folder}/api/{version.title}.json"] = as_text(api_prompt(version))
    for graph in blueprints():
        contents[f"subgraphs/{Split(graph).box.title}.json"] = as_ascii(blueprint(graph))
    return contents


def ui_file(graph: Graph) -> dict[str, Any]:
    """What the browser loads."""
    return boxed_workflow(graph) if graph.box else ui_workflow(graph)


def write() -> None:
    """Write every file and remove those that no recipe makes any more."""
    contents = workflow_files()
    for folder in {str(Path(path).parent) for path in contents}:
        (ROOT / folder).mkdir(parents=True, exist_ok=True)
        for old in (ROOT / folder).glob("*.json"):
            if old.relative_to(ROOT).as_posix() not in contents:
                old.unlink()
    for path, text in contents.items():
        (ROOT / path).write_text(text, encoding="utf-8", newline="\n")
    sys.stdout.write(f"{len(contents)} files: workflows, their demos and their API twins\n")


def main(arguments: list[str]) -> None:
    """Without arguments writes the files; `learn [NODE ...]` asks a fresh server for its node types."""
    if arguments[:1] == ["learn"]:
        from devtools.comfy_server import ComfyServer

        with ComfyServer(
            comfyui=ROOT / ".comfyui", pack=ROOT, other_packs={"demo_nodes": ROOT / "demo" / "nodes"}
        ) as server:
            info = server.object_info()
        names = {*NODE_TYPES, *arguments[1:], *(name for name in info if name.startswith("Pusa"))}
        learn(info, sorted(names))
    else:
        write()


if __name__ == "__main__":
    main(sys.argv[1:])
