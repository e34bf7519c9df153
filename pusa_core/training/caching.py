"""From a clip and its encoded caption to one cache file; the VAE is whatever encodes pictures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor

from ..clips.time_stamps import Clip, stack_frames
from ..errors import PusaError
from ..images import as_pictures
from ..latent_spaces import to_model_space
from ..safetensors_stream import complete_file
from ..wan_dit import WanConfig
from .bases import BASES
from .cache_files import TrainingClip, write_clip
from .previews import fit_preview
from .sources import Fit, Source, name_problem

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
    encoded = encode(pictures).cpu().float()
    if (sizes := BASES[base].sizes) is not None:
        _check_fits(base, sizes, encoded.shape[1], context.shape[-1])
    latent = to_model_space(encoded)[0]
    write_clip(
        path,
        TrainingClip(latent, context.cpu(), None if empty is None else empty.cpu(), caption),
        base,
        clip.name,
        fit_preview(latent, pictures.cpu()),
    )
    return tuple(latent.shape)


def _check_fits(base: str, sizes: WanConfig, channels: int, text_width: int) -> None:
    title = BASES[base].title
    if channels != sizes.channels:
        raise PusaError(
            f"The VAE makes {channels} channels, {title} works with {sizes.channels}. Load wan2.2_vae for wan2.2-5b, wan_2.1_vae for the others."
        )
    if text_width != sizes.text_dim:
        raise PusaError(
            f"The encoded caption is {text_width} wide, {title} reads {sizes.text_dim}. Load Wan's text encoder, umt5_xxl, with type wan."
        )


@dataclass(frozen=True)
class Skipped:
    """Clips of a data set that were passed over, with the reason, so that they are not taken in each run; a file beside the cache files."""

    folder: Path  # of the data set

    @property
    def file(self) -> Path:
        """Delete it to have all of them tried again."""
        return self.folder / "skipped.json"

    def add(self, name: str, reason: str) -> None:
        """The clip of this name cannot be used as it is now."""
        self._write(self._read() | {name: [time.time(), reason]})

    def remove(self, name: str) -> None:
        """The clip of this name is cached."""
        kept = self._read()
        if kept.pop(name, None):
            self._write(kept)

    def of(self, sources: Iterable[Source]) -> dict[str, str]:
        """The reasons of the sources that were passed over and have not changed since, by name."""
        kept = self._read()
        return {
            source.name: str(kept[source.name][1])
            for source in sources
            if source.name in kept and source.path.stat().st_mtime <= kept[source.name][0]
        }

    def _read(self) -> dict[str, list[Any]]:
        try:
            found = json.loads(self.file.read_text("utf-8"))
            return {str(name): [float(when), str(reason)] for name, (when, reason) in found.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}  # not there, or edited: all are tried again

    def _write(self, kept: Mapping[str, list[Any]]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with complete_file(self.file) as file:
            file.write(json.dumps(kept, ensure_ascii=False, indent=1).encode("utf-8"))
