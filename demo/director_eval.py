"""`python demo/in_comfyui.py director_eval`: projects of the demo zoo, measured; tables in docs/LONG_VIDEO.md.

Seams of bridges, colour drift over twelve windows in every way of matching, and how closely a final video follows its draft. Everything
goes through the Pusa Director node and ComfyUI's loaders.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import folder_paths
import torch
from PIL import Image
from torch import Tensor

from ..nodes.director import PusaDirector
from ..pusa_core.project.seams import seam_jump
from ..pusa_core.project.text import ANCHOR, BEFORE, FIRST, OFF
from .data import FRAMES_PER_SECOND, HELD_OUT_SEED, SIZE, Scene, scenes
from .long_video_eval import OPPOSITE, PAGE, TintingVAE, frames_of, palette_drift
from .nodes.text_encode import DemoClip
from .report import table, write_section
from .tasks_eval import Zoo, clip_of, load_zoo

WINDOW, OVERLAP = 33, 13
NEW = WINDOW - OVERLAP
SEAM_LIMIT = 1.5
DRIFT_WINDOWS = 12
BRIDGED = WINDOW + 2 * NEW  # frames of three windows
MULTIPLIERS = (0.3, 0.5, 0.7, 0.85)
START = "start.png"
NAME = "film"


class Film:
    """A project of one scene in folders of its own."""

    def __init__(self, zoo: Zoo, scene: Scene, folder: Path):
        self.zoo, self.folder = zoo, folder
        (folder / "input").mkdir(parents=True)
        pixels = (clip_of(scene, 1)[0] * 255).round().byte().numpy()
        Image.fromarray(pixels).save(folder / "input" / START)

    def make(
        self, windows: Sequence[dict[str, Any]], settings: dict[str, Any] | None = None, **project: Any
    ) -> Path:
        """The finished file. windows: as in the project's text, without ids; settings: of the node."""
        folder_paths.set_output_directory(str(self.folder / "output"))
        folder_paths.set_input_directory(str(self.folder / "input"))
        listed = [{"id": f"w{number + 1}", **one} for number, one in enumerate(windows)]
        whole = {
            "version": 1,
            "window": WINDOW,
            "overlap": OVERLAP,
            "noise_multipliers": self.zoo.noise,
            "windows": listed,
        }
        inputs = {
            "model": self.zoo.model, "clip": DemoClip(), "vae": self.zoo.vae, "project": json.dumps(whole | project), "name": NAME,
            "width": SIZE, "height": SIZE, "fps": float(FRAMES_PER_SECOND), "seed": 7, "steps": self.zoo.steps, "cfg": self.zoo.cfg,
            "shift": 5.0, "sampler_name": "euler", "crf": 0, "quality": "final", "draft_scale": 1.0, "draft_steps": 0,
            "draft_multiplier": 1.0,
        }  # fmt: skip
        video = PusaDirector.execute(**inputs | (settings or {})).args[0]
        return Path(video.get_stream_source())

    @property
    def record(self) -> list[dict[str, Any]]:
        """The windows as project.json has them."""
        found = json.loads((self.folder / "output" / NAME / "project.json").read_text("utf-8"))
        return list(found["windows"])


def stays_inside(scene: Scene, frames: int) -> bool:
    """Whether the shape is still wholly in the picture after so many frames."""
    ends = [at + step * frames for at, step in zip((scene.x, scene.y), scene.step, strict=True)]
    return all(scene.radius <= end <= SIZE - scene.radius for end in ends)


def back_and_forth(scene: Scene, count: int) -> list[dict[str, Any]]:
    """Windows that turn the shape around, so that it never leaves the picture."""
    turned = replace(scene, direction=OPPOSITE[scene.direction])
    return [{"prompt": (turned if number % 2 else scene).caption} for number in range(count)]


