"""What the trainer's own command does to the published base: `python demo lift`, resumable with Ctrl+C.

Caches clips of data.py's world, trains a LoRA with per-frame noise levels and a control with one level a clip by
pusa_core.training, and measures both on held-out clips as docs/RESULTS.md does. Nothing in demo/models changes.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ..pusa_core.training.bases import BASES
from ..pusa_core.training.cache_files import TrainingClip, write_clip
from ..pusa_core.training.config import TrainingConfig, config_of
from ..pusa_core.training.draw import TimestepDraw
from ..pusa_core.training.trainer import LORA, run_training
from . import data, zoo
from .evaluate import (
    IMAGE_TO_VIDEO,
    LONG,
    PICTURE_HEAD,
    TEXT_HEAD,
    TEXT_TO_VIDEO,
    Bench,
    picture_cells,
    text_cells,
)
from .report import table

HERE = Path(__file__).resolve().parent
CLIPS, ENCODED_TOGETHER = 512, 8
DRAWS = {"pusa": TimestepDraw(), "control": TimestepDraw(equal_share=1.0)}


def main(arguments: Sequence[str]) -> None:
    """Cache, train what is not finished, measure."""
    parser = argparse.ArgumentParser(prog="python demo lift", description=__doc__)
    parser.add_argument("--folder", type=Path, default=HERE / "runs" / "lift")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--clips", type=int, default=64, help="held-out clips to measure on")
    parser.add_argument("--only", choices=("cache", *DRAWS, "measure"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if options.only in (None, "cache", *DRAWS):
        cache(options.folder / "clips")
    for name, draw in DRAWS.items():
        wanted = options.only in (None, name)
        if wanted and not run_training(LORA, config(options.folder, name, draw, options.steps)).finished:
            sys.exit(130)
    if options.only in (None, "measure"):
        measure(options.folder, options.clips)


@torch.inference_mode()
def cache(folder: Path) -> None:
    """Write the cache files that are missing; training captions only."""
    vae, empty = zoo.vae(), zoo.text_embedding("")[0]
    scenes = itertools.islice(data.scenes(data.TRAINING_SEED, held_out=False), 2000, 2000 + CLIPS)
    for first in range(0, CLIPS, ENCODED_TOGETHER):
        batch = list(itertools.islice(scenes, ENCODED_TOGETHER))
        paths = [folder / f"{first + index:04}.safetensors" for index in range(len(batch))]
        if all(path.is_file() for path in paths):
            continue
        for path, scene, latent in zip(paths, batch, zoo.encode(vae, data.render(batch)), strict=True):
            clip = TrainingClip(latent, zoo.text_embedding(scene.caption)[0], empty, scene.caption)
            write_clip(path, clip, base="any", source="demo/data.py")


def config(folder: Path, name: str, draw: TimestepDraw, steps: int) -> TrainingConfig:
    """The run of one draw; all else is equal."""
    table = {
        "model": {"base": "any", "weights": str(zoo.MODELS / "diffusion_models" / f"{zoo.BASE}.safetensors")},
        "data": {"folders": ["clips"], "caption_dropout": 0.0},
        "lora": {"rank": 16},
        "optimizer": {"learning_rate": 2e-3, "schedule": "cosine", "warm_up": 30, "final_share": 0.02, "weight_decay": 0.0},
        "train": {"output": name, "steps": steps, "batch": 16, "micro_batch": 16, "checkpointing": False, "seed": 51, "save_every": 100},
    }  # fmt: skip
    return replace(config_of(table, folder), draw=draw)


def measure(folder: Path, clips: int) -> None:
    """Print the tables."""
    bench = Bench(clips)
    pairs = {"base alone": zoo.Pair.single(zoo.dit(zoo.BASE))}
    for name in DRAWS:
        weights = {key: value.float() for key, value in zoo.dit(zoo.BASE).state_dict().items()}
        file = folder / name / f"{name}_pusa.safetensors"
        if file.is_file():
            zoo.add_lora(weights, file, 1.0)
            pairs[name] = zoo.Pair.single(zoo.WanDiT.from_state_dict(weights))
    settings = zoo.Settings(LONG)
    print(
        f"{clips} held-out clips of 33 frames at {float(BASES['any'].rate):g} frames per second.", flush=True
    )
    for task, head, cells in (
        (IMAGE_TO_VIDEO, PICTURE_HEAD, picture_cells),
        (TEXT_TO_VIDEO, TEXT_HEAD, text_cells),
    ):
        rows = [[name, *cells(bench.run(pair, task, settings))] for name, pair in pairs.items()]
        print(table(["model", *head], rows), flush=True)
