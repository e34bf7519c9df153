"""A sweep on ComfyUI: every tile of a grid sampled and decoded, finished ones kept on disk, one progress bar over all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import comfy.model_management
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...pusa_core.bases import Base
from ...pusa_core.conditions import FrameCondition, place
from ...pusa_core.digest import digest
from ...pusa_core.errors import PusaError
from ...pusa_core.folders import check_names, folder_inside
from ...pusa_core.images import fit_images
from ...pusa_core.injections import INJECTIONS, Injection
from ...pusa_core.sweep import (
    Choice,
    Measures,
    Sheet,
    Tile,
    best_of,
    draw_sheet,
    draw_video,
    measure,
    plan_tiles,
    tile_text,
)
from .features import feature_of
from .folders import output_folder
from .identity import model_identity, vae_identity, value_identity
from .models import base_of, check_vae, empty_latent
from .progress import StepsOfRuns
from .progressive import ProgressiveResolution
from .pusa_alpha import with_pusa_alpha
from .samplers import build_sampler
from .sampling import SamplingRequest, sample_video
from .vaes import decoder_of, encoder_of
from .video import video_of_frames

SAMPLES = "samples"
"""Key of a tile's latent in its file."""


@dataclass(frozen=True)
class SweepRequest:
    """What a sweep is asked for; the fields are the inputs of the node Pusa Sweep, in their order."""

    model: Any  # MODEL
    positive: Any  # CONDITIONING
    negative: Any
    vae: Any
    image: Tensor  # [1, H, W, C]
    multipliers: str = "0, 0.2, 0.4"
    alphas: str = ""
    steps: str = "30"
    seeds: str = "0, 1"
    width: int = 416  # pixels, a multiple of the base's
    height: int = 240
    length: int = 33  # frames, a whole length of the base
    cfg: float = 3.0
    shift: float = 5.0
    sampler_name: str = "euler"
    resize: str = "crop"
    folder: str = "pusa_sweep"  # inside the output folder

    def checked(self) -> Base:
        """The base of the model, once all that would stop a tile is known to be right."""
        base = base_of(self.model)
        progressive = feature_of(self.model, ProgressiveResolution)
        if progressive is not None and progressive.own_content:
            raise PusaError(
                "Pusa Progressive has latent_small, which has one noise multiplier, but a sweep tries several and makes the picture smaller "
                "itself. Take latent_small out."
            )
        check_vae(self.vae, base)
        build_sampler(self.sampler_name, torch.ones(1))
        multiple = base.size_multiple
        if self.width % multiple or self.height % multiple:
            raise PusaError(
                f"The size is {self.width} x {self.height}; {base.short} needs multiples of {multiple} in both."
            )
        if not base.is_whole(self.length):
            shorter, longer = base.neighbours(self.length)
            raise PusaError(
                f"The length {self.length} is not {base.lengths}, which {base.short} needs. Use {shorter} or {longer}."
            )
        if len(self.image) != 1:
            raise PusaError(f"image got {len(self.image)} pictures; a sweep tries one. Connect exactly one.")
        return base

    def tiles_folder(self) -> Path:
        """Where finished tiles are kept."""
        check_names(self.folder, "folder")
        return folder_inside(output_folder(), self.folder, "folder")


@dataclass(frozen=True)
class Sweep:
    """A finished sweep."""

    tiles: list[Tile]  # row by row
    found: list[Measures]
    choice: Choice
    sheet: Sheet
    video: Any  # VIDEO

    @property
    def best(self) -> Tile:
        """The tile with the best trade-off."""
        return self.tiles[self.choice.number]

    @property
    def report(self) -> str:
        """What the node says: the best tile and why, then every tile."""
        lines = [f"{tile_text(tile)}: {one.text}" for tile, one in zip(self.tiles, self.found, strict=True)]
        return "\n".join([f"Best trade-off: {tile_text(self.best)}. {self.choice.reason}", *lines])


