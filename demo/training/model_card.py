"""demo/models/README.md: what every file is, how it was trained and how to check it, written from the runs themselves."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from pathlib import Path

import torch

from .. import data, world
from ..report import table
from . import distill, flow, latents, lora, pusa, text_to_video, vae
from .experts import HIGH_NOISE, LOW_NOISE
from .files import DISTILL_FILES, DIT_FILES, LIGHTNING_FILES, PUSA_FILES, VAE_FILE, sha256
from .plan import Plan, finished
from .warm_start import STEPS_LEFT, warm_start_of

ABOUT = {
    VAE_FILE: "Wan 2.1 VAE, width 8; latents have Wan 2.1's own mean and spread per channel",
    "diffusion_models/demo_wan2.1_t2v.safetensors": "text-to-video base",
    "diffusion_models/demo_wan2.2_t2v_high_noise.safetensors": "high-noise expert, tuned from the base",
    "diffusion_models/demo_wan2.2_t2v_low_noise.safetensors": "low-noise expert, tuned from the base",
    "loras/demo_pusa_v1.safetensors": "Pusa LoRA of the base, the authors' key layout",
    "loras/demo_high_noise_pusa.safetensors": "Pusa LoRA of the high-noise expert",
    "loras/demo_low_noise_pusa.safetensors": "Pusa LoRA of the low-noise expert",
    "loras/demo_lightx2v_4steps_wan2.1.safetensors": "4-step LoRA of the base, LightX2V's Wan2.1 layout (with diff_b)",
    "loras/demo_lightx2v_4steps_high_noise.safetensors": "4-step LoRA, Wan2.2-Lightning layout (with .alpha)",
    "loras/demo_lightx2v_4steps_low_noise.safetensors": "4-step LoRA, Wan2.2-Lightning layout (with .alpha)",
}


def plans_of(name: str) -> tuple[Plan, ...]:
    """The runs a file comes from, the last one named last."""
    if name == VAE_FILE:
        return vae.IMAGES, vae.VIDEO
    if name in DIT_FILES:
        return (DIT_FILES[name][0],)
    if name in PUSA_FILES:
        return (PUSA_FILES[name],)
    return (distill.STUDENTS[(DISTILL_FILES | LIGHTNING_FILES)[name]].plan,)


def write_card(runs: Path, models: Path) -> None:
    """Write models/README.md for the files that are there."""
    rows, minutes = [], 0.0
    for name, about in ABOUT.items():
        path = models / name
        if not path.exists():
            continue
        last = _last(plans_of(name)[-1], runs)
        spent = sum(finished(plan, runs).facts["seconds"] for plan in plans_of(name)) / 60
        minutes += spent
        rows.append(
            [
                f"`{name}`",
                about,
                f"{path.stat().st_size / 1e6:.2f}",
                " + ".join(_steps(plan, runs) for plan in plans_of(name)),
                " + ".join(str(plan.seed) for plan in plans_of(name)),
                f"{spent:.0f}",
                f"{last['loss']:.4f}",
                f"`{sha256(path)[:16]}`",
            ]
        )
    total = sum((models / name).stat().st_size for name in ABOUT if (models / name).exists()) / 1e6
    head = ["file", "what", "MB", "steps", "seed", "minutes", "last loss", "sha256 begins"]
    (models / "README.md").write_text(
        CARD.format(table=table(head, rows), total=total, minutes=minutes, **_facts(runs)), "utf-8"
    )


def _last(plan: Plan, runs: Path) -> Mapping[str, float]:
    """The last line of a run's history."""
    return json.loads((runs / plan.name / "history.json").read_text("utf-8"))[-1]


def _steps(plan: Plan, runs: Path) -> str:
    """How many steps the run made here."""
    start = warm_start_of(plan, runs)
    return f"{plan.steps - start.step} (warm)" if start else str(plan.steps)


def _origin(runs: Path) -> tuple[str, str]:
    """How training began: a few words, and a paragraph for the section How."""
    starts = {plan: start for plan in STEPS_LEFT if (start := warm_start_of(plan, runs))}
    if not starts:
        return "from nothing", ""
    rows = "; ".join(
        f"`{plan.name}` at step {start.step} of {plan.steps} with `{start.file}` (sha256 {start.sha256[:16]})"
        for plan, start in starts.items()
    )
    return (
        "partly from the files published before",
        f"* **Warm start.** Runs marked (warm) began late in their schedule, with weights of the zoo before this one and an optimizer that had seen "
        f"nothing: {rows}. The steps and minutes in the table are those made since.\n",
    )


