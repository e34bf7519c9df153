"""What is read of a clip for a task, and which latent frames of the video it becomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from ..bases import WAN, Base
from ..choices import check_choice
from ..conditions import FrameCondition
from ..encoding import Encode, encode_frames, lead_in_before
from ..errors import PusaError
from ..frames import parse_multipliers, parse_positions, resolve_position
from .time_stamps import Clip

EXTEND, PREPEND, COMPLETE, CUSTOM = TASKS = ("extend", "prepend", "complete", "custom")

HEAD, TAIL, WHOLE = "head", "tail", "whole"

Fit = Callable[[Tensor], Tensor]
"""Pictures [N, H, W, 3], 0 to 1 -> the same at the size of the video."""


@dataclass(frozen=True)
class ClipPlan:
    """What is read of a clip and where its latent frames go."""

    side: str  # "head", "tail" or "whole": the part of the clip that is read
    length: int  # pixel frames read of a head or tail
    lead_in: int  # latent frames before the clip for which its first frame is held
    source_positions: tuple[int, ...]  # latent frames of what is read; negative from its end
    positions: tuple[int, ...]  # latent frames of the video, resolved

    def read(self, clip: Clip, rate: Fraction | None) -> Tensor:
        """The planned frames of the clip, [N, H, W, 3], 0 to 1; rate: frames per second, None for every frame."""
        if self.side == WHOLE:
            return clip.all(rate)
        return (clip.tail if self.side == TAIL else clip.head)(self.length, rate)


def plan_clip(
    task: str,
    latent_frames: int,
    context_frames: int = 13,
    positions: str = "",
    source_positions: str = "",
    reference_semantics: bool = False,
    base: Base = WAN,
) -> ClipPlan:
    """The plan for one of the four tasks in a video of `latent_frames`.

    context_frames: pixel frames that video and clip share, a whole length of the base. "extend": the clip's last context_frames become latent
    frames 0 to n. "prepend": its first context_frames end the video. "complete": each latent frame in `positions` is the
    clip's latent frame of the same number. "custom": source_positions[i] of the clip goes to positions[i].
    reference_semantics: the clip's latent frame i always becomes the video's latent frame i, as in PusaV1's
    wan22_14b_v2v_pusa.py, so "extend" takes the clip's first frames and "prepend" the frames at the video's own end.
    """
    check_choice("task", task, TASKS)
    if task in (EXTEND, PREPEND):
        _refuse_text("positions", positions, task, "complete or custom")
        _refuse_text("source_positions", source_positions, task, CUSTOM)
        plan = (
            plan_tail(latent_frames, context_frames, base)
            if task == EXTEND
            else plan_head(latent_frames, context_frames, base)
        )
        return _as_reference(plan.positions, base) if reference_semantics else plan
    if not positions.strip():
        raise PusaError(
            f'positions is empty. For {task} write the latent frames to give, such as "0, 1, -2, -1".'
        )
    targets = tuple(
        resolve_position(position, latent_frames, base=base) for position in parse_positions(positions)
    )
    if task == COMPLETE:
        _refuse_text("source_positions", source_positions, task, CUSTOM)
        return _as_reference(targets, base)
    if not source_positions.strip():
        raise PusaError(
            'source_positions is empty. For custom write latent frames of the clip, such as "0, 1, -1".'
        )
    sources = tuple(parse_positions(source_positions))
    if len(sources) != len(targets):
        raise PusaError(
            f"{len(sources)} source_positions for {len(targets)} positions. Write exactly one source for each position."
        )
    side = WHOLE if min(sources) < 0 else HEAD
    return ClipPlan(side, base.video_length(max(0, *sources) + 1), 0, sources, targets)


def plan_tail(latent_frames: int, context_frames: int, base: Base = WAN) -> ClipPlan:
    """The clip's last context_frames, a whole length, as latent frames 0 to n of the video."""
    given = tuple(range(base.latent_frame_count(check_context(context_frames, latent_frames, base))))
    return ClipPlan(TAIL, context_frames, 0, given, given)


def plan_head(latent_frames: int, context_frames: int, base: Base = WAN) -> ClipPlan:
    """The clip's first context_frames, a whole length, as the end of the video.

    Inside a video latent frames are whole groups, so n of them are given, made of all but the clip's first frame.
    That one is generated again, at the end of the latent frame before. Encoded in sequence with the first frame and, in place
    of the unknown past, the first frame held (encoding.LEAD_IN).
    """
    count = base.latent_frame_count(check_context(context_frames, latent_frames, base)) - 1
    if count == 0:
        raise PusaError(
            f"context_frames is 1, but the end of a video is given in groups of {base.groups} frames after one: "
            f"use {base.video_length(2)}, {base.video_length(3)}, {base.video_length(4)} or more."
        )
    targets = tuple(range(latent_frames - count, latent_frames))
    return ClipPlan(HEAD, context_frames, lead_in_before(targets[0] - 1), tuple(range(1, count + 1)), targets)


