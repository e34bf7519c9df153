"""Retrain the whole zoo from nothing, resuming what an earlier call left: `python demo train`."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from .training import distill, experts, latents, pusa, text_to_video, vae
from .training.plots import plot_losses
from .training.publish import publish

HERE = Path(__file__).resolve().parent
STAGES: dict[str, Callable[[Path], object]] = {
    "vae": vae.train_vae,
    "latents": latents.encode_clips,
    "t2v": text_to_video.train_base,
    "pusa": partial(pusa.train_pusa, pusa.PUSA),
    "control": partial(pusa.train_pusa, pusa.CONTROL),
    "high_noise": partial(experts.train_expert, experts.HIGH_NOISE),
    "low_noise": partial(experts.train_expert, experts.LOW_NOISE),
    "pusa_high_noise": partial(pusa.train_pusa, pusa.PUSA_HIGH_NOISE),
    "pusa_low_noise": partial(pusa.train_pusa, pusa.PUSA_LOW_NOISE),
    "paths_base": partial(distill.record_teacher, "base"),
    "paths_experts": partial(distill.record_teacher, "experts"),
    **{name: partial(distill.train_student, student) for name, student in distill.STUDENTS.items()},
}
"""In the order they need one another; every stage goes on where it stopped, and does nothing when it is done."""

log = logging.getLogger("demo")


def main(arguments: Sequence[str]) -> None:
    """Run the stages named on the command line, or all of them in order, then write what is finished to demo/models."""
    parser = argparse.ArgumentParser(prog="python demo train", description=__doc__)
    parser.add_argument(
        "stages", nargs="*", metavar="STAGE", help=f"default: all, in this order: {' '.join(STAGES)}"
    )
    parser.add_argument(
        "--runs", type=Path, default=HERE / "runs", help="folder for checkpoints, logs and plots"
    )
    parser.add_argument("--models", type=Path, default=HERE / "models", help="folder for the finished files")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.stages) - set(STAGES)):
        parser.error(f"{unknown[0]} is not a stage; choose from {', '.join(STAGES)}")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)  # two threads on a busy machine are many times slower than one
    torch.set_flush_denormal(True)
    for stage in options.stages or STAGES:
        log.info("stage %s", stage)
        STAGES[stage](options.runs)
    plot_losses(options.runs, options.models / "losses.png")
    for name in publish(options.runs, options.models):
        log.info("%s is not written yet: its training is not finished", name)
