"""Videos made during training by the pack's own sampler: the first frame of a training clip with its caption."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..clips.writing import write_video
from ..conditions import FrameCondition, place
from ..latent_spaces import to_vae_space
from ..samplers import add_noise, sample_euler
from ..schedule import TIMESTEPS, flow_sigmas, frame_sigmas, over_frames
from .bases import BASES
from .cache_files import ClipEntry
from .config import TrainingConfig
from .devices import Devices
from .draw import draw_noise
from .previews import preview_video

FOLDER = "samples"


class SampleMaker:
    """Samples a few of the training clips' first frames; every process computes, the first one writes."""

    def __init__(
        self,
        config: TrainingConfig,
        entries: list[ClipEntry],
        model: nn.Module,
        devices: Devices,
        device: torch.device,
        autocast: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self.config = config
        self.entries = [entry for entry in entries if entry.shape[1] > 1][: config.sample.count]
        self.model = model
        self.devices = devices
        self.device = device
        self.autocast = autocast

    @torch.no_grad()
    def make(self, step: int) -> None:
        """Write samples/step_N_name.latent (ComfyUI's Load Latent reads it) and, where the clip has a preview, an .mp4."""
        folder = Path(self.config.train.output) / FOLDER
        for number, entry in enumerate(self.entries):
            latent = self._sample(entry, number)
            if self.devices.rank != 0:
                continue
            folder.mkdir(parents=True, exist_ok=True)
            stem = folder / f"step_{step:07}_{entry.name}"
            tensors = {
                "latent_tensor": to_vae_space(latent).contiguous(),
                "latent_format_version_0": torch.zeros(0),
            }
            save_file(tensors, f"{stem}.latent")
            if (preview := preview_of(entry.path)) is not None:
                rate = Fraction(BASES[self.config.model.base].rate) / 4
                write_video(Path(f"{stem}.mp4"), preview_video(latent[0], preview), rate)

    def _sample(self, entry: ClipEntry, number: int) -> Tensor:
        """[1, C, F, H, W] in the model's space."""
        settings, clip = self.config.sample, entry.read()
        noise = draw_noise((1, *clip.latent.shape), self.config.train.seed, -1, number).to(self.device)
        given = FrameCondition(clip.latent[None, :, :1].to(self.device), 0, settings.noise_multiplier)
        clean, multipliers = place(torch.zeros_like(noise), None, [given])
        multipliers = multipliers.to(self.device)
        table = frame_sigmas(flow_sigmas(settings.steps, self.config.draw.shift).to(self.device), multipliers)
        positive = clip.context[None].to(self.device)
        guided = settings.cfg != 1.0 and clip.empty is not None

        def denoiser(x: Tensor, step: int) -> Tensor:
            timesteps = (TIMESTEPS * table[step])[None]
            with self.autocast():
                velocity: Tensor = self.model(x, timesteps, positive).float()
                if guided:
                    assert clip.empty is not None
                    free = self.model(x, timesteps, clip.empty[None].to(self.device)).float()
                    velocity = free + settings.cfg * (velocity - free)
            return x - over_frames(table[step]) * velocity

        return sample_euler(denoiser, add_noise(clean, noise, over_frames(table[0])), table).cpu()


def preview_of(path: Path) -> Tensor | None:
    """The map from latents to colours that a cache file holds, if it does."""
    if path.suffix != ".safetensors":
        return None
    with safe_open(path, framework="pt", device="cpu") as file:
        preview: Tensor | None = file.get_tensor("preview") if "preview" in file.keys() else None  # noqa: SIM118
    return preview