def plan_transition(latent_frames: int, context_frames: int, base: Base = WAN) -> tuple[ClipPlan, ClipPlan]:
    """The first clip's last context_frames, a whole length, at the start of the video, the second's first ones at its end."""
    tail, head = (
        plan_tail(latent_frames, context_frames, base),
        plan_head(latent_frames, context_frames, base),
    )
    if tail.positions[-1] >= head.positions[0] - 1:
        given = len(tail.positions) + len(head.positions)
        raise PusaError(
            f"context_frames is {context_frames} at both ends, which leaves nothing to generate between them in a video of "
            f"{base.video_length(latent_frames)} frames. Use fewer, or a length of {base.video_length(given + 1)} or more."
        )
    return tail, head


def check_context(context_frames: int, latent_frames: int, base: Base = WAN) -> int:
    """context_frames itself, if it is a whole length and leaves something to generate."""
    longest = base.video_length(max(1, latent_frames - 1))
    if not base.is_whole(context_frames):
        below, above = base.neighbours(context_frames)
        raise PusaError(
            f"context_frames is {context_frames}; the VAE takes one frame and then groups of {base.groups}: "
            f"use {below} or {above} ({base.video_length(4)} is Pusa's)."
        )
    if context_frames > longest or latent_frames == 1:
        raise PusaError(
            f"context_frames is {context_frames}, which leaves nothing to generate in a video of "
            f"{base.video_length(latent_frames)} frames. Use {longest} or fewer, or a longer video."
        )
    return context_frames


def clip_conditions(
    encode: Encode,
    fit: Fit,
    clip: Clip,
    plan: ClipPlan,
    multipliers: list[float],
    rate: Fraction | None,
    base: Base = WAN,
) -> list[FrameCondition]:
    """The conditions a clip gives under a plan; multipliers: one per planned position; rate: as in ClipPlan.read."""
    latents = encode_frames(encode, fit(plan.read(clip, rate)), plan.source_positions, plan.lead_in, base)
    return [
        FrameCondition(latent, position, multiplier)
        for latent, position, multiplier in zip(latents, plan.positions, multipliers, strict=True)
    ]


def transition_conditions(
    encode: Encode,
    fit: Fit,
    first: Clip,
    second: Clip,
    latent_frames: int,
    context_frames: int,
    noise_multipliers: str,
    rate: Fraction | None,
    reference_semantics: bool = False,
    base: Base = WAN,
) -> list[FrameCondition]:
    """Conditions that lead from the end of one clip into the start of another.

    The first clip's last context_frames (a whole length) become latent frames 0 to n, the second clip's first context_frames the
    last n. noise_multipliers: one value, one for each of these 2n + 1, or a ramp over them. reference_semantics: as
    Pusa V0.5's transition script does, the first halves of a video's length of both clips are joined and encoded as one, and
    latent frame i of that is given at i, so the first clip's start is used instead of its end.
    """
    tail, head = plan_transition(latent_frames, context_frames, base)
    positions = tail.positions + head.positions
    multipliers = parse_multipliers(noise_multipliers, len(positions))
    if reference_semantics:
        length = base.video_length(latent_frames)
        halves = [first.head(length - length // 2, rate), second.head(length // 2, rate)]
        latents = encode_frames(encode, torch.cat([fit(half) for half in halves]), positions, base=base)
        return [FrameCondition(*given) for given in zip(latents, positions, multipliers, strict=True)]
    count = len(tail.positions)
    return [
        *clip_conditions(encode, fit, first, tail, multipliers[:count], rate, base),
        *clip_conditions(encode, fit, second, head, multipliers[count:], rate, base),
    ]


def _as_reference(positions: tuple[int, ...], base: Base) -> ClipPlan:
    """Latent frame i of the clip at latent frame i of the video."""
    return ClipPlan(HEAD, base.video_length(max(positions) + 1), 0, positions, positions)


def _refuse_text(name: str, text: str, task: str, other: str) -> None:
    if text.strip():
        raise PusaError(
            f"{name} is {text!r}, but {task} finds it by itself. Clear {name}, or choose {other} as the task."
        )
