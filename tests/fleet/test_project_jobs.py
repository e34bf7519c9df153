"""A project taken apart and put together again, with a worker that follows its jobs by hand; the real ones run in test_project_runs.py."""

import json
import re
import shutil
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from pusa_core.bases import WAN
from pusa_core.errors import PusaError
from pusa_core.fleet.client import ResultFile
from pusa_core.fleet.project import director_of, open_project
from pusa_core.fleet.project_results import ProjectResults
from pusa_core.fleet.project_text import text_for
from pusa_core.fleet.results import Row
from pusa_core.project.folder import ProjectFolder
from pusa_core.project.lock import held
from pusa_core.project.plan import Defaults, plan_project
from pusa_core.project.single import SingleRun
from pusa_core.project.text import read_project
from support.flat_studio import FlatStudio, run


class Studio(FlatStudio):
    """Knows files by their last name, wherever they lie."""

    def picture(self, name):
        return super().picture(Path(name).name)

    def file_identity(self, name):
        return Path(name).name.replace("_", " ")


def text(*windows: dict, **project) -> str:
    """A project of windows of 17 frames, 5 of them shared."""
    listed = [{"id": f"w{n + 1}", "prompt": f"prompt {n + 1}", **one} for n, one in enumerate(windows)]
    return json.dumps({"version": 1, "window": 17, "overlap": 5, "windows": listed, **project})


def graph(project: str, **inputs) -> dict:
    """A graph with a Director, a model for it, and a node that saves what it makes."""
    given = {"project": project, "name": "films/film", "quality": "final", "model": ["1", 0], **inputs}
    return {
        "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "wan.safetensors"}},
        "2": {"class_type": "PusaDirector", "inputs": given},
        "3": {"class_type": "SaveVideo", "inputs": {"video": ["2", 0]}},
    }


@contextmanager
def opened(project: str, folder: Path, inputs: Path | None = None, **settings):
    """The results of a fleet's run over a project."""
    with open_project(director_of(graph(project, **settings)), folder / "film", inputs) as found:
        yield ProjectResults(found)


def follow(job, base: Path) -> tuple[list[tuple[str, int]], list[ResultFile]]:
    """A job done as a worker's ComfyUI does it: what was sampled, and the files of the part."""
    for place, file in job.files.items():
        (base / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, base / place)
    asked = job.graph["2"]["inputs"]
    project = read_project(asked["project"])
    plan, studio = plan_project(project, Defaults(seed=5, steps=2, cfg=1.0, fps=16.0), WAN), Studio()
    for name in (one.picture for one in project.keys):
        assert (base / "input" / name).is_file()
    folder = ProjectFolder(base / "output" / asked["name"], asked["quality"] == "draft")
    (base / "output").mkdir(parents=True, exist_ok=True)
    with folder.taken():
        (window,) = (window for window in plan.windows if window.id == project.only)
        part = SingleRun(plan, folder, studio).make_one(window)
    return studio.made, [ResultFile(file.suffix, file.read_bytes()) for file in part.files]


def go(project: str, folder: Path, inputs: Path | None = None, **settings) -> tuple[list[str], list]:
    """A fleet's whole run with one worker: the jobs that it was given, and what was sampled."""
    jobs, made = [], []
    with opened(project, folder, inputs, **settings) as results:
        left = results.missing()
        results.begin()
        while left:
            names = {job.name for job in left}
            job = next(job for job in left if not names & set(job.needs))
            left.remove(job)
            if (ready := results.prepare(job)) is None:
                results.keep(job)
                continue
            sampled, files = follow(ready, folder / "worker")
            results.save(ready, files, Row(job.name))
            jobs.append(job.name)
            made += sampled
    return jobs, made


def parts(folder: Path) -> dict[str, str]:
    """What the files of every part hold."""
    return {file.name: sha256(file.read_bytes()).hexdigest() for file in folder.glob("w*.*.*")}


@pytest.fixture
def pictures(tmp_path):
    """An input folder with the files that a project names."""
    folder = tmp_path / "input"
    (folder / "more").mkdir(parents=True)
    for name in ("2.png", "3.png", "more/4.png", "gulls at sea.mp4"):
        (folder / name).write_bytes(name.encode())
    return folder


