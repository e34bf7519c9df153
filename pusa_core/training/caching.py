"""From a clip and its encoded caption to one cache file; the VAE is whatever encodes pictures."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

from torch import Tensor

from ..clips.time_stamps import Clip, stack_frames
from ..errors import PusaError
from ..images import as_pictures
from ..latent_spaces import to_model_space
from .bases import BASES
from .cache_files import TrainingClip, write_clip
from .previews import fit_preview
from .sources import Fit, name_problem

FOLDER = "pusa_training"
"""Folder in ComfyUI's output folder that holds the data sets."""


def check_name(name: str) -> str:
    """The name itself, if a file can have it."""
    if problem := name_problem(name):
        raise PusaError(f"name is {name!r}, which {problem}. Write a short, plain file name, such as cat_01.")
    return name


def cache_clip(
    path: Path,
    clip: Clip,
    caption: str,
    context: Tensor,
    empty: Tensor | None,
    encode: Callable[[Tensor], Tensor],
    base: str,
    fit: Fit,
) -> tuple[int, ...]:
    """Encode the beginning of a clip and write its cache file. Returns the latent's shape, [C, F, H, W].

    context, empty: [L, D], the encoded caption and the encoded empty one; encode: pictures [T, H, W, 3], 0 to 1, to a latent
    [1, C, F, H', W'] in the VAE's own space (ComfyUI's vae.encode); fit: lengths and sizes. The clip is read at the base's rate.
    """
    read = stack_frames(list(islice(clip.frames(BASES[base].rate), max(fit.lengths))), clip.name)
    pictures = fit.apply(as_pictures(read), clip.name)
    latent = to_model_space(encode(pictures).cpu().float())[0]
    write_clip(
        path,
        TrainingClip(latent, context.cpu(), None if empty is None else empty.cpu(), caption),
        base,
        clip.name,
        fit_preview(latent, pictures.cpu()),
    )
    return tuple(latent.shape)
