"""Prints what pusa_core says about projects, as JSON for the JavaScript mirror's test: the sentence, or where the windows lie."""

import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pusa_core.bases import BASES
from pusa_core.errors import PusaError
from pusa_core.project.plan import Defaults, plan_project
from pusa_core.project.text import read_project

FPS = 16.0
NAMES = ["a.png", "b c.png", "", " ", 3, None]
LENGTHS = [81, 81, 81, 33, 17, 13, 5, 1, 80, 0, -3, 20000, 81.5, "81", True, None]
OVERLAPS = [13, 13, 13, 1, 5, 29, 77, 81, 12, None]
SHARES = [0, 0.2, 1, 1.5, -0.1, "x", None]
WINDOW = {
    "id": ["w1", "w2", "w3", "W1", "a-b_c", "", "a b", "x" * 33, 7, None],
    "prompt": ["a circle", "", 5, None],
    "negative": ["blur", 1],
    "length": LENGTHS,
    "overlap": OVERLAPS,
    "seed": [0, 2**64 - 1, 2**64, -1, 1.5],
    "steps": [4, 0, 1000, 1001],
    "cfg": [1, 3.5, 101, "1"],
    "noise_multipliers": ["0..0.2", "0.2", "0, 0.1, 0.2, 0.3", "2", "x", 0],
    "loras": [[], [{"name": "a", "strength": 1.2}], [{"name": ""}], [{"strength": 1}], [{"name": "a", "expert": "low"}], "a", [3]],
    "lock": [True, True, False, "yes"],
    "bridge": [True, True, True, False, 1],
    "retake": [0, 3, -1],
    "candidates": [1, 3, 0, 65],
    "chosen": [0, 0, 2, 64],
    "promt": ["typo"],
}  # fmt: skip
LISTS = {
    "keys": {"at": [0, 40, 41, 100, 148, 400, -1, 1.5, "0"], "picture": NAMES, "multiplier": SHARES, "x": [1]},
    "clips": {"at": [0, 40, 76, 100, 400, -1], "file": NAMES, "from": [0, 1.5, -1], "frames": [13, 5, 1, 0, 3], "multiplier": SHARES},
    "prompts": {"at": [0, 3, 3.25, 8, -1, "0"], "text": ["a", "b", 3]},
}  # fmt: skip
VIDEO = {
    "window": LENGTHS,
    "overlap": OVERLAPS,
    "negative": ["", "blur", 3],
    "noise_multipliers": ["0..0.2", "x"],
    "colour": ["before", "first", "anchor", "off", "red", 3],
    "resize": ["crop", "stretch", "x"],
    "prompts_by": ["window", "frame", "x"],
    "anchor": [{"picture": "a"}, {"picture": "a", "multiplier": 0.2}, {}, "a", {"picture": ""}],
    "sound": [{"file": "a"}, {"file": "a", "from": 2}, {"from": -1}, []],
    "only": ["w1", "w2", "w9", "w 1", 3],
    "zoom": [1],
}
REQUIRED = {"keys": ("at", "picture"), "clips": ("at", "file"), "prompts": ("at", "text")}
FIXED = [
    [],
    "text",
    None,
    3,
    {},
    {"version": 1},
    {"version": 1, "windows": []},
    {"version": 2},
    {"version": 0},
    {"version": "1"},
    {"version": 1, "windows": {}},
    {"version": 1, "windows": [3]},
    {"version": 1, "windows": [{}]},
    {"version": 1, "windows": [{"id": "w1"}]},
    {"version": 1, "windows": [{"id": "é" * 70, "prompt": "a"}]},
]


def projects(count=3000):
    """Random projects: some right, most with one or a few faults."""
    pick = random.Random(15)
    for _ in range(count):
        faults = pick.choice([0.0, 0.0, 0.03, 0.1])

        def value(choices, faults=faults):
            """Mostly the first choice, which is right."""
            return pick.choice(choices if pick.random() < faults * 5 else choices[:1])

        def entry(kinds, required, faults=faults, value=value):
            """An object with some of its keys."""
            return {
                key: value(choices)
                for key, choices in kinds.items()
                if (key in required and pick.random() > faults)
                or (key not in required and key not in ("promt", "x", "zoom") and pick.random() < 0.2)
                or pick.random() < faults / 20
            }

        project = {"version": 1, **entry(VIDEO, ())}
        project["windows"] = [
            {**entry(WINDOW, ("prompt",)), "id": f"w{n + 1}"} for n in range(pick.randint(1, 5))
        ]
        for window in project["windows"]:
            if pick.random() < faults:
                window["id"] = pick.choice(WINDOW["id"])
            for key in ("length", "overlap"):
                if pick.random() < 0.2:
                    window[key] = pick.choice([33, 17, 13, 5, 29])
            if pick.random() < 0.15:
                window["bridge"] = True
            if pick.random() < 0.15:
                window["lock"] = True
        for name, kinds in LISTS.items():
            if pick.random() < 0.3:
                project[name] = [
                    {**entry(kinds, REQUIRED[name]), "at": pick.choice([0, 3, 40, 44, 76, 100, 140])}
                    for _ in range(pick.randint(1, 3))
                ]
        yield project


def said(text, base):
    """Where the windows lie and what they say, or the sentence."""
    try:
        plan = plan_project(read_project(text), Defaults(fps=FPS), base)
    except PusaError as error:
        return {"error": str(error)}
    return {
        "value": {
            "total": plan.frames,
            "windows": [[one.id, one.frames.start, one.shared, one.frames.end] for one in plan.windows],
            "prompts": [one.prompt for one in plan.windows],
        }
    }


print(
    json.dumps(
        [
            [base.id, text, said(text, base)]
            for base in (BASES[0], BASES[-1])
            for text in (json.dumps(project, ensure_ascii=False) for project in (*FIXED, *projects()))
        ]
    )
)
