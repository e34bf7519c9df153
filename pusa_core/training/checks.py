"""What a run needs before anything large is read: clips that fit the model, packages, a folder of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock  # torch requires it
import torch

from ..errors import PusaError
from .base_weights import BaseWeights
from .bases import BASES
from .cache_files import ClipEntry, damaged_content, none_left, or_skip
from .config import TrainingConfig
from .devices import Devices, refuse_together
from .loop import STOP
from .packages import package

LOCK = "run.lock"
MIXED_SHARDS = (2, 8)
"""torch from which FSDP2 takes a block whose frozen and trained parameters have different types; those before stop in their first pass."""
V05_CHANNELS = 12


def check_clips(entries: Sequence[ClipEntry], base: BaseWeights, config: TrainingConfig) -> None:
    """Refuse clips that the model or the settings cannot take."""
    for entry in entries:
        name, (channels, frames, height, width) = entry.path.name, entry.shape
        if channels != base.sizes.channels:
            raise PusaError(
                f"{name} has {channels} channels, {BASES[config.model.base].title} works with {base.sizes.channels}. "
                + (
                    "It is a latent of Mochi, as Pusa V0.5 used it; training is for Wan. Encode the clip again."
                    if channels == V05_CHANNELS
                    else "Cache the clips with this model's VAE (wan_2.1_vae for Wan2.1 and Wan2.2 14B, wan2.2_vae for 5B)."
                )
            )
        if height % 2 or width % 2:
            raise PusaError(
                f"{name} is {height} x {width} latent positions; both must be even. Cache the clips in a size that is a multiple of "
                f"{BASES[config.model.base].pixel_multiple}."
            )
        if entry.text_width != base.sizes.text_dim:
            raise PusaError(
                f"The encoded caption in {name} is {entry.text_width} wide, the model reads {base.sizes.text_dim}. Cache the clip again with "
                "this model's text encoder (umt5_xxl for Wan)."
            )
        if config.data.caption_dropout and not entry.has_empty:
            raise PusaError(
                f"{name} has no encoded empty caption, which data.caption_dropout shows now and then. Set it to 0, or cache the "
                "clip with Pusa Training Clip (the authors' caches have none)."
            )
        if frames > 1:
            config.draw.check_frames(frames, name)
    if all(entry.shape[1] == 1 for entry in entries):
        raise PusaError(
            "Every clip has a single latent frame. Frames that differ in noise need clips: use videos of 5 frames or more."
        )


def whole_clips(
    entries: Sequence[ClipEntry],
    bad_clips: str,
    devices: Devices,
    said: Callable[[str], None],
) -> list[ClipEntry]:
    """The clips whose content is as it was written: all are read once. A damaged one stops the run or is named, as set.

    Several processes read them together.
    """
    rank, count = devices.rank, devices.count
    mine = damaged_content(entries[rank::count])
    texts = devices.gathered(json.dumps({place * count + rank: text for place, text in mine.items()}))
    damaged = {int(place): sentence for text in texts for place, sentence in json.loads(text).items()}
    sentences = [damaged[place] for place in sorted(damaged)]
    if sentences and bad_clips == "stop":
        raise or_skip(sentences[0])
    for sentence in sentences:
        said(f"skipped: {sentence}")
    whole = [entry for place, entry in enumerate(entries) if place not in damaged]
    if not whole:
        raise none_left(len(entries), sentences[0])
    return whole


def check_machine(full: bool, config: TrainingConfig) -> None:
    """Refuse what this Python's packages cannot do. full: all parameters are trained."""
    if config.model.quantize == "nf4":
        if full:
            raise PusaError(
                'model.quantize is "nf4": 4-bit weights cannot all be trained. Use the command lora, or quantize "none".'
            )
        package("bitsandbytes")
    if config.optimizer.name == "adamw8bit":
        package("bitsandbytes")
    mixed = not full and config.model.held_in != "fp32"
    if config.parallel.sharding != "none" and mixed and torch_version() < MIXED_SHARDS:
        raise PusaError(
            f"This is torch {torch.__version__}; parallel.sharding {config.parallel.sharding!r} with a LoRA in float32 on a model held in "
            f'{config.model.held_in} needs {".".join(map(str, MIXED_SHARDS))} or newer. Update torch, set parallel.sharding to "none", or '
            'model.held_in to "fp32" (twice the memory).'
        )


def torch_version() -> tuple[int, int]:
    """Major and minor number of this torch."""
    major, minor = re.findall(r"\d+", torch.__version__)[:2]
    return int(major), int(minor)


def run_folder(config: TrainingConfig) -> Path:
    """The run's folder, made if it is not there."""
    folder = Path(config.train.output)
    for data in map(Path, config.data.folders):
        if folder.resolve().is_relative_to(data.resolve()):
            raise PusaError(
                f"train.output is {folder}, inside the clips' folder {data}, where its checkpoints would be taken for clips. Name a folder beside it."
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PusaError(
            f"train.output is {folder}, which cannot be made a folder ({error}). Name another."
        ) from error
    return folder


def is_running(folder: Path) -> bool:
    """Whether a run holds this folder."""
    if not (folder / LOCK).is_file():
        return False
    try:
        with filelock.FileLock(folder / LOCK, timeout=0):
            return False
    except filelock.Timeout:
        return True


@contextmanager
def only_run(folder: Path, devices: Devices) -> Iterator[None]:
    """While it lasts no second run can write into the run's folder."""
    lock, held = filelock.FileLock(folder / LOCK), False
    if devices.rank == 0:
        with suppress(filelock.Timeout):
            lock.acquire(timeout=0)
            held = True
            (folder / STOP).unlink(missing_ok=True)  # of a run that was killed
    refuse_together(
        devices,
        devices.rank == 0 and not held,
        f"Another training runs in {folder}, or is still saving there. Wait until it has ended, or use another train.output.",
    )
    try:
        yield
    finally:
        lock.release()
