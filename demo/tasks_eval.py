"""`python demo/in_comfyui.py tasks_eval`: every clip task on held-out scenes, measured; tables in docs/TASKS.md, sheets beside it.

Runs ComfyUI's model loader and the pack's own nodes in this process, on the demo models. A scene's continuation is decided by its
caption and any one frame, so every task but text-to-video has a true answer.
"""

from __future__ import annotations

import argparse
import statistics
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Protocol

import folder_paths
import nodes as comfy_nodes
import torch
from safetensors.torch import load_file
from torch import Tensor

from ..nodes.clips import PusaConditionVideo
from ..nodes.experts import PusaMoESwitch
from ..nodes.keyframes import PusaKeyframes
from ..nodes.loop import PusaLoopConditions, PusaLoopDecode, PusaLoopModel
from ..nodes.loras import PusaLightX2VLoader, PusaLoraLoader
from ..nodes.sampling import PusaSampler
from ..nodes.stitch import PusaStitch
from ..nodes.transition import PusaTransition
from .contact_sheet import Row, contact_sheet
from .data import HELD_OUT_SEED, scenes, text_embedding
from .report import DOCS, table, write_section
from .wan_vae import load_vae
from .world import MovingScene, Scene, moving_scenes, render

MODELS = Path(__file__).resolve().parent / "models"

LENGTH, LATENT_FRAMES = 33, 9
SHOWN_FAMILY = "wan2.2"  # the one whose contact sheets are kept
SHOWN = 3  # scenes on each contact sheet
SEAM_LIMIT = 1.5


@dataclass(frozen=True)
class Outcome:
    """One scene's result in one task."""

    frames: Tensor  # [N, 64, 64, 3], 0 to 1
    truth: Tensor | None  # the same frames as they truly are
    given: frozenset[int]  # numbers of the frames that were given
    numbers: dict[str, float] = field(default_factory=dict)


class FastVAE:
    """The demo VAE as nodes call a VAE: the same results as ComfyUI's to 2e-5, all frames at once, nine times as fast on a CPU."""

    latent_channels, latent_dim = 16, 3

    def __init__(self, file: Path):
        self.vae = load_vae(load_file(file))

    def encode(self, frames: Tensor) -> Tensor:
        """[N, H, W, 3], 0 to 1 -> [1, 16, F, h, w]."""
        return self.vae.encode((frames[None] * 2 - 1).movedim(-1, 1))

    def decode(self, latent: Tensor) -> Tensor:
        """[B, 16, F, h, w] -> [B, N, H, W, 3], 0 to 1."""
        return ((self.vae.decode(latent).movedim(1, -1) + 1) / 2).clamp(0, 1)


@dataclass(frozen=True)
class Zoo:
    """The loaded demo models and the settings of one family."""

    name: str
    model: Any
    vae: FastVAE
    steps: int
    cfg: float
    noise: str  # noise multiplier of given frames
    reconstructed: dict[tuple[Scene, int], Tensor] = field(default_factory=dict)

    def sample(self, latents: Sequence[dict[str, Any]], captions: Sequence[str], roll: int) -> Tensor:
        """The sampled latents [B, C, F, h, w], all scenes in one batch; roll: of Loop Model, 0 for none."""
        batch = {**latents[0], "samples": torch.cat([latent["samples"] for latent in latents])}
        positive = [[torch.cat([text_embedding(caption) for caption in captions]), {}]]
        negative = [[text_embedding(""), {}]]
        model = PusaLoopModel.execute(self.model, roll).args[0] if roll else self.model
        inputs = {"seed": 1, "steps": self.steps, "cfg": self.cfg, "shift": 5.0, "sampler_name": "euler"}
        return PusaSampler.execute(model, positive, negative, batch, **inputs).args[0]["samples"]

    def reconstruct(self, held_out: Sequence[Scene], begin: int) -> None:
        """Passes the true frames `begin` to `begin` + 32 of every scene through the VAE: the best any model can do."""
        for scene in held_out:
            clip = clip_of(scene, begin + LENGTH)[begin:]
            self.reconstructed[scene, begin] = self.vae.decode(self.vae.encode(clip))[0]


