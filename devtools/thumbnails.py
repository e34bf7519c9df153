"""Pictures for the template browser: one .jpg beside each workflow, made of frames of its demo version's video.

python dev.py demo --all && python -m devtools.thumbnails
"""

import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from demo.data import TRAINING_SEED, scenes
from demo.inputs import frames_of, read_video
from demo.run_demo import OUTPUT, TASKS, Task
from PIL import Image, ImageDraw

WORKFLOWS = Path(__file__).resolve().parents[1] / "workflows"
PREFIX = "Pusa "
DATA_SET = "cache a folder for training"  # makes no video
GRID = 3  # rows and columns
CELL, GAP = 126, 3  # pixels
BACKGROUND, GIVEN = "#15171c", "#f08000"
QUALITY = 88


def main() -> int:
    """Writes every picture whose task has a video; returns 1 when some are missing."""
    missing = []
    for workflow in sorted(WORKFLOWS.glob("*.json")):
        name = workflow.stem.removeprefix(PREFIX)
        if name.startswith(DATA_SET):
            thumbnail(first_frames(GRID * GRID), ()).save(workflow.with_suffix(".jpg"), quality=QUALITY)
            continue
        video = video_of(name)
        if video is None:
            missing.append(name)
            continue
        if video.stem != name:
            print(f"{name}: no video of its own, {video.stem} stands in")
        picture = thumbnail(read_video(video), given_frames(name))
        picture.save(workflow.with_suffix(".jpg"), quality=QUALITY)
    for name in missing:
        print(f'{name}: no video in demo/output; make it with python dev.py demo "{name}"')
    return int(bool(missing))


def first_frames(count: int) -> np.ndarray:
    """The first frames of clips that a training could have, [count, height, width, 3], 0 to 255."""
    return np.concatenate(
        [frames_of(scene, 1) for scene in islice(scenes(TRAINING_SEED, held_out=False), count)]
    )


def video_of(name: str) -> Path | None:
    """The video of a workflow's own demo run, else of the same task with other models."""
    task = task_of(name)
    for pattern in (name, f"{name.split(' (')[0]} (*", f"{task.name} (*" if task else name):
        if found := sorted(OUTPUT.glob(f"{pattern}.mp4")):
            return found[0]
    return None


def task_of(name: str) -> Task | None:
    """The demo's task that a workflow belongs to."""
    return next((task for task in TASKS if name.startswith(task.name)), None)


def given_frames(name: str) -> Sequence[int]:
    """Pixel frames that a workflow's task was given, negative from the end."""
    task = task_of(name)
    return task.given if task else ()


def thumbnail(frames: np.ndarray, given: Sequence[int]) -> Image.Image:
    """Nine frames of a video in reading order, those it was given in an orange frame; frames: [length, height, width, 3], 0 to 255."""
    side = GRID * (CELL + GAP) + GAP
    picture = Image.new("RGB", (side, side), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    marked = {number % len(frames) for number in given}
    for place, number in enumerate(np.linspace(0, len(frames) - 1, GRID * GRID).round().astype(int).tolist()):
        left, top = (GAP + index * (CELL + GAP) for index in (place % GRID, place // GRID))
        cell = fit(Image.fromarray(frames[number]))
        picture.paste(cell, (left + (CELL - cell.width) // 2, top + (CELL - cell.height) // 2))
        if number in marked:
            draw.rectangle((left - 1, top - 1, left + CELL, top + CELL), outline=GIVEN, width=GAP)
    return picture


def fit(frame: Image.Image) -> Image.Image:
    """The frame as large as a cell takes it; small frames of the demo keep their hard pixels."""
    scale = CELL / max(frame.size)
    way = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    return frame.resize((round(frame.width * scale), round(frame.height * scale)), way)


if __name__ == "__main__":
    sys.exit(main())
