"""Long video on ComfyUI: one window after another through its model, VAE and folders."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import comfy.model_management
import torch
from torch import Tensor

from ...pusa_core.bases import Base
from ...pusa_core.choices import check_choice
from ...pusa_core.colour import METHODS
from ...pusa_core.digest import digest
from ...pusa_core.errors import PusaError
from ...pusa_core.frames import NoiseMultiplier
from ...pusa_core.images import fit_images
from ...pusa_core.long_video import (
    PROMPT_START,
    Guidance,
    Window,
    duration_in_frames,
    plan_windows,
    prompt_at,
    prompt_second,
    render_long_video,
    start_frames_used,
    window_multipliers,
)
from ...pusa_core.video_parts import VideoParts
from .folders import output_file
from .identity import model_identity, vae_identity, value_identity
from .models import base_of, check_vae, empty_latent
from .progress import StepsOfMany
from .samplers import build_sampler
from .sampling import SamplingRequest, sample_video
from .vaes import decoder_of, encoder_of

NO_MATCH = "off"


@dataclass(frozen=True)
class LongVideoRequest:
    """What a long video is asked for; the fields are the inputs of the node Long Video, in their order."""

    model: Any  # MODEL
    positive: Any  # CONDITIONING, with starts in seconds from Prompt at Time
    negative: Any
    vae: Any
    width: int  # pixels, a multiple of the base's
    height: int
    duration: float
    duration_unit: str
    window: int  # frames, a whole length of the base
    overlap: int
    noise_multipliers: str  # of the frames taken over, as typed
    seed: int
    steps: int
    cfg: float
    shift: float
    sampler_name: str
    color_match: str
    resize: str
    fps: float
    crf: int
    filename_prefix: str
    start: Tensor | None = None  # pictures [N, H, W, C]
    end: Tensor | None = None
    anchor: Tensor | None = None
    end_multiplier: float = 0.0
    anchor_multiplier: float = 0.0
    sigmas: Tensor | None = None
    resume: bool = True

    def check(self) -> None:
        """Refuse what cannot be made, before anything is."""
        base = base_of(self.model)
        check_vae(self.vae, base)
        check_choice("color_match", self.color_match, (*METHODS, NO_MATCH))
        if self.width % base.size_multiple or self.height % base.size_multiple:
            raise PusaError(
                f"The size is {self.width} x {self.height}; {base.short} needs multiples of {base.size_multiple} in both."
            )
        build_sampler(self.sampler_name, torch.ones(1))

    def sampling(self) -> SamplingRequest:
        """A window's run, but for its prompts, latent and seed."""
        request = SamplingRequest(
            self.model, self.positive, self.negative, {}, self.seed,
            self.steps, self.cfg, self.shift, self.sampler_name, sigmas=self.sigmas,
        )  # fmt: skip
        return replace(request, sigmas=request.schedule())

    def guidance(self) -> Guidance:
        """What is given besides text, at the size of the video."""
        start = self.start
        if start is not None:
            start = start[-start_frames_used(len(start), self.overlap, base_of(self.model)) :]
        pictures = {"start": start, "end": _one("end", self.end), "anchor": _one("anchor", self.anchor)}
        fitted = {
            name: None if picture is None else fit_images(picture, self.width, self.height, self.resize)
            for name, picture in pictures.items()
        }
        return Guidance(
            noise_multipliers=self.noise_multipliers,
            **fitted,
            end_multiplier=NoiseMultiplier(self.end_multiplier),
            anchor_multiplier=NoiseMultiplier(self.anchor_multiplier),
            colour_match=None if self.color_match == NO_MATCH else self.color_match,
        )

    def plan(self, guidance: Guidance) -> list[Window]:
        """The windows, once their multipliers are known to be right."""
        frames = duration_in_frames(self.duration, self.duration_unit, self.fps)
        given = 0 if guidance.start is None else len(guidance.start)
        windows = plan_windows(frames, self.window, self.overlap, given, base_of(self.model))
        window_multipliers(windows, guidance)  # refuses what was typed wrongly
        return windows

    def identity(self, plan: list[Window], guidance: Guidance, sigmas: Tensor) -> str:
        """A name of all that decides the video, so that an interrupted one goes on only with the same settings."""
        return digest(
            [
                [str(window) for window in plan], vars(guidance),
                self.width, self.height, self.seed, self.cfg, self.shift, self.sampler_name, sigmas, self.fps, self.crf,
                value_identity([self.positive, self.negative]), model_identity(self.model), vae_identity(self.vae),
            ]
        )  # fmt: skip


