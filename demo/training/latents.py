"""The training set of the DiT: captioned clips as latents, encoded once, in files of a few hundred clips."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .. import world
from ..data import TRAINING_SEED
from ..nodes.words import END_OF_TEXT, VOCABULARY, word_vector, words
from ..wan_vae import WanVAE
from .arithmetic import autocast
from .vae import trained_vae

CLIPS = 4096
CLIPS_PER_FILE = 256
ENCODED_TOGETHER = 8
FOLDER = "latents"
# Drawn from the same seed as the VAE's clips, further on: the VAE has not seen these.
SKIPPED_SCENES = 1000


def encode_clips(runs: Path) -> None:
    """Draw the training clips and write what the VAE makes of them, before its statistics are matched."""
    vae = trained_vae(runs)
    folder = runs / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    scenes = itertools.islice(world.scenes(TRAINING_SEED, held_out=False), SKIPPED_SCENES, None)
    for number in range(CLIPS // CLIPS_PER_FILE):
        batch = list(itertools.islice(scenes, CLIPS_PER_FILE))
        path = folder / f"{number:03}.pt"
        if path.exists():
            continue
        latents = torch.cat(
            [
                _encode(vae, world.render(batch[start : start + ENCODED_TOGETHER]))
                for start in range(0, CLIPS_PER_FILE, ENCODED_TOGETHER)
            ]
        )
        partial = path.with_suffix(".new")
        torch.save({"latents": latents.half(), "captions": [scene.caption for scene in batch]}, partial)
        partial.replace(path)


@torch.inference_mode()
def _encode(vae: WanVAE, video: Tensor) -> Tensor:
    with autocast():
        return vae.encode(video).float()


def latent_statistics(runs: Path) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel, [16] each, over the training clips as encode_clips wrote them."""
    latents = torch.cat([_read(path)["latents"] for path in _files(runs)]).float()
    return latents.mean((0, 2, 3, 4)), latents.std((0, 2, 3, 4))


@dataclass(frozen=True)
class TrainingClips:
    """What the DiT learns from. Captions are kept as numbers of words, as all of them share two dozen words."""

    latents: Tensor  # [N, 16, F, H, W] half precision, in the model's normalised space
    captions: Tensor  # [N, L], rows of the vocabulary
    vocabulary: Tensor  # [words, TEXT_WIDTH]
    end_of_text: int  # row of the vocabulary
    filler: int  # row of a word that says nothing, "a"

    @classmethod
    def read(cls, runs: Path) -> TrainingClips:
        """All clips, normalised with their own statistics: what the finished VAE gives after Wan21.process_in."""
        parts = [_read(path) for path in _files(runs)]
        latents = torch.cat([part["latents"] for part in parts])
        mean, std = (value.view(1, -1, 1, 1, 1) for value in latent_statistics(runs))
        for chunk in latents.split(256):
            chunk.copy_((chunk.float() - mean) / std)
        known = sorted(VOCABULARY)
        row = {word: number for number, word in enumerate(known)}
        captions = [[row[word] for word in words(text)] for part in parts for text in part["captions"]]
        return cls(
            latents=latents,
            captions=torch.tensor(captions),
            vocabulary=torch.stack([word_vector(word) for word in known]),
            end_of_text=row[END_OF_TEXT],
            filler=row["a"],
        )

    def draw(self, count: int, frames: int) -> tuple[Tensor, Tensor]:
        """Random clips, cut to their first latent frames (the VAE is causal). Returns [count, 16, frames, H, W], [count, L]."""
        chosen = torch.randint(len(self.latents), (count,))
        return self.latents[chosen, :, :frames].float(), self.captions[chosen]


def _files(runs: Path) -> list[Path]:
    files = sorted((runs / FOLDER).glob("*.pt"))
    if len(files) != CLIPS // CLIPS_PER_FILE:
        raise FileNotFoundError(
            f"{runs / FOLDER} holds {len(files)} of {CLIPS // CLIPS_PER_FILE} files; run stage latents."
        )
    return files


def _read(path: Path) -> dict:
    return torch.load(path, weights_only=True)
