"""Checkpoints: what was trained, the optimizer and the step, in files that are whole or not there, and say when they are damaged."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..safetensors_stream import SafetensorsStream, complete_file, header_bound

NAME = re.compile(r"step_(\d{7})\.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """One finished checkpoint; its tensors are read one at a time."""

    path: Path
    step: int
    facts: dict[str, Any] = field(repr=False)
    keys: frozenset[str] = field(repr=False)

    def read(self, key: str) -> Tensor:
        """One tensor, on the CPU."""
        with safe_open(self.path, framework="pt", device="cpu") as file:
            tensor: Tensor = file.get_tensor(key)
        return tensor


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run in a folder of their own."""

    folder: Path
    keep: int = 2

    def path(self, step: int) -> Path:
        """Where the checkpoint of a step lies."""
        return self.folder / f"step_{step:07}.safetensors"

    def steps(self) -> list[int]:
        """The steps that have a file, newest first."""
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        return sorted((int(match[1]) for name in names if (match := NAME.fullmatch(name))), reverse=True)

    def save(
        self,
        step: int,
        facts: dict[str, Any],
        tensors: Sequence[tuple[str, int, Callable[[], Tensor]]],
        writes: bool,
    ) -> None:
        """Write a checkpoint and remove those beyond `keep`.

        tensors: (name, bytes of an element, how to get it on the CPU); all are asked for in one order on every device, as
        getting a shared-out tensor takes all of them. writes: False on devices that only take part.
        """
        ordered = sorted(tensors, key=lambda entry: -entry[1])  # readers want wide types at their multiples
        if not writes:
            for _, _, get in ordered:
                get()
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        names = [name for name, _, _ in ordered]
        sums = dict.fromkeys(names, "0" * 8)
        text = json.dumps(facts)
        with complete_file(self.path(step)) as file:
            stream = SafetensorsStream(file, header_bound(names, {"facts": text, "sums": json.dumps(sums)}))
            for name, _, get in ordered:
                tensor = get().contiguous()
                sums[name] = checksum(tensor)
                stream.add(name, tensor)
            stream.finish({"facts": text, "sums": json.dumps(sums)})
        for old in self.steps()[self.keep :]:
            with suppress(PermissionError):  # Windows, while an export reads it; it goes with the next save
                self.path(old).unlink()

    def remove_parts(self) -> None:
        """Remove what saves that were killed have left; only the run itself knows that none is being written."""
        for part in self.folder.glob("*.part") if self.folder.is_dir() else ():
            part.unlink()

    def newest(self, said: Callable[[str], None], sets_aside: bool = False) -> Checkpoint | None:
        """The newest checkpoint that is whole, or None. said: gets a sentence for each damaged one, which is passed over.

        sets_aside: damaged ones get another name, so that they take no place of those that are kept; for the run itself.
        """
        damaged = 0
        for step in self.steps():
            path = self.path(step)
            try:
                return self._checked(step)
            except (SafetensorError, OSError, ValueError, KeyError) as error:
                damaged += 1
                aside = ""
                if sets_aside:
                    with suppress(PermissionError):
                        path.replace(path.with_name(f"{path.name}.damaged"))
                        aside = f", is now called {path.name}.damaged"
                said(
                    f"{path.name} is damaged ({error}){aside} and is passed over; the one before it is taken."
                )
        if damaged:
            said(f"None of the {damaged} checkpoints in {self.folder} is whole.")
        return None

    def _checked(self, step: int) -> Checkpoint:
        path = self.path(step)
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            facts, sums = json.loads(metadata["facts"]), json.loads(metadata["sums"])
            keys = set(file.keys())
            if keys != set(sums):
                raise ValueError("it lacks tensors")
            for key in keys:
                if checksum(file.get_tensor(key)) != sums[key]:
                    raise ValueError(f"{key} is not what was written")
        return Checkpoint(path, step, facts, frozenset(keys))


def checksum(tensor: Tensor) -> str:
    """Eight hex digits of a CPU tensor's bytes."""
    return f"{zlib.crc32(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data):08x}"
