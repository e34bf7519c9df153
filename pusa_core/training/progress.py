"""The progress of a run on the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

BAR = 30
LINE_SECONDS = 30.0  # between two lines where there is no terminal that could be redrawn


class Progress:
    """Says nothing: of tests and of all processes but the first."""

    def begin(self, name: str, step: int, steps: int) -> None:
        """A run begins, with `step` steps done."""

    def step(self, step: int, row: Mapping[str, float]) -> None:
        """That many steps are done; row: the newest of the log."""

    def say(self, text: str) -> None:
        """A sentence for the user."""

    def end(self) -> None:
        """The run ends."""


class TerminalProgress(Progress):
    """A bar on stderr, redrawn in place; lines now and then where stderr is a file."""

    def __init__(self) -> None:
        self.redraws = sys.stderr.isatty()
        self.last = 0.0

    def begin(self, name: str, step: int, steps: int) -> None:
        self.name, self.first, self.steps = name, step, steps
        self.started = time.monotonic()

    def step(self, step: int, row: Mapping[str, float]) -> None:
        now = time.monotonic()
        if step < self.steps and now - self.last < (0.2 if self.redraws else LINE_SECONDS):
            return
        self.last = now
        each = (now - self.started) / max(1, step - self.first)
        filled = BAR * step // self.steps
        text = (
            f"{self.name} [{'#' * filled}{'.' * (BAR - filled)}] {step}/{self.steps}  loss {row['loss']:.4f}  "
            f"{each:.2f} s a step, {_clock(each * (self.steps - step))} left"
        )
        sys.stderr.write(f"\r{text}\033[K" if self.redraws else f"{text}\n")
        sys.stderr.flush()

    def say(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def end(self) -> None:
        if self.redraws:
            sys.stderr.write("\n")


def _clock(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02} h"
