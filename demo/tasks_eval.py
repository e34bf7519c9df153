"""`python demo/in_comfyui.py tasks_eval`: every clip task on held-out scenes, measured; tables in docs/TASKS.md, sheets beside it.

Runs ComfyUI's loaders and the pack's own nodes in this process, on the demo models. A scene's continuation is decided by its
caption and any one frame, so every task but text-to-video has a true answer.
"""

from __future__ import annotations

import argparse
import statistics
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import folder_paths
import nodes as comfy_nodes
import torch
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
from .data import HELD_OUT_SEED, Scene, render, scenes, text_embedding
from .report import DOCS, table, write_section

MODELS = Path(__file__).resolve().parent / "models"

LENGTH, LATENT_FRAMES = 33, 9
SHOWN = 3  # scenes on each contact sheet
SEAM_LIMIT = 1.5


@dataclass(frozen=True)
class Outcome:
    """One scene's result in one task."""

    frames: Tensor  # [N, 64, 64, 3], 0 to 1
    truth: Tensor | None  # the same frames as they truly are
    given: frozenset[int]  # numbers of the frames that were given
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Zoo:
    """The loaded demo models and the settings of one family."""

    name: str
    model: Any
    vae: Any
    steps: int
    cfg: float
    noise: str  # noise multiplier of given frames
    reconstructed: dict[tuple[Scene, int], Tensor] = field(default_factory=dict)

    def sample(self, latent: dict[str, Any], scene: Scene, seed: int, model: Any = None) -> dict[str, Any]:
        """The sampled LATENT."""
        positive, negative = ([[text_embedding(text), {}]] for text in (scene.caption, ""))
        inputs = {"seed": seed, "steps": self.steps, "cfg": self.cfg, "shift": 5.0, "sampler_name": "euler"}
        return PusaSampler.execute(model or self.model, positive, negative, latent, **inputs).args[0]

    def decode(self, latent: dict[str, Any]) -> Tensor:
        """Its frames [N, H, W, 3], 0 to 1."""
        return self.vae.decode(latent["samples"]).flatten(0, 1)

    def through_vae(self, scene: Scene, begin: int) -> Tensor:
        """The scene's true frames `begin` to `begin` + 32 encoded and decoded: the best any model can do."""
        known = self.reconstructed
        if (scene, begin) not in known:
            frames = clip_of(scene, begin + LENGTH)[begin:]
            known[scene, begin] = self.vae.decode(self.vae.encode(frames)).flatten(0, 1)
        return known[scene, begin]


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
    """The jump from frame `before` to the next, relative to the same two frames of the real clip.

    made, truth, decoded: [33, H, W, 3], the generated video, the true frames of the same times, and those through the VAE. "seam": both frames as generated
    against both frames real. "stitched": the real frame on the given side against the generated one on the other, relative to the
    same with the real clip passed through the VAE, since a cut from pixels to decoded pixels is in any stitched video.
    """
    return {
        "seam": step(made[before], made[before + 1]) / step(truth[before], truth[before + 1]),
        "stitched": step(truth[before], made[before + 1]) / step(truth[before], decoded[before + 1]),
    }


def free_numbers(made: Tensor, truth: Tensor, decoded: Tensor, given: frozenset[int]) -> dict[str, float]:
    """PSNR of the frames that were not given, and what the VAE alone would reach on them."""
    free = [frame for frame in range(len(truth)) if frame not in given]
    return {
        "PSNR": psnr(made[free], truth[free]),
        "PSNR of the VAE": psnr(decoded[free], truth[free]),
    }


def extend(zoo: Zoo, scene: Scene, seed: int) -> Outcome:
    """16 frames given, 20 more made."""
    world = clip_of(scene, 36)
    clip, truth, decoded = world[:16], world[3:], zoo.through_vae(scene, 3)
    latent = PusaConditionVideo.execute(
        zoo.vae, empty_latent(), clip, "extend", noise_multipliers=zoo.noise
    ).args[0]
    made = zoo.decode(zoo.sample(latent, scene, seed))
    whole = PusaStitch.execute(made, first=clip).args[1]
    numbers = seam_numbers(made, truth, decoded, 12) | free_numbers(
        made, truth, decoded, frozenset(range(13))
    )
    return Outcome(whole, world, frozenset(range(16)), numbers)


def prepend(zoo: Zoo, scene: Scene, seed: int) -> Outcome:
    """16 frames given, the 20 before them made."""
    world = clip_of(scene, 36)
    clip, truth, decoded = world[20:], world[:33], zoo.through_vae(scene, 0)
    latent = PusaConditionVideo.execute(
        zoo.vae, empty_latent(), clip, "prepend", noise_multipliers=zoo.noise
    ).args[0]
    made = zoo.decode(zoo.sample(latent, scene, seed))
    whole = PusaStitch.execute(made, second=clip).args[1]
    backward = seam_numbers(made.flip(0), truth.flip(0), decoded.flip(0), 12)
    numbers = backward | free_numbers(made, truth, decoded, frozenset(range(20, 33)))
    return Outcome(whole, world, frozenset(range(20, 36)), numbers)


