"""What our nodes' schemas have beyond the host's oldest: further words to be found by, drop-downs that take a link of text."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from operator import ne
from typing import Any

from comfy_api.latest import io


def search_words(*words: str) -> dict[str, Any]:
    """Schema arguments for these words; none on a ComfyUI whose Schema would refuse the keyword and drop the pack."""
    return of_today(search_aliases=list(words))


def advanced() -> dict[str, Any]:
    """Arguments of an input that a first look does not need: folded away where the host can do that, nothing elsewhere."""
    return {"advanced": True} if "advanced" in inspect.signature(io.Int.Input.__init__).parameters else {}


def of_today(**fields: Any) -> dict[str, Any]:
    """Those of the Schema arguments that this host knows: essentials_category, has_intermediate_output and what will come."""
    known = {field.name for field in dataclasses.fields(io.Schema)}
    return {name: value for name, value in fields.items() if name in known}


def link_types_fit(schema: io.Schema, input_types: Mapping[str, Any]) -> bool | str:
    """For `validate_inputs`: the host's own check of linked types, but that a drop-down also takes text and other drop-downs.

    input_types: the types of the linked inputs, by name; a list of choices for a drop-down of a node of the old kind. The host
    leaves its check to a node that asks for them.
    """
    for one in schema.inputs:
        received = input_types.get(one.id)
        if received is not None and not _fits(received, one):
            takes = " or ".join(sorted(_accepted(one)))
            return f"{one.id} is linked to {received}; it takes {takes}."
    return True


def _accepted(wanted: Any) -> set[str]:
    return {str(wanted.get_io_type()), *(["STRING"] if isinstance(wanted, io.Combo.Input) else [])}


def _fits(received: Any, wanted: Any) -> bool:
    if not isinstance(received, str):
        return isinstance(wanted, io.Combo.Input)
    accepted = _accepted(wanted)
    parts = {part.strip() for part in received.split(",")}
    # other packs' types that fit anything answer `!=` alone
    return not all(ne(received, kind) for kind in accepted) or bool(parts & {*accepted, "*"})
