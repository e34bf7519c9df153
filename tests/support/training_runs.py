"""A tiny model, a few cached clips and a configuration: all that a training run needs."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from pusa_core.training.cache_files import TrainingClip, write_clip
from support import tiny_wan

ROOT = Path(__file__).resolve().parents[2]

CONFIG = """
[model]
base = "any"
weights = "base.safetensors"
held_in = "fp32"
[data]
folders = ["clips"]
caption_dropout = 0.2
[lora]
rank = 4
[optimizer]
learning_rate = 2e-3
[train]
output = "run"
steps = {steps}
batch = 4
micro_batch = 2
seed = 3
save_every = {save_every}
precision = "fp32"
"""


def write_project(
    folder: Path, steps: int = 4, save_every: int = 2, extra: str = "", clips: int = 6, frames: int = 3
) -> Path:
    """Write base model, clips and configuration into a folder; returns the configuration's path."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tiny_wan.weights(1), folder / "base.safetensors")
    for index in range(clips):
        write_clip(
            folder / "clips" / f"clip_{index}.safetensors",
            TrainingClip(
                tiny_wan.latent(100 + index % 3, frames, 4, 4)[0],
                tiny_wan.context(1 + index % 2)[0],
                tiny_wan.context(9)[0],
                f"caption {index}",
            ),
            base="any",
            source="test",
        )
    return write_config(folder, steps, save_every, extra)


def write_config(folder: Path, steps: int = 4, save_every: int = 2, extra: str = "") -> Path:
    """Write the configuration again; extra: lines such as "train.micro_batch = 1" that replace or add settings."""
    text = CONFIG.format(steps=steps, save_every=save_every)
    sections: dict[str, dict[str, str]] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
            sections.setdefault(section, {})
        elif "=" in line:
            key, _, value = line.partition("=")
            sections[section][key.strip()] = value.strip()
    for line in filter(None, map(str.strip, extra.splitlines())):
        key, _, value = line.partition("=")
        section, _, name = key.strip().partition(".")
        sections.setdefault(section, {})[name] = value.strip()
    path = folder / "config.toml"
    path.write_text(
        "\n".join(
            f"[{name}]\n" + "\n".join(f"{key} = {value}" for key, value in items.items())
            for name, items in sections.items()
        ),
        "utf-8",
    )
    return path


TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node=2")
ACCELERATE = [
    "accelerate.commands.launch",
    "--cpu",
    "--num_processes",
    "2",
    "--num_machines",
    "1",
    "--mixed_precision",
    "no",
    "--dynamo_backend",
    "no",
]


def command(*arguments: object, processes: int = 1, launcher: Sequence[str] = TORCHRUN) -> list[str]:
    """The command line of a training, by one process or by two."""
    module = ["-m", "pusa_core.training", *map(str, arguments)]
    if processes == 1:
        return [sys.executable, *module]
    return [sys.executable, "-m", *launcher, *module]


def launch(
    *arguments: object, processes: int = 1, launcher: Sequence[str] = TORCHRUN, check: bool = True
) -> subprocess.CompletedProcess:
    """Run a command of pusa_core.training in processes of their own."""
    done = subprocess.run(
        command(*arguments, processes=processes, launcher=launcher),
        cwd=ROOT,
        env=calm_variables(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    if check and done.returncode:
        raise AssertionError(f"{done.args} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done


def calm_variables() -> dict[str, str]:
    """The environment with one thread a process."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}


def start(*arguments: object) -> subprocess.Popen:
    """Start a command and leave it running."""
    return subprocess.Popen(
        command(*arguments),
        cwd=ROOT,
        env=calm_variables(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill(process: subprocess.Popen) -> None:
    """kill -9, and wait for it."""
    process.send_signal(signal.SIGKILL)
    process.wait()


def final_weights(folder: Path) -> dict[str, torch.Tensor]:
    """What the newest checkpoint of folder/run holds."""
    from pusa_core.training.export import newest

    found = newest(folder / "run")
    return {key: found.read(key) for key in sorted(found.keys)}
