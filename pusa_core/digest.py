"""A short name for anything that decides a result, so that equal settings can be recognised later, in another session too."""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Callable, Iterator, Mapping, Set
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

import numpy as np
import torch
from torch import Tensor

SAMPLED = 16

MOST_VALUES = 200_000
"""Values looked at before a digest gives up: a graph of objects this large is no setting."""


NameOf = Callable[[Any], "str | None"]


def digest(value: Any, sampled: bool = False, name_of: NameOf | None = None) -> str:
    """16 hex digits of a nested value: tensors, numbers, text, sequences, mappings, functions, objects.

    sampled: take 16 elements spread over each tensor instead of all, for model weights. An object counts by its class and its
    public attributes (private ones hold the state of a run), a function by its name, defaults and closure; one with an
    attribute `fingerprint` by that, one that name_of(value) names by that name. A torch module counts by the shapes of its
    parameters.
    """
    return _Digest(sampled, name_of).of(value)


class _Digest:
    def __init__(self, sampled: bool, name_of: NameOf | None):
        self.sampled = sampled
        self.name_of = name_of or (lambda _: None)
        self.found = hashlib.sha256()
        self.under_way: set[int] = set()
        self.values = 0

    def of(self, value: Any) -> str:
        self.add(value)
        return self.found.hexdigest()[:16]

    def say(self, text: str) -> None:
        self.found.update(f"{text} ".encode("utf-8", "surrogatepass"))

    def add(self, value: Any) -> None:
        self.values += 1
        if self.values > MOST_VALUES:
            self.say("more")
        elif isinstance(value, Enum):
            self.say(f"enum {type(value).__qualname__}.{value.name}")
        elif value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
            self.say(f"{type(value).__name__} {value!r}")
        elif isinstance(value, (torch.dtype, torch.device, range)):
            self.say(str(value))
        elif isinstance(value, UUID):
            self.say("uuid")  # drawn anew in every session
        elif isinstance(value, PurePath):
            self.say(f"path {value.as_posix()}")
        elif isinstance(value, Tensor):
            self.add_tensor(value)
        elif isinstance(value, np.ndarray):
            self.say(f"array {value.shape} {value.dtype}")
            self.found.update(np.ascontiguousarray(value).tobytes())
        elif id(value) in self.under_way:
            self.say("itself")
        else:
            self.under_way.add(id(value))
            self.add_structure(value)
            self.under_way.discard(id(value))

    def add_tensor(self, tensor: Tensor) -> None:
        self.say(f"tensor {tuple(tensor.shape)} {tensor.dtype}")
        if tensor.device.type == "meta":
            return
        flat = tensor.detach().reshape(-1)
        if self.sampled and flat.numel() > SAMPLED:
            places = torch.linspace(0, flat.numel() - 1, SAMPLED, dtype=torch.float64).long()
            flat = flat[places.to(flat.device)]
        self.found.update(flat.cpu().contiguous().view(torch.uint8).numpy().tobytes())

    def add_structure(self, value: Any) -> None:
        if (name := self.name_of(value)) is not None:
            self.say(f"named {name}")
        elif isinstance(value, Mapping):
            self.say(f"mapping {len(value)}")
            for key in sorted(value, key=lambda key: (type(key).__name__, str(key))):
                self.add(key if isinstance(key, (str, int, float, tuple)) else str(key))
                self.add(value[key])
        elif isinstance(value, (list, tuple)):
            self.say(f"sequence {len(value)}")
            for item in value:
                self.add(item)
        elif isinstance(value, Set):
            self.say(f"set {len(value)}")
            for name in sorted(digest(item, self.sampled, self.name_of) for item in value):
                self.say(name)
        elif isinstance(value, functools.partial):
            self.say("partial")
            self.add((value.func, value.args, value.keywords))
        elif isinstance(value, types.MethodType):
            self.say("method")
            self.add((value.__func__, value.__self__))
        elif isinstance(value, (type, types.ModuleType, types.BuiltinFunctionType)):
            self.say(getattr(value, "__qualname__", value.__name__))
        elif isinstance(value, types.FunctionType):
            self.add_function(value)
        elif isinstance(value, torch.nn.Module):
            self.say(f"module {type(value).__qualname__}")
            self.add({name: tuple(weight.shape) for name, weight in value.named_parameters()})
        elif isinstance(mark := getattr(value, "fingerprint", None), str):
            self.say(f"object {type(value).__qualname__} {mark}")
        else:
            self.say(f"object {type(value).__qualname__}")
            self.add(dict(_public_attributes(value)))

    def add_function(self, function: types.FunctionType) -> None:
        # a pack's module is named by its path, which is another one on another machine
        module = function.__module__.replace("\\", "/").rpartition("/")[2]
        self.say(f"function {module} {function.__qualname__}")
        self.add((function.__defaults__, function.__kwdefaults__))
        for cell in function.__closure__ or ():
            try:
                self.add(cell.cell_contents)
            except ValueError:  # not filled yet
                self.say("empty")


def _public_attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """Attributes that are set on an object, without those that begin with an underscore."""
    slots = [name for kind in type(value).__mro__ for name in _names(getattr(kind, "__slots__", ()))]
    for name in (*getattr(value, "__dict__", {}), *slots):
        if not name.startswith("_") and hasattr(value, name):
            yield name, getattr(value, name)


def _names(slots: Any) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)
