import errno
import gc
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from pusa_core.clips.reading import clip_of_file
from pusa_core.errors import PusaError
from pusa_core.project import engine
from pusa_core.project import folder as on_disk
from pusa_core.project.engine import Draft
from pusa_core.project.folder import ProjectFolder
from pusa_core.project.identity import own_identities
from pusa_core.project.plan import Defaults, Plan, plan_project
from pusa_core.project.seams import lead_into, seam_jump
from pusa_core.project.text import read_project
from support.flat_studio import FlatStudio, fill_the_disk, run


def text(*windows: dict, **project) -> str:
    """A project of windows of 17 frames, 5 of them shared."""
    listed = [
        {"id": f"w{number + 1}", "prompt": f"prompt {number + 1}", **one}
        for number, one in enumerate(windows)
    ]
    return json.dumps({"version": 1, "window": 17, "overlap": 5, "windows": listed, **project})


def files(folder: Path) -> dict[str, str]:
    """What every file of a project holds."""
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def remade(folder: Path, project: str, studio: FlatStudio | None = None) -> list[str]:
    """The windows that a run over a project makes, in that order."""
    studio = studio or FlatStudio()
    run(folder, project, studio)
    return [name for name, _ in studio.made]


SIX = [{} for _ in range(6)]


def test_half_of_a_surrogate_pair_in_a_prompt_is_kept_in_the_record(tmp_path):
    """Which JSON can say, and UTF-8 cannot."""
    folder = ProjectFolder(tmp_path / "film")
    with folder.taken():
        folder.record({"prompt": "a fish \ud83d, \u9c7c"})
    assert json.loads((tmp_path / "film" / "project.json").read_text("utf-8")) == {
        "prompt": "a fish \ud83d, \u9c7c"
    }


def test_a_project_becomes_a_video_with_every_frame_once(tmp_path):
    made = run(tmp_path / "film", text({}, {}, {}), FlatStudio())
    frames = clip_of_file(tmp_path / "film" / "film.mp4").all(None)
    assert len(frames) == made.plan.frames == 17 + 2 * 12
    record = json.loads((tmp_path / "film" / "project.json").read_text("utf-8"))
    assert [one["state"] for one in record["windows"]] == ["finished"] * 3
    assert [(one["start"], one["first_new"], one["end"]) for one in record["windows"]] == [
        (0, 0, 17),
        (12, 17, 29),
        (24, 29, 41),
    ]
    assert sorted(path.name for path in (tmp_path / "film").iterdir()) == sorted(
        [f"w{n}.0.{kind}" for n in (1, 2, 3) for kind in ("mp4", "png", "safetensors")]
        + ["film.mp4", "project.json", "project.lock"]
    )


def test_a_second_run_makes_nothing_and_leaves_the_same_files(tmp_path):
    run(tmp_path / "film", text({}, {}, {}), FlatStudio())
    before = files(tmp_path / "film")
    studio = FlatStudio()
    run(tmp_path / "film", text({}, {}, {}), studio)
    assert not studio.made
    assert [state for _, _, state in studio.told] == ["kept"] * 3
    assert files(tmp_path / "film") == before


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"prompt": "other"}, ["w3", "w4", "w5", "w6"]),
        ({"seed": 99}, ["w3", "w4", "w5", "w6"]),
        ({"retake": 1}, ["w3", "w4", "w5", "w6"]),
        # this model heeds none of these: what the next window takes over is the same to the last bit
        ({"negative": "other"}, ["w3"]),
        ({"loras": [{"name": "style.safetensors"}]}, ["w3"]),
        ({"steps": 3}, ["w3"]),
    ],
)
def test_a_changed_window_is_made_again_with_those_that_its_frames_change(tmp_path, change, expected):
    run(tmp_path / "film", text(*SIX), FlatStudio())
    assert remade(tmp_path / "film", text({}, {}, change, {}, {}, {})) == expected


def test_a_locked_window_keeps_its_bytes_whatever_changes_around_it(tmp_path):
    folder = tmp_path / "film"
    run(folder, text(*SIX), FlatStudio())
    before = files(folder)
    studio = FlatStudio()
    run(
        folder,
        text({}, {"prompt": "other"}, {"prompt": "ignored", "lock": True}, {"prompt": "third"}, {}, {}),
        studio,
    )
    assert [name for name, _ in studio.made] == ["w2", "w4", "w5", "w6"]
    after = files(folder)
    assert {name for name in before if name.startswith("w3.") and before[name] == after[name]} == {
        "w3.0.mp4", "w3.0.png", "w3.0.safetensors"
    }  # fmt: skip
    assert studio.seen["w2"][0] == pytest.approx([0, 0.2, 1, 1, 0.0]), (
        "it was made to lead to the locked window"
    )


