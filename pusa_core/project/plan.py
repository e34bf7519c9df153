"""A project in frames: where each window lies in the video, what it follows, and what is given inside it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..bases import WAN, Base
from ..colour import MONGE_KANTOROVICH
from ..errors import PusaError
from ..long_video import Window, given_multipliers
from .text import FRAME, AnchorUse, ClipUse, Key, Project, PromptAt, WindowText

SEEDS = 2**64
RETAKE, CANDIDATE = 1_000_000, 1_000
"""What a retake and a candidate add to a window's seed: no two windows of a video meet in one."""


@dataclass(frozen=True)
class Defaults:
    """What the node sets for windows that do not."""

    seed: int = 0
    steps: int = 30
    cfg: float = 3.0
    fps: float = 16.0
    given_steps: int | None = None  # of a schedule that is given: then nobody's own steps count


@dataclass(frozen=True)
class Straight:
    """A video made straight through, from the first window to the last, as Long Video makes it.

    None of its windows is locked, retaken or bridged, so a part holds only the frames that are shown, and nothing is kept for a
    window before it.
    """

    opening: int = 0  # frames given to begin with, shown as the first window makes them
    frames: int | None = None  # of the video, where it ends inside the last window
    colour_method: str = MONGE_KANTOROVICH


@dataclass(frozen=True)
class PlacedKey:
    """A picture at a latent frame of one window."""

    latent_frame: int
    picture: str
    multiplier: float


@dataclass(frozen=True)
class PlacedClip:
    """Frames of a clip in one window."""

    first: int  # frame of the window where the clip's first frame lies; below 0 where the clip began in the window before
    clip: ClipUse

    def latent_frames(self, fresh: int, length: int, base: Base) -> list[int]:
        """The latent frames of a window that the clip fills as a whole, from its frame `fresh` on."""
        end = min(length, self.first + self.clip.frames)
        return [
            frame
            for frame in range(base.latent_frame_count(length))
            if base.first_pixel_frame(frame) >= max(self.first, fresh) and base.video_length(frame + 1) <= end
        ]

    def frames_for(self, latent_frames: Sequence[int], base: Base) -> range:
        """The frames of the clip that consecutive latent frames of a window are made of, and the one before them."""
        before = base.first_pixel_frame(latent_frames[0]) - 1 - self.first
        return range(max(0, before), base.video_length(latent_frames[-1] + 1) - self.first)


@dataclass(frozen=True)
class PromptSpan:
    """A prompt of a window from one of its latent frames on."""

    latent_frame: int
    text: str


@dataclass(frozen=True)
class PlannedWindow:
    """One window of a project with all its settings."""

    text: WindowText
    frames: Window  # where it lies; `given` is 0 where nothing is before it
    shared: int  # frames of the video that it shares with the window before, 0 for the first
    after: int  # frames of the video that it shares with the window after, 0 for the last
    kept: tuple[int, int]  # of its first and last frames, how many stay without loss for its neighbours
    written: int  # of its frames, how many its part holds
    prompt: str
    negative: str
    seed: int  # of its first take
    steps: int  # that it takes
    typed_steps: int  # that it would take without a schedule that is given
    cfg: float
    noise_multipliers: str
    keys: tuple[PlacedKey, ...]
    clips: tuple[PlacedClip, ...]
    spans: tuple[
        PromptSpan, ...
    ] = ()  # where several prompts hold inside it, one after the other; empty for one

    @property
    def index(self) -> int:
        """Counted from 0."""
        return self.frames.index

    @property
    def id(self) -> str:
        """What its files are named after."""
        return self.text.id

    @property
    def begins_anew(self) -> bool:
        """Whether it takes nothing over: the first window, and the one after a bridge."""
        return not self.index or not self.frames.given

    @property
    def shown(self) -> int:
        """Its first frames, up to those that the window after shows in its own version, or the end of the video."""
        return self.frames.end - self.frames.start - self.after

    def seed_of(self, candidate: int) -> int:
        """The seed of one candidate of the take that is asked for."""
        return (self.seed + RETAKE * self.text.retake + CANDIDATE * candidate) % SEEDS


