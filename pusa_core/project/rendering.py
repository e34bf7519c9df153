"""One window made by the model: what is given in it, the run, and its colours and seams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..bases import Base
from ..colour import MONGE_KANTOROVICH, ColourStatistics, apply_transfer, fit_transfer
from ..conditions import FrameCondition, place
from ..encoding import IN_SEQUENCE, Encode, encode_frames, encode_keyframe, lead_in_before
from ..errors import PusaError
from ..injections import Injection
from ..long_video import given_multipliers
from .plan import Plan, PlannedWindow
from .seams import cross_fade, lead_into, match_sides, seam_jump, window_statistics
from .text import OFF, ClipUse


class Studio(Protocol):
    """What making a window needs of the model, its VAE and the input folder; all pictures at the size of the video."""

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures [N, H, W, 3], 0 to 1 -> latent [1, C, F, h, w]."""

    def decode(self, latent: Tensor) -> Tensor:
        """Latent [1, C, F, h, w] -> pictures [N, H, W, 3], 0 to 1."""

    def empty(self, latent_frames: int) -> Tensor:
        """A latent [1, C, F, h, w] with nothing in it."""

    def sample(
        self,
        samples: Tensor,
        noise_multipliers: Tensor,
        window: PlannedWindow,
        candidate: int,
        injection: Injection,
    ) -> Tensor:
        """The latent after sampling one candidate of a window.

        samples: [1, C, F, h, w]; noise_multipliers: [F]; injection: what gave the frames, for runs that begin smaller.
        """

    def picture(self, name: str) -> Tensor:
        """A picture of the input folder, [1, H, W, 3], 0 to 1."""

    def clip(self, use: ClipUse, frames: range) -> Tensor:
        """Some of the frames that are used of a clip, counted from 0, at the video's rate: [len(frames), H, W, 3], 0 to 1."""


@dataclass(frozen=True)
class Surroundings:
    """What lies around a window when it is made; pictures are [M, H, W, 3], 0 to 1."""

    given: Tensor | None = None  # the last frames of the window before, which it begins with
    opening: Tensor | None = None  # the frames that the video begins with
    head: Tensor | None = None  # the first frames of the window after, which it ends with
    draft: Tensor | None = None  # all frames of its draft, [length, H, W, 3]
    draft_multiplier: float = 1.0
    reference: ColourStatistics | None = None  # the colours of the whole video, None matches the seams only

    @property
    def start(self) -> Tensor | None:
        """The frames that the window begins with, whoever made them."""
        return self.opening if self.given is None else self.given


@dataclass(frozen=True)
class MadeWindow:
    """A finished window."""

    frames: Tensor  # [length, H, W, 3], 0 to 1, as shown
    left_seam: float | None  # see seams.seam_jump; None where nothing is before
    right_seam: float | None  # None where it was not made to lead into the window after


def make_window(
    plan: Plan, window: PlannedWindow, candidate: int, around: Surroundings, studio: Studio
) -> MadeWindow:
    """One candidate of a window.

    The anchor stands in for latent frame 0 while sampling: the model looks at it in every step, and nobody sees it, since the
    given frames' own latent is put back before decoding.
    """
    base = plan.base

    def conditions(encode: Encode) -> list[FrameCondition]:
        given = _conditions(plan, window, around, studio, encode)
        return list(_with_anchor(given, plan, around, studio, encode).values())

    given = _conditions(plan, window, around, studio, studio.encode)
    made = _with_anchor(given, plan, around, studio, studio.encode)
    injection = Injection(studio.encode, conditions, tuple(made.values()))
    samples, multipliers = place(studio.empty(window.frames.latent_frames), None, injection.conditions, base)
    latent = studio.sample(samples, multipliers, window, candidate, injection)
    if made is not given:
        latent = torch.cat((given[0].latent.to(latent), latent[:, :, 1:]), dim=2)
    frames = studio.decode(latent)
    _check_finite(latent, frames, window)
    frames = _coloured(frames, plan, around)
    before, head = around.given, around.head
    shown = frames
    if before is not None:
        frames = shown = torch.cat((cross_fade(before, frames, base), frames[len(before) :]))
    if head is not None:
        frames = lead_into(frames, head, base)
        shown = torch.cat((frames[: len(frames) - len(head)], head.to(frames)))
    return MadeWindow(
        frames,
        None if before is None else seam_jump(shown, len(before), base),
        None if head is None else seam_jump(shown, len(shown) - len(head), base),
    )