def test_a_locked_window_of_another_crf_is_shown_as_it_is(tmp_path):
    folder = tmp_path / "film"
    run(folder, text({}, {}, {}), FlatStudio())
    studio = FlatStudio(crf=30)
    made = run(folder, text({}, {"lock": True}, {}), studio)
    assert [name for name, _ in studio.made] == ["w1", "w3"]
    shown = torch.cat([made.parts[n].frames()[: made.plan.windows[n].shown] for n in range(3)])
    found = clip_of_file(folder / "film.mp4").all(None)
    assert found.shape == shown.shape
    assert (found - shown).abs().max() < 0.05


def test_to_lock_a_window_makes_nothing_again(tmp_path):
    run(tmp_path / "film", text(*SIX), FlatStudio())
    assert remade(tmp_path / "film", text({}, {}, {"lock": True}, {"lock": True}, {}, {})) == []


def test_a_locked_window_that_is_missing_is_made_once(tmp_path):
    project = text({}, {"lock": True}, {})
    assert remade(tmp_path / "film", project) == ["w1", "w2", "w3"]
    assert remade(tmp_path / "film", project) == []


def test_a_missing_part_is_made_again_and_nothing_else(tmp_path):
    folder = tmp_path / "film"
    run(folder, text({}, {}, {"lock": True}, {}), FlatStudio())
    before = files(folder)
    for name in ("w2.0.mp4", "w4.0.safetensors"):
        (folder / name).unlink()
    assert remade(folder, text({}, {}, {"lock": True}, {})) == ["w2", "w4"]
    assert files(folder) == before


def test_a_damaged_part_is_made_again(tmp_path):
    folder = tmp_path / "film"
    run(folder, text({}, {}), FlatStudio())
    before = files(folder)
    (folder / "w1.0.mp4").write_bytes(b"damaged")
    assert remade(folder, text({}, {})) == ["w1"]
    assert files(folder) == before


def test_a_locked_window_whose_files_do_not_fit_is_left_alone(tmp_path):
    folder = tmp_path / "film"
    run(folder, text({}, {}), FlatStudio())
    (folder / "w2.0.safetensors").unlink()
    video = (folder / "w2.0.mp4").read_bytes()
    with pytest.raises(PusaError, match=r"w2\.0\.mp4 and w2\.0\.safetensors do not belong together"):
        run(folder, text({}, {"lock": True}), FlatStudio())
    assert (folder / "w2.0.mp4").read_bytes() == video


@pytest.mark.parametrize("named", [0, 1, 2, 3])
def test_a_part_that_was_whole_before_a_kill_is_finished_by_the_next_run(tmp_path, monkeypatch, named):
    folder = tmp_path / "film"
    run(folder, text({}, {}), FlatStudio())
    before = files(folder)
    for path in folder.glob("w2*"):
        path.unlink()
    settled = []

    def stop(path):
        if path.name.startswith("w2"):
            settled.append(path)
            if len(settled) > named:
                os._exit(9)
        original(path)

    original = on_disk._settle
    monkeypatch.setattr(on_disk, "_settle", stop)
    child = os.fork()
    if child == 0:
        run(folder, text({}, {}), FlatStudio())
        os._exit(0)
    os.waitpid(child, 0)
    monkeypatch.undo()
    assert remade(folder, text({}, {})) == []
    assert files(folder) == before


def test_a_picture_that_is_gone_comes_back_without_the_model(tmp_path):
    folder = tmp_path / "film"
    run(folder, text({}, {"lock": True}), FlatStudio())
    (folder / "w2.0.png").unlink()
    assert remade(folder, text({}, {"lock": True})) == []
    assert (folder / "w2.0.png").is_file()


def test_a_bridge_is_given_both_sides_and_leaves_them_as_they_are(tmp_path):
    folder = tmp_path / "film"
    run(folder, text(*SIX), FlatStudio())
    before = files(folder)
    studio = FlatStudio()
    made = run(folder, text({}, {}, {"bridge": True, "retake": 1}, {}, {}, {}), studio)
    assert [name for name, _ in studio.made] == ["w3"]
    after = files(folder)
    assert {name.split(".")[0] for name in before if before[name] != after[name]} == {"w3", "film", "project"}
    multipliers, samples = studio.seen["w3"]
    assert multipliers == pytest.approx([0, 0.2, 1, 1, 0.0])
    head = made.parts[3].head(5)
    torch.testing.assert_close(samples[0, :, -1, 0, 0], head[1:].mean(dim=(0, 1, 2)), atol=1e-5, rtol=0)
    assert made.parts[2].facts.left_seam is not None
    assert made.parts[2].facts.right_seam is not None


