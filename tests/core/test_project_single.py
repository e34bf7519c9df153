"""A project made window by window, each in a folder with nothing but what order.looked_at names, as many machines make it."""

import json
import shutil
from hashlib import sha256

import pytest

from pusa_core.bases import WAN
from pusa_core.errors import PusaError
from pusa_core.project.engine import Draft
from pusa_core.project.folder import ProjectFolder
from pusa_core.project.order import looked_at, made_from, spans
from pusa_core.project.plan import Defaults, plan_project
from pusa_core.project.single import SingleRun
from pusa_core.project.text import read_project
from support.flat_studio import FlatStudio, run

SETTINGS = Defaults(seed=5, steps=2, cfg=1.0, fps=16.0)


def text(*windows: dict, **project) -> str:
    """A project of windows of 17 frames, 5 of them shared."""
    listed = [{"id": f"w{n + 1}", "prompt": f"prompt {n + 1}", **one} for n, one in enumerate(windows)]
    return json.dumps({"version": 1, "window": 17, "overlap": 5, "windows": listed, **project})


def chosen(project: dict, index: int, candidate: int) -> str:
    """The text that asks for one candidate of one window."""
    changed = json.loads(json.dumps(project))
    own = changed["windows"][index]
    own |= {"candidates": candidate + 1, "chosen": candidate, "lock": False}
    return json.dumps(changed | {"only": own["id"]})


def make_apart(typed: str, film, elsewhere, draft=None):
    """Every candidate that the project asks for made in a folder of its own and brought back; returns what was sampled."""
    project, value, made = read_project(typed), json.loads(typed), []
    folder = ProjectFolder(film)
    film.mkdir(exist_ok=True)
    left = [
        index
        for index, window in enumerate(project.windows)
        if not (window.lock and folder.part(window.id, window.chosen))
    ]
    while left:
        index = next(index for index in left if not set(made_from(project, index)) & set(left))
        left.remove(index)
        for candidate in range(project.windows[index].candidates):
            there = elsewhere / f"{index}.{candidate}" / "film"
            there.mkdir(parents=True)
            parts = [
                (project.windows[one].id, project.windows[one].chosen) for one in looked_at(project, index)
            ]
            for window, number in [*parts, (project.windows[index].id, candidate)]:
                if (part := folder.part(window, number)) is not None:
                    for file in part.files:
                        shutil.copy(file, there)
            asked = chosen(value, index, candidate)
            plan, studio = plan_project(read_project(asked), SETTINGS, WAN), FlatStudio()
            with ProjectFolder(there).taken():
                part = SingleRun(plan, ProjectFolder(there), studio, draft).make_one(plan.windows[index])
            made += studio.made
            folder.take_over(
                project.windows[index].id, candidate, {file.suffix: file.read_bytes() for file in part.files}
            )
    return made


def parts(folder) -> dict[str, str]:
    """What the files of every part hold."""
    return {file.name: sha256(file.read_bytes()).hexdigest() for file in folder.glob("w*.*.*")}


THREE = {"candidates": 3, "chosen": 1}
PROJECTS = {
    "a chain": text(THREE, THREE, THREE),
    "a bridge": text(THREE, {"bridge": True, **THREE}, THREE, {}),
    "two bridges and the first window's colours": text({}, {"bridge": True}, THREE, {"bridge": True}, {}, colour="first"),
    "a locked window that is missing": text({}, {"lock": True, **THREE}, {}),
    "keys, a clip and an anchor": text(
        {}, {}, {}, keys=[{"at": 0, "picture": "3.png"}, {"at": 28, "picture": "4.png"}],
        clips=[{"at": 25, "file": "clip.mp4", "frames": 9}], anchor={"picture": "2.png"}, colour="anchor",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROJECTS)
def test_windows_made_apart_are_those_that_one_run_makes(name, tmp_path):
    made = make_apart(PROJECTS[name], tmp_path / "apart", tmp_path / "elsewhere")
    run(tmp_path / "film", PROJECTS[name], FlatStudio())
    assert parts(tmp_path / "apart") == parts(tmp_path / "film")
    assert (
        len(made)
        == len(set(made))
        == sum(window.candidates for window in read_project(PROJECTS[name]).windows)
    )
    studio = FlatStudio()
    run(tmp_path / "apart", PROJECTS[name], studio)
    assert studio.made == [], "the node finds them all"


def test_what_changes_between_locked_windows_is_made_apart_as_by_one_run(tmp_path):
    before = text(*[{}] * 5)
    after = text({}, {"prompt": "other"}, {"lock": True}, {"retake": 1}, {"lock": True})
    for folder in ("film", "apart"):
        run(tmp_path / folder, before, FlatStudio())
    studio = FlatStudio()
    run(tmp_path / "film", after, studio)
    assert make_apart(after, tmp_path / "apart", tmp_path / "elsewhere") == studio.made
    assert parts(tmp_path / "apart") == parts(tmp_path / "film")


def test_a_draft_is_followed_apart_as_by_one_run(tmp_path):
    typed = text({}, {})
    run(tmp_path / "film", typed, FlatStudio(size=8), in_draft=True)
    draft = Draft(ProjectFolder(tmp_path / "film", draft=True), FlatStudio(size=8), 0.5)
    (tmp_path / "apart").mkdir()
    make_apart(typed, tmp_path / "apart", tmp_path / "elsewhere", draft)
    run(tmp_path / "film", typed, FlatStudio(), draft)
    assert parts(tmp_path / "apart") == {
        name: value for name, value in parts(tmp_path / "film").items() if ".draft." not in name
    }


def test_a_window_that_is_not_there_is_asked_for(tmp_path):
    plan = plan_project(read_project(text({}, {}, only="w2")), SETTINGS, WAN)
    with (
        ProjectFolder(tmp_path).taken(),
        pytest.raises(PusaError, match=r"made from w1\.0, which is not in the folder"),
    ):
        SingleRun(plan, ProjectFolder(tmp_path), FlatStudio()).make_one(plan.windows[1])


def test_a_part_that_came_back_damaged_is_refused_and_leaves_nothing(tmp_path):
    run(tmp_path / "film", text({}), FlatStudio())
    files = {file.suffix: file.read_bytes() for file in ProjectFolder(tmp_path / "film").part("w1", 0).files}
    (tmp_path / "other").mkdir()
    for wrong in ({}, files | {".mp4": files[".mp4"][:-1]}):
        with pytest.raises(PusaError, match=r"w1\.0 is no part of a project"):
            ProjectFolder(tmp_path / "other").take_over("w1", 0, wrong)
    assert list((tmp_path / "other").iterdir()) == []


def test_windows_wait_for_those_they_continue_or_lead_to_and_never_for_each_other():
    project = read_project(text({}, {}, {"bridge": True}, {}, {"lock": True}, {}))
    assert [made_from(project, index) for index in range(6)] == [[], [0], [1, 3], [], [3], [4]]
    assert [looked_at(project, index) for index in range(6)] == [[], [0], [1, 3], [4], [3], [4]]
    assert spans(project)[:3] == [(0, 17), (12, 29), (24, 41)]