def empty_latent() -> dict[str, Tensor]:
    """An empty video latent of the demo's size."""
    return {"samples": torch.zeros(1, 16, LATENT_FRAMES, 8, 8)}


def clip_of(scene: Scene, length: int) -> Tensor:
    """The scene's true frames, [length, 64, 64, 3], 0 to 1."""
    return (render([scene], length)[0].permute(1, 2, 3, 0) + 1) / 2


def step(before: Tensor, after: Tensor) -> float:
    """Mean absolute difference of two frames."""
    return float((before - after).abs().mean())


def psnr(frames: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio, dB."""
    return float(-10 * torch.log10((frames - truth).square().mean().clamp(min=1e-10)))


def seam_numbers(made: Tensor, truth: Tensor, decoded: Tensor, before: int) -> dict[str, float]:
    """The jump from frame `before` to the next, relative to the same jump of the real clip passed through the VAE.

    made, truth, decoded: [33, H, W, 3], the generated video, the true frames of the same times, and those through the VAE.
    "seam": both frames as generated. "stitched": the real frame on the given side, the generated one on the other. "VAE":
    what the VAE alone does to that jump (the seam lies between two of its groups of four frames, and so does the real clip's).
    """
    return {
        "seam": step(made[before], made[before + 1]) / step(decoded[before], decoded[before + 1]),
        "stitched": step(truth[before], made[before + 1]) / step(truth[before], decoded[before + 1]),
        "VAE": step(decoded[before], decoded[before + 1]) / step(truth[before], truth[before + 1]),
    }


def free_numbers(made: Tensor, truth: Tensor, decoded: Tensor, given: Sequence[int]) -> dict[str, float]:
    """PSNR of the frames that were not given, and what the VAE alone would reach on them."""
    free = [frame for frame in range(len(truth)) if frame not in given]
    return {
        "PSNR": psnr(made[free], truth[free]),
        "PSNR of the VAE": psnr(decoded[free], truth[free]),
    }


class Extension:
    """16 frames given, 20 more made."""

    def latent(self, zoo: Zoo, scene: Scene) -> dict[str, Any]:
        inputs = {"task": "extend", "noise_multipliers": zoo.noise}
        return PusaConditionVideo.execute(zoo.vae, empty_latent(), clip_of(scene, 16), **inputs).args[0]

    def outcome(self, zoo: Zoo, scene: Scene, made: Tensor) -> Outcome:
        world, decoded = clip_of(scene, 36), zoo.reconstructed[scene, 3]
        whole = PusaStitch.execute(made, first=world[:16]).args[1]
        numbers = seam_numbers(made, world[3:], decoded, 12)
        numbers |= free_numbers(made, world[3:], decoded, range(13))
        return Outcome(whole, world, frozenset(range(16)), numbers)


class Prepending:
    """16 frames given, the 20 before them made."""

    def latent(self, zoo: Zoo, scene: Scene) -> dict[str, Any]:
        inputs = {"task": "prepend", "noise_multipliers": zoo.noise}
        return PusaConditionVideo.execute(zoo.vae, empty_latent(), clip_of(scene, 36)[20:], **inputs).args[0]

    def outcome(self, zoo: Zoo, scene: Scene, made: Tensor) -> Outcome:
        world, decoded = clip_of(scene, 36), zoo.reconstructed[scene, 0]
        whole = PusaStitch.execute(made, second=world[20:]).args[1]
        numbers = seam_numbers(made.flip(0), world[:33].flip(0), decoded.flip(0), 12)
        numbers |= free_numbers(made, world[:33], decoded, range(20, 33))
        return Outcome(whole, world, frozenset(range(20, 36)), numbers)


class Completion:
    """The first five and the last four of 33 frames given."""

    def latent(self, zoo: Zoo, scene: Scene) -> dict[str, Any]:
        inputs = {"task": "complete", "positions": "0, 1, -1", "noise_multipliers": zoo.noise}
        return PusaConditionVideo.execute(zoo.vae, empty_latent(), clip_of(scene, LENGTH), **inputs).args[0]

    def outcome(self, zoo: Zoo, scene: Scene, made: Tensor) -> Outcome:
        return between(zoo, scene, made, [*range(5), *range(29, 33)])


class Transition:
    """Two clips of 9 frames, 15 frames apart, joined."""

    def latent(self, zoo: Zoo, scene: Scene) -> dict[str, Any]:
        world = clip_of(scene, LENGTH)
        inputs = {"context_frames": 9, "noise_multipliers": zoo.noise}
        return PusaTransition.execute(zoo.vae, empty_latent(), world[:9], world[24:], **inputs).args[0]

    def outcome(self, zoo: Zoo, scene: Scene, made: Tensor) -> Outcome:
        world = clip_of(scene, LENGTH)
        whole = PusaStitch.execute(made, first=world[:9], second=world[24:], overlap_frames=9).args[1]
        return between(zoo, scene, whole, [*range(9), *range(24, 33)])


@dataclass(frozen=True)
class Keyframes:
    """Frames 0, 16 and 32 of 33 given as pictures."""

    encode: str

    def latent(self, zoo: Zoo, scene: Scene) -> dict[str, Any]:
        pictures = clip_of(scene, LENGTH)[[0, 16, 32]]
        inputs = {"noise_multipliers": zoo.noise, "encode": self.encode}
        return PusaKeyframes.execute(zoo.vae, empty_latent(), pictures, **inputs).args[0]

    def outcome(self, zoo: Zoo, scene: Scene, made: Tensor) -> Outcome:
        return between(zoo, scene, made, [0, 16, 32])


@dataclass(frozen=True)
class TextLoop:
    """A loop from a caption alone; roll 0 is ordinary text-to-video, played round."""

    roll: int

    def latent(self, zoo: Zoo, scene: Scene) -> dict[str, Any]:
        return empty_latent()

    def outcome(self, zoo: Zoo, scene: Scene, made: Tensor) -> Outcome:
        return Outcome(made, None, frozenset(), closure(made))


@dataclass(frozen=True)
class StillLoop:
    """A picture in a loop: "rolled still" with Loop Model's roll, "still" at both ends of an ordinary video."""

    kind: str
    noise: str  # as the workflow has it
    roll: int = 0

    def latent(self, zoo: Zoo, scene: Scene) -> dict[str, Any]:
        inputs = {"kind": self.kind, "noise_multipliers": self.noise}
        return PusaLoopConditions.execute(zoo.vae, empty_latent(), clip_of(scene, 1), **inputs).args[0]

    def outcome(self, zoo: Zoo, scene: Scene, made: Tensor) -> Outcome:
        return Outcome(made, None, frozenset([0]), closure(made))


@dataclass(frozen=True)
class ClipLoop:
    """A clip of 17 frames closed by a generated way back of 15."""

    crossfade: int  # pixel frames at both seams

    def latent(self, zoo: Zoo, scene: Scene) -> dict[str, Any]:
        inputs = {"kind": "clip", "context_frames": 9, "noise_multipliers": zoo.noise}
        return PusaLoopConditions.execute(zoo.vae, empty_latent(), clip_of(scene, 17), **inputs).args[0]

    def outcome(self, zoo: Zoo, scene: Scene, made: Tensor) -> Outcome:
        joint = {"overlap_frames": 9, "loop": True, "crossfade_frames": self.crossfade}
        frames = PusaStitch.execute(made, first=clip_of(scene, 17), **joint).args[1]
        return Outcome(frames, None, frozenset(range(17)), closure(frames))


def between(zoo: Zoo, scene: Scene, made: Tensor, given: Sequence[int]) -> Outcome:
    """The outcome of a task that fills the gaps of frames 0 to 32."""
    truth = clip_of(scene, LENGTH)
    numbers = free_numbers(made, truth, zoo.reconstructed[scene, 0], given)
    return Outcome(made, truth, frozenset(given), numbers)


def closure(frames: Tensor) -> dict[str, float]:
    """The jump from the last frame to the first and the largest of all, relative to the mean jump between neighbours."""
    steps = [step(before, after) for before, after in pairwise(frames)]
    mean, last = statistics.mean(steps), step(frames[-1], frames[0])
    return {"closure": last / mean, "largest": max(*steps, last) / mean, "frame step": mean}


class Procedure(Protocol):
    """How a task is set and judged."""

    def latent(self, zoo: Zoo, scene: Scene) -> dict[str, Any]:
        """The LATENT with what is given."""

    def outcome(self, zoo: Zoo, scene: Scene, made: Tensor) -> Outcome:
        """The result; made: the decoded frames [N, H, W, 3]."""


@dataclass(frozen=True)
class Task:
    """A row of the tables and a contact sheet."""

    name: str
    procedure: Procedure
    sheet: str | None = None  # file name of its contact sheet
    loop: str | None = None  # how Loop Decode decodes it; None for VAE Decode
    fade: int = 0  # last pixel frames that Loop Decode fades into the still


TASKS = (
    Task("Extension: 16 frames given, 20 made", Extension(), "tasks_extension.png"),
    Task("Prepending: 16 frames given, 20 made before", Prepending(), "tasks_prepending.png"),
    Task("Completion: first 5 and last 4 of 33 given", Completion(), "tasks_completion.png"),
    Task("Transition: 9 and 9 given, 15 between", Transition(), "tasks_transition.png"),
    Task("Keyframes 0, 16, 32 of 33, in sequence", Keyframes("in sequence"), "tasks_keyframes.png"),
    Task("Keyframes 0, 16, 32 of 33, single", Keyframes("single")),
)


def loops(roll: int) -> tuple[Task, ...]:
    """The loops; roll: latent frames a step, as the workflows have it."""
    rolled = StillLoop("rolled still", "0.2", roll)
    return (
        Task("Text-to-video played round (no loop)", TextLoop(0)),
        Task("Loop from text, rolled latents", TextLoop(roll), "tasks_loop_from_text.png", "rolled"),
        Task("Loop from a still, rolled (noise multiplier 0.2)", rolled, None, "rolled"),
        Task("The same, the last 4 frames fading", rolled, "tasks_loop_from_still.png", "rolled", 4),
        Task("Loop from a still at both ends", StillLoop("still", "0"), None, "still at both ends"),
        Task("Loop from a clip, bridged, cut", ClipLoop(0)),
        Task("Loop from a clip, bridged, cross-fade of 8 frames", ClipLoop(8), "tasks_loop_from_clip.png"),
    )


def true_loops(zoo: Zoo, moving: Sequence[MovingScene], decoded: bool) -> list[Outcome]:
    """The same scenes with periods that fit the loop, as they truly are or through the VAE: what `closure` can show at all."""
    length = 4 * LATENT_FRAMES
    outcomes = []
    for scene in moving:
        whole = length / round(length / scene.period)
        frames = clip_of(replace(scene, period=whole, rests=False), length)
        if decoded:
            latent = zoo.vae.encode(torch.cat([frames[-17:], frames]))[:, :, -LATENT_FRAMES:]
            frames = PusaLoopDecode.execute(zoo.vae, {"samples": latent}, "rolled").args[0]
        outcomes.append(Outcome(frames, None, frozenset(), closure(frames)))
    return outcomes


def load_zoo(family: str, pusa: Path | None = None) -> Zoo:
    """The models of a family: "wan2.1", "wan2.2" or "lightx2v" (Wan2.2 with four-step LoRAs); pusa: instead of wan2.1's own LoRA."""
    for kind in ("diffusion_models", "loras"):
        folder_paths.add_model_folder_path(kind, str(MODELS / kind), is_default=True)
    if pusa:
        folder_paths.add_model_folder_path("loras", str(pusa.resolve().parent))
    vae = FastVAE(MODELS / "vae" / "demo_wan_vae.safetensors")

    def model(name: str, lora: str, expert: str, fast: str | None = None) -> Any:
        found = comfy_nodes.UNETLoader().load_unet(name, "default")[0]
        found = PusaLoraLoader.execute(found, lora, 1.0, expert).args[0]
        return PusaLightX2VLoader.execute(found, fast, 1.0, expert).args[0] if fast else found

    if family == "wan2.1":
        return Zoo(
            "Wan2.1",
            model("demo_wan2.1_t2v.safetensors", pusa.name if pusa else "demo_pusa_v1.safetensors", "wan2.1"),
            vae,
            16,
            2.0,
            "0",
        )
    fast = family == "lightx2v"
    experts = [
        model(
            f"demo_wan2.2_t2v_{expert}.safetensors",
            f"demo_{expert}_pusa.safetensors",
            expert,
            f"demo_lightx2v_4steps_{expert}.safetensors" if fast else None,
        )
        for expert in ("high_noise", "low_noise")
    ]
    switched = PusaMoESwitch.execute(*experts, 0.875, 0.0, 0.0).args[0]
    return Zoo(
        "Wan2.2 + LightX2V" if fast else "Wan2.2", switched, vae, 4 if fast else 16, 1.0 if fast else 2.0, "0"
    )


def measure(zoo: Zoo, task: Task, held_out: Sequence[Scene], sheets: bool) -> list[Outcome]:
    """The task on every scene, all in one batch; sheets: write the contact sheet."""
    begin = time.monotonic()
    latents = [task.procedure.latent(zoo, scene) for scene in held_out]
    roll = task.procedure.roll if isinstance(task.procedure, TextLoop | StillLoop) else 0
    sampled = zoo.sample(latents, [scene.caption for scene in held_out], roll)
    if task.loop:
        videos = (
            PusaLoopDecode.execute(zoo.vae, {"samples": sampled}, task.loop, task.fade)
            .args[0]
            .unflatten(0, (len(held_out), -1))
        )
    else:
        videos = zoo.vae.decode(sampled)
    outcomes = [
        task.procedure.outcome(zoo, scene, video) for scene, video in zip(held_out, videos, strict=True)
    ]
    if sheets and task.sheet:
        rows = []
        for scene, outcome in zip(held_out[:SHOWN], outcomes, strict=False):
            values = [f"{name} {value:.2f}" for name, value in outcome.numbers.items()]
            notes = [*textwrap.wrap(scene.caption, 46), ", ".join(values[:2])]
            rows.append(Row(task.name.split(":")[0], notes, as_bytes(outcome.frames), outcome.given))
            if outcome.truth is not None:
                rows.append(Row("", ["the true frames"], as_bytes(outcome.truth)))
        contact_sheet(rows, DOCS / task.sheet)
    print(f"{zoo.name}: {task.name}: {time.monotonic() - begin:.0f} s, {summary(outcomes)}", flush=True)
    return outcomes


def as_bytes(frames: Tensor) -> Any:
    """[N, H, W, 3], 0 to 1, as a numpy array of 0 to 255."""
    return (frames * 255).round().clamp(0, 255).byte().numpy()


def median(outcomes: Sequence[Outcome], name: str) -> float:
    """Median over the scenes of one number."""
    return statistics.median(outcome.numbers[name] for outcome in outcomes)


def share_below(outcomes: Sequence[Outcome], name: str, limit: float) -> float:
    """Share of the scenes where a number is below a limit."""
    return statistics.mean(outcome.numbers[name] < limit for outcome in outcomes)


def summary(outcomes: Sequence[Outcome]) -> str:
    """Medians of all numbers, for the terminal."""
    return ", ".join(f"{name} {median(outcomes, name):.3g}" for name in outcomes[0].numbers)


def tasks_table(results: dict[str, list[Outcome]]) -> str:
    """The Markdown table of the tasks that have a true answer."""
    rows = []
    for name, outcomes in results.items():
        seams = [""] * 5
        if "seam" in outcomes[0].numbers:
            seams = [
                f"{median(outcomes, 'seam'):.2f}",
                f"{share_below(outcomes, 'seam', SEAM_LIMIT):.0%}",
                f"{median(outcomes, 'stitched'):.2f}",
                f"{share_below(outcomes, 'stitched', SEAM_LIMIT):.0%}",
                f"{median(outcomes, 'VAE'):.2f}",
            ]
        rows.append(
            [name, f"{median(outcomes, 'PSNR'):.1f}", f"{median(outcomes, 'PSNR of the VAE'):.1f}", *seams]
        )
    head = [
        "task",
        "PSNR of made frames, dB",
        "VAE alone, dB",
        "seam jump",
        "seam < 1.5",
        "stitched seam",
        "stitched < 1.5",
        "VAE's own jump",
    ]
    return table(head, rows)


def loops_table(results: dict[str, list[Outcome]]) -> str:
    """The Markdown table of the loops."""
    rows = [
        [
            name,
            f"{median(found, 'closure'):.2f}",
            f"{share_below(found, 'closure', SEAM_LIMIT):.0%}",
            f"{median(found, 'largest'):.2f}",
            f"{median(found, 'frame step'):.4f}",
        ]
        for name, found in results.items()
    ]
    return table(
        ["loop", "closure / frame step", "closure < 1.5", "largest step / frame step", "frame step"], rows
    )


def main(arguments: Sequence[str]) -> int:
    """Measures one family and writes its section of docs/TASKS.md."""
    parser = argparse.ArgumentParser(prog="tasks_eval", description=__doc__)
    parser.add_argument("--family", choices=("wan2.1", "wan2.2", "lightx2v"), default="wan2.2")
    parser.add_argument("--scenes", type=int, default=24, help="held-out scenes per task")
    parser.add_argument("--noise", default="0", help="noise multiplier of the given frames, 0 to 1")
    parser.add_argument(
        "--pusa",
        type=Path,
        help="a LoRA to try in place of wan2.1's own; prints its table, docs/TASKS.md stays",
    )
    options = parser.parse_args(arguments)
    if options.pusa and options.family != "wan2.1":
        parser.error("--pusa goes with --family wan2.1")
    torch.set_grad_enabled(False)
    DOCS.mkdir(exist_ok=True)
    zoo = replace(load_zoo(options.family, options.pusa), noise=options.noise)
    held_out: list[Scene] = list(islice(scenes(HELD_OUT_SEED, held_out=True), options.scenes))
    returning: list[MovingScene] = list(islice(moving_scenes(HELD_OUT_SEED, held_out=True), options.scenes))
    sheets = options.family == SHOWN_FAMILY and not options.pusa
    head = f"{zoo.name}, {zoo.steps} steps, cfg {zoo.cfg:g}, noise multiplier {zoo.noise}, {options.scenes} held-out scenes, medians; the loops on scenes whose motion returns."
    of_true = {
        "True loops": true_loops(zoo, returning, decoded=False),
        "True loops through the VAE": true_loops(zoo, returning, decoded=True),
    }
    roll = 5 if zoo.steps < 10 else 2
    measured = {task.name: measure(zoo, task, returning, sheets) for task in loops(roll)}
    returned = loops_table(of_true | measured)
    if options.pusa:
        print(f"{head}\n\n{returned}")
        return 0
    for begin in (0, 3):
        zoo.reconstruct(held_out, begin)
    with_truth = {task.name: measure(zoo, task, held_out, sheets) for task in TASKS}
    write_section(
        DOCS / "TASKS.md", f"tasks {options.family}", f"{head}\n\n{tasks_table(with_truth)}\n\n{returned}"
    )
    return 0
