"""What a node tells the executor of its graph."""

from __future__ import annotations

from typing import Any

from . import symbols


def blocked() -> Any:
    """An output after which nothing runs, without an error."""
    return symbols.ExecutionBlocker(None)
