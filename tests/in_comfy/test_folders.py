import csv
import inspect
import json

import pytest
from PIL import Image

from devtools.comfy_server import GraphRefusedError, NodeFailedError, RunCancelledError

pytestmark = pytest.mark.server

GRAPH = {
    "1": {
        "class_type": "PusaFolder",
        "inputs": {
            "folder": "cats",
            "output_folder": "video/cats",
            "negative": "",
            "noise_multipliers": "0.2",
            "seed": 0,
            "length": 5,
            "steps": 2,
            "cfg": 1.0,
            "items_per_run": 1,
        },
    },
    "2": {"class_type": "CreateVideo", "inputs": {"images": ["1", 0], "fps": 16.0}},
    "3": {"class_type": "PusaFolderSave", "inputs": {"video": ["2", 0], "item": ["1", 8]}},
    "4": {"class_type": "PreviewAny", "inputs": {"source": ["1", 9]}},
}


def graph(**settings) -> dict:
    """The graph with other settings of Folder of Prompts."""
    changed = json.loads(json.dumps(GRAPH))
    changed["1"]["inputs"] |= settings
    return changed


def add_item(folder, name: str, prompt: str | None = "a cat") -> None:
    folder.mkdir(exist_ok=True)
    Image.new("RGB", (32, 32), (200, 60, 20)).save(folder / f"{name}.png")
    if prompt:
        (folder / f"{name}.txt").write_text(prompt, encoding="utf-8")


def test_each_run_takes_the_next_item_until_all_are_finished(server):
    for name in ("one", "three", "two"):
        add_item(server.input_folder / "cats", name, f"prompt of {name}")
    results = server.output_folder / "video" / "cats"
    status = [server.run(GRAPH).outputs["4"]["text"][0] for _ in range(2)]
    assert sorted(path.name for path in results.glob("*.mp4")) == ["one.mp4", "three.mp4"]
    status += [server.run(GRAPH).outputs["4"]["text"][0] for _ in range(2)]
    assert status == [
        "one: then 2 of 3 items are left.",
        "three: then 1 of 3 items are left.",
        "two: then 0 of 3 items are left.",
        "All 3 items of 'cats' are finished; the report is video/cats/report.csv.",
    ]
    with (results / "report.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], row["prompt"], row["frames"]) for row in rows] == [
        (name, f"prompt of {name}", "1") for name in ("one", "three", "two")
    ]

    written = {path: path.stat().st_mtime_ns for path in results.glob("*.mp4")}
    (results / "three.mp4").unlink()
    server.run(GRAPH)
    again = {path: path.stat().st_mtime_ns for path in results.glob("*.mp4")}
    assert {path.name for path in again if again[path] != written[path]} == {"three.mp4"}


def test_an_item_that_was_cancelled_often_is_still_made_after_the_others(server):
    for name in ("one", "two"):
        add_item(server.input_folder / "stopped", name)
    folder = graph(folder="stopped", output_folder="video/stopped")
    endless = folder | {"5": {"class_type": "UntilCancelled", "inputs": {"images": ["1", 0]}}}
    endless["2"] = {"class_type": "CreateVideo", "inputs": {"images": ["5", 0], "fps": 16.0}}

    def cancel(event: str, data: dict) -> None:
        if event == "executing" and data.get("node") == "5":
            server.interrupt()

    for _ in range(5):
        with pytest.raises(RunCancelledError):
            server.run(endless, cancel)
    assert [server.run(folder).outputs["4"]["text"][0] for _ in range(3)] == [
        "one: then 1 of 2 items are left.",
        "two: then 0 of 2 items are left.",
        "All 2 items of 'stopped' are finished; the report is video/stopped/report.csv.",
    ]


def test_all_items_can_be_taken_in_one_run(server):
    for name in ("a", "b"):
        add_item(server.input_folder / "both", name)
    server.run(graph(folder="both", output_folder="both", items_per_run=0))
    assert sorted(path.name for path in (server.output_folder / "both").iterdir()) == [
        "a.mp4",
        "b.mp4",
        "report.csv",
    ]


def test_a_missing_prompt_is_named_before_anything_runs(server):
    add_item(server.input_folder / "half", "good")
    add_item(server.input_folder / "half", "lonely", prompt=None)
    with pytest.raises(GraphRefusedError) as refused:
        server.run(graph(folder="half", output_folder="half"))
    assert "lonely.png has no prompt" in json.dumps(refused.value.node_errors)
    assert not (server.output_folder / "half").exists()


@pytest.mark.parametrize("setting", ["folder", "output_folder"])
def test_a_folder_outside_is_refused_before_anything_runs(server, setting):
    add_item(server.input_folder / "cats", "one")
    with pytest.raises(GraphRefusedError) as refused:
        server.run(graph(**{setting: "../elsewhere"}))
    assert "lies outside" in json.dumps(refused.value.node_errors)


def test_a_linked_folder_is_checked_when_it_is_known(server):
    linked = graph(folder=["5", 0])
    linked["5"] = {"class_type": "PrimitiveString", "inputs": {"value": "../elsewhere"}}
    with pytest.raises(NodeFailedError, match="lies outside"):
        server.run(linked)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "CMYK", "1"])
def test_a_folders_picture_is_what_core_load_image_gives(mode, pack, tmp_path, monkeypatch):
    import folder_paths
    import nodes as comfy_nodes
    import torch

    from pusa_core.folders import load_picture

    picture = Image.radial_gradient("L").resize((24, 16)).convert("RGB").convert(mode)
    name = f"modes_{mode}.{'tif' if mode == 'CMYK' else 'png'}"
    picture.save(tmp_path / name)
    monkeypatch.setattr(folder_paths, "get_annotated_filepath", lambda name, *_: str(tmp_path / name))
    ours, theirs = load_picture(tmp_path / name), comfy_nodes.LoadImage().load_image(name)[0]
    # newer versions read pictures as one-frame videos, whose conversion from grey and CMYK rounds otherwise
    by_ffmpeg = "VideoFromFile" in inspect.getsource(comfy_nodes.LoadImage)
    torch.testing.assert_close(ours, theirs, atol=0.02 if by_ffmpeg else 0, rtol=0)
