"""A project on ComfyUI: its windows through ComfyUI's model, text encoder, VAE and folders, told to the browser as they are finished."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...pusa_core.choices import check_choice
from ...pusa_core.clips.reading import clip_of_file
from ...pusa_core.clips.sound import SoundPiece, lay_under
from ...pusa_core.clips.sound_reading import sound_of_file
from ...pusa_core.clips.time_stamps import Audio, check_rate, stack_frames
from ...pusa_core.digest import digest
from ...pusa_core.errors import PusaError
from ...pusa_core.folders import check_names, folder_inside, load_picture
from ...pusa_core.frames import NoiseMultiplier
from ...pusa_core.images import fit_images
from ...pusa_core.injections import INJECTIONS, Injection
from ...pusa_core.lora.weight_files import FileStamp
from ...pusa_core.project.engine import DRAFT, QUALITIES, Draft, ProjectRun
from ...pusa_core.project.folder import Part, ProjectFolder
from ...pusa_core.project.plan import Defaults, Plan, PlannedWindow, plan_project
from ...pusa_core.project.single import SingleRun
from ...pusa_core.project.text import ClipUse, LoraUse, Project, SoundUse, read_project
from .director_loras import with_loras
from .folders import input_folder, lora_path, output_folder
from .identity import model_identity, text_encoder_identity, vae_identity
from .models import base_of, check_vae
from .prompts_by_frame import check_prompts_by_frame, joined_prompts
from .running_prompt import graph_around, tell_browser
from .samplers import build_sampler
from .sampling import SamplingRequest, check_sigmas, sample_video
from .window_studio import WindowStudio, check_for_windows, check_size

EVENT = "pusa.director"

TEXTS_AHEAD = 16
"""Windows whose texts are encoded at once, before the model takes the text encoder's place in memory again."""


@dataclass(frozen=True)
class DirectorRequest:
    """What a project is asked for; the fields are the inputs of Pusa Director, in their order."""

    model: Any  # MODEL
    clip: Any  # CLIP
    vae: Any
    project: str
    name: str
    width: int  # pixels, a multiple of the base's
    height: int
    fps: float
    seed: int
    steps: int
    cfg: float
    shift: float
    sampler_name: str
    crf: int
    quality: str
    draft_scale: float
    draft_steps: int  # 0: the window's own
    draft_multiplier: float
    sigmas: Tensor | None = None

    def check(self) -> None:
        """Refuse what cannot be made, before anything is."""
        base = base_of(self.model)
        check_for_windows(self.model)
        check_vae(self.vae, base)
        check_choice("quality", self.quality, QUALITIES)
        NoiseMultiplier(self.draft_multiplier)
        if self.clip is None:
            raise PusaError(
                "No CLIP came in. Connect the text encoder: Load CLIP with umt5_xxl and type wan."
            )
        check_size(self.width, self.height, base)
        build_sampler(self.sampler_name, torch.ones(1))
        if self.sigmas is not None:
            check_sigmas(self.sigmas)

    def folder(self) -> Path:
        """The project's folder in ComfyUI's output folder."""
        check_names(self.name, "The project's name")
        found = folder_inside(output_folder(), self.name, "name")
        if found == folder_inside(output_folder(), "", "name"):
            raise PusaError(
                f"name is {self.name!r}; write a folder of its own for the project, such as pusa_project."
            )
        if re.search(r"\.\d+(\.draft)?$", found.name):
            raise PusaError(
                f"name is {self.name!r}, and its video would be called as a part of a window is ({found.name}.mp4). Write {found.name.replace('.', '_')}."
            )
        return found

    def plan(self, project: Project) -> Plan:
        """Where everything lies."""
        given = None if self.sigmas is None else len(self.sigmas) - 1
        defaults = Defaults(self.seed, self.steps, self.cfg, self.fps, given)
        return plan_project(project, defaults, base_of(self.model))

    def of_draft(self) -> DirectorRequest:
        """The request that makes the draft of this one."""
        multiple = base_of(self.model).size_multiple
        width, height = (
            max(multiple, round(side * self.draft_scale / multiple) * multiple)
            for side in (self.width, self.height)
        )
        return replace(self, width=width, height=height, quality=DRAFT)


@dataclass(frozen=True)
class Directed:
    """A finished project."""

    path: Path
    subfolder: str
    files: tuple[str, ...]  # what was made, by name
    report: str  # one line a window


