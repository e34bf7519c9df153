"""LoRA changes as ComfyUI weight patches: the one place here that knows ModelPatcher and its weight adapters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import torch
from torch import Tensor

from ...pusa_core.digest import digest
from ...pusa_core.lora.contents import Change
from ...pusa_core.lora.experts import LoraFacts
from ...pusa_core.lora.weight_files import WeightFile
from . import symbols
from .features import Aspect, Feature, Hooks, apply, features_of, models_of
from .parameters import DIT

MERGED_PATCHES = "pusa_merged_patches"
"""Attachment of a merged model: how many of its weights carry patches of other loaders than ours."""


class Reader:
    """Reads a LoRA file's changes for the weights of one MODEL.

    Under dynamic VRAM ComfyUI asks three times in a row for each layer (its size, where it goes, its numbers): there the matrices of
    the last layer stay, so that each is read once a forward. Elsewhere it asks once, and nothing stays.
    """

    def __init__(self, file: WeightFile, fingerprint: str, keep_last: bool):
        """fingerprint: of the file's content, the same wherever it lies."""
        self.file = file
        self.fingerprint = fingerprint
        self.keep_last = keep_last
        self._last: tuple[tuple[str, ...], tuple[Tensor, ...]] | None = None

    def read(self, keys: tuple[str, ...]) -> tuple[Tensor, ...]:
        """The tensors under `keys`, on the CPU."""
        last = self._last
        if last is not None and last[0] == keys:
            return last[1]
        self._last = last = None  # let go before the next is read
        found = tuple(self.file.read(key) for key in keys)
        if self.keep_last:
            self._last = (keys, found)
        return found


@dataclass(frozen=True, eq=False)
class OnDisk:
    """Where an adapter's matrices are."""

    reader: Reader
    change: Change

    def read(self) -> tuple[Tensor, ...]:
        """(up, down) or (diff,)."""
        return self.reader.read(self.change.keys)

    @property
    def fingerprint(self) -> str:
        """For the identity of a run: the file, its keys and its .alpha, without a look at the matrices."""
        return digest([self.reader.fingerprint, self.change.keys, self.change.alpha])


class ReadWhenAsked:
    """What the adapters share: their `weights` lie in the file until ComfyUI asks for them."""

    def __init__(self, loaded_keys: set[str], weights: OnDisk | tuple[Any, ...]):
        """weights: a tuple of tensors where ComfyUI rebuilds an adapter from what it read."""
        self.loaded_keys = loaded_keys
        self.source = weights

    @property
    def weights(self) -> tuple[Any, ...]:
        """ComfyUI's tuple for this adapter."""
        return self.as_comfyui(self.source) if isinstance(self.source, OnDisk) else self.source

    @weights.setter
    def weights(self, tensors: tuple[Any, ...]) -> None:
        self.source = tensors  # as code does that copies an adapter to move it to a device

    @property
    def fingerprint(self) -> str | None:
        """See OnDisk; None once the tensors lie in memory and can be looked at."""
        return self.source.fingerprint if isinstance(self.source, OnDisk) else None

    def calculate_shape(self, key: str) -> None:
        """A change keeps the weight's shape; ComfyUI asks that at each load, and must not read the matrices for it."""

    def as_comfyui(self, source: OnDisk) -> tuple[Any, ...]:
        """Read what ComfyUI's adapter of this kind calls its weights."""
        raise NotImplementedError


class PairOnDisk(ReadWhenAsked, symbols.base_class("LoRAAdapter")):  # type: ignore[misc]
    """ComfyUI's LoRA adapter whose two matrices are read from the file when a weight is computed, then let go.

    The maths, fp8, offload and GGUF stay ComfyUI's; only `weights` differs, so that a 10 GB file needs the
    memory of one layer.
    """

    def as_comfyui(self, source: OnDisk) -> tuple[Any, ...]:
        """up [rows, rank], down [rank, columns], .alpha or None, and three unused places."""
        up, down = source.read()
        return (up, down, source.change.alpha, None, None, None)


class DiffOnDisk(ReadWhenAsked, symbols.base_class("WeightAdapterBase")):  # type: ignore[misc]
    """A whole difference, read from the file when a weight is computed: weight + strength * diff."""

    name = "diff"

    def as_comfyui(self, source: OnDisk) -> tuple[Any, ...]:
        """The difference alone, in the file's shape."""
        return source.read()

    def calculate_weight(
        self,
        weight,
        key,
        strength,
        strength_model,
        offset,
        function,
        intermediate_dtype=torch.float32,
        original_weight=None,
    ):
        """The weight, in place, plus the difference in its shape."""
        diff = comfy.model_management.cast_to_device(self.weights[0], weight.device, intermediate_dtype)
        weight += function((strength * diff.reshape(weight.shape)).type(weight.dtype))
        return weight


