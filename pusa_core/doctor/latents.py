"""Rules on the latent's axes, size and length, and the rate at which the video plays."""

from __future__ import annotations

from collections.abc import Iterator

from ..findings import Finding
from ..frames import (
    FRAME_RATE,
    PATCH_PIXELS,
    PIXELS,
    STRIDE,
    TRAINED_LENGTH,
    latent_frame_count,
    video_length,
)
from .facts import Facts


def size(facts: Facts) -> Iterator[Finding]:
    """The latent's axes, channels, size and length."""
    shape = facts.latent_shape
    if len(shape) != 5:
        yield Finding(
            "The latent is of a picture, not of a video.",
            f"A video latent has five axes, this one has {len(shape)}: {list(shape)}.",
            "Use Empty Hunyuan Latent Video (16 channels) for the size and length.",
        )
        return
    if shape[1] != facts.model.channels:
        yield Finding(
            f"The latent has {shape[1]} channels, the model takes {facts.model.channels}.",
            "It was made by another VAE or for another model (Wan2.2 5B has 48).",
            "Use the Wan 2.1 VAE and Empty Hunyuan Latent Video.",
        )
    sizes = dict.fromkeys([*facts.graph.sizes, (shape[4] * PIXELS, shape[3] * PIXELS)])
    odd = next(((w, h) for w, h in sizes if w % PATCH_PIXELS or h % PATCH_PIXELS), None)
    if odd:
        width, height = odd
        nearest = tuple(max(1, round(side / PATCH_PIXELS)) * PATCH_PIXELS for side in odd)
        yield Finding(
            f"The size {width} x {height} is not a multiple of 16.",
            "Wan works on squares of 16 pixels; the rest is cut or filled up, and condition frames no longer fit exactly.",
            f"Use {nearest[0]} x {nearest[1]}.",
        )
    for length in dict.fromkeys(facts.graph.lengths):
        if length % STRIDE != 1:
            shorter = (length - 1) // STRIDE * STRIDE + 1
            yield Finding(
                f"The length {length} is not 4n + 1.",
                "Wan's VAE makes one latent frame of the first picture and one of every four that follow.",
                f"Use {max(1, shorter)} or {shorter + STRIDE}.",
            )
    if shape[2] > latent_frame_count(TRAINED_LENGTH) and not facts.has_context_windows:
        yield Finding(
            f"{shape[2]} latent frames ({video_length(shape[2])} pictures) in one pass.",
            "Wan and Pusa were trained on 81 pictures; beyond that the motion repeats or falls apart.",
            "Use a length of 81 and extend the video in further passes, or add WAN Context Windows.",
        )


def frame_rate(facts: Facts) -> Iterator[Finding]:
    """A rate that Wan does not make."""
    # multiples of 16 come from frame interpolation
    wrong = [rate for rate in (facts.frame_rate, *facts.graph.frame_rates) if rate > 0 and rate % FRAME_RATE]
    for rate in dict.fromkeys(wrong):
        yield Finding(
            f"The frame rate is {rate:g}.",
            "Wan makes 16 pictures a second; at another rate everything moves too fast or too slow.",
            "Set it to 16 (32 after doubling the frames by interpolation).",
        )
