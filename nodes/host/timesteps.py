"""Vectorized timesteps: a MODEL whose latent frame f runs on sigma * m_f, for every sampler that passes a scalar sigma.

The scalar that ComfyUI's samplers, context windows and caches expect stays outside; the frames' own levels are inside:
  * object patch `model_sampling`: noise goes in and comes out by sigma * m_f;
  * object patch `process_timestep`: the DiT gets the timestep of sigma * m_f for every latent frame, in the layout of its base;
  * APPLY_MODEL wrapper: denoised_f = x_f - m_f * sigma * velocity_f, and the interrupt check;
  * OUTER_SAMPLE wrapper: refusals, the preview of a free frame, frames with m = 0 given back to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import torch
from torch import Tensor

from ...pusa_core.conditions import check_video_samples
from ...pusa_core.errors import PusaError
from ...pusa_core.samplers import add_noise, remove_noise_share
from ...pusa_core.schedule import frame_sigmas, over_frames
from . import symbols
from .bases import PATCHES, HostBase
from .features import Aspect, Feature, Hooks, apply, feature_of
from .forward import TOKENS_PER_FRAME, tokens_per_frame
from .models import require_base
from .prompts_by_frame import PromptsByFrame
from .samplers import check_sampler, runs_one_callback_per_step
from .step_caches import measure_moving_frames
from .windows import frames_of_call

_frames: ContextVar[list[int] | None] = ContextVar("pusa_frames_of_call", default=None)
"""Latent frames of the model call under way; APPLY_MODEL knows them, process_timestep is not told."""


class FrameMultipliers:
    """The multipliers of a run, [F], where the model asks for them: on its device, in its context window."""

    def __init__(self, values: Tensor):
        self.values = values
        self._on_device: dict[torch.device, Tensor] = {}

    def like(self, x: Tensor, frames: list[int] | None = None) -> Tensor:
        """[F'] on x's device for x [B, C, F', H, W]; frames: the latent frames of x where x is a window."""
        values = self._on_device.get(x.device)
        if values is None:
            values = self._on_device[x.device] = self.values.to(x.device)
        if frames is not None:
            values = values[frames]
        if x.ndim != 5 or x.shape[2] != len(values):
            raise PusaError(
                f"Vectorized timesteps were applied for {len(self.values)} latent frames, the model was given "
                f"{tuple(x.shape)}. Connect the latent that is sampled to Apply Vectorized Timesteps too."
            )
        return values

    def preview_frame(self) -> int:
        """The latent frame worth watching: of those that move most freely, the one in the middle."""
        free = torch.nonzero(self.values == self.values.max()).flatten()
        return int(free[len(free) // 2])


class FlowModelSampling(symbols.base_class("ModelSamplingDiscreteFlow"), symbols.base_class("CONST")):  # type: ignore[misc]
    """Flow matching with a shift, as ModelSamplingSD3 sets it."""

    def __init__(self, model_config: Any, host: HostBase, shift: float):
        super().__init__(model_config)
        self.set_parameters(shift=shift, multiplier=host.timesteps_per_sigma(model_config))


class PerFrameModelSampling(FlowModelSampling):
    """The same where every latent frame is noised to sigma * m_f."""

    def __init__(self, model_config: Any, host: HostBase, multipliers: FrameMultipliers, shift: float):
        super().__init__(model_config, host, shift)
        self.multipliers = multipliers

    def calculate_input(self, sigma: Tensor, noise: Tensor) -> Tensor:
        """What the model is given: a copy, since EasyCache adds its difference into it, and x is needed afterwards."""
        return super().calculate_input(sigma, noise).clone()

    def noise_scaling(
        self, sigma: Tensor, noise: Tensor, latent_image: Tensor, max_denoise: bool = False
    ) -> Tensor:
        return add_noise(latent_image, noise, self._levels(sigma, noise))

    def inverse_noise_scaling(self, sigma: Tensor, latent: Tensor) -> Tensor:
        return remove_noise_share(latent, self._levels(sigma, latent))

    def _levels(self, sigma: Tensor, latent: Tensor) -> Tensor:
        """[1 or B, 1, F, 1, 1] from a sigma of one or B elements."""
        return over_frames(frame_sigmas(sigma.flatten().to(latent.device), self.multipliers.like(latent)))


class PerFrameTimestep:
    """Stands in for BaseModel.process_timestep: [B] -> [B, F] in the layout of the base, which the DiT spreads over tokens.

    An object patch, since it runs outside the compiled region of TorchCompileModel (a DIFFUSION_MODEL wrapper would not).
    """

    def __init__(self, multipliers: FrameMultipliers, host: HostBase):
        self.multipliers = multipliers
        self.host = host

    def __call__(self, timestep: Tensor, x: Tensor, **conds: Any) -> Tensor:
        # a timestep is so many sigmas, and a frame's is as many of its own
        by_frame = frame_sigmas(timestep, self.multipliers.like(x, _frames.get()))
        return self.host.timesteps(by_frame, x, conds)


class PerFrameDenoised:
    """APPLY_MODEL wrapper: what the sampler sees of frame f moves m_f times as fast."""

    def __init__(self, multipliers: FrameMultipliers, prompts: PromptsByFrame | None = None):
        self.multipliers = multipliers
        self.prompts = prompts

    def __call__(self, executor: Callable[..., Tensor], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        options = args[-1] if args and isinstance(args[-1], dict) else kwargs.get("transformer_options", {})
        frames = frames_of_call(options)
        options[TOKENS_PER_FRAME] = tokens_per_frame(*x.shape[-2:])
        measure_moving_frames(options, self.multipliers.values)
        token = _frames.set(frames)
        by_prompt = nullcontext()
        if self.prompts is not None:
            context = kwargs["c_crossattn"] if "c_crossattn" in kwargs else args[2]
            by_prompt = self.prompts.during(options, x, context)
        try:
            with by_prompt:
                denoised = executor(x, *args, **kwargs)
        except RuntimeError as error:
            sentence = _against_scalar_forward(error, executor.class_obj.diffusion_model)
            if sentence is None:
                raise
            raise PusaError(sentence) from error
        finally:
            _frames.reset(token)
        return x + (denoised - x) * over_frames(self.multipliers.like(x, frames))


def _against_scalar_forward(error: RuntimeError, wan: torch.nn.Module) -> str | None:
    """What to say of an error by a forward that another pack put in for the time of a call, None for any other error."""
    forward = vars(wan).get("forward_orig")
    if forward is None or "Expected 1-D argument" not in str(error):
        return None
    pack = forward.__module__.replace("\\", "/").rpartition("/")[
        2
    ]  # ComfyUI names a pack's module by its path
    return (
        f"The model's forward was replaced by {pack}, which takes one timestep for all latent frames (TeaCache "
        "and MagCache do). Take that node out; ComfyUI's EasyCache and LazyCache work with given frames."
    )


class PerFrameRun:
    """OUTER_SAMPLE wrapper: what has to hold before, during and after one run of a sampler."""

    def __init__(self, multipliers: FrameMultipliers):
        self.multipliers = multipliers

    def __call__(
        self,
        executor: Any,
        noise: Tensor,
        latent_image: Tensor,
        sampler: Any,
        sigmas: Tensor,
        denoise_mask: Tensor | None = None,
        callback: Callable[..., None] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        guider = executor.class_obj
        if not isinstance(guider.model_patcher.get_model_object("model_sampling"), PerFrameModelSampling):
            raise PusaError(
                "A node after Apply Vectorized Timesteps replaced the model's sampling (ModelSamplingSD3 does), so "
                "condition frames would be noised like all others. Remove it, and set shift on the Pusa node instead."
            )
        check_video_samples(noise)
        multipliers = self.multipliers.like(noise)
        check_sampler(sampler)
        if callback is not None and runs_one_callback_per_step(sampler):
            callback = free_frame_first(callback, self.multipliers.preview_frame())
        samples = executor(noise, latent_image, sampler, sigmas, denoise_mask, callback, *args, **kwargs)
        kept = (over_frames(multipliers) == 0).to(samples.device)
        return torch.where(kept, latent_image.to(samples), samples)


def free_frame_first(callback: Callable[..., None], frame: int) -> Callable[..., None]:
    """The callback, shown x0 with `frame` in front: ComfyUI's previewers decode the first latent frame only.

    The last step passes x0 as it is, since that is the one custom samplers hand out as denoised_output.
    """

    def show(step: int, x0: Tensor, x: Tensor, total_steps: int) -> None:
        if x0 is not None and x0.ndim == 5 and step + 1 < total_steps:
            x0 = x0.roll(-frame, dims=2)
        callback(step, x0, x, total_steps)

    return show


@dataclass(frozen=True, eq=False)
class VectorizedTimesteps(Feature):
    """Latent frame f on sigma * noise_multipliers[f]; with all of them 1 only the shift is set."""

    noise_multipliers: Tensor  # [F], each in [0, 1]
    shift: float  # >= 1, of the schedules that core nodes make from the model
    prompts: PromptsByFrame | None = None  # where latent frames follow several

    name = "Apply Vectorized Timesteps"
    key = "pusa_timesteps"
    changes = frozenset({Aspect.SAMPLING, Aspect.FORWARD})
    needs = ("ModelSamplingDiscreteFlow", "CONST", "WrappersMP", "KSAMPLER")
    patches = (FlowModelSampling, PerFrameModelSampling, PerFrameTimestep, *PATCHES)

    def settings(self) -> Any:
        more = {} if self.prompts is None else {"prompts": vars(self.prompts)}
        return {"noise_multipliers": self.noise_multipliers, "shift": self.shift, **more}

    def check(self, patcher: Any) -> None:
        require_base(patcher)

    def hooks(self, patcher: Any) -> Hooks:
        config, host = patcher.model.model_config, require_base(patcher)
        if bool((self.noise_multipliers == 1).all()) and self.prompts is None:
            return Hooks({"model_sampling": FlowModelSampling(config, host, self.shift)})
        multipliers = FrameMultipliers(self.noise_multipliers)
        return Hooks(
            {
                "model_sampling": PerFrameModelSampling(config, host, multipliers, self.shift),
                "process_timestep": PerFrameTimestep(multipliers, host),
                **host.forward_patches(patcher),
            },
            {
                symbols.WrappersMP.APPLY_MODEL: PerFrameDenoised(multipliers, self.prompts),
                symbols.WrappersMP.OUTER_SAMPLE: PerFrameRun(multipliers),
            },
        )


def vectorize_timesteps(
    model: Any, noise_multipliers: Tensor, shift: float, prompts: PromptsByFrame | None = None
) -> Any:
    """A clone of the MODEL that runs latent frame f on sigma * noise_multipliers[f], [F] in [0, 1]; shift: >= 1."""
    return apply(model, VectorizedTimesteps(noise_multipliers, shift, prompts))


def multipliers_of(model: Any) -> Tensor | None:
    """The noise multipliers [F] a MODEL was patched with, None where it runs on scalar timesteps."""
    feature = feature_of(model, VectorizedTimesteps)
    if feature is None or bool((feature.noise_multipliers == 1).all()):
        return None
    return feature.noise_multipliers
