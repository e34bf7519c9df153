"""Pictures and clips encoded as the latent frames they will be: alone, or in sequence with what comes before them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .bases import WAN, Base
from .choices import check_choice
from .conditions import FrameCondition
from .errors import PusaError

Encode = Callable[[Tensor], Tensor]
"""The VAE: pictures [N, H, W, 3], 0 to 1 -> latent [1, C, F, h, w]."""

SINGLE, IN_SEQUENCE = ENCODE_MANNERS = ("single", "in sequence")

LEAD_IN = 4
"""Latent frames of a held picture that stand in for an unknown past.

Wan's VAE is causal: a latent frame depends on the pixel frames before it. Measured on the demo VAE, mean difference in
standard deviations of the latent: the first latent frame of a clip in mid-video is off by 0.23 when it follows only one
frame, by 0.09 when that frame is held for 3 latent frames before it. A still's latent is 0.03 from its limit after 4.
"""


def lead_in_before(latent_frame: int) -> int:
    """Latent frames of lead-in for a picture at `latent_frame`: as many as lie before it, at most LEAD_IN."""
    return min(max(0, latent_frame), LEAD_IN)


def encode_frames(
    encode: Encode,
    frames: Tensor,
    source_positions: Sequence[int],
    lead_in: int = 0,
    base: Base = WAN,
) -> list[Tensor]:
    """The latents of some latent frames of a clip, each in sequence with the frames before it.

    frames: [N, H, W, 3], 0 to 1; source_positions: latent frames of the clip, negative from the end of its whole groups;
    lead_in: latent frames for which the first frame is held in front. Only frames up to the last one used are encoded: the
    VAE is causal, so the result is the same as from the whole clip. Returns one [1, C, 1, h, w] per position.
    """
    available = base.latent_frame_count(len(frames))
    sources = [_source_position(position, available, len(frames), base) for position in source_positions]
    used = frames[: base.video_length(max(sources) + 1)]
    held = used[:1].expand(base.temporal_stride * lead_in, *used.shape[1:])
    latent = encode(torch.cat([held, used]))
    return [latent[:, :, lead_in + source : lead_in + source + 1] for source in sources]


def encode_keyframe(
    encode: Encode, picture: Tensor, position: int, manner: str = SINGLE, base: Base = WAN
) -> Tensor:
    """The latent of one picture for latent frame `position`, [1, C, 1, h, w].

    picture: [1, H, W, 3], 0 to 1. manner "single" encodes the picture alone, as the reference does: the model then reads a
    first frame of a video, wherever it stands. "in sequence" gives what the VAE makes of a picture that fills all
    frames of a later position: it is held for up to LEAD_IN latent frames before. The same at position 0.
    """
    check_choice("encode", manner, ENCODE_MANNERS)
    before = lead_in_before(position) if manner == IN_SEQUENCE else 0
    return encode(picture.expand(base.video_length(before + 1), *picture.shape[1:]))[
        :, :, before : before + 1
    ]


def _source_position(position: int, available: int, length: int, base: Base) -> int:
    if not -available <= position < available:
        raise PusaError(
            f"Source position {position} is outside this clip of {available} latent frames ({length} frames; the VAE takes one "
            f"frame and then groups of {base.groups}). Use {-available} to {available - 1}, or a longer clip."
        )
    return position % available


def picture_conditions(
    encode: Encode,
    pictures: Tensor,
    frames: Sequence[int],
    multipliers: Sequence[float],
    manner: str,
    base: Base = WAN,
) -> list[FrameCondition]:
    """One condition a picture. pictures: [N, H, W, 3], at the video's size; frames: N latent frames, >= 0; multipliers: N."""
    return [
        FrameCondition(encode_keyframe(encode, picture, frame, manner, base), frame, multiplier)
        for picture, frame, multiplier in zip(torch.split(pictures, 1), frames, multipliers, strict=True)
    ]
