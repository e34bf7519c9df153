"""A long-video project taken apart: each candidate of a window as a job, a run of the graph's Director on what that window needs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..digest import digest
from ..errors import PusaError
from ..folders import folder_inside
from ..node_names import DIRECTOR
from ..project.engine import DRAFT
from ..project.folder import RECORD, Part, ProjectFolder
from ..project.order import looked_at, made_from
from ..project.text import VERSION, Project, read_project
from .graphs import Graph, graph_digest, is_link, named, only_with, with_inputs
from .jobs import UPLOADS, Files, Job, place_files
from .project_text import text_for

OWN_TEXT = ("project", "name", "quality")
"""Inputs of the Director that the fleet reads or writes, so that they cannot come from another node."""


@dataclass(frozen=True)
class Director:
    """The Director of a graph, with the project that it is to make."""

    graph: Graph  # nothing but the Director and what it is made from
    node_id: str
    typed: Mapping[str, Any]  # the project's text as JSON
    project: Project
    name: str  # the project's folder, as the node calls it
    is_draft: bool


def director_of(graph: Graph) -> Director:
    """The only Director of a graph; refuses a graph without one, and a project that is wrong."""
    found = [node_id for node_id, node in graph.items() if node["class_type"] == DIRECTOR]
    if len(found) != 1:
        raise PusaError(
            f"The graph has {len(found) or 'no'} Pusa Director{'s' * (len(found) > 1)}, and --project makes the windows of one. Export a graph with one, or give "
            "--folder or --csv for other graphs."
        )
    node_id = found[0]
    inputs = graph[node_id]["inputs"]
    for name in OWN_TEXT:
        if name not in inputs:
            raise PusaError(
                f"{named(graph, node_id)} has no {name}. Export the graph again with Workflow > Export (API)."
            )
        if is_link(inputs[name]):
            raise PusaError(
                f"The {name} of {named(graph, node_id)} comes from {named(graph, inputs[name][0])}, which only a run can tell. Type it into the "
                "Director itself."
            )
    project = read_project(str(inputs["project"]))
    if project.only is not None:
        raise PusaError(
            f'The project makes only the window "{project.only}". Take only out of its text; the fleet asks for every window by itself.'
        )
    typed = json.loads(inputs["project"])
    return Director(
        only_with(graph, node_id), node_id, typed, project, str(inputs["name"]), inputs["quality"] == DRAFT
    )


@dataclass(frozen=True)
class Candidate:
    """One of the parts that the project asks for."""

    index: int  # of its window
    number: int


@dataclass
class ProjectJobs:
    """The candidates that have to be made, by the names of their files without endings. The folder must be taken."""

    director: Director
    folder: ProjectFolder
    files: Path | None  # the input folder with the project's pictures and clips, if they are to be sent along
    known: Files = field(default_factory=Files)

    def __post_init__(self) -> None:
        windows = self.director.project.windows
        self.candidates = {
            self.folder.stem(window.id, number): Candidate(index, number)
            for index, window in enumerate(windows)
            if not self._is_settled(index)
            for number in range(window.candidates)
        }

    def all(self) -> list[Job]:
        """The jobs without what is known only when the windows before them are there."""
        return [Job(name, {}, {}, "", self._needs(one.index)) for name, one in self.candidates.items()]

    def part(self, name: str) -> Part | None:
        """What there is of a candidate, of these settings or of others."""
        return self._part(self.candidates[name])

    def complete(self, job: Job) -> Job | None:
        """A job with its graph and files; None while a part that it is made from is missing."""
        one = self.candidates[job.name]
        neighbours = {index: self._chosen(index) for index in looked_at(self.director.project, one.index)}
        if any(neighbours[index] is None for index in made_from(self.director.project, one.index)):
            return None
        around = [part for part in neighbours.values() if part is not None]
        draft = None if self.director.is_draft else self._part(one, self.folder.of_draft())
        around += [] if draft is None else [draft]
        own = self._part(one)
        graph, files = self._graph(one)
        place = digest([_state_digest(part) for part in around])
        folder = f"{UPLOADS}/{digest([place, *([] if own is None else [_state_digest(own)])])}"
        for part in [*around, *([] if own is None else [own])]:
            files |= {f"output/{folder}/{file.name}": file for file in part.files}
        named_after = with_inputs(graph, {(self.director.node_id, "name"): place})
        ready = with_inputs(graph, {(self.director.node_id, "name"): folder})
        return Job(job.name, ready, files, graph_digest(named_after), job.needs)

    def _graph(self, one: Candidate) -> tuple[Graph, dict[str, Path]]:
        """The graph that makes a candidate, and the files of the input folder that it names."""
        director = self.director
        typed, named_files = text_for(director.typed, director.project, one.index, one.number, self._place)
        placed, files = place_files(director.graph, {}, self.files, self.known)
        values = {**placed, (director.node_id, "project"): json.dumps(typed, ensure_ascii=False)}
        sent = {
            f"input/{place}": self.files / name
            for name, place in named_files.items()
            if self.files and name != place
        }
        return with_inputs(director.graph, values), files | sent

    def _place(self, name: str) -> str:
        """Where a picture or clip of the project lies in a worker's input folder; its name stays to be read in sentences."""
        if self.files is None:
            return name
        file = self.files / name
        return f"{UPLOADS}/{self.known.digest(file)}/{re.sub(r'[^A-Za-z0-9._-]', '_', file.name)}"

    def _needs(self, index: int) -> tuple[str, ...]:
        windows = self.director.project.windows
        stems = [
            self.folder.stem(windows[one].id, windows[one].chosen)
            for one in made_from(self.director.project, index)
        ]
        return tuple(stem for stem in stems if stem in self.candidates)

    def _is_settled(self, index: int) -> bool:
        """Whether a window is locked and there; refuses a locked one that is not whole."""
        window = self.director.project.windows[index]
        named_window = f"windows[{index}] ({window.id})"
        return window.lock and self.folder.locked_part(window.id, window.chosen, named_window) is not None

    def _chosen(self, index: int) -> Part | None:
        window = self.director.project.windows[index]
        return self.folder.part(window.id, window.chosen)

    def _part(self, one: Candidate, folder: ProjectFolder | None = None) -> Part | None:
        return (folder or self.folder).part(self.director.project.windows[one.index].id, one.number)


