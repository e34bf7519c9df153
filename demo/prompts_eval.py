"""`python demo/in_comfyui.py prompts_eval`: two prompts inside one window of a project, measured; its table is in docs/LONG_VIDEO.md.

Through the Pusa Director node (prompts_by frame). Beside it the way that was not taken: a whole model call per prompt, mixed by latent frame with ComfyUI's
masks of a conditioning.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..nodes.conditions import PusaConditionFrames
from ..nodes.sampling import PusaSampler
from .data import COLOURS, FRAMES_PER_SECOND, HELD_OUT_SEED, Scene, scenes, text_embedding
from .director_eval import START, Film
from .long_video_eval import OPPOSITE, PAGE, frames_of
from .measure import observe
from .report import table, write_section
from .tasks_eval import LATENT_FRAMES, LENGTH, Zoo, clip_of, empty_latent, load_zoo

CHANGE = 5  # latent frame from which the second prompt holds: video frames 17 on
SECOND_PROMPT = 16.5 / FRAMES_PER_SECOND
HALVES = slice(0, 13), slice(20, LENGTH)  # video frames, without those around the change
SEEN = ("colour", "direction", "all")
NOTHING, COLOUR, DIRECTION = CHANGES = ("nothing", "colour", "direction")


def by_frame(zoo: Zoo, scene: Scene, later: Scene) -> Tensor:
    """The Director's way: one call whose cross-attention reads, for a latent frame, that frame's prompt."""
    prompts = [{"at": 0, "text": scene.caption}, {"at": SECOND_PROMPT, "text": later.caption}]
    with tempfile.TemporaryDirectory() as folder:
        film = Film(zoo, scene, Path(folder))
        return frames_of(
            film.make([{}], keys=[{"at": 0, "picture": START}], prompts=prompts, prompts_by="frame")
        )


def by_masks(zoo: Zoo, scene: Scene, later: Scene) -> Tensor:
    """A call per prompt, mixed by ComfyUI with masks [F, h, w]."""
    latent = PusaConditionFrames.execute(zoo.vae, empty_latent(), clip_of(scene, 1), "0", "0").args[0]
    entries: list[Any] = []
    for text, frames in ((scene, slice(0, CHANGE)), (later, slice(CHANGE, None))):
        mask = torch.zeros(LATENT_FRAMES, *latent["samples"].shape[3:])
        mask[frames] = 1
        entries.append([text_embedding(text.caption), {"mask": mask, "mask_strength": 1.0}])
    negative = [[text_embedding(""), {}]]
    inputs = {"seed": 7, "steps": zoo.steps, "cfg": zoo.cfg, "shift": 5.0, "sampler_name": "euler"}
    samples = PusaSampler.execute(zoo.model, entries, negative, latent, **inputs).args[0]["samples"]
    return zoo.vae.decode(samples)[0]


WAYS: dict[str, Callable[[Zoo, Scene, Scene], Tensor]] = {"by frame": by_frame, "a call each": by_masks}


def changed(scene: Scene, what: str) -> Scene:
    """The scene that the second prompt tells of."""
    if what == COLOUR:
        names = list(COLOURS)
        return replace(scene, colour=names[(names.index(scene.colour) + 2) % len(names)])
    return replace(scene, direction=OPPOSITE[scene.direction]) if what == DIRECTION else scene


def section(zoo: Zoo, held_out: Sequence[Scene]) -> str:
    """What the two halves of a window show, counted."""
    rows = []
    for what in CHANGES:
        for name, way in WAYS.items():
            found = [0] * (2 * len(SEEN))
            for scene in held_out:
                later = changed(scene, what)
                video = way(zoo, scene, later).permute(3, 0, 1, 2) * 2 - 1
                seen = [
                    observe(video[:, half]).matches(one)[key]
                    for half, one in zip(HALVES, (scene, later), strict=True)
                    for key in SEEN
                ]
                found = [count + one for count, one in zip(found, seen, strict=True)]
            rows.append([what, name, *(str(count) for count in found)])
    head = [
        "what the second prompt changes",
        "way",
        *(f"{half}: {key}" for half in ("first half", "second half") for key in SEEN),
    ]
    return (
        f"{zoo.name}, {zoo.steps} steps, {len(held_out)} held-out scenes, one window of {LENGTH} frames from its first frame, the second prompt from video frame "
        f"17 on. Counted: scenes whose frames 0 to 12, and 20 to 32, show the colour and the direction that their prompt asks for, and all of it (colour, "
        f"direction, background, one whole shape of the right outline).\n\n{table(head, rows)}"
    )


def main(arguments: Sequence[str]) -> int:
    """Measures one family and writes its section of docs/LONG_VIDEO.md."""
    parser = argparse.ArgumentParser(prog="prompts_eval", description=__doc__)
    parser.add_argument("--family", choices=("wan2.1", "wan2.2", "lightx2v"), default="wan2.1")
    parser.add_argument("--scenes", type=int, default=12)
    options = parser.parse_args(arguments)
    torch.set_grad_enabled(False)
    zoo = load_zoo(options.family)
    held_out = list(islice(scenes(HELD_OUT_SEED, held_out=True), options.scenes))
    write_section(PAGE, f"prompts {options.family}", section(zoo, held_out))
    return 0
