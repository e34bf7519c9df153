"""Windows of a long video through ComfyUI's model and VAE, with one progress bar over all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import comfy.model_management
from torch import Tensor

from ...pusa_core.bases import Base
from ...pusa_core.errors import PusaError
from ...pusa_core.folders import load_picture
from ...pusa_core.project.folder import Part
from ...pusa_core.project.plan import PlannedWindow
from .features import feature_of, models_of
from .models import empty_latent
from .progress import StepsOfRuns
from .progressive import ProgressiveResolution
from .roll import LoopRoll
from .vaes import decoder_of, encoder_of

WHOLE_VIDEO = ("vace_frames", "concat_latent_image")
"""Conditioning with a picture for every frame of one video: control frames of VACE and of Fun control models."""


def check_for_windows(model: Any, *prompts: Any) -> None:
    """Refuse a MODEL or a CONDITIONING with what is of one video as a whole: it would be wrong in every window."""
    if any(feature_of(each, LoopRoll) for each in models_of(model)):
        raise PusaError(
            "Loop Model is on this model: each window would return to its own start. Take it out; a loop is made by Vectorized Timestep "
            "Sampler, in one window."
        )
    progressive = feature_of(model, ProgressiveResolution)
    if progressive is not None and progressive.own_content:
        raise PusaError(
            "Pusa Progressive has latent_small, the frames of one latent, but each window has frames of its own, which are made smaller by "
            "themselves. Take latent_small out."
        )
    for conditioning in prompts:
        for _, options in conditioning or ():
            if extra := next((name for name in WHOLE_VIDEO if options.get(name) is not None), None):
                raise PusaError(
                    f"The conditioning carries {extra}, control frames of one video, which windows cannot share out. Take that node out, or "
                    "make the video in one window with Vectorized Timestep Sampler."
                )


class WindowStudio:
    """What pusa_core.project.engine.DirectedStudio asks of the model's latents, the VAE and the progress bar."""

    def __init__(self, request: Any, base: Base, runs: Sequence[tuple[int, int]], steps: Sequence[int]):
        """request: has model, vae, width, height and crf; runs: window and candidate of each; steps: of each run."""
        self.request = request
        self.base = base
        self.size = (request.width, request.height)
        self.crf = request.crf
        self.runs = list(runs)
        self.progress = StepsOfRuns(request.model, steps)

    def encode(self, pictures: Tensor) -> Tensor:
        return encoder_of(self.request.vae)(pictures)

    def decode(self, latent: Tensor) -> Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        width, height = self.size
        return decoder_of(self.request.vae)(latent).reshape(-1, height, width, 3)

    def empty(self, latent_frames: int) -> Tensor:
        return empty_latent(self.base, *self.size, latent_frames)

    def steps_seen(self, window: PlannedWindow, candidate: int) -> Callable[[int, Tensor, Tensor, int], None]:
        """The callback(step, x0, x, steps) of one run."""
        return self.progress.callback(self.runs.index((window.index, candidate)))

    def show(self, window: PlannedWindow, candidate: int, part: Part) -> None:
        """A finished part on the node. A locked window stands for all of its candidates."""
        picture = load_picture(part.picture)[0]
        for run, (index, one) in enumerate(self.runs):
            if index == window.index and (window.text.lock or one == candidate):
                self.progress.show(picture, run)


def check_size(width: int, height: int, base: Base) -> None:
    """Refuse a size that the base does not make."""
    if width % base.size_multiple or height % base.size_multiple:
        raise PusaError(
            f"The size is {width} x {height}; {base.short} needs multiples of {base.size_multiple} in both."
        )