def bridge_section(zoo: Zoo, held_out: Sequence[Scene]) -> str:
    """The middle one of three windows made again, between the two that stay."""
    found: dict[str, list[float]] = {
        "true clip through the VAE": [],
        "first take, left": [],
        "bridge, left": [],
        "bridge, right": [],
    }
    keys = [{"at": 0, "picture": START}]
    for scene in held_out:
        with tempfile.TemporaryDirectory() as folder:
            film = Film(zoo, scene, Path(folder))
            windows = [{"prompt": scene.caption}] * 3
            true = zoo.vae.decode(zoo.vae.encode(clip_of(scene, BRIDGED)))[0][NEW : NEW + WINDOW]
            found["true clip through the VAE"].append(seam_jump(true, OVERLAP))
            film.make(windows, keys=keys)
            found["first take, left"].append(film.record[1]["candidates"][0]["left_seam"])
            windows[1] = {**windows[1], "bridge": True, "retake": 1}
            film.make(windows, keys=keys)
            made = film.record[1]["candidates"][0]
            found["bridge, left"].append(made["left_seam"])
            found["bridge, right"].append(made["right_seam"])
    rows = [
        [
            name,
            f"{statistics.median(jumps):.2f}",
            f"{max(jumps):.2f}",
            f"{sum(jump < SEAM_LIMIT for jump in jumps)} of {len(jumps)}",
        ]
        for name, jumps in found.items()
    ]
    head = ["seam", "median jump", "largest", f"below {SEAM_LIMIT}"]
    return (
        f"{zoo.name}, {zoo.steps} steps, {len(held_out)} held-out scenes, three windows of {WINDOW} frames with {OVERLAP} shared, noise multipliers "
        f"{zoo.noise}, shapes that move on through all three. The jump is the largest change between neighbours in the five steps up to the seam "
        f"(its cross-fade), over the median of the same elsewhere in the window.\n\n{table(head, rows)}"
    )


def drift_section(zoo: Zoo, held_out: Sequence[Scene], windows: int) -> str:
    """Colour drift over many windows in every way of matching, with the VAE as it is and with one that tints."""
    shown = [number for number in (1, 3, 6, 9, 12) if number <= windows]
    rows = []
    for name, vae in (("", zoo.vae), (", tinting VAE", TintingVAE(zoo.vae))):
        for colour in (OFF, BEFORE, FIRST, ANCHOR):
            drifts = []
            for scene in held_out:
                with tempfile.TemporaryDirectory() as folder:
                    film = Film(replace(zoo, vae=vae), scene, Path(folder))
                    anchor = {"anchor": {"picture": START, "multiplier": 0.0}} if colour == ANCHOR else {}
                    path = film.make(
                        back_and_forth(scene, windows),
                        keys=[{"at": 0, "picture": START}],
                        colour=colour,
                        **anchor,
                    )
                    drifts.append(palette_drift(frames_of(path), scene))
            mean = torch.stack(drifts).nanmean(dim=(0, 2))
            parts = mean.tensor_split([WINDOW + NEW * number for number in range(windows - 1)])
            rows.append(
                [f"{colour}{name}", *(f"{float(parts[number - 1].nanmean()):.2f}" for number in shown)]
            )
    head = ["colour", *(f"window {number}" for number in shown)]
    return (
        f"{zoo.name}, {zoo.steps} steps, {len(held_out)} held-out scenes, {windows} windows of {WINDOW} frames with {OVERLAP} shared, noise multipliers "
        f"{zoo.noise}. Delta E (CIEDE2000) of background and shape to the start picture, mean of both. The tinting VAE multiplies "
        f"lightness by {TintingVAE.lightness} and chroma by {TintingVAE.chroma} in every decode. anchor also looks at the start picture in every "
        f"window.\n\n{table(head, rows)}"
    )


def motion(frames: Tensor) -> Tensor:
    """What changes from one latent frame's time to the next, [N, H, W, 3]."""
    return frames[4:] - frames[:-4]


def correlation(one: Tensor, other: Tensor) -> float:
    """Pearson's, over all pixels and times."""
    return float(torch.corrcoef(torch.stack((one.flatten(), other.flatten())))[0, 1])