def complete(zoo: Zoo, scene: Scene, seed: int) -> Outcome:
    """The first five and the last four of 33 frames given."""
    truth = clip_of(scene, LENGTH)
    latent = PusaConditionVideo.execute(
        zoo.vae, empty_latent(), truth, "complete", positions="0, 1, -1", noise_multipliers=zoo.noise
    ).args[0]
    made = zoo.decode(zoo.sample(latent, scene, seed))
    given = frozenset([*range(5), *range(29, 33)])
    return Outcome(made, truth, given, free_numbers(made, truth, zoo.through_vae(scene, 0), given))


def transition(zoo: Zoo, scene: Scene, seed: int) -> Outcome:
    """Two clips 15 frames apart joined."""
    truth = clip_of(scene, LENGTH)
    first, second = truth[:9], truth[24:]
    latent = PusaTransition.execute(
        zoo.vae, empty_latent(), first, second, context_frames=9, noise_multipliers=zoo.noise
    ).args[0]
    made = zoo.decode(zoo.sample(latent, scene, seed))
    whole = PusaStitch.execute(made, first=first, second=second, overlap_frames=9).args[1]
    given = frozenset([*range(9), *range(24, 33)])
    return Outcome(whole, truth, given, free_numbers(made, truth, zoo.through_vae(scene, 0), given))


def keyframes(encode: str) -> Callable[[Zoo, Scene, int], Outcome]:
    """Frames 0, 16 and 32 of 33 given as pictures."""

    def run(zoo: Zoo, scene: Scene, seed: int) -> Outcome:
        truth = clip_of(scene, LENGTH)
        given = (0, 16, 32)
        latent = PusaKeyframes.execute(
            zoo.vae, empty_latent(), truth[list(given)], noise_multipliers=zoo.noise, encode=encode
        ).args[0]
        made = zoo.decode(zoo.sample(latent, scene, seed))
        return Outcome(
            made,
            truth,
            frozenset(given),
            free_numbers(made, truth, zoo.through_vae(scene, 0), frozenset(given)),
        )

    return run


def closure(frames: Tensor) -> dict[str, float]:
    """The jump from the last frame to the first, relative to the mean jump between neighbours."""
    steps = [step(before, after) for before, after in pairwise(frames)]
    return {
        "closure": step(frames[-1], frames[0]) / statistics.mean(steps),
        "frame step": statistics.mean(steps),
    }


def text_loop(roll_per_step: int) -> Callable[[Zoo, Scene, int], Outcome]:
    """A loop from a caption alone; 0 is ordinary text-to-video, played round."""

    def run(zoo: Zoo, scene: Scene, seed: int) -> Outcome:
        if roll_per_step == 0:
            frames = zoo.decode(zoo.sample(empty_latent(), scene, seed))
        else:
            model = PusaLoopModel.execute(zoo.model, roll_per_step).args[0]
            frames = PusaLoopDecode.execute(zoo.vae, zoo.sample(empty_latent(), scene, seed, model)).args[0]
        return Outcome(frames, None, frozenset(), closure(frames))

    return run


def still_loop(zoo: Zoo, scene: Scene, seed: int) -> Outcome:
    """A picture that returns to itself."""
    picture = clip_of(scene, 1)
    latent = PusaLoopConditions.execute(zoo.vae, empty_latent(), picture, noise_multipliers=zoo.noise).args[0]
    frames = PusaLoopDecode.execute(zoo.vae, zoo.sample(latent, scene, seed), "still at both ends").args[0]
    return Outcome(frames, None, frozenset([0]), closure(frames))


def clip_loop(zoo: Zoo, scene: Scene, seed: int) -> Outcome:
    """A clip of 16 frames closed by a generated way back."""
    clip = clip_of(scene, 16)
    latent = PusaLoopConditions.execute(
        zoo.vae, empty_latent(), clip, "clip", context_frames=9, noise_multipliers=zoo.noise
    ).args[0]
    made = zoo.decode(zoo.sample(latent, scene, seed))
    frames = PusaStitch.execute(made, first=clip, overlap_frames=9, loop=True).args[1]
    return Outcome(frames, None, frozenset(range(16)), closure(frames))


@dataclass(frozen=True)
class Task:
    """A row of the tables and a contact sheet."""

    name: str
    run: Callable[[Zoo, Scene, int], Outcome]
    sheet: str | None = None  # file name of its contact sheet


