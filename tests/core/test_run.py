"""Claims: pusa_core/run.py runs the pack's command lines from any folder, in a Python that looks for modules in none."""

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[2] / "pusa_core" / "run.py"


def run(folder, *words):
    return subprocess.run([sys.executable, "-I", RUN, *words], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fleet", "run", "--graph", "gone.json", "--csv", "rows.csv", "--servers", "x:1"], "gone.json"),
        (["training", "lora", "gone.toml"], "gone.toml"),
        (["lora", "inspect", "gone.safetensors"], "gone.safetensors"),
        (["mochi_vae", "gone.safetensors", "gone.safetensors", "out.safetensors"], "gone.safetensors"),
    ],
)
def test_each_program_answers_with_its_own_sentence(tmp_path, words, sentence):
    done = run(tmp_path, *words)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [[], ["flying"]])
def test_anything_else_is_told_what_there_is(tmp_path, words):
    done = run(tmp_path, *words)
    assert done.returncode == 1
    assert "{fleet,lora,mochi_vae,training}" in done.stderr
