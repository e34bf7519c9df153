"""A long-video project on real workers: the same parts, to the last bit, as one server makes with Pusa Director."""

import json
import shutil
from fractions import Fraction

import pytest
import torch
from PIL import Image

from pusa_core.clips.writing import write_video
from pusa_core.fleet.results import DONE, FAILED, REPORT, WAITING
from support.fleet_workers import comfyuis, needs_ray

STORY = "Demo - story of five prompts (Wan2.2 + LightX2V).json"
THREE = {"candidates": 3, "chosen": 1}
PROMPTS = [
    f"a large {colour} circle moving right slowly on a dark background" for colour in ("red", "green", "blue")
]


def text(*windows: dict, **project) -> str:
    """A project of windows of 17 frames, 5 of them shared."""
    listed = [{"id": f"w{n + 1}", "prompt": PROMPTS[n % 3], **one} for n, one in enumerate(windows)]
    return json.dumps({"version": 1, "window": 17, "overlap": 5, "windows": listed, **project})


@pytest.fixture
def write_graph(pack_root, tmp_path):
    """write_graph(project, name) -> the file of the demo's story with another project, and its graph."""

    def write(project: str, name: str, **inputs):
        graph = json.loads((pack_root / "demo" / "workflows" / "api" / STORY).read_text("utf-8"))
        (director,) = (node for node in graph.values() if node["class_type"] == "PusaDirector")
        director["inputs"] |= {"project": project, "name": name, **inputs}
        file = tmp_path / f"{name.replace('/', '_')}.json"
        file.write_text(json.dumps(graph))
        return file, graph

    return write


def parts(folder) -> dict[str, bytes]:
    """The files of every part."""
    return {file.name: file.read_bytes() for file in folder.glob("w*.*.*")}


def kept(run, graph) -> bool:
    """Whether the Director of a run made nothing."""
    (director,) = (key for key, node in graph.items() if node["class_type"] == "PusaDirector")
    lines = run.outputs[director]["text"][0].splitlines()
    return all(", kept" in line or ", locked" in line for line in lines)


@needs_ray
def test_a_project_on_two_workers_of_which_one_is_killed_has_the_bits_of_one_server(
    fleet, started, for_comfyui, base, server, write_graph, tmp_path
):
    project = text(THREE, THREE, THREE)
    file, graph = write_graph(project, "fleet/film")
    server.run(graph)
    single = parts(server.output_folder / "fleet" / "film")
    assert len(single) == 27

    film = tmp_path / "film"
    run = fleet(None, "--graph", file, "--project", film, *started, 2, *for_comfyui)
    run.until("[2/9]")
    servers = comfyuis(base)
    assert len(servers) == 2
    servers[0].parent().kill()
    assert run.end() == 0, run.printed
    assert "died" in run.printed, "the worker was killed between two candidates"
    assert comfyuis(base) == []
    assert parts(film) == single
    rows = run.report_of(film)
    assert {row.status for row in rows.values()} == {DONE}
    assert list(rows) == [f"w{window}.{candidate}" for window in (1, 2, 3) for candidate in (0, 1, 2)]
    assert sum(line.startswith("[") for line in run.lines) == 9, "a candidate has ended twice"

    again = fleet(None, "--graph", file, "--project", film, "--servers", server.url)
    assert again.end() == 0
    assert again.printed == "9 of 9 items are finished already."
    opened = server.output_folder / "opened" / "film"
    shutil.copytree(film, opened)
    graph = write_graph(project, "opened/film")[1]
    assert kept(server.run(graph), graph)
    assert parts(opened) == single
    assert (opened / "film.mp4").is_file()


@needs_ray
def test_pictures_clips_drafts_a_bridge_and_a_lock_travel_with_a_project(
    fleet, server, write_graph, tmp_path
):
    inputs = tmp_path / "inputs"
    (inputs / "more").mkdir(parents=True)
    for folder in (inputs, server.input_folder):
        (folder / "more").mkdir(exist_ok=True)
        Image.new("RGB", (64, 64), (200, 60, 20)).save(folder / "more" / "a picture.png")
        torch.manual_seed(0)
        write_video(folder / "gulls at sea.mp4", torch.rand(20, 64, 64, 3), Fraction(16))
    shutil.copy(inputs / "gulls at sea.mp4", server.input_folder)
    project = text(
        {"candidates": 2, "chosen": 1}, {"bridge": True}, {}, {},
        keys=[{"at": 0, "picture": "more/a picture.png"}], clips=[{"at": 17, "file": "gulls at sea.mp4", "frames": 8}],
        anchor={"picture": "more/a picture.png"}, colour="first",
    )  # fmt: skip
    locked = json.loads(project)
    locked["windows"][2] |= {"prompt": PROMPTS[0], "retake": 1}
    locked["windows"][3]["lock"] = True
    film, there = tmp_path / "film", server.output_folder / "second" / "film"
    for typed, quality in ((project, "draft"), (project, "final"), (json.dumps(locked), "final")):
        file, graph = write_graph(typed, "second/film", quality=quality, draft_scale=0.5)
        server.run(graph)
        run = fleet(None, "--graph", file, "--project", film, "--servers", server.url, "--inputs", inputs)
        assert run.end() == 0, run.printed
        assert parts(film) == parts(there)
    assert list((server.input_folder / "pusa_fleet").glob("*/a_picture.png"))


@needs_ray
def test_a_window_that_cannot_be_made_is_told_and_so_are_those_after_it(fleet, server, write_graph, tmp_path):
    file, _ = write_graph(text({}, {"loras": [{"name": "nowhere.safetensors"}]}, {}), "third/film")
    run = fleet(None, "--graph", file, "--project", tmp_path / "film", "--servers", server.url)
    assert run.end() == 1
    rows = run.report_of(tmp_path / "film")
    assert [rows[name].status for name in ("w1.0", "w2.0", "w3.0")] == [DONE, FAILED, WAITING]
    assert "There is no nowhere.safetensors in models/loras" in rows["w2.0"].sentence
    assert rows["w3.0"].sentence == "It is made from w2.0, which was not made."
    assert sorted(parts(tmp_path / "film")) == ["w1.0.mp4", "w1.0.png", "w1.0.safetensors"]


@needs_ray
def test_a_worker_without_the_pack_is_told(fleet, started, write_graph, tmp_path):
    file, _ = write_graph(text({}), "film")
    (tmp_path / "bare" / "custom_nodes").mkdir(parents=True)
    bare = ["--", "--base-directory", tmp_path / "bare", "--disable-api-nodes"]
    run = fleet(None, "--graph", file, "--project", tmp_path / "film", "--attempts", 1, *started, 1, *bare)
    assert run.end() == 1
    assert "has no node Pusa" in run.report_of(tmp_path / "film")["w1.0"].sentence
    assert REPORT in {path.name for path in (tmp_path / "film").iterdir()}
