"""A run of a LoRA loader: the file is read, matched and checked before the MODEL is touched."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ...pusa_core.choices import check_choice
from ...pusa_core.errors import PusaError
from ...pusa_core.lora.contents import LoraContents, read_contents, require_finite_contents
from ...pusa_core.lora.experts import EXPERTS, contradiction, guess_expert
from ...pusa_core.lora.facts import facts_of
from ...pusa_core.lora.matching import match, require_match
from ...pusa_core.lora.report import load_report
from ...pusa_core.lora.weight_files import SAFETENSORS_SUFFIXES, FileStamp, open_weights
from .features import models_of
from .folders import find_lora, lora_names, lora_path
from .lora_patches import lora_facts, parameter_shapes, with_lora

REMEMBERED = 8
"""Files whose table of contents is kept; some 0.5 MB each."""


def load_lora(
    loader: str, model: Any, lora_name: str, strength: float, expert: str, on_mismatch: str
) -> tuple[Any, str]:
    """(clone of the MODEL with the LoRA, text for the node); whatever is wrong stops before the model is touched."""
    check_choice("expert", expert, EXPERTS)
    contents = contents_of(lora_path(lora_name))
    found = require_match(match(contents, parameter_shapes(model)), on_mismatch)
    for number, later in enumerate(models_of(model)[1:], 2):
        try:
            require_match(match(contents, parameter_shapes(later)), on_mismatch)
        except PusaError as error:
            raise PusaError(
                f"On model {number} behind the switch or the stages: {error} Or load the LoRA on the other model alone, before they are joined."
            ) from error
    require_finite_contents(contents)
    guess = guess_expert(lora_name, contents.file.metadata)
    facts = facts_of(found, loader, lora_name, strength, expert, guess)
    warnings = [contradiction(lora_name, expert, guess)]
    if any(facts.fingerprint == earlier.fingerprint for earlier in lora_facts(model)):
        warnings.append(
            "This file is already loaded on this model; it now counts twice. Remove one of the loaders."
        )
    patched = with_lora(model, contents.file, found.applied, facts)
    return patched, load_report(found, facts, [text for text in warnings if text])


def contents_of(path: str) -> LoraContents:
    """What a file holds. A .safetensors is opened once for all strengths and models, until it changes."""
    if not path.lower().endswith(SAFETENSORS_SUFFIXES) or find_stamp(path) is None:
        return read_contents(open_weights(path))  # a .pt keeps its file open
    return _contents(path, FileStamp.of(path))


@lru_cache(maxsize=REMEMBERED)
def _contents(path: str, stamp: FileStamp) -> LoraContents:
    return read_contents(open_weights(path))


def find_stamp(path: str | None) -> FileStamp | None:
    """The stamp of a file, None where there is none."""
    try:
        return None if path is None else FileStamp.of(path)
    except OSError:
        return None


def lora_fingerprint(lora_name: str | None) -> tuple[Any, ...]:
    """Changes when the file behind the name was replaced.

    lora_name: None where it comes by a link, whose value ComfyUI does not know yet; then the change of any LoRA file counts.
    """
    names = lora_names() if lora_name is None else [lora_name]
    stamps = [(name, find_stamp(find_lora(name))) for name in names]
    return (lora_name, *((name, stamp and (stamp.size, stamp.modified)) for name, stamp in stamps))