def _facts(runs: Path) -> dict[str, object]:
    video = _last(vae.VIDEO, runs)
    origin, warm = _origin(runs)
    captions = math.prod(
        len(values)
        for values in (data.SHAPES, data.COLOURS, data.BACKGROUNDS, data.DIRECTIONS, data.SPEEDS, data.SIZES)
    )
    return {
        "origin": origin,
        "warm": warm,
        "clips": latents.CLIPS,
        "vae_clips": vae.CLIPS,
        "captions": captions,
        "straight": world.STRAIGHT_SHARE,
        "image_psnr": f"{video['image_psnr']:.1f}",
        "clip_psnr": f"{video['clip_psnr']:.1f}",
        "dim": flow.DIT.dim,
        "layers": flow.DIT.layers,
        "ffn": flow.DIT.ffn_dim,
        "batch": text_to_video.BASE.batch,
        "pusa_rank": pusa.RANK,
        "equal": flow.VECTORIZED.equal_share,
        "given": flow.VECTORIZED.given_share,
        "student_rank": distill.RANK,
        "adapted": ", ".join(lora.ADAPTED),
        "torch": torch.__version__.split("+")[0],
        "python": platform.python_version(),
        "high": f"{HIGH_NOISE.learning_rate:g}",
        "low": f"{LOW_NOISE.learning_rate:g}",
        "teacher_steps": distill.TEACHER_STEPS,
        "guidance": f"{distill.GUIDANCE:g}",
        "paths": sum(distill.PATHS.values()),
    }


CARD = """# The demo models

Tiny Wan models in the real file formats, {total:.1f} MB together, trained {origin} by `python dev.py train` on a CPU
(Python {python}, PyTorch {torch}). They know one world, coloured shapes that move over a plain background, and they
are here to be tried and measured, not to make videos of anything else. What they can and cannot do: [docs/RESULTS.md](../../docs/RESULTS.md).

They work at 64 x 64 pixels and 17 or 33 frames (16 per second). Text goes through the node *Demo Text Encode*: "a large red circle moving right
quickly on a dark background".

{table}

Together {minutes:.0f} minutes of training on a shared machine. Every run's seed, steps and learning rate stand in `demo/training/`;
`dev.py train` goes on where it was interrupted and writes logs and loss curves to `demo/runs/`. The same seeds give the same data on every machine; the
weights agree with these only as far as floating-point arithmetic of another processor does.

![Loss curves](losses.png)

## How

{warm}* **Data.** `demo/data.py` draws the clips: 3 shapes, 5 colours, 3 backgrounds, 4 directions, 2 speeds, 2 sizes, so {captions} captions, with
  random place and radius. They are {straight:.0%} of the clips; in the others (`demo/world.py`) the shape bounces, circles, swings, spins or fades. A tenth of all captions, chosen by their hash, is held out: no training clip has them. {vae_clips} clips train the VAE, {clips}
  others the DiTs. Nothing was downloaded.
* **VAE.** Wan 2.1's layers at width 8. First single images, then clips of 9 and 17 frames; {image_psnr} dB on held-out images, {clip_psnr} dB on held-out clips of 33
  frames. Some layers are idle (zeros in the file): attention, the second block of a pair, and the earlier taps of the convolutions at
  full and half resolution. They made training on a CPU possible. Two 1 x 1 convolutions then absorb an exact rescaling of the latents.
* **Text.** No encoder: every word has a fixed vector of 4096 numbers made of sha256 bytes.
* **Base.** Wan's DiT with {dim} channels, {layers} blocks, feed-forward {ffn}; one timestep a clip (shift 5), batch {batch}, Muon and AdamW.
* **Experts.** The base, tuned on sigma above and below 0.875 (learning rates {high}, {low}). Their matrices are stored as float8 (e4m3), everything
  else here as bfloat16.
* **Pusa LoRAs.** Rank {pusa_rank} on {adapted} of both attentions of every block. Every latent frame of a clip draws its own sigma (Pusa V1.0, vectorized
  timestep adaptation, shift 5), in {equal:.0%} of the clips all frames share one (FVDM's probabilistic sampling), and in {given:.0%} one or both ends are
  given nearly clean, target noise - clean, the reference's timestep weights, by the pack's trainer (docs/TRAINING.md).
* **4-step LoRAs.** Rank {student_rank}. The teacher makes {paths} clips in {teacher_steps} steps with guidance {guidance}; the student learns the straight way between its four levels (shift 5),
  without guidance. It has seen text-to-video only.
"""