@dataclass(frozen=True)
class Plan:
    """A project ready to be made."""

    windows: tuple[PlannedWindow, ...]
    colour: str
    resize: str
    anchor: AnchorUse | None
    fps: float
    base: Base
    straight: Straight | None = None

    @property
    def colour_method(self) -> str:
        """How colours are brought together at a seam, one of colour.METHODS."""
        return MONGE_KANTOROVICH if self.straight is None else self.straight.colour_method

    @property
    def frames(self) -> int:
        """Frames of the video."""
        return self.windows[-1].frames.end


def plan_project(
    project: Project, defaults: Defaults, base: Base = WAN, straight: Straight | None = None
) -> Plan:
    """Where everything lies; refuses what cannot be made whatever is on disk."""
    spans = _spans(project, base)
    keys, clips = _placed_keys(project, spans, base), _placed_clips(project, spans, base)
    prompts = _prompts(project, spans, defaults.fps)
    windows = []
    for index, (text, span) in enumerate(zip(project.windows, spans, strict=True)):
        after = spans[index + 1].overlap if index + 1 < len(spans) else 0
        frames = span.window(index, base, anew=index == 0 or project.windows[index - 1].bridge)
        if straight is not None:
            frames = _straight_window(frames, straight)
        planned = PlannedWindow(
            text,
            frames,
            shared=span.overlap,
            after=after,
            kept=_kept(project, spans, index) if straight is None else (0, after),
            written=span.length if straight is None else frames.end - frames.start - after,
            prompt=prompts[index],
            negative=project.negative if text.negative is None else text.negative,
            seed=(defaults.seed + index) % SEEDS if text.seed is None else text.seed,
            steps=_steps(text, defaults) if defaults.given_steps is None else defaults.given_steps,
            typed_steps=_steps(text, defaults),
            cfg=defaults.cfg if text.cfg is None else text.cfg,
            noise_multipliers=project.noise_multipliers
            if text.noise_multipliers is None
            else text.noise_multipliers,
            keys=keys[index],
            clips=clips[index],
            spans=_prompt_spans(project, text, span, defaults.fps, base),
        )
        _check_window(planned, f"windows[{index}]", base, project.windows[index + 1 : index + 2])
        windows.append(planned)
    _check_bridges(project)
    _check_anchor(project, windows, base)
    return Plan(tuple(windows), project.colour, project.resize, project.anchor, defaults.fps, base, straight)


def _steps(window: WindowText, defaults: Defaults) -> int:
    return defaults.steps if window.steps is None else window.steps


def window_multipliers(plan: Plan) -> list[list[float]]:
    """Noise multipliers [F] of each window, as far as the plan alone decides them: without drafts and locked windows behind."""
    tables = []
    for window in plan.windows:
        table = [1.0] * window.frames.latent_frames
        for clip in window.clips:
            for frame in clip.latent_frames(window.frames.given, window.frames.length, plan.base):
                table[frame] = clip.clip.multiplier
        for key in window.keys:
            table[key.latent_frame] = key.multiplier
        given = window.frames.given_latents
        if given:
            table[:given] = given_multipliers(window.noise_multipliers, given)
        if plan.anchor is not None and not window.begins_anew:
            table[0] = plan.anchor.multiplier
        tables.append(table)
    return tables


@dataclass(frozen=True)
class _Span:
    start: int
    length: int
    overlap: int  # shared with the window before

    @property
    def end(self) -> int:
        return self.start + self.length

    def makes(self, frame: int) -> bool:
        """Whether this is the window that a frame of the video comes from first."""
        return self.start + self.overlap <= frame < self.end

    def window(self, index: int, base: Base, anew: bool) -> Window:
        return Window(index, self.start, self.length, 0 if anew else self.overlap, self.end, base)