TASKS = (
    Task("Extension: 16 frames given, 20 made", extend, "tasks_extension.png"),
    Task("Prepending: 16 frames given, 20 made before", prepend, "tasks_prepending.png"),
    Task("Completion: first 5 and last 4 of 33 given", complete, "tasks_completion.png"),
    Task("Transition: 9 and 9 given, 15 between", transition, "tasks_transition.png"),
    Task("Keyframes 0, 16, 32 of 33, in sequence", keyframes("in sequence"), "tasks_keyframes.png"),
    Task("Keyframes 0, 16, 32 of 33, single", keyframes("single")),
)
LOOPS = (
    Task("Text-to-video played round (no loop)", text_loop(0)),
    Task("Loop from text, rolled latents", text_loop(2), "tasks_loop_from_text.png"),
    Task("Loop from a still", still_loop, "tasks_loop_from_still.png"),
    Task("Loop from a clip, bridged", clip_loop, "tasks_loop_from_clip.png"),
)


def load_zoo(family: str) -> Zoo:
    """The models of a family: "wan2.1", "wan2.2" or "lightx2v" (Wan2.2 with four-step LoRAs)."""
    for kind in ("diffusion_models", "loras", "vae"):
        folder_paths.add_model_folder_path(kind, str(MODELS / kind), is_default=True)
    vae = comfy_nodes.VAELoader().load_vae("demo_wan_vae.safetensors")[0]

    def model(name: str, lora: str, expert: str, fast: str | None = None) -> Any:
        found = comfy_nodes.UNETLoader().load_unet(name, "default")[0]
        found = PusaLoraLoader.execute(found, lora, 1.0, expert).args[0]
        return PusaLightX2VLoader.execute(found, fast, 1.0, expert).args[0] if fast else found

    if family == "wan2.1":
        return Zoo(
            "Wan2.1",
            model("demo_wan2.1_t2v.safetensors", "demo_pusa_v1.safetensors", "wan2.1"),
            vae,
            16,
            3.0,
            "0",
        )
    fast = family == "lightx2v"
    experts = [
        model(
            f"demo_wan2.2_t2v_{expert}.safetensors",
            f"demo_{expert}_pusa.safetensors",
            expert,
            f"demo_{expert}_lightx2v.safetensors" if fast else None,
        )
        for expert in ("high_noise", "low_noise")
    ]
    switched = PusaMoESwitch.execute(*experts, 0.875, 0.0, 0.0).args[0]
    return Zoo(
        "Wan2.2 + LightX2V" if fast else "Wan2.2", switched, vae, 4 if fast else 16, 1.0 if fast else 3.0, "0"
    )


def measure(zoo: Zoo, task: Task, held_out: Sequence[Scene]) -> list[Outcome]:
    """The task on every scene, each with its own noise; writes the contact sheet."""
    begin = time.monotonic()
    outcomes = [task.run(zoo, scene, seed) for seed, scene in enumerate(held_out)]
    if task.sheet:
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
        seams = ["", "", ""]
        if "seam" in outcomes[0].numbers:
            seams = [
                f"{median(outcomes, 'seam'):.2f}",
                f"{share_below(outcomes, 'seam', SEAM_LIMIT):.0%}",
                f"{share_below(outcomes, 'stitched', SEAM_LIMIT):.0%}",
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
        "stitched seam < 1.5",
    ]
    return table(head, rows)


def loops_table(results: dict[str, list[Outcome]]) -> str:
    """The Markdown table of the loops."""
    rows = [
        [
            name,
            f"{median(found, 'closure'):.2f}",
            f"{share_below(found, 'closure', SEAM_LIMIT):.0%}",
            f"{median(found, 'frame step'):.4f}",
        ]
        for name, found in results.items()
    ]
    return table(["loop", "closure / frame step", "closure < 1.5", "frame step"], rows)


def main(arguments: Sequence[str]) -> int:
    """Measures one family and writes its section of docs/TASKS.md."""
    parser = argparse.ArgumentParser(prog="tasks_eval", description=__doc__)
    parser.add_argument("--family", choices=("wan2.1", "wan2.2", "lightx2v"), default="wan2.2")
    parser.add_argument("--scenes", type=int, default=24, help="held-out scenes per task")
    parser.add_argument("--noise", default="0", help="noise multiplier of the given frames, 0 to 1")
    options = parser.parse_args(arguments)
    torch.set_grad_enabled(False)
    DOCS.mkdir(exist_ok=True)
    loaded = load_zoo(options.family)
    zoo = Zoo(loaded.name, loaded.model, loaded.vae, loaded.steps, loaded.cfg, options.noise)
    held_out = list(islice(scenes(HELD_OUT_SEED, held_out=True), options.scenes))
    with_truth = {task.name: measure(zoo, task, held_out) for task in TASKS}
    loops = {task.name: measure(zoo, task, held_out) for task in LOOPS}
    text = (
        f"{zoo.name}, {zoo.steps} steps, cfg {zoo.cfg:g}, noise multiplier {zoo.noise}, {options.scenes} held-out scenes, medians.\n\n"
        f"{tasks_table(with_truth)}\n\n{loops_table(loops)}"
    )
    write_section(DOCS / "TASKS.md", f"tasks {options.family}", text)
    return 0
