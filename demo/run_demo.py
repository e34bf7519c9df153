"""`dev.py demo`: the demo workflows through a real ComfyUI server; videos and a contact sheet in demo/output."""

import argparse
import json
import random
import shutil
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from devtools import environment
from devtools.comfy_server import ComfyServer, ServerError
from devtools.commands import stop_like_ctrl_c
from devtools.serve import DEMO_MODELS, development_server, has_accelerator

from . import data
from .contact_sheet import Row, contact_sheet
from .data import HELD_OUT_SEED, LENGTH
from .inputs import WHOLE, frames_of, read_video, write_inputs
from .world import Scene, moving_scenes

HERE = Path(__file__).resolve().parent
OUTPUT = HERE / "output"
GRAPHS = HERE / "workflows" / "api"
PREFIX = "Demo - "
BAR_WIDTH = 30
TEXT_NODE, PROMPT_TITLE = "PusaDemoTextEncode", "What to show"


@dataclass(frozen=True)
class Task:
    """What the demo workflows do whose names begin with `name`."""

    name: str
    given: Sequence[int] = ()  # pixel frames of the video that the model is given, negative from the end
    has_truth: bool = True  # whether text and given frames decide the rest of the video
    clip: range = WHOLE  # the part of the scene that the clip shows
    second_clip: range = WHOLE
    returns: bool = False  # whether the scene's motion comes back, as that of a loop must