def _straight_window(window: Window, straight: Straight) -> Window:
    end = window.end if straight.frames is None else min(window.end, straight.frames)
    return replace(window, end=end, given=window.given if window.index else straight.opening)


def _spans(project: Project, base: Base) -> list[_Span]:
    spans: list[_Span] = []
    for index, window in enumerate(project.windows):
        length, overlap = project.length_of(window), project.overlap_of(window)
        names = {
            f"windows[{index}].length" if window.length is not None else "window": length,
            f"windows[{index}].overlap" if window.overlap is not None else "overlap": overlap if index else 1,
        }
        for name, frames in names.items():
            if not base.is_whole(frames):
                below, above = base.neighbours(frames)
                raise PusaError(
                    f"{name} is {frames} frames; {base.short} makes {base.lengths}: use {below} or {above}."
                )
        if not index:
            spans.append(_Span(0, length, 0))
            continue
        shortest = min(length, spans[-1].length)
        if overlap >= shortest:
            raise PusaError(
                f"windows[{index}] shares {overlap} frames with the window before, and the shorter of the two has {shortest}. "
                f"Use an overlap of at most {shortest - base.temporal_stride}, or longer windows."
            )
        spans.append(_Span(spans[-1].end - overlap, length, overlap))
    return spans


def _kept(project: Project, spans: Sequence[_Span], index: int) -> tuple[int, int]:
    after = spans[index + 1].overlap if index + 1 < len(spans) else 0
    length = spans[index].length
    head, tail = (min(length, max(project.overlap, shared)) for shared in (spans[index].overlap, after))
    return head, tail


def _placed_keys(project: Project, spans: Sequence[_Span], base: Base) -> list[tuple[PlacedKey, ...]]:
    placed: list[dict[int, int]] = [{} for _ in spans]  # latent frame -> number of the key
    for number, key in enumerate(project.keys):
        if key.at >= spans[-1].end:
            raise PusaError(
                f"keys[{number}].at is {key.at}, but the video has {spans[-1].end} frames, counted from 0. "
                f"Use 0 to {spans[-1].end - 1}, or lengthen the last window."
            )
        for index in _makers(project, spans, key.at):
            frame = base.latent_frame_of(key.at - spans[index].start)
            if (other := placed[index].setdefault(frame, number)) != number:
                first = spans[index].start + base.first_pixel_frame(frame)
                last = spans[index].start + base.video_length(frame + 1) - 1
                raise PusaError(
                    f"keys[{number}] (frame {key.at}) and keys[{other}] (frame {project.keys[other].at}) fall together: frames {first} to "
                    f"{last} are one latent frame of windows[{index}], which takes one picture. Move one by {base.temporal_stride} frames."
                )
    return [
        tuple(_key(frame, project.keys[number]) for frame, number in sorted(found.items()))
        for found in placed
    ]


def _key(frame: int, key: Key) -> PlacedKey:
    return PlacedKey(frame, key.picture, key.multiplier)


def _placed_clips(project: Project, spans: Sequence[_Span], base: Base) -> list[tuple[PlacedClip, ...]]:
    placed: list[list[PlacedClip]] = [[] for _ in spans]
    for number, clip in enumerate(project.clips):
        if clip.at >= spans[-1].end:
            raise PusaError(
                f"clips[{number}].at is {clip.at}, but the video has {spans[-1].end} frames. Use 0 to {spans[-1].end - 1}."
            )
        used = False
        for index, span in enumerate(spans):
            one = PlacedClip(clip.at - span.start, clip)
            fresh = 0 if index == 0 or project.windows[index - 1].bridge else span.overlap
            if one.latent_frames(fresh, span.length, base):
                placed[index].append(one)
                used = True
        if not used:
            raise PusaError(
                f"clips[{number}] gives {clip.frames} frames at {clip.at}, which fill no latent frame of any window: one holds "
                f"{base.groups} frames, the first of a video one. Give {2 * base.temporal_stride - 1} frames or more."
            )
    return [tuple(found) for found in placed]