def make_project(request: DirectorRequest, metadata: dict[str, Any], hidden: Any) -> Directed:
    """Make the project, what is missing of it, or one of its windows alone.

    metadata: what is written into the file; hidden: the node's hidden inputs.
    """
    request.check()
    project = read_project(request.project)
    plan = request.plan(project)
    if any(window.spans for window in plan.windows):
        check_prompts_by_frame(request.model)
    check_files(project)
    folder, made = ProjectFolder(request.folder()), request
    if request.quality == DRAFT:
        folder, made = folder.of_draft(), request.of_draft()
    only = next((window for window in plan.windows if window.id == project.only), None)
    studio = ComfyStudio(made, plan, folder, graph_around(hidden)[1], only)
    draft = None
    if request.quality != DRAFT:
        sources = ComfySources(request.of_draft(), studio.models, studio.files)
        draft = Draft(folder.of_draft(), sources, request.draft_multiplier)
    audio = sound_under(project.sound, plan)
    with folder.taken():
        if studio.only is not None:
            single = SingleRun(plan, folder, studio, draft)
            part = single.make_one(studio.only)
            return Directed(
                part.video, studio.subfolder, tuple(path.name for path in part.files), single.report()
            )
        run = ProjectRun(plan, folder, studio, draft)
        run.make(json.loads(request.project))
        path = run.join(audio, metadata)
    return Directed(path, studio.subfolder, (path.name,), run.report())


def check_files(project: Project) -> None:
    """Refuse a project that names files which are not there, or windows whose files cannot be written."""
    for number, key in enumerate(project.keys):
        input_file(key.picture, f"keys[{number}].picture")
    for number, clip in enumerate(project.clips):
        input_file(clip.file, f"clips[{number}].file")
    if project.anchor is not None:
        input_file(project.anchor.picture, "anchor.picture")
    if project.sound is not None:
        input_file(project.sound.file, "sound.file")
    for number, window in enumerate(project.windows):
        check_names(f"{window.id}.0.mp4", f"windows[{number}].id")
        for index, lora in enumerate(window.loras):
            try:
                lora_path(lora.name)
            except PusaError as error:
                raise PusaError(f"windows[{number}].loras[{index}].name: {error}") from None


def input_file(name: str, place: str = "The project") -> Path:
    """A file of ComfyUI's input folder."""
    path = folder_inside(input_folder(), name, place)
    if not path.is_file():
        raise PusaError(
            f"{place} is {name!r}, but the input folder has no such file. Upload it, or choose one that is there (subfolders with /)."
        )
    return path


def sound_under(sound: SoundUse | None, plan: Plan) -> Audio | None:
    """The project's sound, cut or filled with silence to the length of the video."""
    if sound is None:
        return None
    path = input_file(sound.file, "sound.file")
    audio = sound_of_file(path, f"the sound {path.name!r}")
    if audio is None:
        raise PusaError(
            f"sound.file is {sound.file!r}, which has no sound. Choose a file that has, or take sound out."
        )
    length = audio.waveform.shape[-1] / audio.sample_rate
    if sound.start >= length:
        raise PusaError(
            f"sound.from is {sound.start:g} s, but {sound.file} ends after {length:.2f} s, so nothing would be heard. Use a smaller one."
        )
    start = -Fraction(sound.start).limit_denominator(100_000)
    return lay_under([SoundPiece(audio, start)], plan.frames / check_rate(plan.fps))


@dataclass
class ComfySources:
    """pusa_core.project.identity.Sources: what windows are made from on this ComfyUI."""

    request: DirectorRequest
    models: dict[tuple[LoraUse, ...], str] = field(default_factory=dict)
    files: dict[Path, tuple[FileStamp, str]] = field(default_factory=dict)
    others: str = ""

    def fingerprint(self, window: PlannedWindow) -> str:
        loras = window.text.loras
        if loras not in self.models:
            self.models[loras] = model_identity(with_loras(self.request.model, loras))
        if not self.others:
            request = self.request
            self.others = digest(
                [
                    text_encoder_identity(request.clip), vae_identity(request.vae),
                    request.width, request.height, request.shift, request.sampler_name, request.crf, request.sigmas,
                    request.draft_steps if request.quality == DRAFT else 0,
                ]
            )  # fmt: skip
        return digest([self.models[loras], self.others])

    def file_identity(self, name: str) -> str:
        path = input_file(name)
        stamp = FileStamp.of(str(path))
        if path not in self.files or self.files[path][0] != stamp:
            found = hashlib.sha256()
            with path.open("rb") as file:
                while block := file.read(2**20):
                    found.update(block)
            self.files[path] = (stamp, found.hexdigest())
        return self.files[path][1]


def texts_of(window: PlannedWindow) -> list[str]:
    """The texts that a window is made from: its prompts, the negative last."""
    return [*([span.text for span in window.spans] or [window.prompt]), window.negative]