def draft_section(zoo: Zoo, held_out: Sequence[Scene], draft: dict[str, Any], said: str) -> str:
    """How closely a final window follows its draft, at several multipliers."""
    found: dict[str, list[tuple[float, float]]] = {}
    for scene in held_out:
        with tempfile.TemporaryDirectory() as folder:
            film = Film(zoo, scene, Path(folder))
            windows = back_and_forth(scene, 1)
            drafted = frames_of(film.make(windows, {"quality": "draft", **draft}))
            enlarged = torch.nn.functional.interpolate(
                drafted.movedim(-1, 1), (SIZE, SIZE), mode="bilinear"
            ).movedim(1, -1)
            for multiplier in (*MULTIPLIERS, 1.0):
                final = frames_of(film.make(windows, {"draft_multiplier": multiplier, **draft}))
                follows = correlation(motion(final), motion(enlarged))
                found.setdefault(f"{multiplier:g}", []).append(
                    (follows, sharpness(final) / sharpness(clip_of(scene, WINDOW)))
                )
    rows = [
        [
            f"{name}{' (no draft)' * (name == '1')}",
            f"{statistics.mean(follows for follows, _ in values):.2f}",
            f"{min(follows for follows, _ in values):.2f}",
            f"{statistics.mean(sharp for _, sharp in values):.2f}",
        ]
        for name, values in found.items()
    ]
    head = ["draft_multiplier", "correlation of motion", "least of the scenes", "sharpness"]
    return (
        f"{zoo.name}, {zoo.steps} steps, {len(held_out)} held-out scenes, one window from text alone, the same seeds. Draft: {said}. Motion: the change of every pixel over four "
        "frames, final against draft, Pearson's correlation. Sharpness: mean change from pixel to pixel of the final video over that of true "
        f"clips of the scene.\n\n{table(head, rows)}"
    )


def sharpness(frames: Tensor) -> float:
    """Mean change from a pixel to its neighbours."""
    across = (frames[:, :, 1:] - frames[:, :, :-1]).abs().mean()
    down = (frames[:, 1:] - frames[:, :-1]).abs().mean()
    return float(across + down)


def main(arguments: Sequence[str]) -> int:
    """Measures what is asked for and writes its sections of docs/LONG_VIDEO.md."""
    parser = argparse.ArgumentParser(prog="director_eval", description=__doc__)
    parser.add_argument(
        "--parts", default="bridge,drift,draft", help="which measurements, with commas between"
    )
    parser.add_argument("--family", choices=("wan2.1", "wan2.2", "lightx2v"), default="lightx2v")
    parser.add_argument(
        "--scenes", type=int, help="held-out scenes; 32 for bridges, 3 for drift, 8 for drafts"
    )
    parser.add_argument("--windows", type=int, default=DRIFT_WINDOWS, help="of the drift")
    parser.add_argument("--noise", default="0..0.2", help="noise multipliers of the frames handed over")
    parser.add_argument("--show", action="store_true", help="print the tables instead of writing them")
    options = parser.parse_args(arguments)
    torch.set_grad_enabled(False)
    zoo = replace(load_zoo(options.family), noise=options.noise)
    slow = [scene for scene in islice(scenes(HELD_OUT_SEED, held_out=True), 200) if scene.speed == "slowly"]

    def say(name: str, text: str) -> None:
        if options.show:
            print(text, flush=True)
        else:
            write_section(PAGE, f"{name} {options.family}", text)

    if "bridge" in options.parts:
        endless = scenes(HELD_OUT_SEED, held_out=True)
        moving = (one for one in endless if stays_inside(one, BRIDGED))
        say("bridge", bridge_section(zoo, list(islice(moving, options.scenes or 32))))
    if "drift" in options.parts:
        say("matching", drift_section(zoo, slow[: options.scenes or 3], options.windows))
    if "draft" in options.parts:
        small = {"draft_scale": 0.5}
        say("draft size", draft_section(zoo, slow[: options.scenes or 8], small, "half the width and height"))
        few = {"draft_steps": max(1, zoo.steps // 4)}
        say(
            "draft steps", draft_section(zoo, slow[: options.scenes or 8], few, f"{few['draft_steps']} steps")
        )
    return 0
