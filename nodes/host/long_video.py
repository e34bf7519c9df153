"""Long Video on ComfyUI: a project made straight through, of texts and pictures that come over links."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...pusa_core.bases import Base
from ...pusa_core.choices import check_choice
from ...pusa_core.colour import METHODS
from ...pusa_core.digest import digest
from ...pusa_core.errors import PusaError
from ...pusa_core.frames import NoiseMultiplier
from ...pusa_core.images import fit_images
from ...pusa_core.injections import INJECTIONS, Injection
from ...pusa_core.long_video import (
    PROMPT_START,
    Window,
    duration_in_frames,
    plan_windows,
    prompt_at,
    prompt_second,
    start_frames_used,
)
from ...pusa_core.project.engine import KEPT, ProjectRun
from ...pusa_core.project.folder import Part
from ...pusa_core.project.plan import Defaults, Plan, PlannedWindow, window_multipliers
from ...pusa_core.project.straight import (
    Guidance,
    forget_other_finished,
    of_earlier_version,
    straight_folder,
    straight_folder_of,
    straight_plan,
)
from .folders import output_file, output_folder
from .identity import model_identity, vae_identity, value_identity
from .models import base_of, check_vae
from .samplers import build_sampler
from .sampling import SamplingRequest, sample_video
from .window_studio import WindowStudio, check_for_windows, check_size

NO_MATCH = "off"

logger = logging.getLogger("ComfyUI-Pusa")


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
        check_for_windows(self.model, self.positive, self.negative)
        check_vae(self.vae, base)
        check_choice("color_match", self.color_match, (*METHODS, NO_MATCH))
        check_size(self.width, self.height, base)
        build_sampler(self.sampler_name, torch.ones(1))

    def told(self) -> dict[str, Any]:
        """The settings that make the video, by the names of the inputs."""
        run = replace(self.sampling(), sigmas=self.sigmas)
        return {
            **run.told(),
            "size": f"{self.width}x{self.height}",
            "duration": f"{self.duration:g} {self.duration_unit}",
            "window": self.window,
            "overlap": self.overlap,
            "multipliers": self.noise_multipliers,
            "colour": self.color_match,
        }

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

    def windows(self, guidance: Guidance) -> list[Window]:
        """The windows that the duration asks for."""
        frames = duration_in_frames(self.duration, self.duration_unit, self.fps)
        given = 0 if guidance.start is None else len(guidance.start)
        return plan_windows(frames, self.window, self.overlap, given, base_of(self.model))


class Texts:
    """Which conditioning every window follows, and what it is called: a name of what it holds, since its words are not known."""

    def __init__(self, request: LongVideoRequest, windows: Sequence[Window]):
        seconds = [prompt_second(window, request.fps) for window in windows]
        self.positive = [prompt_at(request.positive, second) for second in seconds]
        self.negative = [prompt_at(request.negative, second) for second in seconds]

    @property
    def prompts(self) -> list[tuple[str, str]]:
        """Names of the positive and the negative of every window; when they begin does not count."""
        return [
            (_name_of(positive), _name_of(negative))
            for positive, negative in zip(self.positive, self.negative, strict=True)
        ]


@dataclass(frozen=True)
class LongVideo:
    """A finished video in the output folder."""

    path: Path
    subfolder: str
    report: str  # one line a window
    multipliers: list[list[float]]  # [F] of each window
    base: Base


def make_long_video(request: LongVideoRequest, metadata: Mapping[str, Any]) -> LongVideo:
    """Make the video, or what is missing of it; metadata: what is written into the file."""
    request.check()
    guidance, sampling = request.guidance(), request.sampling()
    windows = request.windows(guidance)
    texts = Texts(request, windows)
    steps = len(sampling.sigmas) - 1
    defaults = Defaults(request.seed, steps, request.cfg, request.fps)
    plan = straight_plan(windows, guidance, defaults, texts.prompts)
    path, name, subfolder = output_file(request.filename_prefix, request.width, request.height, ".mp4")
    studio = LongStudio(request, sampling, guidance, texts, plan)
    identity = studio.shared_identity()
    begun = straight_folder_of(output_folder(), request.filename_prefix, identity)
    folder = begun or straight_folder(path.parent, name, identity)
    with folder.taken():
        if not request.resume:
            folder.forget()
        run = ProjectRun(plan, folder, studio, opening=guidance.start)
        run.make(request.told())
        # number and folder that are right now: the run may have taken hours
        path, _, subfolder = output_file(request.filename_prefix, request.width, request.height, ".mp4")
        run.join(None, metadata, path)
        run.write_record(request.told())
    forget_other_finished(folder)
    lines = [studio.told(window, run.states[window.index, 0]) for window in plan.windows]
    for old in of_earlier_version(folder):
        lines.append(
            f"{old} was left by an earlier version of ComfyUI-Pusa, whose parts are not continued. Delete it."
        )
        logger.warning(lines[-1])
    return LongVideo(path, subfolder, "\n".join(lines), window_multipliers(plan), plan.base)


class LongStudio(WindowStudio):
    """pusa_core.project.engine.DirectedStudio for a long video."""

    def __init__(
        self,
        request: LongVideoRequest,
        sampling: SamplingRequest,
        guidance: Guidance,
        texts: Texts,
        plan: Plan,
    ):
        """sampling: a window's run, but for its texts, latent and seed."""
        runs = [(window.index, 0) for window in plan.windows]
        super().__init__(request, plan.base, runs, [window.steps for window in plan.windows])
        self.sampling = sampling
        self.guidance = guidance
        self.texts = texts
        self.made_with = digest(
            [
                model_identity(request.model), vae_identity(request.vae),
                request.width, request.height, request.shift, request.sampler_name, request.crf, sampling.sigmas,
            ]
        )  # fmt: skip

    def shared_identity(self) -> str:
        """A name of what all windows share and a video is never mended in: a change of it makes every window anew."""
        return digest(
            [self.made_with, self.request.seed, self.request.cfg, self.request.fps, self.guidance.start]
        )

    def fingerprint(self, window: PlannedWindow) -> str:
        return self.made_with

    def file_identity(self, name: str) -> str:
        return digest(self.guidance.picture(name))

    def picture(self, name: str) -> Tensor:
        return self.guidance.picture(name)

    def sample(
        self,
        samples: Tensor,
        noise_multipliers: Tensor,
        window: PlannedWindow,
        candidate: int,
        injection: Injection,
    ) -> Tensor:
        request = replace(
            self.sampling,
            positive=self.texts.positive[window.index],
            negative=self.texts.negative[window.index],
            latent={"samples": samples, "noise_multipliers": noise_multipliers, INJECTIONS: (injection,)},
            seed=window.seed_of(candidate),
        )
        return sample_video(request, self.steps_seen(window, candidate))["samples"]

    def tell(self, window: PlannedWindow, candidate: int, state: str, part: Part | None) -> None:
        if part is not None:
            self.show(window, candidate, part)

    def told(self, window: PlannedWindow, state: str) -> str:
        """A window's line of the report: frames, seed, prompt, and whether it was there."""
        start = self.texts.positive[window.index][0][1].get(PROMPT_START)
        prompt = "" if start is None else f", prompt from {start:g} s"
        return f"{window.frames}, seed {window.seed_of(0)}{prompt}{', kept' if state == KEPT else ''}"


def _name_of(conditioning: Sequence[Any]) -> str:
    entries = [
        (tensor, {key: value for key, value in options.items() if key != PROMPT_START})
        for tensor, options in conditioning
    ]
    return value_identity(entries)


def _one(name: str, picture: Tensor | None) -> Tensor | None:
    if picture is not None and len(picture) != 1:
        raise PusaError(f"{name} got {len(picture)} pictures; connect exactly one.")
    return picture
