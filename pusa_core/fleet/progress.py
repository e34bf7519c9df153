"""What a run shows: one line an item and, in a terminal, a bar below them."""

from __future__ import annotations

import sys
import time

BAR_WIDTH = 30


class Progress:
    """Prints on standard output; the bar is redrawn in place and is left out where no terminal is."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.ended = 0
        self.started = time.monotonic()
        self.has_bar = sys.stdout.isatty()

    def item(self, text: str) -> None:
        """The line of an item that has ended, well or not."""
        self.ended += 1
        self.say(f"[{self.ended:{len(str(self.total))}}/{self.total}] {text}")

    def say(self, text: str) -> None:
        """A line above the bar."""
        sys.stdout.write(f"\r\033[K{text}\n" if self.has_bar else f"{text}\n")
        self.draw()
        sys.stdout.flush()

    def draw(self, running: int | None = None) -> None:
        """The bar. running: items that run now."""
        if not self.has_bar:
            return
        filled = BAR_WIDTH * self.ended // max(1, self.total)
        note = "" if running is None else f", {running} running"
        if self.ended and self.ended < self.total:
            left = (time.monotonic() - self.started) / self.ended * (self.total - self.ended)
            note += f", about {left:.0f} s left"
        sys.stdout.write(
            f"\r\033[K[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {self.ended}/{self.total}{note}"
        )
        sys.stdout.flush()

    def finish(self) -> None:
        """Takes the bar away."""
        if self.has_bar:
            sys.stdout.write("\r\033[K")
            sys.stdout.flush()
