"""Four-step LoRAs: the student learns to cover in one step, without guidance, what its teacher covers in several with it.

The teacher's paths from noise to clip are written down once. On four levels of a path the student is given the teacher's
latent and learns the straight velocity to the next level, so four Euler steps end where the teacher ended.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from ...pusa_core.experts import BOUNDARY_T2V
from ...pusa_core.schedule import TIMESTEPS, flow_sigmas
from ...pusa_core.wan_dit import WanDiT
from .. import world
from ..nodes.words import text_embedding
from .arithmetic import autocast
from .experts import HIGH_NOISE, LOW_NOISE
from .flow import DIT, compiled, trained_dit
from .lora import adapt
from .plan import Plan, train
from .text_to_video import BASE

STUDENT_STEPS = 4
TEACHER_STEPS = 12  # a multiple of the student's, so that the levels coincide
SHIFT = 5.0
GUIDANCE = 3.0
RANK = 8
LEVELS = flow_sigmas(STUDENT_STEPS, SHIFT)  # [5]: 1, 0.9375, 0.8333, 0.625, 0
PATHS = {5: 768, 9: 384}  # latent frames of a clip: number of paths
TOGETHER = 32  # clips sampled in one batch
PROMPT_SEED = 41

# sigma -> the model that runs there
Teacher = Callable[[float], WanDiT]


@dataclass(frozen=True)
class Paths:
    """What a teacher did, for one clip length."""

    latents: Tensor  # [N, STUDENT_STEPS + 1, 16, F, H, W], half precision, on LEVELS
    captions: list[str]


@torch.inference_mode()
def record_paths(folder: Path, teacher: Teacher) -> None:
    """Run the teacher on training captions and write its latents on the student's levels, one file a batch."""
    folder.mkdir(parents=True, exist_ok=True)
    scenes = world.scenes(PROMPT_SEED, held_out=False)
    for frames, count in PATHS.items():
        for number in range(count // TOGETHER):
            captions = [scene.caption for scene in itertools.islice(scenes, TOGETHER)]
            path = folder / f"{frames}_{number:03}.pt"
            if path.exists():
                continue
            seed = 1000 * frames + number
            latents = _teacher_path(teacher, captions, frames, seed)
            partial = path.with_suffix(".new")
            torch.save({"latents": latents.half(), "captions": captions}, partial)
            partial.replace(path)


def _teacher_path(teacher: Teacher, captions: Sequence[str], frames: int, seed: int) -> Tensor:
    """Euler steps with guidance. Returns the latents on LEVELS, [B, STUDENT_STEPS + 1, 16, F, H, W]."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(captions), DIT.channels, frames, 8, 8, generator=generator)
    text = torch.cat([text_embedding(caption) for caption in captions])
    empty = text_embedding("").expand(len(captions), -1, -1)
    sigmas = flow_sigmas(TEACHER_STEPS, SHIFT)
    kept = [x]
    for step in range(TEACHER_STEPS):
        model = teacher(float(sigmas[step]))
        timestep = (TIMESTEPS * sigmas[step]).expand(len(x))
        with autocast():
            guided = model(x, timestep, text).float()
            free = model(x, timestep, empty).float()
        x = x + (free + GUIDANCE * (guided - free)) * (sigmas[step + 1] - sigmas[step])
        if (step + 1) % (TEACHER_STEPS // STUDENT_STEPS) == 0:
            kept.append(x)
    return torch.stack(kept, dim=1)


@dataclass(frozen=True)
class Student:
    """One LoRA to distill: on which model, from which teacher, for which of the four steps."""

    plan: Plan
    model: Plan
    teacher: str  # a key of TEACHERS
    levels: tuple[int, ...]
    with_bias: bool  # also bias changes, as LightX2V's Wan2.1 files have


STUDENTS = {
    "lightx2v": Student(
        Plan("lightx2v", 800, 1e-3, seed=61, batch=16), BASE, "base", (0, 1, 2, 3), with_bias=True
    ),
    "lightx2v_high_noise": Student(
        Plan("lightx2v_high_noise", 500, 1e-3, seed=62, batch=16), HIGH_NOISE, "experts", (0, 1), False
    ),
    "lightx2v_low_noise": Student(
        Plan("lightx2v_low_noise", 500, 1e-3, seed=63, batch=16), LOW_NOISE, "experts", (2, 3), False
    ),
}
TEACHERS: dict[str, tuple[Plan, Plan]] = {"base": (BASE, BASE), "experts": (HIGH_NOISE, LOW_NOISE)}


def record_teacher(name: str, runs: Path) -> None:
    """Write the paths of the teacher of that name."""
    high, low = (trained_dit(plan, runs).eval() for plan in TEACHERS[name])
    record_paths(runs / f"paths_{name}", lambda sigma: high if sigma >= BOUNDARY_T2V else low)


def train_student(student: Student, runs: Path) -> None:
    """Train the student's LoRA."""
    plan, folder = student.plan, runs / f"paths_{student.teacher}"
    model = trained_dit(student.model, runs)
    trained = adapt(model, RANK, plan.seed, student.with_bias)
    paths = {frames: _read(folder, frames) for frames in PATHS}
    vectors = {text: text_embedding(text) for text in {c for p in paths.values() for c in p.captions}}
    velocity = compiled(model)
    draw_level = torch.tensor(student.levels)

    def loss_of_step(step: int) -> Tensor:
        of_length = paths[list(PATHS)[int(torch.randint(len(PATHS), ()))]]
        chosen = torch.randint(len(of_length.latents), (plan.batch,))
        level = draw_level[torch.randint(len(draw_level), (plan.batch,))]
        start = of_length.latents[chosen, level].float()
        end = of_length.latents[chosen, level + 1].float()
        width = rearrange(LEVELS[level] - LEVELS[level + 1], "b -> b 1 1 1 1")
        text = torch.cat([vectors[of_length.captions[i]] for i in chosen.tolist()])
        with autocast():
            predicted = velocity(start, TIMESTEPS * LEVELS[level], model.text_embedding(text))
        return (predicted.float() - (start - end) / width).square().mean()

    optimizer = torch.optim.AdamW(trained, lr=plan.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    train(plan, runs, model, [optimizer], loss_of_step)


def _read(folder: Path, frames: int) -> Paths:
    parts = [torch.load(path, weights_only=True) for path in sorted(folder.glob(f"{frames}_*.pt"))]
    if len(parts) != PATHS[frames] // TOGETHER:
        raise FileNotFoundError(
            f"{folder} holds {len(parts)} of {PATHS[frames] // TOGETHER} files of {frames} frames."
        )
    return Paths(
        latents=torch.cat([part["latents"] for part in parts]),
        captions=[caption for part in parts for caption in part["captions"]],
    )