def test_both_sides_of_a_bridge_have_the_colours_of_their_neighbours(tmp_path):
    gaps = {}
    for colour in ("off", "before"):
        folder, windows = tmp_path / colour, ({"prompt": "a"}, {"prompt": "a"}, {"prompt": "a"})
        run(folder, text(*windows, colour=colour), FlatStudio())
        bridge = text(windows[0], {"prompt": "a", "bridge": True, "retake": 1}, windows[2], colour=colour)
        made = run(folder, bridge, FlatStudio(tint=0.1) if colour else None)
        frames = made.parts[1].frames()
        gaps[colour] = [
            float((frames[5] - made.parts[0].tail(5)[-1]).abs().mean()),
            float((frames[-1] - made.parts[2].head(5)[-1]).abs().mean()),
        ]
    assert min(gaps["off"]) > 0.05
    assert max(gaps["before"]) < 0.03


def test_a_seam_is_measured_against_what_is_usual_on_both_sides():
    frames = (torch.arange(33.0) * 0.01)[:, None, None, None].expand(-1, 4, 4, 3).clone()
    assert seam_jump(frames, 13) == pytest.approx(1.0, abs=0.01)
    frames[13:] += 0.03
    assert seam_jump(frames, 13) == pytest.approx(4.0, abs=0.01)
    assert seam_jump(frames, 28) == pytest.approx(1.0, abs=0.01)


def test_a_window_turns_towards_the_one_it_leads_to():
    frames, head = torch.full((17, 4, 4, 3), 0.2), torch.full((5, 4, 4, 3), 0.7)
    levels = lead_into(frames, head).mean(dim=(1, 2, 3)).tolist()
    assert levels == pytest.approx([0.2] * 8 + [0.3, 0.4, 0.5, 0.6] + [0.2] * 5)


def test_windows_around_a_bridge_can_be_made_in_one_go(tmp_path):
    studio = FlatStudio()
    run(tmp_path / "film", text({}, {"bridge": True}, {}), studio)
    assert [name for name, _ in studio.made] == ["w1", "w3", "w2"]
    assert studio.seen["w3"][0] == [1, 1, 1, 1, 1], "the window after the bridge begins anew"


def test_windows_that_wait_for_each_other_are_named(tmp_path):
    with pytest.raises(PusaError, match=r"windows\[1\] and windows\[2\] are both bridges"):
        run(tmp_path / "film", text({}, {"bridge": True}, {"bridge": True}, {}), FlatStudio())
    studio = FlatStudio()
    run(tmp_path / "film", text({}, {"bridge": True}, {"bridge": True, "lock": True}, {}), studio)
    assert [name for name, _ in studio.made] == ["w1", "w4", "w3", "w2"], (
        "a locked bridge begins anew where it is missing"
    )


def test_candidates_differ_and_the_chosen_one_is_continued(tmp_path):
    folder = tmp_path / "film"
    run(folder, text({}, {}, {}), FlatStudio())
    studio = FlatStudio()
    made = run(folder, text({}, {"candidates": 3}, {}), studio)
    assert studio.made == [("w2", 1), ("w2", 2)], "the first candidate is the take that was there"
    assert len({sha256((folder / f"w2.{n}.mp4").read_bytes()).hexdigest() for n in range(3)}) == 3
    assert len({part.facts.seed for (index, _), part in made.found.items() if index == 1}) == 3
    studio = FlatStudio()
    run(folder, text({}, {"candidates": 3, "chosen": 2}, {}), studio)
    assert studio.made == [("w3", 0)]
    torch.testing.assert_close(
        studio.seen["w3"][1][0, :, 0, 0, 0], made.found[1, 2].tail(5)[0].mean(dim=(0, 1)), atol=1e-5, rtol=0
    )


def test_a_retake_is_another_seed_and_the_first_take_comes_back(tmp_path):
    folder = tmp_path / "film"
    run(folder, text({}, {}), FlatStudio())
    before = files(folder)
    run(folder, text({}, {"retake": 1}), FlatStudio())
    assert files(folder)["w2.0.mp4"] != before["w2.0.mp4"]
    run(folder, text({}, {}), FlatStudio())
    assert files(folder) == before


