"""Merged models on disk: how they are named, found again, checked and written."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import PusaError
from .lora.experts import LoraFacts
from .safetensors_stream import SafetensorsStream, complete_file, header_bound

SUBFOLDER = "pusa_merged"
"""Below models/diffusion_models, so that Load Diffusion Model lists the files too."""

DIGEST, BASE, LORAS = "pusa_merged_digest", "pusa_merged_base", "pusa_merged_loras"
"""Metadata keys: weights and patches in 16 hex digits, the base model's name, what our loaders did as JSON."""

NAMES = "pusa_merged_lora_names"
"""Metadata key: names of the LoRA files as JSON, those of other loaders included."""

SUFFIXES = (".safetensors", ".sft", ".gguf", ".ckpt", ".pt", ".pth", ".bin")
NAME_LENGTH, NAME_BYTES = 120, 200
"""Characters and UTF-8 bytes of a file's readable part: file systems allow 255 bytes for a name, and digest and suffixes follow."""


@dataclass(frozen=True)
class Sources:
    """Names of the files a model comes from, without folder and suffix, as far as they are known."""

    base: str
    loras: tuple[str, ...] = ()  # the first loader's first

    @property
    def name(self) -> str:
        """Readable and fit for a file name on every system."""
        text = "+".join(re.sub(r"[^\w.-]+", "_", part) for part in (self.base, *self.loras))
        text = text[:NAME_LENGTH].encode("utf-8", "ignore")[:NAME_BYTES].decode("utf-8", "ignore")
        return text.strip("._") or "model"


def read_sources(prompt: Mapping[str, Any], node: str, input_name: str = "model") -> Sources:
    """The files that the loaders above a node name, from ComfyUI's API prompt.

    Follows the links named `model`; what a loader is given by a link, or calls otherwise, stays unknown.
    """
    base, loras, seen = "", [], set()
    link = prompt.get(node, {}).get("inputs", {}).get(input_name)
    while isinstance(link, list) and len(link) == 2 and link[0] not in seen:
        seen.add(link[0])
        inputs = prompt.get(link[0], {}).get("inputs", {})
        link = inputs.get("model")
        if isinstance(inputs.get("lora_name"), str):
            loras.append(stem(inputs["lora_name"]))
        elif link is None:
            files = [value for value in inputs.values() if str(value).lower().endswith(SUFFIXES)]
            base = stem(files[0]) if files else ""
    return Sources(base, tuple(reversed(loras)))


def stem(name: str) -> str:
    """A file's name without folders, of either spelling, and without its suffix."""
    return Path(re.split(r"[\\/]", name)[-1]).stem


def is_merged_file(name: str) -> bool:
    """Whether a model's name, as Load Diffusion Model lists it, is a file of Merge LoRAs."""
    return SUBFOLDER in re.split(r"[/\\]", name)[:-1]


def merged_path(folder: Path, sources: Sources, digest: str) -> Path:
    """Where a merged model goes; folder: a diffusion_models folder."""
    return folder / SUBFOLDER / f"{sources.name}_{digest}.safetensors"


def find_merged(folders: Iterable[Path], digest: str) -> Path | None:
    """A whole file an earlier run wrote for these weights, under whatever name; None where there is none."""
    for folder in folders:
        for path in sorted((folder / SUBFOLDER).glob(f"*{digest}.safetensors")):
            if _holds(path, digest):
                return path
    return None


def merged_metadata(
    digest: str, sources: Sources, facts: Sequence[LoraFacts], changed: int, weights: int
) -> dict[str, str]:
    """What the file says went into it; changed: how many of its weights were patched."""
    return {
        "format": "pt",
        DIGEST: digest,
        BASE: sources.base,
        NAMES: json.dumps(sources.loras),
        LORAS: json.dumps([asdict(one) for one in facts]),
        "pusa_merged_weights": f"{changed} of {weights}",
    }


def write_merged(
    path: Path, names: Sequence[str], weights: Iterator[tuple[str, Tensor]], metadata: Mapping[str, str]
) -> None:
    """Write weights as they come, so that memory holds one of them; nothing is left unless all were written.

    names: of all weights; weights: (name, tensor on the CPU), those of wide types first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with complete_file(path) as file:
        stream = SafetensorsStream(file, header_bound(names, metadata))
        for name, weight in weights:
            stream.add(name, weight)
        stream.finish(metadata)


def require_disk(folder: Path, needed: int) -> None:
    """Refuse to begin a file of `needed` bytes where the disk has less; folder exists."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise PusaError(
            f"The merged model needs {size_text(needed)} in {folder}, and {size_text(free)} are free there. "
            "Free some space, name another diffusion_models folder in extra_model_paths.yaml, or set keep to in memory."
        )


def size_text(size: int) -> str:
    """Bytes in GB or MB: 28.6 GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _holds(path: Path, digest: str) -> bool:
    """Whether a file is whole and was written for this digest."""
    try:
        with safe_open(path, framework="pt") as file:
            return bool((file.metadata() or {}).get(DIGEST) == digest)
    except (SafetensorError, OSError):
        return False
