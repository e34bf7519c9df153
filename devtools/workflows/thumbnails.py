"""A picture for every workflow's card in the template browser: frames of its demo version's own video."""

import sys
from itertools import islice
from pathlib import Path

import numpy as np
from demo.data import HELD_OUT_SEED, scenes
from demo.inputs import read_video, write_inputs
from demo.run_demo import PREFIX, Demo, load_demos, with_caption
from PIL import Image

from devtools import environment
from devtools.comfy_server import ComfyServer
from devtools.serve import development_server

COLUMNS, ROWS = 3, 2
SIDE, GAP = 160, 4  # pixels of one frame and between two
BACKGROUND = (24, 24, 28)


def make_thumbnails(folder: Path, words: list[str]) -> None:
    """Runs the demos whose names hold all the words and writes <workflow>.jpg into the folder."""
    demos = [demo for demo in load_demos() if all(word.lower() in demo.name.lower() for word in words)]
    pictures = islice(scenes(HELD_OUT_SEED + 1, held_out=True), len(demos))
    with development_server(environment.current(), cpu=True) as server:
        for number, (demo, scene) in enumerate(zip(demos, pictures, strict=True)):
            write_inputs(server.input_folder, scene, demo.task.clip, demo.task.second_clip)
            video = run(server, demo, scene.caption, seed=number)
            target = folder / f"Pusa {demo.name.removeprefix(PREFIX)}.jpg"
            contact(read_video(video)).save(target, quality=92)
            sys.stdout.write(f"{target.name}\n")


def run(server: ComfyServer, demo: Demo, caption: str, seed: int) -> Path:
    """The demo's video file."""
    done = server.run(with_caption(demo.graph, caption, seed))
    return next(file for file in server.files(done) if file.suffix == ".mp4")


def contact(frames: np.ndarray) -> Image.Image:
    """COLUMNS x ROWS frames in reading order, from the first to the last; frames: [F, H, W, 3], 0 to 255."""
    size = (COLUMNS * (SIDE + GAP) + GAP, ROWS * (SIDE + GAP) + GAP)
    sheet = Image.new("RGB", size, BACKGROUND)
    for place, number in enumerate(np.linspace(0, len(frames) - 1, COLUMNS * ROWS).round().astype(int)):
        row, column = divmod(place, COLUMNS)
        picture = Image.fromarray(frames[number]).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        sheet.paste(picture, (GAP + column * (SIDE + GAP), GAP + row * (SIDE + GAP)))
    return sheet
