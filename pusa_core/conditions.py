"""Frames the user gives: checked, placed into a latent, described by one multiplier per latent frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .bases import WAN, Base, base_of_channels
from .errors import PusaError
from .frames import NoiseMultiplier


@dataclass(frozen=True)
class FrameCondition:
    """One latent frame the user supplies."""

    latent: Tensor  # [1 or B, C, 1, H, W], in the same space as the latent it goes into
    position: int  # latent frame, >= 0, see frames.resolve_position
    noise_multiplier: float  # share of the global sigma: 0 clean, 1 free

    def __post_init__(self) -> None:
        object.__setattr__(self, "noise_multiplier", NoiseMultiplier(self.noise_multiplier))
        if not bool(torch.isfinite(self.latent).all()):
            raise PusaError(
                f"The picture for latent frame {self.position} has NaN or infinite values after the VAE. "
                "Check the picture, and run the VAE in bf16 or fp32 (--bf16-vae, --fp32-vae)."
            )


def check_video_samples(samples: Tensor, base: Base | None = None) -> Base:
    """The base of a video latent [B, C, F, H, W]; refuses what is no such latent, or one of another base than `base`."""
    if samples.is_nested:
        raise PusaError(
            "This latent holds several streams (video with audio). Pusa works on a plain video latent."
        )
    if samples.ndim != 5:
        raise PusaError(
            f"The latent has {samples.ndim} dimensions {tuple(samples.shape)}; a video latent has 5: batch, channels, "
            "frames, height, width. Make it with Empty Hunyuan Latent Video (or the empty latent of the model) instead of Empty Latent Image."
        )
    if 0 in samples.shape:
        raise PusaError(
            f"The latent is empty: its shape is {tuple(samples.shape)}. Use a batch, length and size of at least 1."
        )
    if base is not None and samples.shape[1] != base.channels:
        raise PusaError(
            f"The latent has {samples.shape[1]} channels, this model works with {base.channels}. {_made_for(samples.shape[1])}"
            f"For {base.title} use {base.empty_latent} ({base.channels} channels) and {base.vae_file}."
        )
    return base or base_of_channels(samples.shape[1])


def _made_for(channels: int) -> str:
    try:
        return f"{channels} channels belong to {base_of_channels(channels).title}. "
    except PusaError:
        return ""


def frame_multipliers(noise_multipliers: Tensor | None, latent_frames: int) -> Tensor:
    """The latent's multipliers as float32 [F], all ones where there are none.

    noise_multipliers: [F], each in [0, 1], or None; latent_frames: F of the latent they came with. Checked here, as other nodes
    pass LATENTs on: after this they are used as they are.
    """
    if noise_multipliers is None:
        return torch.ones(latent_frames)
    values = torch.as_tensor(noise_multipliers).detach().to("cpu", torch.float32)
    if values.ndim != 1 or len(values) != latent_frames:
        raise PusaError(
            f"noise_multipliers describe {values.numel()} latent frames, the latent has {latent_frames}. It was cut, joined "
            "or resized in time after the frames were injected: inject them after that step."
        )
    for value in values.tolist():
        NoiseMultiplier(value)
    return values


def place(
    samples: Tensor,
    noise_multipliers: Tensor | None,
    conditions: Sequence[FrameCondition],
    base: Base = WAN,
) -> tuple[Tensor, Tensor]:
    """A copy of the latent with the conditions in their frames, and its multipliers.

    samples: [B, C, F, H, W]; noise_multipliers: [F] from an earlier injection, or None.
    Returns ([B, C, F, H, W], [F] float32). A later condition replaces an earlier one in the same frame;
    two of one call in the same frame are an error.
    """
    positions = [condition.position for condition in conditions]
    if twice := sorted({position for position in positions if positions.count(position) > 1}):
        raise PusaError(
            f"Latent frame {twice[0]} is given twice in positions. Each latent frame takes one picture; note that a latent "
            f"frame after the first holds {base.groups} video frames, so neighbouring video frames can fall into the same one."
        )
    samples = samples.clone()
    multipliers = frame_multipliers(noise_multipliers, samples.shape[2]).clone()
    for condition in conditions:
        wanted = (samples.shape[1], 1, *samples.shape[3:])
        if tuple(condition.latent.shape[1:]) != wanted:
            raise PusaError(
                f"The condition's latent is {tuple(condition.latent.shape[1:])} (channels, frames, height, width), "
                f"the video latent takes {wanted}. Use the VAE that belongs to the model: {base.vae_file} for {base.title}."
            )
        samples[:, :, condition.position] = condition.latent[:, :, 0].to(samples)
        multipliers[condition.position] = condition.noise_multiplier
    return samples, multipliers
