"""One thing that is wrong with a graph, in the words that the doctor and the nodes show."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    what: str
    why: str
    fix: str