@dataclass(frozen=True)
class LongVideo:
    """A finished video in the output folder."""

    path: Path
    subfolder: str
    report: str  # one line a window
    multipliers: list[list[float]]  # [F] of each window
    base: Base


def make_long_video(request: LongVideoRequest, metadata: dict[str, Any]) -> LongVideo:
    """Make the video, or what is missing of it; metadata: what is written into the file."""
    request.check()
    guidance, sampling = request.guidance(), request.sampling()
    plan = request.plan(guidance)
    path, name, subfolder = output_file(request.filename_prefix, request.width, request.height, ".mp4")
    identity = request.identity(plan, guidance, sampling.sigmas)
    parts = VideoParts(path.parent / f"{name}.{identity}.parts", path, request.fps, request.crf, metadata)
    if not request.resume:
        parts.forget()
    runs = ComfyWindows(request, sampling, len(plan))
    made = render_long_video(plan, runs, guidance, parts)
    report = "\n".join(f"{window}, {runs.told(window)}" for window in plan)
    return LongVideo(made, subfolder, report, window_multipliers(plan, guidance), base_of(request.model))


class ComfyWindows:
    """pusa_core.long_video.WindowModel on ComfyUI's model and VAE, with progress over all windows."""

    def __init__(self, request: LongVideoRequest, sampling: SamplingRequest, windows: int):
        self.request = request
        self.sampling = sampling
        self.progress = StepsOfMany(request.model, [len(sampling.sigmas) - 1] * windows)

    def seed_of(self, window: Window) -> int:
        """The seed of a window: neighbouring windows with one seed would repeat each other's noise."""
        return (self.request.seed + window.index) % 2**64

    def told(self, window: Window) -> str:
        """Seed and prompt of a window, for the report."""
        second = prompt_second(window, self.request.fps)
        start = prompt_at(self.request.positive, second)[0][1].get(PROMPT_START)
        return f"seed {self.seed_of(window)}" + ("" if start is None else f", prompt from {start:g} s")

    def encode(self, pictures: Tensor) -> Tensor:
        return encoder_of(self.request.vae)(pictures)

    def decode(self, latent: Tensor) -> Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        return decoder_of(self.request.vae)(latent).reshape(-1, self.request.height, self.request.width, 3)

    def empty(self, latent_frames: int) -> Tensor:
        return empty_latent(
            base_of(self.request.model), self.request.width, self.request.height, latent_frames
        )

    def sample(self, samples: Tensor, noise_multipliers: Tensor, window: Window) -> Tensor:
        second = prompt_second(window, self.request.fps)
        request = replace(
            self.sampling,
            positive=prompt_at(self.request.positive, second),
            negative=prompt_at(self.request.negative, second),
            latent={"samples": samples, "noise_multipliers": noise_multipliers},
            seed=self.seed_of(window),
        )
        return sample_video(request, self.progress.callback(window.index))["samples"]

    def show(self, picture: Tensor, window: Window) -> None:
        self.progress.show(picture, window.index)


def _one(name: str, picture: Tensor | None) -> Tensor | None:
    if picture is not None and len(picture) != 1:
        raise PusaError(f"{name} got {len(picture)} pictures; connect exactly one.")
    return picture
