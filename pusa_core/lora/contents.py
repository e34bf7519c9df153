"""What a LoRA file holds: which parameters it changes and how, found from names and shapes alone."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ..errors import PusaError
from .layouts import ALPHA, DOWN, UP, Key, parse_key
from .weight_files import WeightFile, require_finite, shorten


@dataclass(frozen=True)
class Change:
    """One parameter and what is added to it: strength * scale * (up @ down), or strength * diff."""

    parameter: str  # Wan's own name, such as blocks.0.self_attn.q.weight
    keys: tuple[str, ...]  # (up, down) or (diff,), as the file spells them
    rank: int | None  # None for a diff
    alpha: float | None  # the file's .alpha; None when it has none
    rows: int  # length of axis 0 of what is added
    columns: int  # elements per row
    nbytes: int  # bytes of the tensors on disk

    @property
    def scale(self) -> float:
        """.alpha / rank, or 1 without .alpha (Pusa V1.0's GeneralLoRAFromPeft, LightX2V's lora_loader.py)."""
        return 1.0 if self.alpha is None or self.rank is None else self.alpha / self.rank


@dataclass(frozen=True)
class LoraContents:
    """Everything a file says about itself before a model is known."""

    file: WeightFile
    changes: tuple[Change, ...]
    unknown: tuple[str, ...]  # keys in no layout this pack knows
    layout: str  # for the report

    @property
    def name(self) -> str:
        return Path(self.file.path).name

    @property
    def ranks(self) -> tuple[int, ...]:
        return tuple(change.rank for change in self.changes if change.rank is not None)

    @property
    def scales(self) -> tuple[float, ...]:
        return tuple(change.scale for change in self.changes)

    @property
    def has_alpha(self) -> bool:
        return any(change.alpha is not None for change in self.changes)

    @property
    def largest(self) -> int:
        """Bytes of the largest change: as much of the file as is ever in memory at once."""
        return max((change.nbytes for change in self.changes), default=0)


def read_contents(file: WeightFile) -> LoraContents:
    """The changes in a file. Refuses half pairs, two spellings of one layer, and types no LoRA uses."""
    name = Path(file.path).name
    parsed = {text: parse_key(text) for text in file.tensors}
    keys = [key for key in parsed.values() if key is not None]
    parts: dict[str, dict[str, Key]] = {}
    for key in keys:
        of_parameter = parts.setdefault(key.parameter, {})
        if key.part in of_parameter:
            raise PusaError(
                f"{name} changes {key.parameter} twice, as {shorten(of_parameter[key.part].text)} "
                f"and as {shorten(key.text)}. The file is faulty; use the original download."
            )
        of_parameter[key.part] = key
    unknown = [text for text, key in parsed.items() if key is None]
    changes: list[Change] = []
    for parameter, of_parameter in parts.items():
        rest = set(of_parameter)
        if {UP, DOWN} & rest:
            changes.append(_pair(file, parameter, of_parameter))
            rest -= {UP, DOWN, ALPHA}
        for part in sorted(rest - {ALPHA}):
            changes.append(_diff(file, of_parameter[part]))
        if ALPHA in rest:
            unknown.append(of_parameter[ALPHA].text)  # a scale of nothing
    spelling = Counter(key.spelling for key in keys if key.part in (UP, DOWN)) or Counter(
        key.spelling for key in keys
    )
    return LoraContents(
        file, tuple(changes), tuple(unknown), " and ".join(one for one, _ in spelling.most_common(2))
    )


def require_finite_contents(contents: LoraContents) -> None:
    """Read everything that would be applied once, a tensor at a time; refuse NaN and infinity."""
    require_finite(contents.file, (key for change in contents.changes for key in change.keys))


def _pair(file: WeightFile, parameter: str, parts: dict[str, Key]) -> Change:
    name = Path(file.path).name
    for part, missing in ((UP, DOWN), (DOWN, UP)):
        if part not in parts:
            raise PusaError(
                f"{name} is incomplete: {shorten(parts[missing].text)} has no partner. "
                "A LoRA needs both matrices of a layer. Download the file again."
            )
    up, down = file.tensors[parts[UP].text], file.tensors[parts[DOWN].text]
    _require_float(name, parts[UP].text, up.dtype)
    _require_float(name, parts[DOWN].text, down.dtype)
    rank = down.shape[0] if down.shape else 0
    if (
        len(up.shape) < 2
        or len(down.shape) < 2
        or 0 in (*up.shape, *down.shape)
        or math.prod(up.shape[1:]) != rank
    ):
        raise PusaError(
            f"{name} is damaged: {shorten(parts[UP].text)} {list(up.shape)} and "
            f"{shorten(parts[DOWN].text)} {list(down.shape)} cannot be multiplied. Download the file again."
        )
    return Change(
        parameter,
        (parts[UP].text, parts[DOWN].text),
        rank,
        _alpha(file, parts[ALPHA].text) if ALPHA in parts else None,
        up.shape[0],
        math.prod(down.shape[1:]),
        up.nbytes + down.nbytes,
    )


def _diff(file: WeightFile, key: Key) -> Change:
    info = file.tensors[key.text]
    _require_float(Path(file.path).name, key.text, info.dtype)
    rows = info.shape[0] if info.shape else 1
    return Change(key.parameter, (key.text,), None, None, rows, math.prod(info.shape[1:]), info.nbytes)


def _alpha(file: WeightFile, key: str) -> float:
    if math.prod(file.tensors[key].shape) != 1:
        raise PusaError(
            f"{Path(file.path).name} is damaged: {shorten(key)} is not one number. Download it again."
        )
    alpha = float(file.read(key).reshape(()).float())
    if not math.isfinite(alpha):
        raise PusaError(
            f"{Path(file.path).name} is damaged: {shorten(key)} is {alpha}. Download the file again."
        )
    return alpha


def _require_float(name: str, key: str, dtype: object) -> None:
    if dtype is None:
        raise PusaError(
            f"{name} stores {shorten(key)} as integers, which no LoRA loader can apply. "
            "Use a file in bf16, fp16, fp32 or fp8."
        )