@contextmanager
def open_project(director: Director, folder: Path, files: Path | None) -> Iterator[ProjectJobs]:
    """The project in a folder, for this run alone; refuses a folder that is another project's."""
    folder = folder.expanduser().absolute()
    name = director.name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    if folder.name != name:
        raise PusaError(
            f"--project is {folder}, but the graph's Pusa Director names its project {director.name!r}. Give the folder {name} (in the output "
            "folder of the ComfyUI that shows it), or write that name into the Director."
        )
    if not folder.parent.is_dir():
        raise PusaError(
            f"There is no folder {folder.parent} for the project. Give --project a folder in ComfyUI's output folder."
        )
    _check_record(folder, director.project)
    if files is not None:
        _check_files(director.project, files)
    project = ProjectFolder(folder, director.is_draft)
    with project.taken():
        yield ProjectJobs(director, project, files)


def _check_record(folder: Path, project: Project) -> None:
    """Refuse a folder whose record is of a later version, or of another project."""
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
        version, there = record["version"], [str(one["id"]) for one in record["windows"]]
    except (OSError, ValueError, KeyError, TypeError):
        return  # without a record, or with one that cannot be read, every part is looked at for itself
    if version != VERSION:
        raise PusaError(
            f"{RECORD} in {folder} has version {version}; this ComfyUI-Pusa reads version {VERSION}. Use the ComfyUI-Pusa that made it."
        )
    asked = [window.id for window in project.windows]
    if there and not set(there) & set(asked):
        raise PusaError(
            f"{folder} holds another project: its windows are {_listed(there)}, the graph's {_listed(asked)}. Give the folder of the graph's project, "
            "or an empty one."
        )


def _check_files(project: Project, files: Path) -> None:
    """Refuse a project that names pictures or clips which are not there, before anything is made."""
    found = [(f"keys[{number}].picture", key.picture) for number, key in enumerate(project.keys)]
    found += [(f"clips[{number}].file", clip.file) for number, clip in enumerate(project.clips)]
    found += [("anchor.picture", project.anchor.picture)] if project.anchor else []
    for place, name in found:
        if not folder_inside(files, name, place).is_file():
            raise PusaError(
                f"{place} is {name!r}, which is not in {files}. Put it there, or give with --inputs the folder that has the project's files."
            )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + ", ..." * (len(names) > 5)


def _state_digest(part: Part) -> str:
    """A name of a part; its state knows the digest of the video."""
    return f"{part.stem} {hashlib.sha256(part.files[-1].read_bytes()).hexdigest()}"