def test_keys_and_clips_reach_the_windows_that_make_their_frames(tmp_path):
    studio = FlatStudio()
    keys = [{"at": 0, "picture": "1.png"}, {"at": 28, "picture": "2.png", "multiplier": 0.3}]
    clips = [{"at": 25, "file": "clip.mp4", "frames": 9, "multiplier": 0.1}]
    run(tmp_path / "film", text({}, {}, {}, keys=keys, clips=clips), studio)
    assert studio.seen["w1"][0] == [0, 1, 1, 1, 1]
    assert studio.seen["w1"][1][0, :, 0, 0, 0].tolist() == pytest.approx([0.1] * 3)
    assert studio.seen["w2"][0] == pytest.approx([0, 0.2, 1, 1, 0.3]), "a key goes before a clip"
    assert studio.seen["w3"][0] == pytest.approx([0, 0.2, 0.1, 1, 1])
    assert studio.seen["w3"][1][0, :, 2, 0, 0].tolist() == pytest.approx([0.7] * 3)


def test_of_a_clip_as_long_as_the_video_each_window_reads_its_own_frames(tmp_path):
    class Ramp(FlatStudio):
        read: tuple[int, ...] = ()

        def clip(self, use, frames):
            self.read = (*self.read, len(frames))
            return super().clip(use, frames) * 0 + torch.tensor(frames)[:, None, None, None] / 100

    studio = Ramp()
    run(tmp_path / "film", text(*SIX, clips=[{"at": 0, "file": "clip.mp4", "frames": 77}]), studio)
    assert studio.read == (17, 13, 13, 13, 13, 13), "12 and the one before them"
    multipliers, samples = studio.seen["w6"]
    assert multipliers == pytest.approx([0, 0.2, 0.2, 0.2, 0.2])
    groups = [sum(range(first, first + 4)) / 400 for first in (65, 69, 73)]
    assert samples[0, 0, 2:, 0, 0].tolist() == pytest.approx(groups)


def test_prompts_over_time_hold_in_the_middle_of_a_windows_new_frames(tmp_path):
    prompts = [{"at": 0, "text": "first"}, {"at": 1.2, "text": "second"}]
    project = text({"prompt": None}, {"prompt": None}, {"prompt": "own"}, prompts=prompts)
    made = run(tmp_path / "film", project, FlatStudio())
    assert [window.prompt for window in made.plan.windows] == ["first", "second", "own"]


def test_prompts_can_change_inside_a_window_at_their_second(tmp_path):
    prompts = [{"at": 0, "text": "first"}, {"at": 0.5, "text": "second"}, {"at": 0.8, "text": "third"}]
    listed = ({"prompt": None}, {"prompt": None}, {"prompt": "own"})
    project = text(*listed, prompts=prompts, prompts_by="frame")
    made = run(tmp_path / "film", project, FlatStudio())
    spans = [[(one.latent_frame, one.text) for one in window.spans] for window in made.plan.windows]
    # the second window begins at video frame 12, 0.75 s; its latent frame 1 lies around 0.91 s
    assert spans == [[(0, "first"), (3, "second"), (4, "third")], [(0, "second"), (1, "third")], []]
    record = json.loads((tmp_path / "film" / "project.json").read_text("utf-8"))
    assert record["windows"][1]["prompts"] == [[0, "second"], [1, "third"]]
    prompts[1] = {"at": 0.5, "text": "another"}
    assert remade(tmp_path / "film", text(*listed, prompts=prompts, prompts_by="frame"))[:2] == ["w1", "w2"]
    assert remade(tmp_path / "film", text(*listed, prompts=prompts)) == ["w1", "w2"]


def test_one_prompt_over_a_window_is_the_same_by_window_and_by_frame(tmp_path):
    prompts = [{"at": 0, "text": "first"}, {"at": 5, "text": "later"}]
    run(tmp_path / "film", text({"prompt": None}, prompts=prompts), FlatStudio())
    assert remade(tmp_path / "film", text({"prompt": None}, prompts=prompts, prompts_by="frame")) == []


def test_every_window_has_the_colours_of_the_first_when_asked(tmp_path):
    drift = {}
    for colour in ("off", "before", "first"):
        project = text(
            {}, {"prompt": "prompt 1"}, {"prompt": "prompt 1"}, {"prompt": "prompt 1"}, colour=colour
        )
        made = run(tmp_path / colour, project, FlatStudio(tint=0.03))
        first, last = made.parts[0].frames().mean(dim=(0, 1, 2)), made.parts[3].frames().mean(dim=(0, 1, 2))
        drift[colour] = float((last - first).abs().max())
    assert drift["first"] < 0.01 < drift["before"] < drift["off"]