def _makers(project: Project, spans: Sequence[_Span], frame: int) -> list[int]:
    """The windows that make a frame of the video: one, and with a window that begins anew also the bridge before it."""
    return [
        index
        for index, span in enumerate(spans)
        if span.makes(frame)
        or (index and project.windows[index - 1].bridge and span.start <= frame < span.end)
    ]


def _prompts(project: Project, spans: Sequence[_Span], fps: float) -> list[str]:
    prompts: list[str] = []
    timed = sorted(project.prompts, key=lambda one: one.at)
    for index, (window, span) in enumerate(zip(project.windows, spans, strict=True)):
        middle = (span.start + span.overlap + span.end - 1) / 2 / fps
        if window.prompt is not None:
            prompts.append(window.prompt)
        elif timed:
            prompts.append(_holds(timed, middle))
        elif prompts:
            prompts.append(prompts[-1])
        else:
            raise PusaError(
                f"windows[{index}] has no prompt, and there is none before it. Write windows[{index}].prompt, or add prompts."
            )
    return prompts


def _prompt_spans(
    project: Project, window: WindowText, span: _Span, fps: float, base: Base
) -> tuple[PromptSpan, ...]:
    """Each latent frame follows the prompt that holds in the middle of its video frames."""
    if project.prompts_by != FRAME or window.prompt is not None or not project.prompts:
        return ()
    timed = sorted(project.prompts, key=lambda one: one.at)
    spans: list[PromptSpan] = []
    for frame in range(base.latent_frame_count(span.length)):
        middle = span.start + (base.first_pixel_frame(frame) + base.video_length(frame + 1) - 1) / 2
        text = _holds(timed, middle / fps)
        if not spans or spans[-1].text != text:
            spans.append(PromptSpan(frame, text))
    return tuple(spans) if len(spans) > 1 else ()


def _holds(timed: Sequence[PromptAt], second: float) -> str:
    return next((one for one in reversed(timed) if one.at <= second), timed[0]).text


def _check_window(window: PlannedWindow, place: str, base: Base, following: Sequence[WindowText]) -> None:
    given = window.frames.given_latents
    given_multipliers(window.noise_multipliers, given or 1)  # refuses what was typed wrongly
    ends = base.latent_frame_count(window.after) - 1 if following else 0
    leads = window.text.bridge or any(one.lock for one in following)
    if leads and given + ends >= window.frames.latent_frames:
        raise PusaError(
            f"{place} has {window.frames.length} frames, of which {window.shared} are given at its start and {window.after} at its end, so "
            "nothing is left to make. Use a longer window or smaller overlaps."
        )
    if window.text.bridge and not ends:
        raise PusaError(
            f"{place} is a bridge, and the window after it shares 1 frame with it, but the end of a window is given in groups. "
            f"Use an overlap of {base.video_length(2)} or more for the window after it."
        )


def _check_bridges(project: Project) -> None:
    for (index, one), (_, other) in itertools.pairwise(enumerate(project.windows)):
        if one.bridge and other.bridge and not (one.lock or other.lock):
            raise PusaError(
                f"windows[{index}] and windows[{index + 1}] are both bridges, so each would wait for the other. Lock one of them, or take "
                "bridge out of one."
            )


def _check_anchor(project: Project, windows: Sequence[PlannedWindow], base: Base) -> None:
    if project.anchor is None:
        return
    for window in windows:
        if not window.begins_anew and window.frames.given_latents < 2:
            raise PusaError(
                f"windows[{window.index}] shares 1 frame with the window before, and the anchor takes the first latent frame of each window, "
                f"so nothing would be handed over. Use an overlap of {base.video_length(2)} or more, or take the anchor out."
            )
