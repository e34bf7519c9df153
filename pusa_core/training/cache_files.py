"""One training clip on disk: its latent, its encoded caption and what both are, in ours and in the authors' formats.

Ours is a .safetensors file: `latent` [C, F, H, W] in the model's space, `context` [L, D] and `empty` [L', D] (the caption and the
empty one, without the rows of zeros behind them), `preview` [C + 1, 3] (see previews.py); metadata says the rest.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import PusaError
from ..safetensors_stream import complete_file

FORMAT = "pusa_training_clip"
VERSION = "1"
SPACE = "model"  # normalised, as the DiT gets it (ComfyUI: latent_format.process_in)
SUFFIXES = (".safetensors", ".tensors.pth", ".latent.pt")
TOKENS = 512
"""Rows of Wan's text embedding; the rows behind the caption are zeros."""


@dataclass(frozen=True)
class TrainingClip:
    """What a cache file holds."""

    latent: Tensor  # [C, F, H, W], in the model's space
    context: Tensor  # [L, D]
    empty: Tensor | None  # [L', D], of the empty caption; None in the authors' files
    caption: str


@dataclass(frozen=True)
class ClipEntry:
    """A cache file before its tensors are read."""

    path: Path
    shape: tuple[int, ...]  # of the latent, [C, F, H, W]
    digest: str  # differs when the content does
    caption: str
    text_width: int  # D of its text embedding
    has_empty: bool  # whether the empty caption is there, encoded

    @property
    def name(self) -> str:
        """The file's name without what all cache files end in."""
        return next(
            self.path.name.removesuffix(suffix) for suffix in SUFFIXES if self.path.name.endswith(suffix)
        )

    def read(self) -> TrainingClip:
        """Its tensors, float32."""
        return read_clip(self.path)


def trimmed(context: Tensor) -> tuple[Tensor, int]:
    """A text embedding [L, D] without the rows of zeros at its end (one row stays), and L."""
    used = torch.nonzero(context.abs().amax(1) > 0)
    return context[: int(used[-1]) + 1 if len(used) else 1].contiguous(), len(context)


def padded(context: Tensor, tokens: int) -> Tensor:
    """A trimmed text embedding with its zeros again, [tokens, D]."""
    return torch.nn.functional.pad(context, (0, 0, 0, tokens - len(context)))