def run_sweep(request: SweepRequest) -> Sweep:
    """Make every tile, or take it from an earlier run, and compare them."""
    base = request.checked()
    rows = plan_tiles(request.multipliers, request.alphas, request.steps, request.seeds)
    tiles = [tile for row in rows for tile in row]
    runs = TileRuns(request, base, tiles)
    videos, found = [], []
    for frames in runs.frames():
        found.append(measure(frames, runs.picture))
        videos.append((frames * 255.0).round().clamp(0, 255).to("cpu", torch.uint8))
    choice = best_of(found, [(tile.multiplier, tile.alpha, tile.steps) for tile in tiles])
    playing = draw_video(rows, videos, choice)
    video = video_of_frames(playing, None, Fraction(base.fps).limit_denominator(1000))
    return Sweep(tiles, found, choice, draw_sheet(rows, videos, found, choice), video)


class TileRuns:
    """The tiles of a sweep, one run of the sampler each."""

    def __init__(self, request: SweepRequest, base: Base, tiles: list[Tile]):
        self.request, self.base, self.tiles = request, base, tiles
        self.folder = request.tiles_folder()
        self.picture = (
            fit_images(request.image, request.width, request.height, request.resize)[0].float().cpu()
        )
        self.encode = encoder_of(request.vae)
        self.given = self.encode(self.picture[None])
        self.progress = StepsOfRuns(request.model, [tile.steps for tile in tiles])
        self.identity = digest(
            [
                model_identity(request.model), vae_identity(request.vae), value_identity([request.positive, request.negative]),
                self.picture, request.width, request.height, request.length, request.cfg, request.shift, request.sampler_name,
            ]
        )  # fmt: skip

    def frames(self) -> Iterator[Tensor]:
        """The decoded frames [N, H, W, 3], 0 to 1, of every tile in turn."""
        models: dict[float | None, Any] = {None: self.request.model}
        for number, tile in enumerate(self.tiles):
            comfy.model_management.throw_exception_if_processing_interrupted()
            file = self.folder / f"{digest([self.identity, vars(tile)])}.safetensors"
            samples = read_samples(file)
            if samples is None:
                if tile.alpha not in models:
                    models = {
                        None: self.request.model,
                        tile.alpha: with_pusa_alpha(self.request.model, tile.alpha),
                    }
                samples = self.sample(tile, models[tile.alpha], self.progress.callback(number))
                write_samples(file, samples)
            comfy.model_management.throw_exception_if_processing_interrupted()
            decoded = decoder_of(self.request.vae)(samples)
            frames = (
                decoded.reshape(-1, self.request.height, self.request.width, decoded.shape[-1])[..., :3]
                .float()
                .cpu()
            )
            self.progress.show(frames[-1], number)
            yield frames

    def sample(self, tile: Tile, model: Any, callback: Callable[..., None]) -> Tensor:
        """The samples [1, C, F, h, w] of a tile."""
        request = self.request
        frames = self.base.latent_frame_count(request.length)
        empty = empty_latent(self.base, request.width, request.height, frames)

        def first_frame(given: Tensor) -> FrameCondition:
            return FrameCondition(given[:, :, :1], 0, tile.multiplier)

        injection = Injection(
            self.encode, lambda encode: [first_frame(encode(self.picture[None]))], (first_frame(self.given),)
        )
        samples, multipliers = place(empty, None, injection.conditions, self.base)
        latent = {"samples": samples, "noise_multipliers": multipliers, INJECTIONS: (injection,)}
        run = SamplingRequest(
            model, request.positive, request.negative, latent, tile.seed,
            tile.steps, request.cfg, request.shift, request.sampler_name,
        )  # fmt: skip
        return sample_video(run, callback)["samples"]


def read_samples(file: Path) -> Tensor | None:
    """The samples of a finished tile; None where there are none, or where the file cannot be read."""
    try:
        return load_file(file)[SAMPLES].clone()  # not a view of the file, which may be replaced
    except (OSError, SafetensorError, KeyError):
        return None


def write_samples(file: Path, samples: Tensor) -> None:
    """Keep the samples of a finished tile; the file is there whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".part")
    save_file({SAMPLES: samples.contiguous().cpu()}, unfinished)
    os.replace(unfinished, file)
