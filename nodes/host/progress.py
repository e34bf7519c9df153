"""Progress and previews on the running node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from . import symbols

PREVIEW_SIZE = 512
"""Longest side of a preview in pixels."""


def step_callback(model: Any, steps: int) -> Callable[[int, Tensor, Tensor, int], None]:
    """ComfyUI's own callback(step, x0, x, steps): progress bar and preview of a run of `steps`."""
    return symbols.prepare_callback(model, steps)


class StepsOfMany:
    """One progress bar with previews over several runs."""

    def __init__(self, model: Any, steps: Sequence[int]):
        """steps: of each run."""
        self.before = [0, *accumulate(steps)]
        self.bar = symbols.ProgressBar(self.before[-1])
        self.previewer = symbols.get_previewer(model.load_device, model.model.latent_format)

    def callback(self, run: int) -> Callable[[int, Tensor, Tensor, int], None]:
        """The callback(step, x0, x, steps) of one run, counted from 0."""

        def show(step: int, x0: Tensor, x: Tensor, steps: int) -> None:
            preview = self.previewer and self.previewer.decode_latent_to_preview_image("JPEG", x0)
            self.bar.update_absolute(self.before[run] + step + 1, preview=preview)

        return show

    def show(self, picture: Tensor, run: int) -> None:
        """Show what a finished run made. picture: [H, W, 3], 0 to 1."""
        pixels = (picture * 255.0).clamp(0, 255).to("cpu", torch.uint8).numpy()
        preview = ("JPEG", Image.fromarray(pixels), PREVIEW_SIZE)
        self.bar.update_absolute(self.before[run + 1], preview=preview)


def progress_over(count: int) -> Callable[[], None]:
    """A function that moves the node's progress bar by one of `count`."""
    bar = symbols.ProgressBar(count)
    return lambda: bar.update(1)