def test_final_windows_follow_the_drafts_that_hold_now(tmp_path):
    folder, project = tmp_path / "film", text({}, {}, {})
    sources = FlatStudio(size=8)
    run(folder, project, sources, in_draft=True)
    assert (folder / "w2.0.draft.mp4").exists()
    draft = Draft(ProjectFolder(folder, draft=True), FlatStudio(size=8), 0.6)
    studio = FlatStudio()
    run(folder, project, studio, draft)
    assert studio.seen["w1"][0] == pytest.approx([0.6] * 5)
    assert studio.seen["w2"][0] == pytest.approx([0, 0.2, 0.6, 0.6, 0.6])
    other = FlatStudio()
    run(folder, text({}, {"prompt": "since the draft"}, {}), other, draft)
    assert other.seen["w2"][0] == pytest.approx([0, 0.2, 1, 1, 1]), "a draft of another prompt is no draft"
    assert (folder / "film.draft.mp4").exists()


DRAFTS = text({}, {}, {}, {})


@pytest.fixture
def drafted(tmp_path):
    """A project whose windows followed their drafts, and how they are followed."""
    run(tmp_path / "film", DRAFTS, FlatStudio(size=8), in_draft=True)
    draft = Draft(ProjectFolder(tmp_path / "film", draft=True), FlatStudio(size=8), 0.6)
    run(tmp_path / "film", DRAFTS, FlatStudio(), draft)
    return tmp_path / "film", draft


@pytest.mark.parametrize("change", ["gone", "another", "outdated"])
def test_a_window_that_followed_a_draft_stays_whatever_becomes_of_the_draft(drafted, change):
    folder, draft = drafted
    if change == "gone":
        for path in folder.glob("*.draft.*"):
            path.unlink()
    if change == "another":
        draft = replace(draft, sources=FlatStudio(size=8, tint=0.1))
        run(folder, DRAFTS, FlatStudio(size=8, tint=0.1), in_draft=True)
    if change == "outdated":
        draft = replace(draft, sources=FlatStudio(size=8, model="another"))
    before, studio = files(folder), FlatStudio()
    run(folder, DRAFTS, studio, draft)
    assert studio.made == []
    assert files(folder) | {"project.json": ""} == before | {"project.json": ""}


def test_a_window_made_without_a_draft_stays_when_one_is_made(tmp_path):
    folder = tmp_path / "film"
    run(folder, DRAFTS, FlatStudio())
    run(folder, DRAFTS, FlatStudio(size=8), in_draft=True)
    studio = FlatStudio()
    run(folder, DRAFTS, studio, Draft(ProjectFolder(folder, draft=True), FlatStudio(size=8), 0.6))
    assert studio.made == []


def test_how_closely_drafts_are_followed_is_a_setting_that_counts(drafted):
    folder, draft = drafted
    studio = FlatStudio()
    run(folder, DRAFTS, studio, replace(draft, multiplier=0.8))
    assert [name for name, _ in studio.made] == ["w1", "w2", "w3", "w4"]


def test_a_locked_window_fits_the_one_before_also_when_its_draft_is_gone(drafted):
    folder, draft = drafted
    for path in folder.glob("*.draft.*"):
        path.unlink()
    studio = FlatStudio()
    run(folder, text({}, {}, {"lock": True}, {}), studio, draft)
    assert studio.made == []


def as_by_an_earlier_version(folder: Path) -> None:
    """The parts as they were before what they followed was noted in them."""
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as saved:
            facts = json.loads(saved.metadata()["part"])
            tensors = {name: saved.get_tensor(name).clone() for name in saved.keys()}  # noqa: SIM118
        del facts["followed"]
        save_file(tensors, path, metadata={"part": json.dumps(facts, sort_keys=True)})


def test_parts_that_do_not_tell_what_they_followed_stay_as_long_as_the_draft_does(drafted):
    folder, draft = drafted
    as_by_an_earlier_version(folder)
    studio = FlatStudio()
    run(folder, DRAFTS, studio, draft)
    assert studio.made == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"resize": "letterbox"}, ["w2"]),  # w1 and w3 have no picture and no clip
        ({"colour": "off"}, ["w2", "w3"]),
        ({"resize": "letterbox", "anchor": {"picture": "9.png"}}, ["w2", "w3"]),
    ],
)
def test_a_setting_that_a_window_has_no_use_for_does_not_make_it_again(tmp_path, change, expected):
    keys = {"keys": [{"at": 20, "picture": "2.png"}]}
    run(tmp_path / "film", text({}, {}, {}, **keys), FlatStudio())
    assert remade(tmp_path / "film", text({}, {}, {}, **keys, **change)) == expected


