"""What the trainer's own command does to the published models: `python demo lift`, resumable with Ctrl+C.

Caches clips, trains the LoRAs of RUNS by pusa_core.training, and measures them on held-out clips as docs/RESULTS.md does.
Nothing in demo/models changes. The loops of the run `loops` are measured by `python demo/in_comfyui.py tasks_eval`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..pusa_core.bases import WAN
from ..pusa_core.experts import BOUNDARY_T2V
from ..pusa_core.training.cache_files import TrainingClip, write_clip
from ..pusa_core.training.config import TrainingConfig, config_of
from ..pusa_core.training.draw import TimestepDraw
from ..pusa_core.training.trainer import LORA, run_training
from . import data, world, zoo
from .evaluate import (
    IMAGE_TO_VIDEO,
    LONG,
    PICTURE_HEAD,
    SHORT,
    TEXT_HEAD,
    TEXT_TO_VIDEO,
    Bench,
    half_width,
    picture_cells,
    text_cells,
)
from .report import table
from .training.arithmetic import PRECISION

HERE = Path(__file__).resolve().parent
ENCODED_TOGETHER, BATCH = 8, 8


@dataclass(frozen=True)
class Clips:
    """A folder of cached training clips."""

    folder: str
    count: int
    latent_frames: int = LONG
    moving: bool = False  # only motions that come back, instead of straight lines


STRAIGHT, HALF_STRAIGHT, SHORT_STRAIGHT, MOVING = (
    Clips("clips", 2048),
    Clips("clips_half", 1024),
    Clips("clips_short", 1024, latent_frames=SHORT),
    Clips("clips_moving", 1024, moving=True),
)


@dataclass(frozen=True)
class Run:
    """One LoRA: of which published model, with which noise levels, from which clips."""

    model: str
    draw: TimestepDraw
    steps: int
    clips: Clips = STRAIGHT


PUSA, GIVEN, LOOPS, CONTROL = "pusa", "given", "loops", "control"
HIGH_FULL, HIGH_PARTIAL = "high_full", "high_partial"
ABOVE = TimestepDraw(sigma_min=BOUNDARY_T2V)  # the levels at which the high-noise expert runs
AS_USED = TimestepDraw(equal_share=0.2, given_share=0.6, given_multipliers=(0.0, 0.0))
"""Most clips with a given first frame, as image-to-video samples them, and some with one level, as text-to-video does."""
AS_LOOPED = replace(AS_USED, given_frames=("0", "0, -1", "0, 1, 2, -2, -1"))
RUNS: dict[str, Run] = {
    PUSA: Run(zoo.BASE, TimestepDraw(), 1600),
    LOOPS: Run(zoo.BASE, AS_LOOPED, 1000, MOVING),
    GIVEN: Run(zoo.BASE, AS_USED, 800, HALF_STRAIGHT),
    HIGH_FULL: Run(zoo.HIGH_NOISE, TimestepDraw(), 400, SHORT_STRAIGHT),
    HIGH_PARTIAL: Run(zoo.HIGH_NOISE, ABOVE, 400, SHORT_STRAIGHT),
    CONTROL: Run(zoo.BASE, TimestepDraw(equal_share=1.0), 600),
}
"""In the order of their training; all else is equal."""
ADVISED = 1.4  # strength that the authors of Pusa advise for their LoRAs


def main(arguments: Sequence[str]) -> None:
    """Cache, train what is not finished, measure."""
    parser = argparse.ArgumentParser(prog="python demo lift", description=__doc__)
    parser.add_argument("--folder", type=Path, default=HERE / "runs" / "lift")
    parser.add_argument("--steps", type=int, help=f"default: {steps_of_runs()}")
    parser.add_argument("--clips", type=int, default=64, help="held-out clips to measure on")
    stages = (*RUNS, *COMPARISONS)
    parser.add_argument("--only", nargs="+", choices=stages, default=stages)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    for name, run in RUNS.items():
        if name not in options.only:
            continue
        cache(options.folder, run.clips)
        steps = options.steps or run.steps
        if not run_training(LORA, config(options.folder, name, run, steps)).finished:
            sys.exit(130)
    for title in COMPARISONS:
        if title in options.only:
            models, frames = COMPARISONS[title]
            print(f"{options.clips} held-out clips of {WAN.video_length(frames)} frames\n", flush=True)
            print(tables(Bench(options.clips), models(options.folder), zoo.Settings(frames)), flush=True)


def steps_of_runs() -> str:
    """How long each run is, for the help."""
    return ", ".join(f"{name} {run.steps}" for name, run in RUNS.items())


def scenes_of(clips: Clips) -> Iterator[world.Scene]:
    """Training scenes of a folder."""
    if clips.moving:
        return world.moving_scenes(data.TRAINING_SEED, held_out=False)
    return itertools.islice(data.scenes(data.TRAINING_SEED, held_out=False), 2000, None)


@torch.inference_mode()
def cache(folder: Path, clips: Clips) -> None:
    """Write the cache files that are missing; training captions only."""
    vae, empty, scenes = zoo.vae(), zoo.text_embedding("")[0], scenes_of(clips)
    for first in range(0, clips.count, ENCODED_TOGETHER):
        batch = list(itertools.islice(scenes, ENCODED_TOGETHER))
        paths = [folder / clips.folder / f"{first + index:04}.safetensors" for index in range(len(batch))]
        if all(path.is_file() for path in paths):
            continue
        for path, scene, latent in zip(paths, batch, zoo.encode(vae, world.render(batch)), strict=True):
            clip = TrainingClip(
                latent[:, : clips.latent_frames], zoo.text_embedding(scene.caption)[0], empty, scene.caption
            )
            write_clip(path, clip, base="any", source="demo/world.py")


def config(folder: Path, name: str, run: Run, steps: int) -> TrainingConfig:
    """The trainer's configuration of a run."""
    weights = zoo.MODELS / "diffusion_models" / f"{run.model}.safetensors"
    table = {
        "model": {"base": "any", "weights": str(weights), "held_in": PRECISION},
        "data": {"folders": [run.clips.folder], "caption_dropout": 0.0},
        "lora": {"rank": 16},
        "optimizer": {"learning_rate": 2e-3, "schedule": "cosine", "warm_up": 30, "final_share": 0.02, "weight_decay": 0.0},
        "train": {"output": name, "steps": steps, "batch": BATCH, "micro_batch": BATCH, "checkpointing": False, "precision": PRECISION, "seed": 51, "save_every": 100},
    }  # fmt: skip
    return replace(config_of(table, folder), draw=run.draw)


