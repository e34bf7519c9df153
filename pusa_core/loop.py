"""Videos without a beginning: what is given at both ends, latents rolled along time, and decoded across their seam."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor

from .bases import WAN, Base
from .choices import check_choice
from .clips import transition_conditions
from .clips.planning import Fit
from .clips.time_stamps import Clip
from .conditions import FrameCondition
from .encoding import LEAD_IN, Encode, encode_keyframe, picture_conditions
from .errors import PusaError
from .frames import parse_multipliers

Decode = Callable[[Tensor], Tensor]
"""The VAE: latent [1, C, F, h, w] -> pictures [N, H, W, 3], 0 to 1."""

STILL, ROLLED_STILL, CLIP = LOOPS = ("still", "rolled still", "clip")

WRAP = 4
"""Latent frames of the loop's end that are decoded again before its start, so that the causal VAE comes from there."""


def still_positions(kind: str, latent_frames: int, base: Base = WAN) -> tuple[int, ...]:
    """Where a loop of `latent_frames` shows its picture: STILL at the first and the last, ROLLED_STILL at the first."""
    positions = (0,) if kind == ROLLED_STILL else (0, latent_frames - 1)
    if latent_frames <= len(positions):
        raise PusaError(
            f"A loop from a {kind} needs frames to make; {latent_frames} latent frames leave none. Use a length of {base.video_length(len(positions) + 1)} or more."
        )
    return positions


def loop_conditions(
    kind: str,
    encode: Encode,
    fit: Fit,
    clip: Clip,
    latent_frames: int,
    *,
    context_frames: int,
    noise_multipliers: str,
    manner: str,
    rate: Fraction | None,
    pictures: int | None = None,
    base: Base = WAN,
) -> list[FrameCondition]:
    """Conditions of a video that returns: for STILL one picture at both ends, for ROLLED_STILL once, as a loop without ends has none, and
    for CLIP the clip's end first and its start last.

    latent_frames: F; context_frames: of CLIP, see transition_conditions; manner: of the stills, see encode_keyframe; pictures: how many
    came in where they are no video.
    """
    check_choice("kind", kind, LOOPS)
    if kind == CLIP:
        return transition_conditions(
            encode, fit, clip, clip, latent_frames, context_frames, noise_multipliers, rate, base=base
        )
    if pictures not in (None, 1):
        raise PusaError(
            f"{pictures} pictures came in for a still loop. Give one picture, or choose clip as the kind."
        )
    positions = still_positions(kind, latent_frames, base)
    multipliers = parse_multipliers(noise_multipliers, len(positions))
    picture = fit(clip.head(1, None))
    if kind == ROLLED_STILL:  # in a loop without ends every place has a past, also the first
        return [FrameCondition(encode_keyframe(encode, picture, LEAD_IN, manner, base), 0, multipliers[0])]
    return picture_conditions(encode, picture.expand(2, -1, -1, -1), positions, multipliers, manner, base)


def rolled_order(latent_frames: int, step: Tensor, roll_per_step: int) -> Tensor:
    """Which latent frame the model sees at each place in a step: frame (place + step * roll_per_step) mod F.

    latent_frames: F; step: whole number, a tensor without dimensions; Returns [F] int64 on step's device. Rolling the latent by
    some frames at each step moves its seam through the video, so that no step sees the same one (Mobius, arXiv 2502.20307).
    """
    places = torch.arange(latent_frames, device=step.device)
    return (places + step.long() * roll_per_step) % latent_frames


def rolled_back(order: Tensor) -> Tensor:
    """The order that undoes `order`, [F] -> [F]."""
    return torch.argsort(order)


def step_of(sigma: Tensor, sigmas: Tensor) -> Tensor:
    """The step a noise level belongs to: the last whose level is at least sigma; a tensor without dimensions.

    sigma: one level; sigmas: [S+1], falling. Levels between two steps, as second-order samplers use, count to the earlier.
    """
    reached = torch.count_nonzero(sigmas.to(sigma.device) >= sigma * (1 - 1e-6))
    return (reached - 1).clamp(min=0)


def decode_loop(decode: Decode, samples: Tensor, base: Base = WAN) -> Tensor:
    """The pictures of a looped latent, stride * F of them: all latent frames are whole groups, the first one too.

    samples: [1, C, F, h, w]. The end of the loop is decoded in front of its start and cut off again.
    """
    if samples.shape[2] < 2:
        raise PusaError(
            f"A loop of {samples.shape[2]} latent frame has nothing to go round. Use a video length of {base.video_length(2)} or more."
        )
    wrap = min(WRAP, samples.shape[2])
    pictures = decode(torch.cat([samples[:, :, -wrap:], samples], dim=2))
    return pictures[-base.temporal_stride * samples.shape[2] :]


def decode_still_loop(decode: Decode, samples: Tensor, base: Base = WAN) -> Tensor:
    """The pictures of a video that starts and ends on the same still, without the still's return, which its last latent frame shows."""
    if samples.shape[2] < 2:
        raise PusaError(
            f"A loop of {samples.shape[2]} latent frame has nothing to go round. Use a video length of {base.video_length(2)} or more."
        )
    return decode(samples)[: -base.temporal_stride]


def faded_into_first(pictures: Tensor, frames: int) -> Tensor:
    """The pictures of one round, the last `frames` of them turning evenly into the first, where a still stands.

    pictures: [N, H, W, 3]; frames: 0 to N - 1, 0 changes nothing.
    """
    if not 0 <= frames < len(pictures):
        raise PusaError(
            f"crossfade_frames is {frames}; this loop has {len(pictures)} frames. Use 0 to {len(pictures) - 1}, such as 4 or 8."
        )
    if frames == 0:
        return pictures  # a whole video is large
    share = torch.arange(1, frames + 1, device=pictures.device, dtype=pictures.dtype) / (frames + 1)
    begin = len(pictures) - frames
    faded = torch.lerp(pictures[begin:], pictures[:1], share[:, None, None, None])
    return torch.cat([pictures[:begin], faded])