def test_colours_count_in_a_first_window_that_leads_to_a_locked_one(tmp_path):
    folder = tmp_path / "film"
    run(folder, text({}, {}), FlatStudio())
    led = ({"prompt": "other"}, {"lock": True})
    assert remade(folder, text(*led)) == ["w1"]
    assert remade(folder, text(*led, colour="off")) == ["w1"]
    assert remade(folder, text(*led, colour="off")) == []


@pytest.mark.parametrize("colour", ["before", "off", "first"])
def test_parts_named_after_settings_that_they_have_no_use_for_stay(tmp_path, monkeypatch, colour):
    project = text({}, {}, {}, resize="stretch", colour=colour)
    with monkeypatch.context() as patched:
        patched.setattr(engine, "own_identities", lambda *given: own_identities(*given)[::-1])
        run(tmp_path / "film", project, FlatStudio())
    assert remade(tmp_path / "film", project) == []
    assert remade(tmp_path / "film", text({}, {}, {"lock": True}, resize="stretch", colour=colour)) == []


def test_steps_do_not_count_where_a_schedule_is_given(tmp_path):
    def plan(given: int | None, steps: int = 30) -> Plan:
        defaults = Defaults(steps=steps, given_steps=given)
        return plan_project(read_project(text({}, {"steps": 5})), defaults)

    def names(planned: Plan) -> list[tuple[str, str]]:
        return [own_identities(planned, window, 0, FlatStudio()) for window in planned.windows]

    assert [window.steps for window in plan(None).windows] == [30, 5]
    assert [window.steps for window in plan(4).windows] == [4, 4]
    assert [used for used, _ in names(plan(4))] == [used for used, _ in names(plan(4, steps=9))]
    assert [every for _, every in names(plan(4))] == [every for _, every in names(plan(None))], "as of old"


def test_another_film_under_the_same_name_leaves_the_finished_one_there(tmp_path):
    folder = tmp_path / "film"
    run(folder, text({}, {}), FlatStudio())
    first = (folder / "film.mp4").read_bytes()
    report = run(folder, text({"prompt": "another"}, {"prompt": "film"}), FlatStudio()).report()
    assert (folder / "film_00001.mp4").read_bytes() == first
    assert "film_00001.mp4" in report.splitlines()[-1]
    report = run(folder, text({"prompt": "another"}, {"prompt": "end"}), FlatStudio()).report()
    assert "film_0000" not in report, "the same film, mended"
    assert not (folder / "film_00002.mp4").exists()
    run(folder, text({"prompt": "a"}, {"prompt": "third"}), FlatStudio())
    assert (folder / "film_00001.mp4").read_bytes() == first
    assert (folder / "film_00002.mp4").is_file()


def test_another_film_that_is_cancelled_on_the_way_leaves_the_finished_one_there(tmp_path):
    class Cancelled(FlatStudio):
        def sample(self, *given):
            if self.made:
                raise KeyboardInterrupt
            return super().sample(*given)

    folder, other = tmp_path / "film", text({"prompt": "another"}, {"prompt": "film"})
    run(folder, text({}, {}), FlatStudio())
    first = (folder / "film.mp4").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        run(folder, other, Cancelled())
    assert remade(folder, other) == ["w2"]
    assert (folder / "film_00001.mp4").read_bytes() == first


def test_a_project_can_be_moved_and_goes_on_there(tmp_path):
    run(tmp_path / "film", text({}, {}), FlatStudio())
    before = files(tmp_path / "film")
    shutil.move(tmp_path / "film", tmp_path / "elsewhere" / "film")
    assert remade(tmp_path / "elsewhere" / "film", text({}, {})) == []
    assert files(tmp_path / "elsewhere" / "film") == before


def test_a_full_disk_is_said_and_what_is_finished_stays(tmp_path, monkeypatch):
    folder = tmp_path / "film"
    fill_the_disk(monkeypatch)
    with pytest.raises(PusaError, match="The disk is full: film cannot be written"):
        run(folder, text({}, {}), FlatStudio())
    assert not list(folder.glob("*.unfinished"))
    assert remade(folder, text({}, {})) == ["w2"]


