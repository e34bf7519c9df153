"""A video written part by part: each finished part is a file of its own, joined without encoding again.

A run that ends early leaves whole parts and the frames to go on from, so it can continue; and since every part is encoded on its
own, the joined file does not depend on where the run was interrupted. Memory holds one part at most.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from .clips.writing import JoinedPart, join_videos, write_video
from .errors import PusaError

STATE = "state.safetensors"


class VideoParts:
    """The parts of one video in a folder of their own, and the file they become."""

    def __init__(
        self, folder: Path, target: Path, fps: float, crf: int, metadata: Mapping[str, object] | None = None
    ):
        """folder: for the parts, made when needed and removed by join; target: the .mp4 to make; crf: H.264 quality, 0 is lossless."""
        self.folder = folder
        self.target = target
        self.fps = Fraction(fps).limit_denominator(1001)
        self.crf = crf
        self.metadata = dict(metadata or {})
        self.done = 0

    def finished(self) -> tuple[int, Tensor | None]:
        """How many parts an earlier run left, and the frames [M, H, W, 3] to continue from; (0, None) for a fresh start."""
        state = self.folder / STATE
        if not state.is_file():
            return 0, None
        with safe_open(state, framework="pt") as saved:
            done, tail = int(saved.metadata()["parts"]), saved.get_tensor("tail")
        if missing := [index for index in range(done) if not self._part(index).is_file()]:
            raise PusaError(
                f"Part {missing[0] + 1} of an interrupted video is gone from {self.folder.name}. "
                "Delete that folder in the output folder to begin the video anew."
            )
        self.done = done
        return done, tail

    def forget(self) -> None:
        """Remove what an earlier run left, also half-written files of any name (safetensors writes to one of its own first)."""
        if self.folder.is_dir():
            shutil.rmtree(self.folder)
        self.done = 0

    def add(self, frames: Tensor, tail: Tensor) -> None:
        """Write one more part. frames: [N, H, W, 3], 0 to 1; tail: [M, H, W, 3], what the next part continues.

        The part counts as finished once the state names it, and both files appear whole or not at all.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self._part(self.done)
        write_video(_unfinished(part), frames, self.fps, crf=self.crf, bframes=False)
        os.replace(_unfinished(part), part)
        state = self.folder / STATE
        saved = {"tail": tail.to("cpu", torch.float32).contiguous()}
        save_file(saved, _unfinished(state), metadata={"parts": str(self.done + 1)})
        os.replace(_unfinished(state), state)
        self.done += 1

    def join(self) -> Path:
        """Make the target of all parts and remove them. Returns the target."""
        parts = [JoinedPart(self._part(index)) for index in range(self.done)]
        self.target.parent.mkdir(parents=True, exist_ok=True)
        join_videos(_unfinished(self.target), parts, self.metadata)
        os.replace(_unfinished(self.target), self.target)
        self.forget()
        return self.target

    def _part(self, index: int) -> Path:
        return self.folder / f"part_{index:04d}.mp4"


def _unfinished(path: Path) -> Path:
    return path.with_name(path.name + ".unfinished")
