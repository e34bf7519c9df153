"""The given frames of a latent, as a node says them: how many, where, with which multipliers, and what was lost on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from torch import Tensor

from .bases import WAN, Base, base_of_channels
from .errors import PusaError
from .findings import Finding
from .graph.latents import lost_frames, other_latents
from .graph.loops import unrolled_stills
from .graph.models import overridden_samplings
from .graph.prompt import class_of
from .node_names import APPLY, SAMPLER

FREE = "No given frames: plain text-to-video."


def given_text(noise_multipliers: Iterable[float] | None, base: Base = WAN) -> str:
    """How many frames are given, where and with which multipliers: "1 given frame: latent frame 0 (video frame 0) at 0.2."

    noise_multipliers: [F], each in [0, 1], or None for all 1. Neighbours of one multiplier are one entry.
    """
    multipliers = [float(m) for m in ([] if noise_multipliers is None else noise_multipliers)]
    entries = []
    for multiplier, run in groupby(range(len(multipliers)), key=multipliers.__getitem__):
        frames = list(run)
        if multiplier < 1.0:
            entries.append(f"{_places(frames[0], frames[-1], base)} at {multiplier:g}")
    count = sum(m < 1.0 for m in multipliers)
    if not count:
        return FREE
    return f"{count} given {'frame' if count == 1 else 'frames'}: {'; '.join(entries)}."


def sizes_of(latent: Mapping[str, Any]) -> dict[str, Any]:
    """Size, length and given frames of a LATENT for a line of settings; only the frames where its shape is no video's."""
    samples: Tensor = latent["samples"]
    base, multipliers = base_of_latent(latent), latent.get("noise_multipliers")
    given = given_text(multipliers, base)
    found = {"given": None if given == FREE else given.partition(": ")[2].rstrip(".")}
    if samples.is_nested or samples.ndim != 5:
        return found
    height, width = (side * base.spatial_stride for side in samples.shape[3:])
    return {"size": f"{width}x{height}", "frames": base.video_length(samples.shape[2]), **found}


def told(latent: Mapping[str, Any], prompt: Mapping[str, Any] | None, node: str) -> str:
    """What a sampling node says of the latent it got: its given frames, then a sentence for each thing that is wrong with them.

    latent: ComfyUI's LATENT; prompt: the hidden API prompt, None where it is not known; node: the node's own id.
    """
    multipliers = latent.get("noise_multipliers")
    values = None if multipliers is None else [float(m) for m in multipliers]
    node = str(node)
    known = prompt if prompt and node in prompt else {}
    faults = [*lost_frames(known, node, without=values is None)]
    if not faults:
        faults += content_faults(
            values, filled_frames(latent), len(values or ()) or latent["samples"].shape[2]
        )
    if class_of(known, node) == APPLY:
        faults += [one for one in other_latents(known, node) if f"(node {node})" in one.what]
    if class_of(known, node) == SAMPLER:
        faults += unrolled_stills(known, node)
    faults += overridden_samplings(known, node)
    base = base_of_latent(latent)
    return said(" ".join(filter(None, [given_text(values, base), base.experimental])), faults)


def told_of_windows(
    noise_multipliers: Sequence[Sequence[float]],
    prompt: Mapping[str, Any] | None = None,
    node: str = "",
    base: Base = WAN,
) -> str:
    """The given frames of every window of a long video; windows alike are one line.

    noise_multipliers: [F] of each window, see project.plan.window_multipliers; prompt, node: as in told.
    """
    lines: dict[str, list[int]] = {}
    for number, multipliers in enumerate(noise_multipliers, 1):
        lines.setdefault(given_text(multipliers, base), []).append(number)
    text = "\n".join(f"{_windows(numbers)}: {line[0].lower()}{line[1:]}" for line, numbers in lines.items())
    return said(text, overridden_samplings(prompt or {}, str(node)))