@pytest.mark.parametrize("open_file", ["w2.0.mp4", "w2.0.png", "w2.0.safetensors"])
def test_a_window_whose_file_another_program_holds_open_is_finished_by_the_next_run(
    tmp_path, monkeypatch, open_file
):
    folder, changed = tmp_path / "film", text({}, {"prompt": "other"})
    run(tmp_path / "straight" / "film", changed, FlatStudio())
    run(folder, text({}, {}), FlatStudio())
    original = on_disk.os.replace

    def replace(source, target):
        if Path(target).name == open_file:
            raise PermissionError(13, "The process cannot access the file", str(target))
        original(source, target)

    monkeypatch.setattr(on_disk.os, "replace", replace)
    for _ in range(2):  # still open in the second
        with pytest.raises(PusaError, match="Close what has its files open"):
            run(folder, changed, FlatStudio())
    monkeypatch.undo()
    assert remade(folder, changed) == []
    assert files(folder) == files(tmp_path / "straight" / "film")


@pytest.mark.parametrize("kept_file", ["w2.0.safetensors", "w2.0.mp4"])
def test_a_file_that_another_program_keeps_to_itself_is_not_taken_for_a_missing_one(
    tmp_path, monkeypatch, kept_file
):
    folder = tmp_path / "film"
    run(folder, text({}, {}), FlatStudio())
    original, studio = Path.open, FlatStudio()

    def open_file(path, *given, **named):
        if path.name == kept_file:
            raise PermissionError(13, "The process cannot access the file", str(path))
        return original(path, *given, **named)

    monkeypatch.setattr(Path, "open", open_file)
    with pytest.raises(PusaError, match="Close what has its files open"):
        run(folder, text({}, {}), studio)
    assert studio.made == []
    monkeypatch.undo()
    assert remade(folder, text({}, {})) == []


@pytest.mark.skipif(sys.platform == "win32", reason="locks of another kind")
def test_a_disk_that_locks_no_files_is_worked_on_with_a_warning(tmp_path, monkeypatch, caplog):
    import fcntl

    def refuse(*given):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    run(tmp_path / "film", text({}), FlatStudio())
    assert "its disk locks no files" in caplog.text


@pytest.mark.parametrize("maker", ["model", "VAE"])
def test_a_window_that_came_out_black_is_not_kept(tmp_path, maker):
    class Black(FlatStudio):
        def sample(self, samples, multipliers, window, *more):
            made = super().sample(samples, multipliers, window, *more)
            return made * float("nan") if (maker, window.id) == ("model", "w2") else made

        def decode(self, latent):
            made = super().decode(latent.nan_to_num())
            return made * float("nan") if (maker, self.made[-1][0]) == ("VAE", "w2") else made

    with pytest.raises(
        PusaError, match=rf"Window 2 \(w2\) came out of the {maker} with NaN or infinite values"
    ):
        run(tmp_path / "film", text({}, {}), Black())
    assert remade(tmp_path / "film", text({}, {})) == ["w2"]


def test_a_second_run_at_the_same_time_is_refused(tmp_path):
    refused = pytest.raises(PusaError, match="Another run is working on the project film")
    with ProjectFolder(tmp_path / "film").taken(), refused:
        run(tmp_path / "film", text({}), FlatStudio())
    run(tmp_path / "film", text({}), FlatStudio())


def test_a_locked_window_of_another_length_is_refused(tmp_path):
    run(tmp_path / "film", text({}, {}), FlatStudio())
    with pytest.raises(PusaError, match=r"windows\[1\] \(w2\) is locked with 16 x 16 pixels, 17 frames"):
        run(tmp_path / "film", text({}, {"lock": True, "length": 21}), FlatStudio())


def test_the_anchor_is_seen_by_later_windows_and_never_shown(tmp_path):
    studio = FlatStudio()
    project = text(
        {}, {}, anchor={"picture": "9.png", "multiplier": 0.3}, keys=[{"at": 0, "picture": "2.png"}]
    )
    made = run(tmp_path / "film", project, studio)
    assert studio.seen["w2"][0] == pytest.approx([0.3, 0.2, 1, 1, 1])
    assert studio.seen["w2"][1][0, :, 0, 0, 0].tolist() == pytest.approx([0.9] * 3)
    torch.testing.assert_close(made.parts[1].frames()[0], made.parts[0].tail(5)[0], atol=0.02, rtol=0)


def test_kill_9_at_ten_random_moments_leaves_the_same_files(tmp_path, pack_root):
    program = pack_root / "tests" / "support" / "kill_project_often.py"
    environment = {**os.environ, "PYTHONPATH": f"{pack_root}{os.pathsep}{pack_root / 'tests'}"}
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:2] == ["10", "kills,"]
    assert files(tmp_path / "killed" / "film") == files(tmp_path / "straight" / "film")


