import json

import pytest

from pusa_core.bases import WAN
from pusa_core.errors import PusaError
from pusa_core.project.plan import Defaults, plan_project
from pusa_core.project.text import ClipUse, LoraUse, read_project


def text(*windows, **project) -> str:
    """A project of windows, the first with a prompt."""
    listed = [{"id": f"w{n + 1}", "prompt": "p", **one} for n, one in enumerate(windows or [{}])]
    return json.dumps({"version": 1, "windows": listed, **project})


def plan(*windows, **project):
    return plan_project(read_project(text(*windows, **project)), Defaults(), WAN)


def test_a_project_is_read_with_its_defaults():
    found = read_project(
        text(
            {"cfg": 1, "loras": [{"name": "a.safetensors"}], "length": 81.0}, {"seed": None},
            clips=[{"at": 0, "file": "a.mp4", "from": 1.5}], anchor={"picture": "a.png"},
        )
    )  # fmt: skip
    assert found.windows[0].loras == (LoraUse("a.safetensors", 1.0, "auto"),)
    assert (found.windows[0].cfg, found.windows[0].length, found.windows[1].seed) == (1.0, 81, None)
    assert found.clips == (ClipUse(0, "a.mp4", 1.5, 13, 0.2),)
    assert (found.window, found.overlap, found.colour, found.anchor.multiplier) == (81, 13, "before", 0.0)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "project is no JSON: Expecting value in line 1"),
        ("[]", r"project is \[\]; use an object"),
        ("[" * 100_000, "project is nested|project is no JSON"),
        ("{}", 'project has no version. Write "version": 1'),
        ('{"version": 2, "windows": []}', "version 2; this ComfyUI-Pusa reads version 1. Update"),
        ('{"version": 0}', "version is 0; use a whole number from 1 on"),
        ('{"version": true}', "version is true"),
        ('{"version": 1}', "project has no windows"),
        ('{"version": 1, "version": 1}', "'version' twice"),
        (text({"id": None}), r"windows\[0\].id is missing"),
        (text({"id": "a b"}), r'windows\[0\].id is "a b"; use 1 to 32 letters'),
        (text({}, {"id": "W1"}), r"windows\[1\].id is 'W1', as windows\[0\].id"),
        (text({"length": "long"}), r'windows\[0\].length is "long"; use a whole number from 1'),
        (text({"length": 80.5}), r"windows\[0\].length is 80.5"),
        (text({"seed": -1}), r"windows\[0\].seed is -1"),
        (text({"cfg": float("nan")}), r"windows\[0\].cfg is NaN"),
        (text({"lock": 1}), r"windows\[0\].lock is 1; use true or false"),
        (text({"colour": "first"}), r"windows\[0\].colour is not known. windows\[0\] takes: bridge, candidates"),
        (text({"candidates": 2, "chosen": 2}), r"windows\[0\].chosen is 2, but 2 are made"),
        (text({"bridge": True}, {}), r"windows\[0\] is a bridge, but nothing is before it"),
        (text({}, {"bridge": True}), r"windows\[1\] is a bridge, but nothing is after it"),
        (text({"loras": [{"name": "a", "expert": "medium"}]}), r'windows\[0\].loras\[0\].expert is "medium"'),
        (text({"loras": {}}), r"windows\[0\].loras is {}; use a list"),
        (text(keys=[{"at": 1}]), r"keys\[0\].picture is missing"),
        (text(keys=[{"at": 1, "picture": "a", "multiplier": 2}]), r"keys\[0\].multiplier is 2; use a number from 0 to 1"),
        (text(sound={"file": ""}), 'sound.file is ""; use the name of a file'),
        (text(colour="anchor"), "the project has no anchor"),
        (text(colour="red"), 'colour is "red"; use one of before, first, anchor, off'),
        (text(only="w2"), "only is 'w2', but no window has this id"),
        (text(future=1), "future is not known. project takes: anchor, clips"),
        (text(prompts=[{"at": 0, "text": "a"}, {"at": 5, "text": "b"}, {"at": 0, "text": "c"}]), "Two prompts hold from second 0"),
        (text(prompts=[{"at": 10**400, "text": "a"}]), r"prompts\[0\].at is 1000"),
        (text({"seed": 7}).replace("7", "7" * 5000), "project has a number that no project has"),
    ],
)  # fmt: skip
def test_a_project_that_is_wrong_gets_a_sentence_with_the_place(typed, words):
    with pytest.raises(PusaError, match=words):
        read_project(typed)


