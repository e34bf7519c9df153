"""What our nodes' schemas have beyond the host's oldest: further words to be found by, drop-downs that take a link of text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from operator import ne
from typing import Any

from comfy_api.latest import io


def search_words(*words: str) -> dict[str, Any]:
    """Schema arguments for these words; none on a ComfyUI whose Schema would refuse the keyword and drop the pack."""
    known = {field.name for field in dataclasses.fields(io.Schema)}
    return {"search_aliases": list(words)} if "search_aliases" in known else {}


def link_types_fit(schema: io.Schema, input_types: Mapping[str, str]) -> bool | str:
    """For `validate_inputs`: the host's own check of linked types, but that a drop-down also takes text.

    input_types: the types of the linked inputs, by name. The host leaves its check to a node that asks for them.
    """
    for one in schema.inputs:
        received = input_types.get(one.id)
        if received is None:
            continue
        accepted = {one.get_io_type(), *(["STRING"] if isinstance(one, io.Combo.Input) else [])}
        # other packs' types that fit anything answer `!=` alone
        fits = not all(ne(received, kind) for kind in accepted)
        if not fits and not accepted & {part.strip() for part in received.split(",")}:
            return f"{one.id} is linked to {received}; it takes {' or '.join(sorted(accepted))}."
    return True
