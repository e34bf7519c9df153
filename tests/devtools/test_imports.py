"""Claims about the layout, read from the sources: who may know ComfyUI, and how thin a node is."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

OF_COMFYUI = {
    "comfy", "comfy_api", "comfy_api_nodes", "comfy_config", "comfy_execution", "comfy_extras", "comfyui_version", "execution",
    "folder_paths", "latent_preview", "main", "node_helpers", "protocol", "server",
}  # fmt: skip
LONGEST_FUNCTION = 60
"""Lines, define_schema included."""
MOST_STATEMENTS = 12
"""Of an execute, counted at all depths, and no loop: it calls."""

FATTER = {
    ("clips.py", "PusaConditionVideo.define_schema"),
    ("stitch.py", "PusaStitch.define_schema"),
}
"""Functions that break this today; the list only gets shorter."""


def sources(folder: Path) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(folder.rglob("*.py")):
        yield path.relative_to(folder.parent).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> Iterator[str]:
    """Modules that are imported anywhere in a file, those of the pack itself left out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module


def of_comfyui(tree: ast.Module) -> set[str]:
    return {module for module in imported(tree) if module.split(".")[0] in OF_COMFYUI}


def test_the_core_knows_nothing_of_comfyui(pack_root):
    assert {
        path: found for path, tree in sources(pack_root / "pusa_core") if (found := of_comfyui(tree))
    } == {}


def test_nodes_know_the_node_interface_of_comfyui_only(pack_root):
    found = {
        path: modules - {"comfy_api.latest"}
        for path, tree in sources(pack_root / "nodes")
        if not path.startswith("nodes/host/") and (modules := of_comfyui(tree)) - {"comfy_api.latest"}
    }
    assert found == {}, "what knows ComfyUI's inside belongs in nodes/host"


def test_the_entry_point_knows_the_nodes_only(pack_root):
    tree = ast.parse((pack_root / "__init__.py").read_text(encoding="utf-8"))
    assert of_comfyui(tree) <= {"comfy_api.latest"}


@pytest.mark.parametrize("module", ["os.environ", "subprocess", "urllib"])
def test_what_the_registry_refuses_is_not_in_the_host_layer(pack_root, module):
    for path, tree in sources(pack_root / "nodes"):
        assert module not in set(imported(tree)), path
        assert module not in ast.unparse(tree), path


def functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every function of a file, named with its class."""
    for node in tree.body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for one in inside:
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
                yield prefix + one.name, one


def is_fat(name: str, function: ast.FunctionDef) -> bool:
    if function.end_lineno - function.lineno + 1 > LONGEST_FUNCTION:
        return True
    if not name.endswith(".execute"):
        return False
    inside = list(ast.walk(function))
    loops = any(isinstance(node, ast.For | ast.While | ast.AsyncFor) for node in inside)
    return loops or sum(isinstance(node, ast.stmt) for node in inside) - 1 > MOST_STATEMENTS


def test_nodes_are_thin(pack_root):
    found = {
        (path.name, name)
        for path in sorted((pack_root / "nodes").glob("*.py"))
        for name, function in functions(ast.parse(path.read_text(encoding="utf-8")))
        if is_fat(name, function)
    }
    assert found - FATTER == set(), (
        f"Functions over {LONGEST_FUNCTION} lines, or an execute that does more than call ({MOST_STATEMENTS} statements, no loop): "
        "shared inputs belong in nodes/inputs.py, logic in nodes/host or pusa_core."
    )
    assert FATTER - found == set(), "These are thin now: take them out of FATTER."
