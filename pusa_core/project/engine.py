"""A project made: every window in the order its neighbours allow, kept where nothing that it depends on has changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from ..clips.time_stamps import Audio
from ..clips.writing import JoinedPart
from ..colour import ColourStatistics
from ..errors import PusaError
from ..images import STRETCH, fit_images
from .folder import Part, ProjectFolder
from .identity import Sources, frames_identity, full_identity, own_identities
from .plan import Plan, PlannedWindow
from .rendering import MadeWindow, Studio, Surroundings, make_window
from .seams import window_statistics
from .text import ANCHOR, FIRST

FINAL, DRAFT = QUALITIES = ("final", "draft")
RUNNING, FINISHED, KEPT, LOCKED = "running", "finished", "kept", "locked"


class DirectedStudio(Studio, Sources, Protocol):
    """A studio that also says what it works with, and is told how far the project is."""

    size: tuple[int, int]  # width and height, pixels
    crf: int

    def tell(self, window: PlannedWindow, candidate: int, state: str, part: Part | None) -> None:
        """A candidate of a window begins (RUNNING, without a part) or is there."""


@dataclass(frozen=True)
class Draft:
    """Where drafts of the windows lie, and how they are followed."""

    folder: ProjectFolder
    sources: Sources  # of the draft
    multiplier: float  # noise of the draft's frames, 0 to 1


@dataclass(frozen=True)
class _Need:
    """All that decides one candidate of a window."""

    own: str
    identity: str
    before: str  # identity of the window before
    given: str  # a name of the frames taken over from there
    followed: tuple[str, float] | None  # the draft's sha256 and the noise of its frames
    around: Surroundings  # without the draft, which is read when it is needed


class ProjectRun:
    """One run over a project. Memory holds one window and what its neighbours hand over."""

    def __init__(
        self,
        plan: Plan,
        folder: ProjectFolder,
        studio: DirectedStudio,
        draft: Draft | None = None,
        opening: Tensor | None = None,
    ):
        """opening: the frames that a video made straight through begins with, [plan.straight.opening, H, W, 3], 0 to 1."""
        self.plan = plan
        self.folder = folder
        self.studio = studio
        self.draft = draft
        self.opening = opening
        self.target = None if plan.straight else folder.target
        self.parts: dict[int, Part] = {}  # the chosen candidates
        self.found: dict[tuple[int, int], Part] = {}  # every candidate that is there
        self.states: dict[tuple[int, int], str] = {}
        self.under_way: list[int] = []
        self.set_aside: Path | None = None  # the finished video of another film that was here

    def make(self, text: Any) -> list[Part]:
        """Make what is missing. text: the project as typed, for the record. The folder must be taken."""
        if self.target == self.folder.target and not self.folder.draft and self._is_another_film():
            self.set_aside = self.folder.set_finished_aside()
        for window in self.plan.windows:
            self.ensure(window.index)
            self.write_record(text)
        return [self.parts[window.index] for window in self.plan.windows]

    def join(self, audio: Audio | None, metadata: Mapping[str, object], target: Path | None = None) -> Path:
        """The finished video of all windows, in the project's folder or at `target`."""
        shown = [JoinedPart(self.parts[window.index].video, window.shown) for window in self.plan.windows]
        self.target = self.folder.join(shown, audio, metadata, self.studio.crf, target)
        return self.target

    def _is_another_film(self) -> bool:
        """Whether no part that lies here was made from what a window asks for now: then none of them will be kept."""
        for window in self.plan.windows:
            for candidate in range(window.text.candidates):
                facts = self.folder.facts(window.id, candidate)
                if facts is None:
                    continue
                if window.text.lock or facts.own in own_identities(self.plan, window, candidate, self.studio):
                    return False
        return True

    def ensure(self, index: int) -> Part:
        """The chosen part of a window; it and what it waits for are made where they are missing."""
        if index in self.parts:
            return self.parts[index]
        if index in self.under_way:
            self._refuse_circle(index)
        self.under_way.append(index)
        window = self.plan.windows[index]
        locked = self.locked(window)
        if locked is not None:
            self._note(window, window.text.chosen, LOCKED, locked)
            self.parts[index] = locked
        else:
            parts = [self.candidate(window, candidate) for candidate in range(window.text.candidates)]
            self.parts[index] = parts[window.text.chosen]
        self.under_way.pop()
        return self.parts[index]

    def locked(self, window: PlannedWindow) -> Part | None:
        """The part of a locked window that is there; refuses one that no longer fits the project."""
        if not window.text.lock:
            return None
        part = self.folder.locked_part(
            window.id, window.text.chosen, f"windows[{window.index}] ({window.id})"
        )
        if part is not None and part.facts.shape != self.shape(window):
            said = [
                "{} x {} pixels, {} frames at {:g} per second".format(*values)
                for values in (part.facts.shape, self.shape(window))
            ]
            raise PusaError(
                f"windows[{window.index}] ({window.id}) is locked with {said[0]}, but the project now asks for {said[1]}. "
                "Take the lock out, or set the size, length and rate back."
            )
        return part

    def shape(self, window: PlannedWindow) -> tuple[int, int, int, float]:
        """What a part of a window must be like: width, height, frames, frames per second."""
        return (*self.studio.size, window.frames.length, self.plan.fps)

    def candidate(self, window: PlannedWindow, candidate: int) -> Part:
        """One candidate of a window that is not locked."""
        there = self.folder.part(window.id, candidate)
        owns = own_identities(self.plan, window, candidate, self.studio)
        draft = self._draft(window, candidate)
        for own, followed in self._ways(there, owns, draft):
            for link in self._links(window, there):
                need = self._need(window, own, owns, followed, there, link)
                if there is not None and there.facts.identity == need.identity:
                    self._note(window, candidate, KEPT, there)
                    return there
        self._note(window, candidate, RUNNING, None)
        made = make_window(self.plan, window, candidate, self._with_draft(need.around, draft), self.studio)
        part = self._write(window, candidate, made, need)
        self._note(window, candidate, FINISHED, part)
        return part

    def _ways(
        self, there: Part | None, owns: tuple[str, str], draft: Part | None
    ) -> list[tuple[str, tuple[str, float] | None]]:
        """All that a part may have been made from to be kept, the last what it is made from now.

        A draft is a help, so a part stays whatever has become of the one it followed; how closely it followed is a setting.
        """
        multiplier = 1.0 if self.draft is None else self.draft.multiplier
        followed = None if draft is None else (draft.facts.sha256, multiplier)
        ways = [(owns[0], followed)]
        if there is not None and there.facts.own in owns:
            ways.insert(0, (there.facts.own, followed))
            before = there.facts.followed
            if before is None or before[1] == multiplier:
                ways.insert(0, (there.facts.own, before))
        return list(dict.fromkeys(ways))

    def _links(self, window: PlannedWindow, there: Part | None) -> list[str | None]:
        """Names of frames before a window that a part may have been made from to be kept, the last None: those that lie there now.

        A bridge leads to the window after it as that is, whatever was before it when it was made.
        """
        after_a_bridge = window.index and window.begins_anew
        return [there.facts.given, None] if there is not None and after_a_bridge else [None]

    def _need(
        self,
        window: PlannedWindow,
        own: str,
        owns: tuple[str, str],
        followed: tuple[str, float] | None,
        there: Part | None,
        earlier: str | None = None,
    ) -> _Need:
        """earlier: the name of other frames before the window than those that lie there now."""
        before = None if window.begins_anew else self.ensure(window.index - 1)
        given = None if before is None else before.tail(window.shared)
        opening = None if window.index else self.opening
        link = frames_identity(given if given is not None else opening) if earlier is None else earlier
        anchor, reference = "", self._reference(window)
        if self.plan.anchor is not None and (given is not None or earlier):
            anchor = f"{self.studio.file_identity(self.plan.anchor.picture)} {self.plan.anchor.multiplier}"
        identity = full_identity(own, link, "", anchor, followed, reference)
        head = self._head(window, identity, there)
        if head is not None:
            reference = None
            # else a first window has nothing that its colours could be matched to: see own_identities
            all_that_is_set = own if window.index else owns[1]
            identity = full_identity(all_that_is_set, link, frames_identity(head), anchor, followed, None)
        around = Surroundings(given, opening, head, reference=reference)
        return _Need(own, identity, "" if before is None else before.facts.identity, link, followed, around)

    def _head(self, window: PlannedWindow, plain: str, there: Part | None) -> Tensor | None:
        """The first frames of the window after, where this one must lead to them.

        plain: identity of this window without them; there: its part. A locked window that was made after exactly this one fits
        it as it is.
        """
        if window.index + 1 == len(self.plan.windows):
            return None
        following = self.plan.windows[window.index + 1]
        if window.text.bridge:
            return self.ensure(following.index).head(window.after)
        locked = self.locked(following)
        if locked is None or self.plan.base.latent_frame_count(window.after) < 2:
            return None
        shares_as_many = locked.facts.shared in (None, window.after)
        fits = locked.facts.before == plain and shares_as_many
        if there is not None and there.facts.identity == plain:
            fits = frames_identity(there.tail(window.after)) == locked.facts.given
        return None if fits else locked.head(window.after)

    def _reference(self, window: PlannedWindow) -> ColourStatistics | None:
        if self.plan.colour == FIRST and window.index:
            return self.ensure(0).colours()
        if self.plan.colour == ANCHOR and self.plan.anchor is not None:
            return window_statistics(self.studio.picture(self.plan.anchor.picture), self.plan.base)
        return None

    def _draft(self, window: PlannedWindow, candidate: int) -> Part | None:
        """The draft of a candidate, if it was made from the settings that hold now."""
        if self.draft is None or self.draft.multiplier >= 1:
            return None
        part = self.draft.folder.part(window.id, candidate)
        if part is None or part.facts.length != window.frames.length:
            return None
        owns = own_identities(self.plan, window, candidate, self.draft.sources)
        return part if part.facts.own in owns else None

    def _with_draft(self, around: Surroundings, draft: Part | None) -> Surroundings:
        if draft is None or self.draft is None:
            return around
        frames = fit_images(draft.frames(), *self.studio.size, STRETCH)
        return replace(around, draft=frames, draft_multiplier=self.draft.multiplier)

    def _write(self, window: PlannedWindow, candidate: int, made: MadeWindow, need: _Need) -> Part:
        facts = {
            "identity": need.identity,
            "own": need.own,
            "before": need.before,
            "given": need.given,
            "seed": window.seed_of(candidate),
            "fps": self.plan.fps,
            "left_seam": made.left_seam,
            "right_seam": made.right_seam,
            "drafted": need.followed is not None,
            "followed": need.followed,
            "shared": window.shared,
        }
        colours = window_statistics(made.frames, self.plan.base)
        return self.folder.write(
            window.id, candidate, made.frames, window.written, window.kept, colours, self.studio.crf, facts
        )

    def _note(self, window: PlannedWindow, candidate: int, state: str, part: Part | None) -> None:
        self.states[window.index, candidate] = state
        if part is not None:
            self.found[window.index, candidate] = part
        self.studio.tell(window, candidate, state, part)

    def _refuse_circle(self, index: int) -> None:
        waiting = self.under_way[self.under_way.index(index) :]
        named = [self.plan.windows[one].id for one in (*waiting, index)]
        raise PusaError(
            f"These windows wait for each other: {', then '.join(named)}. A bridge needs the windows on both sides finished: take bridge out "
            "of one of them, or make the one after it first and lock it."
        )

    def report(self) -> str:
        """One line a candidate: frames, seed, what was done, seams, whether it followed a draft; then what else happened."""
        lines = [self._line(*key) for key in sorted(self.found)]
        if self.set_aside is not None:
            lines.append(
                f"No window of the {self.folder.target.name} that was here could be kept, so it stays as {self.set_aside.name}."
            )
        return "\n".join(lines)

    def _line(self, index: int, candidate: int) -> str:
        window, facts = self.plan.windows[index], self.found[index, candidate].facts
        of = (
            f", candidate {candidate}{' (chosen)' * (candidate == window.text.chosen)}"
            if window.text.candidates > 1
            else ""
        )
        seams = [f"{value:.2f}" for value in (facts.left_seam, facts.right_seam) if value is not None]
        jump = f", jump at the seam{'s' * (len(seams) > 1)} {' and '.join(seams)}" if seams else ""
        if self._is_cut(index):
            jump = ", does not continue the window before, which is locked too: take one of the two locks out, or put a bridge between them"
        return f"{window.id}, {window.frames}{of}, seed {facts.seed}, {self.states[index, candidate]}{', after the draft' * facts.drafted}{jump}"

    def _is_cut(self, index: int) -> bool:
        """Whether a locked window follows another locked one that it was not made after, or shares other frames with."""
        window = self.plan.windows[index]
        if window.begins_anew or self.states.get((index, window.text.chosen)) != LOCKED:
            return False
        before = self.plan.windows[index - 1]
        if self.states.get((index - 1, before.text.chosen)) != LOCKED:
            return False
        return frames_identity(self.parts[index - 1].tail(window.shared)) != self.parts[index].facts.given

    def write_record(self, text: Any) -> None:
        """project.json as far as the project is."""
        windows = [self._told(window) for window in self.plan.windows]
        self.folder.record(
            {
                "version": 1,
                "name": self.folder.name,
                "quality": DRAFT if self.folder.draft else FINAL,
                "frames": self.plan.frames,
                "fps": self.plan.fps,
                "width": self.studio.size[0],
                "height": self.studio.size[1],
                "video": None if self.target is None else self.target.name,
                "windows": windows,
                "project": text,
            }
        )

    def _told(self, window: PlannedWindow) -> dict[str, Any]:
        candidates = [
            {
                "candidate": candidate,
                "file": part.video.name,
                "picture": part.picture.name,
                "seed": part.facts.seed,
                "identity": part.facts.identity,
                "left_seam": part.facts.left_seam,
                "right_seam": part.facts.right_seam,
            }
            for (index, candidate), part in sorted(self.found.items(), key=lambda one: one[0])
            if index == window.index
        ]
        return {
            "id": window.id,
            "start": window.frames.start,
            "first_new": window.frames.first_new,
            "end": window.frames.end,
            "prompt": window.prompt,
            "prompts": [[span.latent_frame, span.text] for span in window.spans],
            "negative": window.negative,
            "steps": window.steps,
            "cfg": window.cfg,
            "state": ("locked" if window.text.lock else "finished") if candidates else "missing",
            "chosen": window.text.chosen,
            "candidates": candidates,
        }
