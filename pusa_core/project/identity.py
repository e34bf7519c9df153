"""What decides a window: a name of its own settings, and one of those with all that lies around it."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from ..colour import ColourStatistics
from ..digest import digest
from ..images import CROP
from .plan import Plan, PlannedWindow
from .text import ANCHOR, BEFORE

FORMAT = 1
"""Raised when the same settings make other pictures, so that older parts are made again."""


class Sources(Protocol):
    """What a window is made from beside its text."""

    def fingerprint(self, window: PlannedWindow) -> str:
        """A name of the model with the window's LoRAs, the text encoder, the VAE, the size and how it is sampled."""

    def file_identity(self, name: str) -> str:
        """A name of what a file of the input folder holds."""


def own_identities(plan: Plan, window: PlannedWindow, candidate: int, sources: Sources) -> tuple[str, str]:
    """Two names of what a window is made from, but for its neighbours: of what it has a use for, and of all that is set.

    Parts were called by the second before settings without a use were left out. Where all are the defaults both are the same.
    """
    resize = plan.resize if _has_pictures(plan, window) else CROP
    colour = plan.colour if _has_colours(plan, window) else BEFORE
    return (
        _own_identity(plan, window, candidate, sources, resize, window.steps, colour),
        _own_identity(plan, window, candidate, sources, plan.resize, window.typed_steps, plan.colour),
    )


def _has_pictures(plan: Plan, window: PlannedWindow) -> bool:
    """Whether a window sees anything that is brought to the size of the video."""
    anchored = plan.anchor is not None and (not window.begins_anew or plan.colour == ANCHOR)
    return bool(window.keys or window.clips or anchored)


def _has_colours(plan: Plan, window: PlannedWindow) -> bool:
    """Whether there is anything to match a window's colours to; what a first window may lead to is no setting of its own."""
    return bool(window.index) or plan.colour == ANCHOR or plan.straight is not None


def _own_identity(
    plan: Plan,
    window: PlannedWindow,
    candidate: int,
    sources: Sources,
    resize: str,
    steps: int,
    colour: str,
) -> str:
    straight = [] if plan.straight is None else [window.written, plan.colour_method]
    return digest(
        [
            FORMAT,
            window.frames.length,
            window.kept,
            plan.fps,
            resize,
            [vars(span) for span in window.spans] or window.prompt,
            window.negative,
            window.seed_of(candidate),
            steps,
            window.cfg,
            window.noise_multipliers,
            [(key.latent_frame, sources.file_identity(key.picture), key.multiplier) for key in window.keys],
            [
                (
                    one.first,
                    one.clip.start,
                    one.clip.frames,
                    one.clip.multiplier,
                    sources.file_identity(one.clip.file),
                )
                for one in window.clips
            ],
            colour,
            sources.fingerprint(window),
            *straight,
        ]
    )


def full_identity(
    own: str,
    given: str,
    head: str = "",
    anchor: str = "",
    draft: tuple[str, float] | None = None,
    reference: ColourStatistics | None = None,
) -> str:
    """A name of a window with all that it depends on.

    given, head: names of the frames it begins and ends with, "" for none; anchor: of the picture it looks at; draft: of the draft
    it follows and how closely; reference: the colours it is brought to.
    """
    colours = None if reference is None else (reference.mean, reference.covariance)
    return digest([own, given, head, anchor, draft, colours])


def frames_identity(frames: Tensor | None) -> str:
    """A name of frames that one window takes over from another, "" for none."""
    return "" if frames is None else digest(frames)