@pytest.mark.parametrize(
    ("windows", "project", "words"),
    [
        ([{"length": 80}], {}, r"windows\[0\].length is 80 frames; Wan makes 4n \+ 1: use 77 or 81"),
        ([{}], {"window": 10}, "window is 10 frames"),
        ([{}, {}], {"overlap": 12}, "overlap is 12 frames.*use 9 or 13"),
        ([{}, {"overlap": 81}], {}, r"windows\[1\] shares 81 frames.*Use an overlap of at most 77"),
        ([{"prompt": None}], {}, r"windows\[0\] has no prompt, and there is none before it"),
        ([{}], {"keys": [{"at": 81, "picture": "a"}]}, r"keys\[0\].at is 81, but the video has 81 frames.*Use 0 to 80"),
        ([{}], {"keys": [{"at": 5, "picture": "a"}, {"at": 8, "picture": "b"}]}, r"keys\[1\] \(frame 8\) and keys\[0\] \(frame 5\) fall together: frames 5 to 8"),
        ([{}], {"clips": [{"at": 6, "file": "a", "frames": 3}]}, r"clips\[0\] gives 3 frames at 6, which fill no latent frame"),
        ([{}], {"clips": [{"at": 99, "file": "a"}]}, r"clips\[0\].at is 99"),
        ([{}, {"bridge": True}, {"bridge": True}, {}], {}, r"windows\[1\] and windows\[2\] are both bridges"),
        ([{}, {"bridge": True}, {"overlap": 1}], {}, r"windows\[1\] is a bridge, and the window after it shares 1 frame"),
        ([{}, {"bridge": True, "length": 21}, {}], {}, r"windows\[1\] has 21 frames, of which 13 are given at its start and 13 at its end"),
        ([{}, {"overlap": 1}], {"anchor": {"picture": "a"}}, r"windows\[1\] shares 1 frame.*anchor"),
        ([{"noise_multipliers": "0..2"}], {}, "noise_multiplier is 2.0"),
    ],
)  # fmt: skip
def test_a_project_that_cannot_be_made_gets_a_sentence(windows, project, words):
    with pytest.raises(PusaError, match=words):
        plan(*windows, **project)


def test_windows_lie_one_after_the_other_with_their_overlaps():
    found = plan({}, {"length": 41, "overlap": 5}, {})
    assert [(one.frames.start, one.frames.given, one.frames.end) for one in found.windows] == [
        (0, 0, 81),
        (76, 5, 117),
        (104, 13, 185),
    ]
    assert [(one.shared, one.after) for one in found.windows] == [(0, 5), (5, 13), (13, 0)]
    assert found.frames == 185


def test_no_two_windows_takes_and_candidates_share_a_seed():
    found = plan(*[{"retake": n % 3} for n in range(30)])
    seeds = [window.seed_of(candidate) for window in found.windows for candidate in range(5)]
    assert len(set(seeds)) == len(seeds)
    assert plan({"seed": 2**64 - 1, "retake": 1}).windows[0].seed_of(0) == 999_999


def test_a_key_goes_to_the_window_that_makes_its_frame_first():
    keys = [{"at": at, "picture": "a"} for at in (0, 80, 84, 148)]
    found = plan({}, {}, keys=keys)
    assert [[key.latent_frame for key in window.keys] for window in found.windows] == [[0, 20], [4, 20]]


def test_a_key_in_frames_that_a_bridge_shares_goes_to_both():
    found = plan({}, {"bridge": True}, {}, keys=[{"at": 140, "picture": "a"}])
    assert [[key.latent_frame for key in window.keys] for window in found.windows] == [[], [18], [1]]


def test_a_clip_fills_whole_latent_frames_of_every_window_it_reaches():
    found = plan({}, {}, clips=[{"at": 70, "file": "a", "frames": 30}])
    (first,), (second,) = (window.clips for window in found.windows)
    assert first.latent_frames(0, 81, WAN) == [19, 20]
    assert second.latent_frames(13, 81, WAN) == [4, 5, 6, 7]
