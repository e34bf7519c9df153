"""What is said on a node about a clip that could be read, but not as it is."""

from __future__ import annotations

import logging

_log = logging.getLogger("ComfyUI-Pusa")


class Notes:
    """Sentences in the order they came up, each once; also written to the log."""

    def __init__(self) -> None:
        self._sentences: dict[str, None] = {}

    def add(self, sentence: str) -> None:
        """Say one more sentence, unless it was said."""
        if sentence not in self._sentences:
            self._sentences[sentence] = None
            _log.warning(sentence)

    @property
    def sentences(self) -> list[str]:
        """All that was said so far."""
        return list(self._sentences)
