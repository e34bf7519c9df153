"""Jobs: for each item the graph that a server is to run, the files it needs there, and a digest of both."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import PusaError
from . import graphs
from .graphs import Graph, Target
from .items import Item

UPLOADS = "pusa_fleet"  # folder in a server's input and output folders


@dataclass(frozen=True)
class Job:
    """What makes one item."""

    name: str
    graph: Graph
    files: Mapping[str, Path]  # by their place on the server, with a digest in it that keeps them apart
    digest: str  # of the graph and, through the names, of the files
    needs: tuple[str, ...] = ()  # jobs that must be done before


@dataclass(frozen=True)
class Inputs:
    """Where a folder's pictures and prompts go; None finds the only place in the graph."""

    picture: str | None = None
    prompt: str | None = None
    folder: Path | None = None  # of the files that the graph itself names, if they are to be sent along


@dataclass
class Files:
    """Files of a run by content: each is read once, and a picture that many items use has one name."""

    digests: dict[Path, str] = field(default_factory=dict)

    def name(self, file: Path) -> str:
        """The name of a file on the server."""
        return f"{self.digest(file)}{file.suffix.lower()}"

    def digest(self, file: Path) -> str:
        """16 hex digits of what a file holds."""
        if file not in self.digests:
            try:
                content = file.read_bytes()
            except OSError as error:
                raise PusaError(
                    f"The file {file} cannot be read ({error.strerror}). Put it there, or name another."
                ) from error
            self.digests[file] = hashlib.sha256(content).hexdigest()[:16]
        return self.digests[file]


def make_jobs(graph: Graph, items: Sequence[Item], inputs: Inputs) -> list[Job]:
    """The jobs of all items; refuses the whole run if one item does not fit the graph."""
    known = Files()
    picture = _place(graph, items, inputs.picture, graphs.picture_input, "picture")
    prompt = _place(graph, items, inputs.prompt, graphs.prompt_input, "prompt")
    return [_job(graph, item, picture, prompt, inputs.folder, known) for item in items]


def _place(
    graph: Graph, items: Sequence[Item], address: str | None, search: Any, field_name: str
) -> Target | None:
    if all(getattr(item, field_name) is None for item in items):
        return None
    found: Target = graphs.find_input(graph, address) if address else search(graph)
    return found


def _job(
    graph: Graph,
    item: Item,
    picture: Target | None,
    prompt: Target | None,
    folder: Path | None,
    known: Files,
) -> Job:
    values: dict[Target, Any] = {}
    if picture and item.picture:
        values[picture] = str(item.picture)
    if prompt and item.prompt is not None:
        values[prompt] = item.prompt
    try:
        for address, value in item.values.items():
            target = graphs.find_input(graph, address)
            values[target] = graphs.converted(graph, target, value)
    except PusaError as error:
        raise PusaError(f"Item {item.name!r}: {error}") from error
    given = {
        target: item.folder / value for target, value in values.items() if graphs.is_file_input(graph, target)
    }
    placed, files = place_files(graph, given, folder, known)
    ready = graphs.with_inputs(graph, values | placed)
    return Job(item.name, ready, files, graphs.graph_digest(ready))


def place_files(
    graph: Graph, given: Mapping[Target, Path], folder: Path | None, known: Files
) -> tuple[dict[Target, Any], dict[str, Path]]:
    """The values of the inputs that name files, and the files themselves by their places: those given, and the graph's own in `folder`."""
    placed: dict[Target, Any] = {}
    files: dict[str, Path] = {}
    for target, present in graphs.own_inputs(graph):
        if not graphs.is_file_input(graph, target):
            continue
        file = given.get(target) or (folder and folder / str(present))
        if file and (target in given or file.is_file()):
            placed[target] = f"{UPLOADS}/{known.name(file)}"
            files[f"input/{placed[target]}"] = file
    return placed, files
