"""`python demo/in_comfyui.py long_video_eval`: long videos of the demo zoo, measured; tables in docs/LONG_VIDEO.md, pictures beside it.

Colour drift over six windows with and without matching, peak memory against length, and a killed run that is continued. Memory and
the killed run use fresh processes; everything goes through the pack's own Long Video node and ComfyUI's loaders.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import av
import folder_paths
import nodes as comfy_nodes
import numpy as np
import torch
from torch import Tensor

from ..nodes.long_video import NO_MATCH, PusaLongVideo
from ..pusa_core.bases import WAN
from ..pusa_core.charts import Series, line_chart
from ..pusa_core.colour import MEAN_AND_STD, MONGE_KANTOROVICH, delta_e, lab_to_rgb, rgb_to_lab
from ..pusa_core.long_video import PROMPT_START, plan_windows
from .contact_sheet import Row, contact_sheet
from .data import BACKGROUNDS, COLOURS, FRAMES_PER_SECOND, HELD_OUT_SEED, SIZE, Scene, scenes, text_embedding
from .report import DOCS, table, write_section
from .tasks_eval import MODELS, Zoo, clip_of, load_zoo, step

PAGE = DOCS / "LONG_VIDEO.md"
WINDOW, OVERLAP, WINDOWS = 33, 13, 6
LENGTH = WINDOW + (WINDOWS - 1) * (WINDOW - OVERLAP)
LEAST_PIXELS = 20
LEAST_ORDINARY_STEP = (
    0.002  # mean change of a frame, 0 to 1: a shape of this world at its slowest changes more
)
BIG = 128  # pixels: large enough that frames kept in memory would be seen
MEMORY_WINDOWS = (1, 4, 16)
SHOWN = 2  # scenes on the contact sheet
OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up"}


@dataclass(frozen=True)
class Manner:
    """One way to make the same long video."""

    name: str
    color_match: str
    anchored: bool = False


MANNERS = (
    Manner("no matching", NO_MATCH),
    Manner("mean and std", MEAN_AND_STD),
    Manner("Monge-Kantorovich", MONGE_KANTOROVICH),
    Manner("Monge-Kantorovich and anchor", MONGE_KANTOROVICH, anchored=True),
)


@dataclass(frozen=True)
class TintingVAE:
    """A VAE whose decoder makes every picture a little darker and more saturated: the drift that people report, of known size."""

    vae: Any
    lightness: float = 0.99
    chroma: float = 1.06

    def __getattr__(self, name: str) -> Any:
        return getattr(self.vae, name)

    def decode(self, latent: Tensor) -> Tensor:
        """The decoded pictures, tinted."""
        lab = rgb_to_lab(self.vae.decode(latent).float())
        return lab_to_rgb(lab * torch.tensor([self.lightness, self.chroma, self.chroma])).clamp(0, 1)


@dataclass(frozen=True)
class Outcome:
    """One scene's long video."""

    caption: str
    frames: Tensor  # [LENGTH, 64, 64, 3], 0 to 1
    drift: Tensor  # [LENGTH, 2], CIEDE2000 of background and shape to those of the start picture; NaN where none is seen
    seams: list[float]  # jump at each seam over the median step of the video


def prompts_back_and_forth(scene: Scene, windows: int) -> list[Any]:
    """A CONDITIONING that turns the shape around in every window, so that it never leaves the picture."""
    plan = plan_windows(WINDOW + (windows - 1) * (WINDOW - OVERLAP), WINDOW, OVERLAP, 1)
    entries = []
    for window in plan:
        direction = OPPOSITE[scene.direction] if window.index % 2 else scene.direction
        start = (window.first_new if window.index else 0) / FRAMES_PER_SECOND
        entries.append((text_embedding(replace(scene, direction=direction).caption), {PROMPT_START: start}))
    return entries


