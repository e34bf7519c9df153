"""Claims: a MODEL's identity tells all settings apart that decide a video, and is the same for the same graph in every session."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from comfyui_pusa.nodes.host.identity import model_identity
from support import composition
from support.comfy_runs import ksampler, video_latent

ROOT = Path(__file__).resolve().parents[2]
GIVEN = (0.0, 1.0, 1.0, 1.0, 1.0)
BUILDERS = {
    "Loop Model": lambda pack, model, value: pack["PusaLoopModel"].execute(model, value)[0],
    "Pusa Frozen Frame Cache": lambda pack, model, value: pack["PusaFrozenFrameCache"].execute(model, value)[
        0
    ],
    "Pusa Progressive": lambda pack, model, value: pack["PusaProgressive"].execute(model, "1/2", value)[0],
    "EasyCache": lambda pack, model, value: composition.easy_cache(model, value),
    "LazyCache": lambda pack, model, value: composition.lazy_cache(model, value),
    "context windows": lambda pack, model, value: composition.context_windows(model, value),
    "Apply Vectorized Timesteps": lambda pack, model, value: pack["PusaVectorizedTimesteps"].execute(
        model, video_latent(GIVEN), value
    )[0],
}
VALUES = {
    "Loop Model": (2, 3),
    "Pusa Frozen Frame Cache": (2, 9),
    "Pusa Progressive": (0.875, 0.95),
    "EasyCache": (0.05, 0.5),
    "LazyCache": (0.05, 0.5),
    "context windows": (9, 17),
    "Apply Vectorized Timesteps": (3.0, 5.0),
}


def behind_a_switch(pack, load, name, value):
    switched = pack["PusaMoESwitch"].execute(load(10), load(11), 0.875)[0]
    return BUILDERS[name](pack, switched, value)


PLACES = ("one model", "after the switch", "in the low-noise expert")
CASES = [
    (where, name) for where in PLACES for name in BUILDERS if (where, name) != (PLACES[2], "Pusa Progressive")
]
"""That one is refused: it acts on whole runs (test_behind_stages.py)."""


@pytest.mark.parametrize(("where", "name"), CASES)
def test_another_setting_is_another_identity(pack, load_tiny_wan, name, where):
    def identity(value):
        if where == "one model":
            return model_identity(BUILDERS[name](pack, load_tiny_wan(), value))
        if where == "after the switch":
            return model_identity(behind_a_switch(pack, load_tiny_wan, name, value))
        low = BUILDERS[name](pack, load_tiny_wan(11), value)
        return model_identity(pack["PusaMoESwitch"].execute(load_tiny_wan(10), low, 0.875)[0])

    one, other = VALUES[name]
    assert len({identity(one), identity(other)}) == 2
    assert identity(one) == identity(one)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_run_does_not_change_an_identity(pack, load_tiny_wan, name):
    model = BUILDERS[name](pack, load_tiny_wan(), VALUES[name][0])
    before = model_identity(model)
    ksampler(model, video_latent(GIVEN), steps=3)
    assert model_identity(model) == before
    assert model_identity(BUILDERS[name](pack, load_tiny_wan(), VALUES[name][0])) == before


def test_another_process_gives_the_same_identities(pack, load_tiny_wan, tmp_path):
    """Run as a test of its own with another hash seed, as sets and ids then come in another order."""
    found = {
        name: model_identity(behind_a_switch(pack, load_tiny_wan, name, VALUES[name][0])) for name in BUILDERS
    }
    told = tmp_path / "identities"
    environment = os.environ | {
        "PUSA_IDENTITIES": str(told),
        "PYTHONHASHSEED": "12345",
        "OMP_NUM_THREADS": "1",
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"{__file__}::test_identities_are_told",
    ]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert dict(line.split("\t") for line in told.read_text().splitlines()) == found


def test_identities_are_told(pack, load_tiny_wan, tmp_path):
    """Writes the identities for the test above, which runs this one in a second process."""
    told = Path(os.environ.get("PUSA_IDENTITIES", tmp_path / "identities"))
    lines = [
        f"{name}\t{model_identity(behind_a_switch(pack, load_tiny_wan, name, VALUES[name][0]))}"
        for name in BUILDERS
    ]
    told.write_text("\n".join(lines) + "\n")
    assert len(set(lines)) == len(BUILDERS)
