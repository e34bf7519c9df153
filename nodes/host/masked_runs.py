"""Noise masks over a run in parts: all of them paste in the same picture, noised with the same noise.

ComfyUI's KSamplerX0Inpaint keeps what lies outside the mask by noising the latent that a run began with (comfy/samplers.py). A later
part of a run begins with a half-made latent and no noise, so it is given the first part's reference instead.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

from torch import Tensor

from ...pusa_core.errors import PusaError
from . import symbols


class MaskReference:
    """The latent and the noise that a masked run pastes in, taken from its first part and kept in the others.

    All parts are given the levels of the whole run too, from which DifferentialDiffusion counts how far it is.
    """

    def __init__(
        self, schedule: Tensor, latent_image: Tensor | None = None, noise: Tensor | None = None
    ) -> None:
        """schedule: levels [S+1] of the whole run. The others are known where the parts begin with other latents than the run:
        latent_image in the model's space."""
        self.schedule = schedule
        self.latent_image = latent_image
        self.noise = noise

    def used_by(self, sampler: Any, first: bool) -> Any:
        """The sampler for a part of the run: the first notes what it is given to paste in, a later one pastes in the same."""

        def note(model: Any) -> None:
            self.latent_image, self.noise = model.latent_image, model.noise
            model.sigmas = self.schedule

        def give(model: Any) -> None:
            model.latent_image = self.latent_image.to(model.latent_image)
            model.noise = self.noise.to(model.noise)
            model.sigmas = self.schedule

        return _before_sampling(sampler, note if first else give)


def _before_sampling(sampler: Any, act: Callable[[Any], None]) -> Any:
    """A copy of a KSAMPLER that calls act(KSamplerX0Inpaint) before its function starts."""
    if type(sampler).sample is not symbols.KSAMPLER.sample:
        raise PusaError(
            f"The latent has a noise mask, and the sampler {type(sampler).__name__} does not say how it pastes in what lies outside, so "
            "it cannot be handed from one model to the next. Use a sampler of ComfyUI (KSamplerSelect), or remove the mask."
        )
    function = sampler.sampler_function

    @functools.wraps(function)  # ComfyUI's samplers are told apart by the name of their function
    def run(model: Any, *args: Any, **kwargs: Any) -> Tensor:
        act(model)
        return function(model, *args, **kwargs)

    twin = copy.copy(sampler)
    twin.sampler_function = run
    return twin