def make(
    zoo: Zoo, scene: Scene, folder: Path, windows: int = WINDOWS, size: int = SIZE, **settings: Any
) -> Path:
    """The file of a long video of a scene that starts with its first frame."""
    folder_paths.set_output_directory(str(folder))
    start = torch.nn.functional.interpolate(
        clip_of(scene, 1).movedim(-1, 1), (size, size), mode="bilinear"
    ).movedim(1, -1)
    inputs = {
        "model": zoo.model, "vae": zoo.vae, "positive": prompts_back_and_forth(scene, windows),
        "negative": [(text_embedding(""), {})], "width": size, "height": size,
        "duration": float(WINDOW + (windows - 1) * (WINDOW - OVERLAP)), "duration_unit": "frames", "window": WINDOW,
        "overlap": OVERLAP, "noise_multipliers": zoo.noise, "seed": 7, "steps": zoo.steps, "cfg": zoo.cfg, "shift": 5.0,
        "sampler_name": "euler", "color_match": MONGE_KANTOROVICH, "resize": "crop", "fps": float(FRAMES_PER_SECOND), "crf": 0,
        "filename_prefix": "long", "start": start,
    }  # fmt: skip
    video = PusaLongVideo.execute(**inputs | settings).args[0]
    return Path(video.get_stream_source())


def frames_of(path: Path) -> Tensor:
    """All frames of a file, [N, H, W, 3], 0 to 1."""
    with av.open(str(path)) as container:
        return (
            torch.from_numpy(np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)]))
            / 255
        )


def measure(zoo: Zoo, scene: Scene, manner: Manner, folder: Path) -> Outcome:
    """One scene made in one manner."""
    first = clip_of(scene, 1)
    settings: dict[str, Any] = {"color_match": manner.color_match}
    if manner.anchored:
        settings["anchor"] = first
    path = make(zoo, scene, folder, **settings)
    frames = frames_of(path)
    path.unlink()
    plan = plan_windows(LENGTH, WINDOW, OVERLAP, 1)
    starts = [0, *(window.first_new for window in plan[1:])]
    steps = [step(frames[i], frames[i + 1]) for i in range(LENGTH - 1)]
    seams = [max(steps[start - 1 - WAN.temporal_stride : start]) for start in starts[1:]]
    # into a new latent frame, as a seam is; these steps are larger than those within one
    ordinary = statistics.median(steps[i] for i in range(0, LENGTH - 1, 4) if i + 1 not in starts)
    seams = [seam / max(ordinary, LEAST_ORDINARY_STEP) for seam in seams]
    return Outcome(scene.caption, frames, palette_drift(frames, scene), seams)


def palette_drift(frames: Tensor, scene: Scene) -> Tensor:
    """How far the colours of background and shape lie from those in the start picture, CIEDE2000, [N, 2].

    frames: [N, H, W, 3]. A pixel counts for the part whose true colour is far nearer, so outlines count for none; apart from the
    pictures' mean, this does not move with the shape's size or place. NaN where a part has fewer than LEAST_PIXELS pixels.
    """
    truth = [torch.tensor(BACKGROUNDS[scene.background]), torch.tensor(COLOURS[scene.colour])]
    palette = rgb_to_lab(torch.stack(truth))

    def part_colours(pictures: Tensor) -> Tensor:
        lab = rgb_to_lab(pictures)
        distances = (lab[..., None, :] - palette).norm(dim=-1)
        nearer = distances < 0.5 * distances.flip(-1)
        count = nearer.sum(dim=(1, 2))
        mean = (lab[..., None, :] * nearer[..., None]).sum(dim=(1, 2)) / count[..., None]
        return torch.where(count[..., None] >= LEAST_PIXELS, mean, torch.nan)

    return delta_e(part_colours(frames), part_colours(clip_of(scene, 1)))


