"""Further words under which a node is found, where the host's Schema takes them."""

from __future__ import annotations

import dataclasses
from typing import Any

from comfy_api.latest import io


def search_words(*words: str) -> dict[str, Any]:
    """Schema arguments for these words; none on a ComfyUI whose Schema would refuse the keyword and drop the pack."""
    known = {field.name for field in dataclasses.fields(io.Schema)}
    return {"search_aliases": list(words)} if "search_aliases" in known else {}
