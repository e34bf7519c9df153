"""Retrain the whole zoo, from nothing or from the files published before, resuming what an earlier call left: `python demo train`."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from .training import distill, experts, latents, pusa, text_to_video, vae
from .training.publish import publish
from .training.warm_start import begin_warm

HERE = Path(__file__).resolve().parent
STAGES: dict[str, Callable[[Path], object]] = {
    "vae": vae.train_vae,
    "latents": latents.encode_clips,
    "t2v": text_to_video.train_base,
    "pusa": partial(pusa.train_pusa, pusa.PUSA),
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
    """Run the stages named on the command line, or all of them in order, then write demo/models once all are finished."""
    parser = argparse.ArgumentParser(prog="python demo train", description=__doc__)
    parser.add_argument(
        "stages", nargs="*", metavar="STAGE", help=f"default: all, in this order: {' '.join(STAGES)}"
    )
    parser.add_argument(
        "--runs", type=Path, default=HERE / "runs", help="folder for checkpoints, logs and plots"
    )
    parser.add_argument("--models", type=Path, default=HERE / "models", help="folder for the finished files")
    parser.add_argument(
        "--warm-start",
        type=Path,
        metavar="FOLDER",
        help="begin runs that have not begun with the files in FOLDER, such as demo/models, late in their schedule; the model card says so",
    )
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.stages) - set(STAGES)):
        parser.error(f"{unknown[0]} is not a stage; choose from {', '.join(STAGES)}")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)  # two threads on a busy machine are many times slower than one
    torch.set_flush_denormal(True)
    if options.warm_start:
        begin_warm(options.warm_start, options.runs)
    for stage in options.stages or STAGES:
        log.info("stage %s", stage)
        STAGES[stage](options.runs)
    if missing := publish(options.runs, options.models):
        log.info("%s stays as it is until these are trained too: %s", options.models, ", ".join(missing))