def drift_section(zoo: Zoo, held_out: Sequence[Scene]) -> str:
    """Colour drift over six windows in every manner, and again with a VAE that tints: tables, chart and contact sheet."""
    natural = {manner.name: outcomes(zoo, held_out, manner) for manner in MANNERS}
    tinting = replace(zoo, vae=TintingVAE(zoo.vae))
    tinted = {f"{manner.name}, tinting VAE": outcomes(tinting, held_out, manner) for manner in MANNERS[:3]}
    charted = natural | tinted
    chart = line_chart(
        f"Colour drift over {WINDOWS} windows, {len(held_out)} scenes",
        "video frame",
        "Delta E (CIEDE2000) to the start picture",
        [
            Series(name, list(enumerate(mean_drift(found).tolist())))
            for name, found in charted.items()
            if "anchor" not in name
        ],
        width=1100,
    )
    chart.save(DOCS / "long_video_drift.png")
    sheet = [
        Row(name, [found[i].caption[:48], f"Delta E in window 6: {float(window_means([found[i]])[-1]):.2f}"], _bytes(found[i].frames), frozenset({0}))
        for i in range(min(SHOWN, len(held_out)))
        for name, found in charted.items()
    ]  # fmt: skip
    contact_sheet(sheet, DOCS / "long_video.png")
    head = ["matching at the seams", *(f"window {i + 1}" for i in range(WINDOWS)), "seam jump"]
    rows = [
        [
            name,
            *(f"{value:.2f}" for value in window_means(found)),
            f"{statistics.median(s for o in found for s in o.seams):.2f}",
        ]
        for name, found in charted.items()
    ]
    return (
        f"{zoo.name}, {zoo.steps} steps, cfg {zoo.cfg:g}, noise multipliers {zoo.noise}, {len(held_out)} held-out scenes, {WINDOWS} windows of "
        f"{WINDOW} frames, {OVERLAP} shared ({LENGTH} frames). Delta E (CIEDE2000) of background and shape to the start picture, mean of both, "
        "of the window's frames and of the scenes; seam jump: largest change between neighbours across a seam and its cross-fade over the "
        f"median change into a new latent frame elsewhere, median over all seams (the prompt turns the shape around at every seam). The tinting VAE multiplies lightness by {TintingVAE.lightness} and chroma by "
        f"{TintingVAE.chroma} in every decode, a shift of known size.\n\n"
        f"{table(head, rows)}\n\n![Colour drift](long_video_drift.png)\n\n![Contact sheet](long_video.png)"
    )


def outcomes(zoo: Zoo, held_out: Sequence[Scene], manner: Manner) -> list[Outcome]:
    """All scenes in one manner."""
    with tempfile.TemporaryDirectory() as folder:
        return [measure(zoo, scene, manner, Path(folder)) for scene in held_out]


def mean_drift(found: Sequence[Outcome]) -> Tensor:
    """Drift per frame, mean of scenes and of background and shape, [LENGTH]."""
    return torch.stack([outcome.drift for outcome in found]).nanmean(dim=(0, 2))


def window_means(found: Sequence[Outcome]) -> list[float]:
    """Drift per window, mean over its new frames."""
    ends = [window.end for window in plan_windows(LENGTH, WINDOW, OVERLAP, 1)]
    return [float(part.nanmean()) for part in mean_drift(found).tensor_split(ends[:-1])]


def _bytes(frames: Tensor) -> np.ndarray:
    return (frames * 255).round().clamp(0, 255).byte().numpy()


# Fresh processes


