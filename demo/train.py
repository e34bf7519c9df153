"""Retrain the whole zoo from nothing, resuming what an earlier call left: `python demo train`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from .training import latents, text_to_video, vae

HERE = Path(__file__).resolve().parent
STAGES: dict[str, Callable[[Path], object]] = {
    "vae": vae.train_vae,
    "latents": latents.encode_clips,
    "t2v": text_to_video.train_base,
}


def main(arguments: Sequence[str]) -> None:
    """Run the stages named on the command line, or all of them in order."""
    parser = argparse.ArgumentParser(prog="python demo train", description=__doc__)
    parser.add_argument("stages", nargs="*", choices=[[], *STAGES], help="default: all, in this order")
    parser.add_argument("--runs", type=Path, default=HERE / "runs", help="folder for checkpoints, logs and plots")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # two threads on a busy machine are many times slower than one
    torch.set_flush_denormal(True)
    for stage in options.stages or STAGES:
        STAGES[stage](options.runs)
