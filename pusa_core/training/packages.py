"""The packages beyond ComfyUI's that training uses, and the sentence where one is missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from ..errors import PusaError

NEEDED_FOR = {
    "accelerate": "training",
    "peft": "training",
    "bitsandbytes": 'optimizer.name = "adamw8bit" and model.quantize = "nf4"',
}


def package(name: str) -> ModuleType:
    """The imported package."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        how = "-r requirements-train.txt" if name != "bitsandbytes" else name
        raise PusaError(
            f"The package {name}, needed for {NEEDED_FOR[name]}, cannot be imported ({error}). Install it into the Python that runs "
            f"this: python -m pip install {how}"
        ) from error