def child(job: dict[str, Any]) -> None:
    """What a fresh process does: one long video; prints its peak memory in MiB and its file's name and hash."""
    zoo = load_zoo(job["family"])
    folder_paths.add_model_folder_path("vae", str(MODELS / "vae"), is_default=True)
    vae = comfy_nodes.VAELoader().load_vae("demo_wan_vae.safetensors")[0]  # ComfyUI's own, as users run it
    zoo = replace(zoo, vae=vae, noise="0..0.2")
    scene = Scene(**job["scene"])
    path = make(zoo, scene, Path(job["folder"]), job["windows"], job["size"], steps=job["steps"], cfg=1.0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    sys.stdout.write("\n" + json.dumps({"peak": peak, "sha256": digest, "bytes": path.stat().st_size}) + "\n")


def start_child(job: dict[str, Any]) -> subprocess.Popen[str]:
    """A fresh process at work on a job."""
    program = Path(__file__).resolve().parent / "in_comfyui.py"
    command = [sys.executable, str(program), "long_video_eval", "--child", json.dumps(job)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a child printed last."""
    output, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the process ended with {process.returncode}: {errors[-2000:]}")
    return json.loads(output.strip().splitlines()[-1])


def memory_section(family: str, scene: Scene) -> str:
    """Peak memory of whole runs of 1, 4 and 16 windows, each in a process of its own."""
    rows = []
    for windows in MEMORY_WINDOWS:
        with tempfile.TemporaryDirectory() as folder:
            job = {
                "family": family,
                "scene": vars(scene),
                "folder": folder,
                "windows": windows,
                "size": BIG,
                "steps": 1,
            }
            result = result_of(start_child(job))
        frames = WINDOW + (windows - 1) * (WINDOW - OVERLAP)
        held = frames * BIG * BIG * 3 * 4 / 2**20
        rows.append(
            [
                str(windows),
                str(frames),
                f"{result['peak']:.0f}",
                f"{held:.0f}",
                f"{result['bytes'] / 2**20:.1f}",
            ]
        )
    head = [
        "windows",
        "frames",
        "peak memory of the process, MiB",
        "all frames as float32 would be, MiB",
        "file, MiB",
    ]
    return f"{BIG} x {BIG} pixels, 1 step, a fresh process each, CPU; peak of the whole process (models and PyTorch included).\n\n{table(head, rows)}"


def resume_section(family: str, scene: Scene) -> str:
    """A run killed in the middle and continued, against one that was left alone."""
    rows, hashes = [], []
    for killed_after in (None, 1, 3):
        with tempfile.TemporaryDirectory() as folder:
            job = {
                "family": family,
                "scene": vars(scene),
                "folder": folder,
                "windows": 5,
                "size": SIZE,
                "steps": 4,
            }
            if killed_after is not None:
                process = start_child(job)
                while (
                    len(list(Path(folder).glob(f"*.parts/w{killed_after}.0.safetensors"))) == 0
                    and process.poll() is None
                ):
                    time.sleep(0.02)
                process.send_signal(signal.SIGKILL)
                process.communicate()
                if list(Path(folder).glob("*.mp4")):
                    raise RuntimeError("the run was finished before it could be killed")
            result = result_of(start_child(job))
        hashes.append(result["sha256"])
        name = (
            "not interrupted"
            if killed_after is None
            else f"killed (SIGKILL) once part {killed_after} of 5 was there, then run again"
        )
        rows.append(
            [name, f"`{result['sha256'][:16]}`", "yes" if result["sha256"] == hashes[0] else "**no**"]
        )
    return table(["run", "SHA-256 of the file", "same file"], rows)


def main(arguments: Sequence[str]) -> int:
    """Measures what is asked for and writes its sections of docs/LONG_VIDEO.md."""
    parser = argparse.ArgumentParser(prog="long_video_eval", description=__doc__)
    parser.add_argument("--family", choices=("wan2.1", "wan2.2", "lightx2v"), default="wan2.2")
    parser.add_argument("--scenes", type=int, default=6, help="held-out scenes")
    parser.add_argument("--noise", default="0..0.2", help="noise multipliers of the frames handed over")
    parser.add_argument("--steps", type=int, help="other than the family's usual")
    parser.add_argument(
        "--parts", default="drift,memory,resume", help="which measurements, with commas between"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    torch.set_grad_enabled(False)
    if options.child:
        child(json.loads(options.child))
        return 0
    DOCS.mkdir(exist_ok=True)
    slow = (s for s in scenes(HELD_OUT_SEED, held_out=True) if s.speed == "slowly")
    held_out = list(islice(slow, options.scenes))
    parts = options.parts.split(",")
    if "drift" in parts:
        zoo = replace(load_zoo(options.family), noise=options.noise)
        zoo = replace(zoo, steps=options.steps or zoo.steps)
        write_section(PAGE, f"drift {options.family}", drift_section(zoo, held_out))
    if "memory" in parts:
        write_section(PAGE, "memory", memory_section(options.family, held_out[0]))
    if "resume" in parts:
        write_section(PAGE, "resume", resume_section(options.family, held_out[0]))
    return 0