THREE = {"candidates": 3, "chosen": 1}
PROJECTS = {
    "a chain": text(THREE, THREE, THREE),
    "a bridge": text(THREE, {"bridge": True, **THREE}, THREE, {}),
    "the first window's colours": text({}, {"bridge": True}, THREE, {"bridge": True}, {}, colour="first"),
    "a locked window that is missing": text({}, {"lock": True, **THREE}, {}),
    "a prompt that holds on": text({}, {"prompt": None}, {"prompt": None}, {}),
    "prompts over time": text(*[{"prompt": None}] * 3, prompts=[{"at": 0, "text": "a"}, {"at": 1, "text": "b"}]),
    "keys, a clip and an anchor": text(
        {}, {}, {}, keys=[{"at": 0, "picture": "3.png"}, {"at": 28, "picture": "more/4.png"}],
        clips=[{"at": 25, "file": "gulls at sea.mp4", "frames": 9}], anchor={"picture": "2.png"}, colour="anchor",
        sound={"file": "not sent.mp3"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROJECTS)
def test_a_project_made_by_jobs_is_the_one_that_the_node_makes(name, tmp_path, pictures):
    jobs, made = go(PROJECTS[name], tmp_path, pictures)
    windows = read_project(PROJECTS[name]).windows
    assert sorted(jobs) == sorted(f"{one.id}.{number}" for one in windows for number in range(one.candidates))
    assert len(made) == len(jobs)
    (tmp_path / "node").mkdir()
    run(tmp_path / "node" / "film", PROJECTS[name], Studio())
    assert parts(tmp_path / "film") == parts(tmp_path / "node" / "film")
    studio = Studio()
    run(tmp_path / "film", PROJECTS[name], studio)
    assert studio.made == [], "the node makes nothing again"
    again = go(PROJECTS[name], tmp_path, pictures)
    assert again == (["w1.0"] if "locked" in name else [], []), (
        "what leads to a window that is locked by now is looked at"
    )
    assert go(PROJECTS[name], tmp_path, pictures) == ([], [])


def test_only_what_changed_and_what_follows_from_it_runs_again(tmp_path):
    go(text({}, {}, {}, {}), tmp_path)
    assert go(text({}, {}, {"prompt": "other"}, {}), tmp_path)[1] == [("w3", 0), ("w4", 0)]
    assert go(text({}, {}, {"prompt": "other"}, {"candidates": 2}), tmp_path)[0] == ["w4.1"]
    (tmp_path / "film" / "w2.0.mp4").write_bytes(b"damaged")
    assert go(text({}, {}, {"prompt": "other"}, {"candidates": 2}), tmp_path)[0] == ["w2.0"], (
        "w3 and w4 still hold"
    )
    with opened(text({}, {}, {"prompt": "other"}, {"candidates": 2, "chosen": 1}), tmp_path) as results:
        assert results.missing() == [], "another choice of the last window is made of the same parts"


def test_parts_that_the_node_made_are_looked_at_once_and_not_made_again(tmp_path):
    run(tmp_path / "film", text({}, {}), Studio())
    assert go(text({}, {}), tmp_path) == (["w1.0", "w2.0"], [])
    assert go(text({}, {}), tmp_path) == ([], [])


def test_parts_that_the_node_made_from_other_settings_meanwhile_are_noticed(tmp_path):
    go(text({}), tmp_path)
    run(tmp_path / "film", text({"prompt": "other"}), Studio())
    assert go(text({}), tmp_path)[1] == [("w1", 0)]


def test_locked_windows_are_no_jobs_and_those_before_them_lead_to_them(tmp_path):
    project = text({}, {"prompt": "other"}, {"lock": True}, {"retake": 1})
    for folder in ("fleet", "node"):
        (tmp_path / folder).mkdir()
        run(tmp_path / folder / "film", text({}, {}, {}, {}), Studio())
    run(tmp_path / "node" / "film", project, Studio())
    assert go(project, tmp_path / "fleet")[1] == [("w2", 0), ("w4", 0)]
    assert parts(tmp_path / "fleet" / "film") == parts(tmp_path / "node" / "film")
    (tmp_path / "fleet" / "film" / "w3.0.safetensors").unlink()
    with pytest.raises(PusaError, match=r"windows\[2\] \(w3\) is locked, but w3\.0\.mp4"):
        go(project, tmp_path / "fleet")


def test_drafts_have_parts_of_their_own(tmp_path):
    assert go(text({}, {}), tmp_path, quality="draft")[0] == ["w1.0.draft", "w2.0.draft"]
    with opened(text({}, {}), tmp_path) as results:
        job = results.prepare(results.missing()[0])
    assert sorted(Path(place).name for place in job.files) == [
        "w1.0.draft.mp4",
        "w1.0.draft.png",
        "w1.0.draft.safetensors",
    ]


def test_a_job_says_only_what_its_window_depends_on(tmp_path, pictures):
    project = text(
        {"seed": 1}, {"length": 21}, {"candidates": 4, "chosen": 3, "seed": 3}, {"prompt": "z"}, sound={"file": "a.mp3"},
        keys=[{"at": 0, "picture": "2.png"}, {"at": 40, "picture": "3.png"}],
    )  # fmt: skip
    asked, places = text_for(json.loads(project), read_project(project), 2, 1, lambda name: f"there/{name}")
    assert asked["windows"] == [
        {"id": "w1", "prompt": ""}, {"id": "w2", "length": 21, "prompt": ""},
        {"id": "w3", "prompt": "prompt 3", "candidates": 2, "chosen": 1, "seed": 3}, {"id": "w4", "prompt": ""},
    ]  # fmt: skip
    assert (asked["only"], asked["keys"], places) == (
        "w3",
        [{"at": 40, "picture": "there/3.png"}],
        {"3.png": "there/3.png"},
    )
    assert "sound" not in asked


def test_only_the_director_and_what_it_is_made_from_is_run(tmp_path):
    with opened(text({}), tmp_path) as results:
        assert set(results.prepare(results.missing()[0]).graph) == {"1", "2"}


BAD = [
    ({"1": {"class_type": "SaveVideo", "inputs": {}}}, "has no Pusa Director"),
    (graph(text({})) | {"9": graph(text({}))["2"]}, "has 2 Pusa Directors"),
    (graph(["1", 0]), r"project of PusaDirector \(node 2\) comes from UNETLoader \(node 1\)"),
    (graph(""), "project is no JSON"),
    (graph('{"version": 7}'), "project has version 7; this ComfyUI-Pusa reads version 1. Update"),
    (graph(text({}, only="w1")), 'makes only the window "w1"'),
    (graph(text({}), name="other"), "names its project 'other'. Give the folder other"),
    (
        graph(text({}, keys=[{"at": 0, "picture": "boat.png"}])),
        r"keys\[0\]\.picture is 'boat.png', which is not in",
    ),
]


@pytest.mark.parametrize(("bad", "sentence"), BAD, ids=[sentence for _, sentence in BAD])
def test_a_graph_that_does_not_fit_is_told(bad, sentence, tmp_path, capsys):
    from pusa_core.fleet.__main__ import main

    (tmp_path / "graph.json").write_text(json.dumps(bad))
    given = ["run", "--graph", tmp_path / "graph.json", "--project", tmp_path / "film", "--inputs", tmp_path]
    assert main([str(one) for one in given] + ["--servers", "localhost:1"]) == 1
    assert re.search(sentence, capsys.readouterr().err)
    assert not (tmp_path / "film").exists()


def test_a_folder_that_does_not_fit_is_told(tmp_path):
    with pytest.raises(PusaError, match="There is no folder"), opened(text({}), tmp_path / "nowhere"):
        pass
    run(tmp_path / "film", text({}), Studio())
    with pytest.raises(PusaError, match="holds another project: its windows are w1, the graph's scene"):
        go(text({"id": "scene"}), tmp_path)
    with (
        held(tmp_path / "film"),
        pytest.raises(PusaError, match="Another run is working on the project film"),
    ):
        go(text({}), tmp_path)
    record = tmp_path / "film" / "project.json"
    record.write_text(record.read_text().replace('"version": 1', '"version": 2', 1))
    with pytest.raises(
        PusaError, match=r"project\.json in .* has version 2; this ComfyUI-Pusa reads version 1"
    ):
        go(text({}), tmp_path)
