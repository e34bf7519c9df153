"""A warm start: runs of the zoo that begin late in their schedule, with the weights of files published before.

Such a run's folder gets a first checkpoint with the file's weights, from which `python demo train` goes on as it does after an
interruption, only that the optimizer begins anew. MARK beside it names the file, for the model card.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ..wan_vae import LATENT_MEAN, LATENT_STD, WanVAE, load_vae, rescale_latents
from .files import DIT_FILES, PUSA_FILES, VAE_FILE, sha256
from .plan import Plan, begin_at, has_begun
from .pusa import PUSA, PUSA_HIGH_NOISE, PUSA_LOW_NOISE
from .text_to_video import BASE
from .vae import IMAGES, VIDEO

MARK = "warm_start.json"
STEPS_LEFT = {IMAGES: 0, VIDEO: 600, BASE: 3000, PUSA: 3000, PUSA_HIGH_NOISE: 2400, PUSA_LOW_NOISE: 2400}
"""Of the runs that can begin warm. The experts begin with the base anyway; the 4-step LoRAs begin from nothing."""

LATENT_SPREAD = 0.5  # about that of a VAE whose training has not been matched to Wan's statistics yet

log = logging.getLogger("demo")


@dataclass(frozen=True)
class WarmStart:
    """What a run began with."""

    file: str
    sha256: str
    step: int  # of its schedule


def begin_warm(models: Path, runs: Path) -> None:
    """Begin the runs of STEPS_LEFT that have not begun, with the files below `models`."""
    for plan, left in STEPS_LEFT.items():
        if has_begun(plan, runs):
            continue
        name = file_of(plan)
        start = WarmStart(name, sha256(models / name), plan.steps - left)
        folder = runs / plan.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARK).write_text(json.dumps(vars(start)), "utf-8")
        begin_at(plan, runs, start.step, weights_for(plan, load_file(models / name)))
        log.info("%s begins at step %s of %s with %s", plan.name, start.step, plan.steps, name)


def warm_start_of(plan: Plan, runs: Path) -> WarmStart | None:
    """What the run began with, or None if it began with nothing."""
    mark = runs / plan.name / MARK
    return WarmStart(**json.loads(mark.read_text("utf-8"))) if mark.is_file() else None


def file_of(plan: Plan) -> str:
    """The published file a run's weights go into."""
    if plan in (IMAGES, VIDEO):
        return VAE_FILE
    of_plan = {of[0]: name for name, of in DIT_FILES.items()} | {of: name for name, of in PUSA_FILES.items()}
    return of_plan[plan]


def weights_for(plan: Plan, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's weights as the run trains them, float32."""
    if plan not in (IMAGES, VIDEO):
        return {name: value.float() for name, value in published.items()}
    vae = unmatched(load_vae(published))
    trained = {name for name, value in WanVAE().named_parameters() if value.requires_grad}
    return {name: value for name, value in vae.state_dict().items() if name in trained}


def unmatched(vae: WanVAE) -> WanVAE:
    """The same VAE with latents of mean 0 and LATENT_SPREAD, for which the noise and the penalty of its training are meant."""
    scale = torch.as_tensor(LATENT_SPREAD) / LATENT_STD
    rescale_latents(vae, scale, -scale * LATENT_MEAN)
    return vae