def lora_of(folder: Path, name: str) -> Path:
    """The file that a finished run exports."""
    return folder / name / f"{name}_pusa.safetensors"


def steps_done(folder: Path, name: str) -> int:
    """How many steps a run has, from its log."""
    rows = json.loads((folder / name / "history.json").read_text("utf-8"))
    return int(rows[-1]["step"])


def lifted(model: str, lora: Path | None, strength: float = 1.0) -> zoo.WanDiT:
    """A published model with a LoRA of a run."""
    weights = {key: value.float() for key, value in zoo.dit(model).state_dict().items()}
    if lora:
        zoo.add_lora(weights, lora, strength)
    return zoo.WanDiT.from_state_dict(weights)


def single_models(folder: Path) -> dict[str, zoo.Pair]:
    """The base without a LoRA, then with that of each finished run."""
    models = {"base alone": zoo.Pair.single(lifted(zoo.BASE, None))}
    for name, strength in ((PUSA, 1.0), (PUSA, ADVISED), (GIVEN, 1.0), (CONTROL, 1.0)):
        if (file := lora_of(folder, name)).is_file():
            title = f"{name}, {steps_done(folder, name)} steps, strength {strength:g}"
            models[title] = zoo.Pair.single(lifted(zoo.BASE, file, strength))
    return models


def expert_pairs(folder: Path) -> dict[str, zoo.Pair]:
    """The pair whose low-noise expert has its published LoRA: the high-noise one without, with that of each finished run, with its own."""
    low = zoo.dit(zoo.LOW_NOISE, {zoo.LOW_NOISE_PUSA: 1.0})
    models = {"high noise without a LoRA": zoo.Pair(lifted(zoo.HIGH_NOISE, None), low)}
    for name in (HIGH_PARTIAL, HIGH_FULL):
        if (file := lora_of(folder, name)).is_file():
            title = f"{name}, {steps_done(folder, name)} steps"
            models[title] = zoo.Pair(lifted(zoo.HIGH_NOISE, file), low)
    published = zoo.dit(zoo.HIGH_NOISE, {zoo.HIGH_NOISE_PUSA: 1.0})
    return models | {"published, full range": zoo.Pair(published, low)}


COMPARISONS = {"measure_single": (single_models, LONG), "measure_pair": (expert_pairs, SHORT)}
"""The models, and the latent frames they are compared at."""


def tables(bench: Bench, models: Mapping[str, zoo.Pair], settings: zoo.Settings) -> str:
    """Image-to-video and text-to-video of every model, and how each differs from the first, clip by clip."""
    pictures = {name: bench.run(pair, IMAGE_TO_VIDEO, settings) for name, pair in models.items()}
    texts = {name: bench.run(pair, TEXT_TO_VIDEO, settings) for name, pair in models.items()}
    first, *others = models
    differences = []
    for name in others:
        closer = pictures[name].continuation - pictures[first].continuation
        shown = 100 * (texts[name].shown["all"] - texts[first].shown["all"])
        differences.append(
            f"{name}, minus {first}, clip by clip: image-to-video {closer.mean():+.1f} ± {half_width(closer):.1f} dB, text-to-video "
            f"{shown.mean():+.1f} ± {half_width(shown):.1f} points."
        )
    return "\n\n".join(
        [
            table(["image-to-video", *PICTURE_HEAD], [[n, *picture_cells(s)] for n, s in pictures.items()]),
            table(["text-to-video", *TEXT_HEAD], [[n, *text_cells(s)] for n, s in texts.items()]),
            *differences,
        ]
    )