class ComfyStudio(WindowStudio, ComfySources):
    """pusa_core.project.engine.DirectedStudio on ComfyUI, with progress over the whole project."""

    def __init__(
        self,
        request: DirectorRequest,
        plan: Plan,
        folder: ProjectFolder,
        node: str,
        only: PlannedWindow | None = None,
    ):
        """only: the one window of which the chosen candidate is made, None for all."""
        ComfySources.__init__(self, request)
        self.only = only
        runs = [
            (window.index, candidate)
            for window in plan.windows
            for candidate in range(window.text.candidates)
            if only is None or (window, candidate) == (only, only.text.chosen)
        ]
        steps = [len(self.sampling(plan.windows[index]).schedule()) - 1 for index, _ in runs]
        WindowStudio.__init__(self, request, plan.base, runs, steps)
        self.plan = plan
        self.folder = folder
        self.node = node
        self.texts: dict[str, Any] = {}

    def sampling(self, window: PlannedWindow) -> SamplingRequest:
        """A window's run, but for its texts, latent and seed."""
        request = self.request
        steps = request.draft_steps if request.quality == DRAFT and request.draft_steps else window.steps
        return SamplingRequest(
            request.model, None, None, {}, 0, steps, window.cfg, request.shift, request.sampler_name, sigmas=request.sigmas
        )  # fmt: skip

    def sample(
        self,
        samples: Tensor,
        noise_multipliers: Tensor,
        window: PlannedWindow,
        candidate: int,
        injection: Injection,
    ) -> Tensor:
        *texts, negative = [self.text(one, window) for one in texts_of(window)]
        positive, prompts = texts[0], None
        if window.spans:
            starts = [span.latent_frame for span in window.spans]
            positive, prompts = joined_prompts(texts, starts, window.frames.latent_frames)
        request = replace(
            self.sampling(window),
            prompts=prompts,
            model=with_loras(self.request.model, window.text.loras),
            positive=positive,
            negative=negative,
            latent={"samples": samples, "noise_multipliers": noise_multipliers, INJECTIONS: (injection,)},
            seed=window.seed_of(candidate),
        )
        return sample_video(request, self.steps_seen(window, candidate))["samples"]

    def text(self, text: str, window: PlannedWindow) -> Any:
        """A prompt of a window as CONDITIONING, encoded with those of the windows after it when it is first needed.

        Kept and locked windows ask for none. Of the last batch alone the texts stay in memory.
        """
        if text not in self.texts:
            later = self.plan.windows[window.index + 1 : window.index + TEXTS_AHEAD]
            batch = [window, *(one for one in later if not (self.only or one.text.lock))]
            wanted = dict.fromkeys(one for each in batch for one in texts_of(each))
            self.texts = {one: self.texts[one] for one in wanted if one in self.texts}
            for one in wanted:
                if one not in self.texts:
                    self.texts[one] = self.encoded(one)
        return self.texts[text]

    def encoded(self, text: str) -> Any:
        """A text as CONDITIONING."""
        clip = self.request.clip
        return clip.encode_from_tokens_scheduled(clip.tokenize(text))

    def picture(self, name: str) -> Tensor:
        return fit_images(load_picture(input_file(name)), *self.size, self.plan.resize)

    def clip(self, use: ClipUse, frames: range) -> Tensor:
        path = input_file(use.file)
        first = round(use.start * self.plan.fps)
        name = f"the clip {path.name!r}"
        used = clip_of_file(path, name).frames(check_rate(self.plan.fps))
        fitted, found = [], 0
        # one at a time: a long clip of large pictures takes more memory than there is
        for found, frame in enumerate(islice(used, first, first + use.frames), 1):
            if found - 1 in frames:
                fitted.append(fit_images(stack_frames([frame], name), *self.size, self.plan.resize))
        if found < use.frames:
            raise PusaError(
                f"{use.frames} frames of {name} are needed from second {use.start:g} on, but it has {found} there at "
                f"{self.plan.fps:g} frames per second. Use fewer, or begin earlier."
            )
        return torch.cat(fitted)

    def tell(self, window: PlannedWindow, candidate: int, state: str, part: Part | None) -> None:
        if part is not None:
            self.show(window, candidate, part)
        stem = self.folder.stem(window.id, candidate)
        tell_browser(
            EVENT,
            {
                "node": self.node,
                "project": self.request.name,
                "window": window.id,
                "candidate": candidate,
                "state": state,
                "file": f"{stem}.mp4",
                "picture": f"{stem}.png",
                "subfolder": self.subfolder,
                "type": "output",
            },
        )

    @property
    def subfolder(self) -> str:
        """The project's folder, as the browser asks for it."""
        return self.folder.folder.relative_to(output_folder().resolve()).as_posix()
