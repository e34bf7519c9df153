"""Rules on the latent's axes, size and length, and the rate at which the video plays."""

from __future__ import annotations

from collections.abc import Iterator

from ..bases import WAN
from ..findings import Finding
from .facts import Facts


def size(facts: Facts) -> Iterator[Finding]:
    """The latent's axes, channels, size and length."""
    shape = facts.latent_shape
    if len(shape) != 5:
        yield Finding(
            "The latent is of a picture, not of a video.",
            f"A video latent has five axes, this one has {len(shape)}: {list(shape)}.",
            f"Use {facts.base.empty_latent} ({facts.base.channels} channels) for the size and length.",
        )
        return
    base = facts.base
    if shape[1] != facts.model.channels:
        yield Finding(
            f"The latent has {shape[1]} channels, the model takes {facts.model.channels}.",
            "It was made by another VAE or for another model (Wan2.1 and Wan2.2 14B have 16, Wan2.2 5B 48, Mochi 12, LTX-Video 128).",
            f"Use {base.vae_file} and {base.empty_latent}.",
        )
    multiple = base.size_multiple
    sizes = dict.fromkeys(
        [*facts.graph.sizes, (shape[4] * base.spatial_stride, shape[3] * base.spatial_stride)]
    )
    odd = next(((w, h) for w, h in sizes if w % multiple or h % multiple), None)
    if odd:
        width, height = odd
        nearest = tuple(max(1, round(side / multiple)) * multiple for side in odd)
        yield Finding(
            f"The size {width} x {height} is not a multiple of {multiple}.",
            f"{base.short} works on squares of {multiple} pixels; the rest is cut or filled up, and condition frames no longer fit exactly.",
            f"Use {nearest[0]} x {nearest[1]}.",
        )
    for length in dict.fromkeys(facts.graph.lengths):
        if not base.is_whole(length):
            shorter, longer = base.neighbours(length)
            yield Finding(
                f"The length {length} is not {base.lengths}.",
                f"{base.short}'s VAE makes one latent frame of the first picture and one of every {base.groups} that follow.",
                f"Use {shorter} or {longer}.",
            )
    if shape[2] > base.latent_frame_count(base.trained_length) and not facts.has_context_windows:
        yield Finding(
            f"{shape[2]} latent frames ({base.video_length(shape[2])} pictures) in one pass.",
            f"{base.short} and Pusa were trained on {base.trained_length} pictures; beyond that the motion repeats or falls apart.",
            f"Use a length of {base.trained_length} and extend the video in further passes, or add WAN Context Windows.",
        )


def frame_rate(facts: Facts) -> Iterator[Finding]:
    """A rate that the model does not make."""
    made = facts.base.fps
    # the node's own default says nothing about another base's videos
    typed = () if facts.frame_rate == WAN.fps else (facts.frame_rate,)
    # multiples come from frame interpolation
    wrong = [rate for rate in (*typed, *facts.graph.frame_rates) if rate > 0 and rate % made]
    for rate in dict.fromkeys(wrong):
        yield Finding(
            f"The frame rate is {rate:g}.",
            f"{facts.base.short} makes {made:g} pictures a second; at another rate everything moves too fast or too slow.",
            f"Set it to {made:g} ({2 * made:g} after doubling the frames by interpolation).",
        )