def said(text: str, faults: Iterable[Finding]) -> str:
    """A node's text with its faults below, each as one line with its remedy."""
    return "\n".join([text, *(f"Warning: {one.what} {one.why} {one.fix}" for one in faults)])


def base_of_latent(latent: Mapping[str, Any]) -> Base:
    """The base of a LATENT for sentences about it; Wan's where its channels are no base's, which others refuse."""
    samples: Tensor = latent["samples"]
    try:
        return WAN if samples.is_nested or samples.ndim != 5 else base_of_channels(samples.shape[1])
    except PusaError:
        return WAN


def filled_frames(latent: Mapping[str, Any]) -> tuple[frozenset[int], ...]:
    """Latent frames of each item of a batch that hold anything but zeros.

    latent: ComfyUI's LATENT, samples [B, C, F, H, W]. Empty for any other shape, and where a noise mask says what is kept.
    """
    samples: Tensor = latent["samples"]
    if samples.is_nested or samples.ndim != 5 or latent.get("noise_mask") is not None:
        return ()
    filled = (samples != 0).flatten(3).any(dim=3).any(dim=1)
    return tuple(frozenset(frame for frame, one in enumerate(row) if one) for row in filled.tolist())


def content_faults(
    noise_multipliers: Sequence[float] | None, filled: Sequence[frozenset[int]], frames: int
) -> Iterator[Finding]:
    """What the samples themselves tell: pictures without multipliers, and multipliers where an item of the batch has no picture.

    noise_multipliers: [F] or None; filled: of each item of the batch, the latent frames that are not all zero; frames: F.
    """
    if not _given(noise_multipliers):
        held = sorted(next((item for item in filled if 0 < len(item) < frames), ()))
        if noise_multipliers is None and held:
            yield Finding(
                f"The latent holds pictures in {_listed(held)} and nothing in the others, but no noise multipliers.",
                "Save Latent, and nodes that build a latent anew, keep the samples only; these frames count as free: plain text-to-video.",
                "Inject the frames after Load Latent, or after the node that built the latent anew.",
            )
        return
    given = {frame for frame, m in enumerate(noise_multipliers or ()) if m < 1.0}
    empty = {n: sorted(given - item) for n, item in enumerate(filled, 1) if given - item}
    if empty:
        item, missing = next(iter(empty.items()))
        where = f"Item {item} of the batch" if len(filled) > 1 else "The latent"
        yield Finding(
            f"{where} holds nothing in {_listed(missing)}, where its noise multipliers keep a picture.",
            "One set of multipliers holds for the whole batch: Latent Batch keeps that of its first latent."
            if len(filled) > 1
            else "A node between the injector and the sampler cleared these frames; zeros are kept in their place.",
            "Give all items of a batch frames in the same places, or sample them one after the other."
            if len(filled) > 1
            else "Put the injector last, before the sampler.",
        )


def _given(noise_multipliers: Sequence[float] | None) -> bool:
    return any(m < 1.0 for m in noise_multipliers or ())


def _places(first: int, last: int, base: Base) -> str:
    """Latent frames with the video frames they hold: "latent frames 1 to 3 (video frames 1 to 12)"."""
    pixel_first, pixel_last = base.first_pixel_frame(first), base.video_length(last + 1) - 1
    latent = f"latent frame {first}" if first == last else f"latent frames {first} to {last}"
    video = (
        f"video frame {pixel_first}"
        if pixel_first == pixel_last
        else f"video frames {pixel_first} to {pixel_last}"
    )
    return f"{latent} ({video})"


def _listed(frames: Sequence[int]) -> str:
    *first, last = [str(frame) for frame in frames]
    return f"latent frames {', '.join(first)} and {last}" if first else f"latent frame {last}"


def _windows(numbers: Sequence[int]) -> str:
    runs = []
    for _, group in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        runs.append(f"{run[0]}" if len(run) == 1 else f"{run[0]} to {run[-1]}")
    return f"{'Window' if len(numbers) == 1 else 'Windows'} {' and '.join(runs)}"