def test_memory_holds_one_window_however_many_there_are(tmp_path):
    class Watched(FlatStudio):
        held: tuple[int, ...] = ()

        def sample(self, *given):
            alive = [one for one in gc.get_objects() if type(one) is torch.Tensor]
            self.held = (*self.held, sum(one.numel() * one.element_size() for one in alive))
            return super().sample(*given)

    studio = Watched(size=64)
    run(tmp_path / "film", text(*[{} for _ in range(32)]), studio)
    assert len(studio.held) == 32
    assert max(studio.held) < 1.5 * studio.held[1]


@pytest.mark.parametrize(("first", "then"), [({}, {"overlap": 5}), ({"overlap": 5}, {})])
def test_the_window_before_a_locked_one_is_made_anew_where_they_share_other_frames(tmp_path, first, then):
    layout = {"overlap": 9, "window": 21}
    run(tmp_path / "film", text({}, {}, first, {}, **layout), FlatStudio())
    changed = text({}, {}, {**then, "lock": True}, {}, **layout)
    assert remade(tmp_path / "film", changed) == ["w2"]
    done = run(tmp_path / "film", changed, studio := FlatStudio())
    assert studio.made == []
    shared = done.plan.windows[2].shared
    assert (done.parts[1].tail(shared) - done.parts[2].head(shared)).abs().max() < 0.02


def test_two_locked_windows_that_do_not_continue_one_another_are_said(tmp_path):
    layout = {"overlap": 9, "window": 21}
    run(tmp_path / "film", text({}, {}, {}, {}, **layout), FlatStudio())
    locked = {"lock": True}
    as_made = run(tmp_path / "film", text({}, locked, locked, {}, **layout), FlatStudio())
    assert "does not continue" not in as_made.report()
    other = run(tmp_path / "film", text({}, locked, {**locked, "overlap": 5}, {}, **layout), FlatStudio())
    (line,) = [line for line in other.report().splitlines() if line.startswith("w3")]
    assert line.endswith(
        "does not continue the window before, which is locked too: take one of the two locks out, or put a bridge between them"
    )
    gone = json.loads(text({}, locked, {}, {**locked}, **layout))
    del gone["windows"][2]
    cut = run(tmp_path / "film", json.dumps(gone), FlatStudio())
    assert "w4" in [line[:2] for line in cut.report().splitlines() if "does not continue" in line]


def test_the_window_after_a_bridge_is_made_anew_with_what_changes_for_all_windows(tmp_path):
    def first_colours(**first):
        return text(first, {"bridge": True}, {}, {}, colour="first")

    run(tmp_path / "film", first_colours(), FlatStudio())
    assert remade(tmp_path / "film", first_colours()) == []
    assert "w3" in remade(tmp_path / "film", first_colours(seed=77, prompt="another"))

    def anchored(number):
        return text({}, {"bridge": True}, {}, {}, colour="anchor", anchor={"picture": f"{number}.png"})

    run(tmp_path / "anchored", anchored(3), FlatStudio())
    assert remade(tmp_path / "anchored", anchored(3)) == []
    assert "w3" in remade(tmp_path / "anchored", anchored(8))


def test_the_window_after_a_bridge_follows_its_draft_as_closely_as_is_set(tmp_path):
    project = text({}, {"bridge": True}, {}, {})
    run(tmp_path / "film", project, FlatStudio(size=8), in_draft=True)
    draft = Draft(ProjectFolder(tmp_path / "film", draft=True), FlatStudio(size=8), 0.6)

    def made(draft):
        run(tmp_path / "film", project, studio := FlatStudio(), draft)
        return [name for name, _ in studio.made]

    assert len(made(draft)) == 4
    assert made(draft) == []
    assert "w3" in made(replace(draft, multiplier=0.9))


def test_the_window_after_a_bridge_leads_into_a_locked_one_that_comes_to_lie_behind_it(tmp_path):
    run(tmp_path / "film", text({}, {"bridge": True}, {}, {}, {"seed": 3}), FlatStudio())
    project = json.loads(text({}, {"bridge": True}, {}, {}, {"seed": 3, "lock": True}))
    del project["windows"][3]
    assert "w3" in remade(tmp_path / "film", json.dumps(project))


def test_a_window_stays_as_it_is_where_the_one_before_it_becomes_a_bridge(tmp_path):
    anchor = {"colour": "anchor", "anchor": {"picture": "3.png"}}
    for name, more in (("plain", {}), ("anchored", anchor), ("first", {"colour": "first"})):
        run(tmp_path / name, text({}, {}, {}, **more), FlatStudio())
        assert remade(tmp_path / name, text({}, {"bridge": True}, {}, **more)) == ["w2"]