def write_clip(
    path: Path,
    clip: TrainingClip,
    base: str,
    source: str,
    preview: Tensor | None = None,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write one cache file, whole or not at all.

    base: the family whose VAE made the latent, for the metadata; source: the video's name; dtype: in which the latent is kept.
    """
    check_latent(clip.latent, path.name)
    context, tokens = trimmed(clip.context)
    tensors = {"latent": clip.latent.to(dtype), "context": context.to(torch.bfloat16)}
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "space": SPACE,
        "base": base,
        "source": source,
        "caption": clip.caption,
        "tokens": str(tokens),
    }
    if clip.empty is not None:
        empty, empty_tokens = trimmed(clip.empty)
        tensors["empty"] = empty.to(torch.bfloat16)
        metadata["empty_tokens"] = str(empty_tokens)
    if preview is not None:
        tensors["preview"] = preview.float()
    tensors = {key: value.cpu().contiguous() for key, value in tensors.items()}
    metadata["hash"] = content_hash(tensors)
    path.parent.mkdir(parents=True, exist_ok=True)
    with complete_file(path) as file:
        file.write(save(tensors, metadata))


def content_hash(tensors: Mapping[str, Tensor]) -> str:
    """Sixteen hex digits of all tensors with their names."""
    found = hashlib.sha256()
    for key in sorted(tensors):
        found.update(f"{key} {tuple(tensors[key].shape)} {tensors[key].dtype} ".encode())
        found.update(tensors[key].reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def check_latent(latent: Tensor, name: str) -> None:
    """Refuse what is no latent of a clip."""
    if latent.ndim != 4 or 0 in latent.shape:
        raise PusaError(
            f"The latent in {name} has the shape {tuple(latent.shape)}; a clip's is [channels, frames, height, width]. Encode the clip again."
        )
    if not bool(torch.isfinite(latent.float()).all()):
        raise PusaError(
            f"The latent in {name} has NaN or infinite values. Encode the clip again, with the VAE in bf16 or fp32."
        )


def read_entry(path: Path) -> ClipEntry:
    """What a cache file says of itself; its tensors are checked when they are read."""
    if path.suffix == ".safetensors":
        with _opened(path) as file:
            metadata = file.metadata() or {}
            _check_format(path, metadata, set(file.keys()))
            keys, shape = set(file.keys()), tuple(file.get_slice("latent").get_shape())
            text_width = file.get_slice("context").get_shape()[-1]
        return ClipEntry(
            path, shape, metadata["hash"], metadata.get("caption", ""), text_width, "empty" in keys
        )
    clip = read_clip(path)
    digest = f"{zlib.crc32(clip.latent.contiguous().numpy().tobytes()):08x}{path.stat().st_size:x}"
    return ClipEntry(
        path, tuple(clip.latent.shape), digest, clip.caption, clip.context.shape[-1], clip.empty is not None
    )


def read_clip(path: Path) -> TrainingClip:
    """The clip in a cache file, float32; refuses a damaged one."""
    if path.suffix == ".safetensors":
        return _read_ours(path)
    if path.name.endswith(".tensors.pth"):
        return _read_diffsynth(path)
    return _read_pair(path)


def _read_ours(path: Path) -> TrainingClip:
    with _opened(path) as file:
        metadata = file.metadata() or {}
        _check_format(path, metadata, set(file.keys()))
        try:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (a safe_open is no mapping)
        except SafetensorError as error:
            raise _damaged(path, error) from error
    if content_hash(tensors) != metadata["hash"]:
        raise PusaError(
            f"{path.name} is damaged: its content is not what was written. Encode the clip again."
        )
    check_latent(tensors["latent"], path.name)
    empty = tensors.get("empty")
    return TrainingClip(
        tensors["latent"].float(),
        padded(tensors["context"].float(), int(metadata["tokens"])),
        None if empty is None else padded(empty.float(), int(metadata["empty_tokens"])),
        metadata.get("caption", ""),
    )


def _check_format(path: Path, metadata: Mapping[str, str], keys: set[str]) -> None:
    if metadata.get("format") != FORMAT or not {"latent", "context"} <= keys or "hash" not in metadata:
        raise PusaError(
            f"{path.name} is not a cached training clip. Keep only files that Pusa Training Clip wrote in data.folders."
        )
    if metadata.get("version") != VERSION or metadata.get("space") != SPACE:
        raise PusaError(
            f"{path.name} was written by another version of the pack (version {metadata.get('version')}, space "
            f"{metadata.get('space')}). Encode the clip again."
        )
    lengths = ("tokens", "empty_tokens") if "empty" in keys else ("tokens",)
    if missing := [key for key in lengths if not metadata.get(key, "").isdecimal()]:
        raise _damaged(path, ValueError(f"it does not say its {missing[0]}"))


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> PusaError:
    return PusaError(f"{path.name} is damaged or incomplete ({error}). Encode the clip again.")


def _read_diffsynth(path: Path) -> TrainingClip:
    """The authors' V1.0 cache (train_wan_pusa.py, data_process): {"latents": [C, F, H, W], "prompt_emb": {"context": [1, L, D]}}."""
    content = _load(path)
    try:
        latent, context = content["latents"], content["prompt_emb"]["context"]
    except (KeyError, TypeError, IndexError):
        raise PusaError(
            f"{path.name} has no latents and prompt_emb, which the authors' caches hold. Run their data_process again."
        ) from None
    return _checked(path, latent, context)


def _read_pair(path: Path) -> TrainingClip:
    """The authors' V0.5 cache: <name>.latent.pt and <name>.embed.pt."""
    beside = path.with_name(path.name.removesuffix(".latent.pt") + ".embed.pt")
    if not beside.is_file():
        raise PusaError(
            f"{path.name} has no {beside.name} beside it. Put the encoded caption there, or take the latent out."
        )
    latent, context = _load(path), _load(beside)
    for key in ("latents", "latent", "mean"):
        if isinstance(latent, dict) and key in latent:
            latent = latent[key]
    for key in ("context", "prompt_embeds", "prompt_embed", "embeds"):
        if isinstance(context, dict) and key in context:
            context = context[key]
    return _checked(path, latent, context)


def _checked(path: Path, latent: Any, context: Any) -> TrainingClip:
    if not isinstance(latent, Tensor) or not isinstance(context, Tensor):
        raise PusaError(
            f"{path.name} holds no tensors where latent and caption belong. Make the cache again."
        )
    latent = latent[0] if latent.ndim == 5 and len(latent) == 1 else latent
    context = context[0] if context.ndim == 3 and len(context) == 1 else context
    check_latent(latent, path.name)
    if context.ndim != 2 or 0 in context.shape:
        raise PusaError(
            f"The encoded caption in {path.name} has the shape {tuple(context.shape)}; it is [tokens, width]. Make the cache again."
        )
    return TrainingClip(latent.float(), context.float(), None, "")


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise PusaError(
            f"{path.name} is damaged, or holds more than tensors and was not opened ({type(error).__name__}). Make the cache again."
        ) from error


def find_clips(folders: Iterable[Path], bad_clips: str, said: Callable[[str], None]) -> list[ClipEntry]:
    """Every cache file of the folders, by name and each once; said: gets one sentence for each file that is skipped."""
    found: dict[Path, ClipEntry] = {}
    skipped: list[PusaError] = []
    for folder in folders:
        if not folder.is_dir():
            raise PusaError(
                f"There is no folder {folder}. data.folders names the folders of cached clips; write them with Pusa Training Clip."
            )
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name.endswith(SUFFIXES))
        for path in files:
            try:
                found[path.resolve()] = read_entry(path)
            except PusaError as error:
                if bad_clips == "stop":
                    raise or_skip(error) from error
                skipped.append(error)
                said(f"skipped: {error}")
    if skipped and not found:
        raise none_left(len(skipped), skipped[0])
    if not found:
        raise PusaError(
            f"There is no cached clip in {', '.join(map(str, folders))}. Write some with the node Pusa Training Clip "
            f"(files ending in {', '.join(SUFFIXES)} are read)."
        )
    return list(found.values())


def or_skip(why: object) -> PusaError:
    """What is said where a bad clip stops."""
    return PusaError(f'{why} Or set data.bad_clips to "skip".')


def none_left(count: int, why: object) -> PusaError:
    """What is said where all clips are skipped; why: of the first."""
    return PusaError(f"None of the {count} cache files can be used. The first: {why}")


def damaged_content(entries: Iterable[ClipEntry]) -> dict[int, str]:
    """Which of the clips cannot be read whole, by their place, and the sentence that says why; a header is often right where the data is not."""
    found = {}
    for place, entry in enumerate(entries):
        try:
            entry.read()
        except PusaError as error:
            found[place] = str(error)
    return found


def data_hash(entries: Iterable[ClipEntry]) -> str:
    """Sixteen hex digits of a set of clips, whatever their order and folders."""
    digests = sorted(entry.digest for entry in entries)
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()[:16]