def _check_finite(latent: Tensor, frames: Tensor, window: PlannedWindow) -> None:
    """Refuse a window that would be black, before it is kept and the next one continues it."""
    lora = "Check the LoRAs and their strengths, and the attention that ComfyUI was started with"
    vae = "Run the VAE in bf16 or fp32 (--bf16-vae, --fp32-vae)"
    for maker, made, remedy in (("model", latent, lora), ("VAE", frames, vae)):
        if not bool(torch.isfinite(made).all()):
            raise PusaError(
                f"Window {window.index + 1} ({window.id}) came out of the {maker} with NaN or infinite values, which show as black. {remedy}, and queue again; the windows "
                "before it are kept."
            )


def _with_anchor(
    given: dict[int, FrameCondition], plan: Plan, around: Surroundings, studio: Studio, encode: Encode
) -> dict[int, FrameCondition]:
    """The conditions with the anchor in the place of the first one; the same where this window has none."""
    if plan.anchor is None or around.given is None:
        return given
    latent = encode_keyframe(encode, studio.picture(plan.anchor.picture), 0, base=plan.base)
    return {**given, 0: FrameCondition(latent, 0, plan.anchor.multiplier)}


def _conditions(
    plan: Plan, window: PlannedWindow, around: Surroundings, studio: Studio, encode: Encode
) -> dict[int, FrameCondition]:
    """What is given at which latent frame: neighbours go before keys, keys before clips, clips before the draft."""
    base, length = plan.base, window.frames.length
    found: dict[int, FrameCondition] = {}

    def give(frames: Sequence[int], latents: Sequence[Tensor], multipliers: Sequence[float]) -> None:
        for frame, latent, multiplier in zip(frames, latents, multipliers, strict=True):
            found[frame] = FrameCondition(latent, frame, multiplier)

    if around.draft is not None and around.draft_multiplier < 1:
        every = range(window.frames.latent_frames)
        latents = encode_frames(encode, around.draft, every, base=base)
        give(every, latents, [around.draft_multiplier] * len(every))
    start = around.start
    fresh = 0 if start is None else len(start)
    for placed in window.clips:
        frames = placed.latent_frames(fresh, length, base)
        if frames:
            needed = placed.frames_for(frames, base)
            pictures = studio.clip(placed.clip, needed)
            latents = latents_at(encode, pictures, placed.first + needed.start, frames, base)
            give(frames, latents, [placed.clip.multiplier] * len(frames))
    for key in window.keys:
        latent = encode_keyframe(encode, studio.picture(key.picture), key.latent_frame, IN_SEQUENCE, base)
        give([key.latent_frame], [latent], [key.multiplier])
    if around.head is not None:
        count = base.latent_frame_count(len(around.head)) - 1
        frames = list(range(window.frames.latent_frames - count, window.frames.latent_frames))
        latents = latents_at(encode, around.head, length - len(around.head), frames, base)
        give(frames, latents, given_multipliers(window.noise_multipliers, count)[::-1])
    if start is not None:
        count = base.latent_frame_count(len(start))
        latents = encode_frames(encode, start, range(count), base=base)
        give(range(count), latents, given_multipliers(window.noise_multipliers, count))
    return found


def latents_at(
    encode: Encode, pictures: Tensor, first: int, latent_frames: Sequence[int], base: Base
) -> list[Tensor]:
    """Latent frames inside a window of pictures that lie in it from its frame `first` on, each in sequence with those before it.

    pictures: [N, H, W, 3]; latent_frames: consecutive, all of their frames among the pictures. Returns one [1, C, 1, h, w] each.
    """
    start, count = latent_frames[0], len(latent_frames)
    if start == 0:
        return encode_frames(encode, pictures[-first:], range(count), base=base)
    before = base.first_pixel_frame(start) - 1 - first  # the picture before the first group
    pictures = pictures[before:] if before >= 0 else torch.cat((pictures[:1], pictures))
    return encode_frames(encode, pictures, range(1, count + 1), lead_in_before(start - 1), base)


def _coloured(frames: Tensor, plan: Plan, around: Surroundings) -> Tensor:
    if plan.colour == OFF:
        return frames
    if around.reference is not None and around.head is None:
        made = window_statistics(frames, plan.base)
        return apply_transfer(frames, fit_transfer(made, around.reference, MONGE_KANTOROVICH))
    return match_sides(frames, around.start, around.head, plan.base, plan.colour_method)
