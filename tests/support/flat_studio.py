"""A model, VAE and input folder small enough to follow by hand, as a project's engine wants them."""

import errno
import hashlib
from pathlib import Path

import torch

from pusa_core.bases import WAN
from pusa_core.project import folder as on_disk
from pusa_core.project.engine import ProjectRun
from pusa_core.project.folder import ProjectFolder
from pusa_core.project.plan import Defaults, plan_project
from pusa_core.project.text import read_project

SIZE = 16


def fill_the_disk(monkeypatch) -> None:
    """The disk is full while the second part is written."""
    original, written = on_disk.write_video, []

    def full(path, *given, **named):
        written.append(path)
        original(path, *given, **named)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(on_disk, "write_video", full)


class FlatStudio:
    """Pictures are one colour; a free latent frame is the one before plus a step that seed and prompt decide."""

    def __init__(
        self,
        inputs: Path | None = None,
        size: int = SIZE,
        tint: float = 0.0,
        model: str = "model",
        crf: int = 0,
    ):
        self.inputs, self.size, self.tint, self.model = inputs, (size, size), tint, model
        self.crf = crf
        self.made: list[tuple[str, int]] = []
        self.seen: dict[str, tuple[list[float], torch.Tensor]] = {}
        self.told: list[tuple[str, int, str]] = []

    def encode(self, pictures):
        groups = [pictures[:1], *pictures[1:].split(4)]
        colours = torch.stack([group.mean(dim=(0, 1, 2)) for group in groups], 1)
        return colours[None, :, :, None, None].repeat(1, 1, 1, 2, 2)

    def decode(self, latent):
        colours = latent[0, :, :, 0, 0].T + self.tint
        frames = torch.cat([colours[:1], colours[1:].repeat_interleave(4, 0)])
        return frames[:, None, None, :].repeat(1, self.size[1], self.size[0], 1).clamp(0, 1)

    def empty(self, latent_frames):
        return torch.zeros(1, 3, latent_frames, 2, 2)

    def sample(self, samples, noise_multipliers, window, candidate, injection):
        self.made.append((window.id, candidate))
        self.seen[window.id] = (noise_multipliers.tolist(), samples.clone())
        step = (
            hashlib.sha256(f"{window.prompt} {window.seed_of(candidate)}".encode()).digest()[0] / 255 * 0.02
        )
        samples = samples.clone()
        for frame in range(samples.shape[2]):
            if noise_multipliers[frame] == 1:
                before = samples[:, :, frame - 1] if frame else torch.full_like(samples[:, :, 0], 0.4)
                samples[:, :, frame] = before + step
        return samples

    def picture(self, name):
        return torch.full((1, self.size[1], self.size[0], 3), 0.1 * int(name.removesuffix(".png")))

    def clip(self, use, frames):
        return torch.full((len(frames), self.size[1], self.size[0], 3), 0.7)

    def fingerprint(self, window):
        return f"{self.model} {[vars(one) for one in window.text.loras]} {self.size} {self.tint} {self.crf}"

    def file_identity(self, name):
        return name

    def tell(self, window, candidate, state, part):
        self.told.append((window.id, candidate, state))


def run(folder: Path, text: str, studio: FlatStudio, draft=None, in_draft: bool = False) -> ProjectRun:
    """A whole run over a project, with the video joined."""
    plan = plan_project(read_project(text), Defaults(seed=5, steps=2, cfg=1.0, fps=16.0), WAN)
    project = ProjectFolder(folder, in_draft)
    with project.taken():
        made = ProjectRun(plan, project, studio, draft)
        made.make(text)
        made.join(None, {})
    return made
