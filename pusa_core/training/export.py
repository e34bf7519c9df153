"""Finished files: a LoRA in the authors' layout and in ComfyUI's, a whole model as ComfyUI's loader reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..errors import PusaError
from ..safetensors_stream import SafetensorsStream, complete_file, header_bound
from .checkpoints import Checkpoint, Checkpoints
from .loop import CHECKPOINTS

OFFICIAL, COMFYUI = LAYOUTS = ("official", "comfyui")
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
PREFIX = "diffusion_model."


def metadata_of(checkpoint: Checkpoint) -> dict[str, str]:
    """What a file says of its training, all as text."""
    found = checkpoint.facts["identity"]
    draw = found["draw"]
    return {
        "format": "pt",
        "made_by": "ComfyUI-Pusa pusa_core.training",
        "base": f"{found['base']} {found['expert']}".strip(),
        "steps": str(checkpoint.step),
        "draw": json.dumps(draw),
        "shift": str(draw["shift"]),
        "data_hash": found["data"],
        "base_hash": found.get("base model", ""),
        "seed": str(found["seed"]),
        **({"rank": str(found["lora"]["rank"])} if found["lora"] else {}),
    }


def export(
    checkpoint: Checkpoint, folder: Path, layouts: tuple[str, ...] = LAYOUTS, dtype: str = "bf16"
) -> list[Path]:
    """Write what a checkpoint holds, its running mean where there is one. Returns the files.

    A LoRA has no .alpha in either layout: it counts as it is. A whole model has the official names, which ComfyUI reads too.
    """
    identity = checkpoint.facts["identity"]
    name = "_".join(
        filter(None, (folder.name, identity["expert"], "pusa" if identity["lora"] else "pusa_full"))
    )
    kind = "ema/" if any(key.startswith("ema/") for key in checkpoint.keys) else "weight/"
    names = sorted(key.removeprefix(kind) for key in checkpoint.keys if key.startswith(kind))
    prefixes = {OFFICIAL: "", COMFYUI: PREFIX} if identity["lora"] else {OFFICIAL: ""}
    written = []
    for layout, prefix in prefixes.items():
        if layout not in layouts:
            continue
        path = folder / f"{name}{'_comfyui' if layout == COMFYUI else ''}.safetensors"
        _write(
            path,
            [f"{prefix}{each}".replace(".default.", "." if prefix else ".default.") for each in names],
            lambda index: checkpoint.read(kind + names[index]).to(DTYPES[dtype]),
            metadata_of(checkpoint) | {"averaged": str(kind == "ema/").lower()},
        )
        written.append(path)
    if not written:
        raise PusaError(
            f"There is nothing to write in the layout {', '.join(layouts)}; a whole model has the layout {OFFICIAL!r}."
        )
    return written


def newest(folder: Path) -> Checkpoint:
    """The newest whole checkpoint of a run's folder."""
    said: list[str] = []
    found = Checkpoints(folder / CHECKPOINTS).newest(said.append)
    if found is None:
        raise PusaError(
            f"{folder} holds no whole checkpoint{': ' + said[0] if said else ''}. Name the train.output of a run that has saved one."
        )
    return found


def _write(path: Path, keys: list[str], read: Callable[[int], Tensor], metadata: dict[str, str]) -> None:
    with complete_file(path) as file:
        stream = SafetensorsStream(file, header_bound(keys, metadata))
        for index, key in enumerate(keys):
            stream.add(key, read(index))
        stream.finish(metadata)