def parameter_shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the diffusion model's parameters, Wan's own names. Copies no weights.

    Not from its state dict: GGUF loaders put packed bytes there, whose shape is not the weight's.
    """
    wan = model.model.diffusion_model
    return {name: tuple(parameter.shape) for name, parameter in wan.named_parameters(remove_duplicate=False)}


def lora_facts(model: Any) -> tuple[LoraFacts, ...]:
    """What our loaders did to this model so far, first loader first."""
    return tuple(one.facts for one in features_of(model) if isinstance(one, LoraOnDisk))


def loras_of_stages(model: Any) -> list[tuple[LoraFacts, ...]]:
    """What our loaders did to each model behind this one, first model first: those after the join are on all."""
    mine, applied = features_of(model), lora_facts(model)
    joins = [place for place, one in enumerate(mine) if one.models_inside()]
    since = sum(isinstance(one, LoraOnDisk) for one in mine[joins[-1] :]) if joins else 0
    after = applied[len(applied) - since :]
    return [applied, *((*lora_facts(later), *after) for later in models_of(model)[1:])]


def is_ours(patch: Any) -> bool:
    """Whether a weight patch was made by our loaders."""
    return isinstance(patch, PairOnDisk | DiffOnDisk)


def patches_of_others(model: Any) -> int:
    """How many weights other loaders than ours changed, merged ones included."""
    waiting = sum(not all(is_ours(entry[1]) for entry in entries) for entries in model.patches.values())
    return waiting + (model.get_attachment(MERGED_PATCHES) or 0)


@dataclass(frozen=True, eq=False)
class LoraOnDisk(Feature):
    """A LoRA file's changes, times facts.strength, read while the weights are computed."""

    file: WeightFile
    parts: tuple[Change, ...]
    facts: LoraFacts

    name = "Pusa LoRA Loader"
    key = "pusa_bare_parameters"
    changes = frozenset({Aspect.WEIGHTS})
    needs = ("LoRAAdapter", "WeightAdapterBase", "CallbacksMP")
    adds_up = True

    def settings(self) -> Any:
        facts = self.facts
        return (facts.fingerprint, facts.strength, sorted(change.parameter for change in self.parts))

    def attach(self, patcher: Any) -> None:
        reader = Reader(self.file, self.facts.fingerprint, keep_last=_asks_again(patcher))
        pairs, differences = {}, {}  # apart: a layer may carry both, and add_patches takes one of each name
        for change in self.parts:
            kind, patches = (DiffOnDisk, differences) if change.rank is None else (PairOnDisk, pairs)
            patches[DIT + change.parameter] = kind(set(change.keys), OnDisk(reader, change))
        for patches in (pairs, differences):
            patcher.add_patches(patches, self.facts.strength)
        super().attach(patcher)

    def carry_to(self, patcher: Any) -> None:
        super().attach(patcher)  # the weight patches are there

    def hooks(self, patcher: Any) -> Hooks:
        if not any(is_bare(DIT + change.parameter) for change in self.parts):
            return Hooks()
        return Hooks(callbacks={symbols.CallbacksMP.ON_LOAD: patch_bare_parameters})


def _asks_again(patcher: Any) -> bool:
    """Whether ComfyUI asks several times in a row for what it patches a layer with: where its dynamic VRAM runs the model."""
    is_dynamic = getattr(patcher, "is_dynamic", None)
    return bool(is_dynamic and is_dynamic())


def with_lora(model: Any, file: WeightFile, changes: Iterable[Change], facts: LoraFacts) -> Any:
    """A clone of the MODEL that adds the changes, times facts.strength."""
    return apply(model, LoraOnDisk(file, tuple(changes), facts))


def strength_replaced(clone: Any, lora: LoraOnDisk, strength: float) -> None:
    """Give a LoRA's patches on a fresh clone another strength, in their places; the model it was cloned from keeps its own."""
    mine = {change.keys for change in lora.parts}
    for key, entries in clone.patches.items():
        clone.patches[key] = [
            (strength, *entry[1:]) if _reads(entry[1], lora.facts.fingerprint, mine) else entry
            for entry in entries
        ]


def _reads(patch: Any, fingerprint: str, keys: set[tuple[str, ...]]) -> bool:
    """Whether a weight patch reads one of the keys of this file."""
    source = getattr(patch, "source", None)
    return (
        isinstance(source, OnDisk) and source.reader.fingerprint == fingerprint and source.change.keys in keys
    )


def patch_bare_parameters(patcher: Any, device: torch.device | None, *_: Any) -> None:
    """ON_LOAD callback: patch the parameters that hang on a block itself, such as blocks.0.modulation.

    ModelPatcher.load goes through leaf modules only ("skip random weights in non leaf modules", _load_list), so
    it accepts a patch on `modulation` and never applies it. The backup is ComfyUI's own: unloading restores it.
    """
    for name in patcher.patches:
        if is_bare(name) and name not in patcher.backup:
            patcher.patch_weight_to_device(name, device_to=device)


def is_bare(name: str) -> bool:
    """Whether a parameter is one that ComfyUI's loader passes over."""
    return not name.endswith((".weight", ".bias"))