HEAD, TAIL = range(13), range(LENGTH - 13, LENGTH)  # 13 frames of context: 4 latent frames
TASKS = (
    Task("text-to-video", has_truth=False),
    Task("image-to-video", [0]),
    Task("start-end frames", [0, -1]),
    Task("keyframes", [0, LENGTH // 2, -1]),
    Task("video extension", HEAD, clip=HEAD),
    Task("video prepend", TAIL, clip=TAIL),
    Task("video completion", [0, -4, -3, -2, -1]),  # the last latent frame is four pixel frames
    Task("transition between clips", [*HEAD, *TAIL], clip=HEAD, second_clip=TAIL),
    Task("loop from a clip", WHOLE, has_truth=False, returns=True),
    Task("loop from a picture", [0], has_truth=False, returns=True),
    Task("loop from text", has_truth=False, returns=True),
    Task("long video", [0], has_truth=False),
    Task("story of five prompts", has_truth=False),
    Task("retake of one window", has_truth=False),
    Task("music clip", has_truth=False),
    Task("folder of pictures", [0], has_truth=False),
    Task("try settings", [0], has_truth=False),
)

# What `dev.py demo` runs when nothing is named: every kind of model, and the tasks on the two experts.
CHOSEN = (
    "text-to-video (Wan2.1)",
    "image-to-video (Wan2.1)",
    "image-to-video (Wan2.2)",
    "image-to-video step by step (Wan2.2)",
    "start-end frames step by step (Wan2.2)",
    "video extension step by step (Wan2.2)",
    "transition between clips (Wan2.2)",
)


@dataclass(frozen=True)
class Demo:
    """One demo workflow."""

    name: str  # the file's name without "Demo - "
    graph: Mapping[str, Any]  # API format
    task: Task

    def missing_models(self) -> list[str]:
        """Files the graph names that are not in demo/models."""
        named = [
            value
            for node in self.graph.values()
            for value in node["inputs"].values()
            if isinstance(value, str) and value.endswith(".safetensors")
        ]
        return sorted(name for name in set(named) if not list(DEMO_MODELS.glob(f"*/{name}")))


def load_demos() -> list[Demo]:
    """Every demo workflow of a task known here, in the order of TASKS."""
    found = []
    for task in TASKS:
        for file in sorted(GRAPHS.glob(f"{PREFIX}{task.name}*.json")):
            found.append(Demo(file.stem.removeprefix(PREFIX), json.loads(file.read_text("utf-8")), task))
    return found


def choose(demos: Sequence[Demo], words: Sequence[str], every: bool) -> list[Demo]:
    """The demos whose names hold all the words; without words those of CHOSEN, or every one."""
    if words:
        return [demo for demo in demos if all(word.lower() in demo.name.lower() for word in words)]
    return [demo for demo in demos if every or demo.name in CHOSEN]


def with_caption(graph: Mapping[str, Any], caption: str, seed: int) -> dict[str, Any]:
    """The graph with another text to show and another seed."""
    changed = json.loads(json.dumps(graph))
    for node in changed.values():
        if node["class_type"] == TEXT_NODE and node["_meta"]["title"] == PROMPT_TITLE:
            node["inputs"]["text"] = caption
        for name in ("seed", "noise_seed"):
            if isinstance(node["inputs"].get(name), int):  # else it is a link
                node["inputs"][name] = seed
    return changed


class ProgressBar:
    """One line of the terminal that fills up; without a terminal only its end is printed."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.shown = sys.stdout.isatty()
        self.show(0.0)

    def show(self, done: float, note: str = "") -> None:
        """done: 0 to 1."""
        if self.shown:
            filled = round(done * BAR_WIDTH)
            print(
                f"\r{self.title:44} [{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {note}", end="", flush=True
            )

    def on_event(self, name: str, data: Mapping[str, Any]) -> None:
        """Follows the server's messages; the sampler's steps are what takes the time."""
        if name == "progress":
            self.show(data["value"] / data["max"], f"{data['value']}/{data['max']}")

    def finish(self, note: str) -> None:
        """Fills the line and leaves it."""
        self.show(1.0)
        print(f" {note}" if self.shown else f"{self.title:44} {note}", flush=True)


def run(server: ComfyServer, demo: Demo, scene: Scene, seed: int) -> list[Row]:
    """Runs one demo on one scene; returns its rows for the contact sheet."""
    bar = ProgressBar(demo.name)
    write_inputs(server.input_folder, scene, demo.task.clip, demo.task.second_clip)
    done = server.run(with_caption(demo.graph, scene.caption, seed), bar.on_event)
    video = OUTPUT / f"{demo.name}.mp4"
    shutil.copyfile(next(file for file in server.files(done) if file.suffix == ".mp4"), video)
    frames = read_video(video)
    bar.finish(f"{done.seconds:5.1f} s  {video.name}")
    given = frozenset(number % len(frames) for number in demo.task.given)
    notes = textwrap.wrap(scene.caption, 46)
    if not demo.task.has_truth:
        return [Row(demo.name, notes, frames)]
    truth = frames_of(scene, len(frames))
    free = [number for number in range(len(frames)) if number not in given]
    notes.append(f"{psnr(frames[free], truth[free]):.1f} dB from the true frames (free ones)")
    return [Row(demo.name, notes, frames, given), Row("", ["how it truly goes on"], truth)]


def psnr(frames: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio of frames of 0 to 255, in dB."""
    error = np.square(frames.astype(np.float64) - truth).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def main(arguments: Sequence[str]) -> int:
    """Runs the chosen demos and returns the exit code."""
    parser = argparse.ArgumentParser(prog="dev.py demo", description=__doc__)
    parser.add_argument("words", nargs="*", help="run the demos whose names hold these words")
    parser.add_argument("--all", action="store_true", help="run every demo workflow")
    parser.add_argument("--list", action="store_true", help="only show their names")
    parser.add_argument("--seed", type=int, default=0, help="another picture and other noise")
    options = parser.parse_args(arguments)

    demos = choose(load_demos(), options.words, options.all or options.list)
    if options.list:
        print("\n".join(demo.name for demo in demos))
        return 0
    runnable = [demo for demo in demos if not demo.missing_models()]
    for demo in demos:
        if missing := demo.missing_models():
            print(
                f"{demo.name}: not run, demo/models lacks {', '.join(missing)} (python dev.py train makes them)."
            )
    if not runnable:
        print("There is no such demo to run; python dev.py demo --list shows them all.")
        return 1

    OUTPUT.mkdir(exist_ok=True)
    started = time.monotonic()
    found = environment.current()
    print("Starting ComfyUI ...", flush=True)
    straight = data.scenes(HELD_OUT_SEED + options.seed, held_out=True)
    returning = moving_scenes(HELD_OUT_SEED + options.seed, held_out=True)
    order = random.Random(options.seed)
    rows = []
    stop_like_ctrl_c()
    try:
        with development_server(found, cpu=not has_accelerator(found)) as server:
            for demo in runnable:
                scene = next(returning if demo.task.returns else straight)
                rows += run(server, demo, scene, seed=order.randrange(2**32))
    except ServerError as error:
        print(f"\n{error}")
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
        return 130
    sheet = OUTPUT / "contact_sheet.png"
    contact_sheet(rows, sheet)
    print(f"{len(runnable)} videos and {sheet} in {time.monotonic() - started:.0f} s.")
    return int(len(runnable) < len(demos))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
