"""The adapter: everything this pack knows about ComfyUI's sampling hooks (0.3.64 to 0.12) stands here.

A patched MODEL keeps the scalar sigma that ComfyUI's samplers, context windows and caches expect, and vectorises inside:
  * object patch `model_sampling`: noise goes in and comes out by sigma * m_f;
  * object patch `process_timestep`: the DiT gets 1000 * sigma * m_f for every latent frame;
  * APPLY_MODEL wrapper: denoised_f = x_f - m_f * sigma * velocity_f, and the interrupt check;
  * OUTER_SAMPLE wrapper: refusals, the preview of a free frame, frames with m = 0 given back to the last bit.
The two experts of Wan2.2 are one more OUTER_SAMPLE wrapper, see ExpertSwitch.
"""

from __future__ import annotations

import copy
import inspect
import logging
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import MethodType
from typing import Any

import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.model_sampling
import comfy.samplers
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from comfy_api.torch_helpers import set_torch_compile_wrapper
from comfy_api.torch_helpers.torch_compile import COMPILE_KEY, TORCH_COMPILE_KWARGS
from torch import Tensor

from ..pusa_core.conditions import check_video_samples, frame_multipliers
from ..pusa_core.errors import PusaError
from ..pusa_core.experts import check_boundary, split_sigmas
from ..pusa_core.samplers import add_noise, remove_noise_share
from ..pusa_core.schedule import over_frames
from .core_samplers import check_sampler, runs_one_callback_per_step
from .step_caches import CACHE, measure_moving_frames
from .wan_forward import TOKENS_PER_FRAME, patch_forward, tokens_per_frame, unpatch_forward

logger = logging.getLogger("ComfyUI-Pusa")

TIMESTEPS_KEY = "pusa_timesteps"
EXPERTS_KEY = "pusa_experts"

_window: ContextVar[list[int] | None] = ContextVar("pusa_context_window", default=None)
"""Latent frames of the context window under way; APPLY_MODEL knows them, process_timestep is not told."""


def require_wan_t2v(model: ModelPatcher) -> None:
    """Refuse every model but a Wan 14B/1.3B text-to-video one (ComfyUI's WAN21 class with 16 channels in and out)."""
    base = model.model
    kind = type(base).__name__
    advice = "Load a Wan2.1 or Wan2.2 14B text-to-video model (Load Diffusion Model); Pusa's LoRA gives it the other tasks."
    if not isinstance(base, comfy.model_base.WAN21):
        raise PusaError(f"This is not a Wan model but {kind}. {advice}")
    if type(base) is not comfy.model_base.WAN21:
        reason = {
            "WAN22": "Wan2.2 5B, which has another latent space",
            "WAN21_Vace": "a VACE model, which has conditions of its own",
        }
        raise PusaError(
            f"This is {reason.get(kind, f'a Wan variant ({kind}) with inputs of its own')}. {advice}"
        )
    channels = base.diffusion_model.patch_embedding.weight.shape[1]
    wanted = base.latent_format.latent_channels
    if channels != wanted or getattr(base.diffusion_model, "model_type", "t2v") != "t2v":
        raise PusaError(
            f"This is an image-to-video or control model: it takes {channels} channels, a text-to-video model {wanted}. {advice}"
        )


def latent_multipliers(model: ModelPatcher, latent: dict[str, Any]) -> Tensor:
    """The LATENT's noise multipliers [F] float32, checked against its samples and the model's channels."""
    require_wan_t2v(model)
    samples = latent["samples"]
    check_video_samples(samples, model.get_model_object("latent_format").latent_channels)
    return frame_multipliers(latent.get("noise_multipliers"), samples.shape[2])


# Timesteps of their own for every latent frame


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


class PerFrameModelSampling(comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST):
    """Wan's flow matching where every latent frame is noised to sigma * m_f."""

    def __init__(self, model_config: Any, multipliers: FrameMultipliers, shift: float):
        super().__init__(model_config)
        self.set_parameters(shift=shift, multiplier=model_config.sampling_settings.get("multiplier", 1000))
        self.multipliers = multipliers

    def noise_scaling(
        self, sigma: Tensor, noise: Tensor, latent_image: Tensor, max_denoise: bool = False
    ) -> Tensor:
        return add_noise(latent_image, noise, self._levels(sigma, noise))

    def inverse_noise_scaling(self, sigma: Tensor, latent: Tensor) -> Tensor:
        return remove_noise_share(latent, self._levels(sigma, latent))

    def _levels(self, sigma: Tensor, latent: Tensor) -> Tensor:
        """[1 or B, 1, F, 1, 1] from a sigma of one or B elements."""
        return sigma.reshape(-1, 1, 1, 1, 1).to(latent.device) * over_frames(self.multipliers.like(latent))


class PerFrameTimestep:
    """Stands in for BaseModel.process_timestep: [B] -> [B, F], which WanModel spreads over each frame's tokens.

    An object patch, since it runs outside the compiled region of TorchCompileModel (a DIFFUSION_MODEL wrapper would not).
    """

    def __init__(self, multipliers: FrameMultipliers):
        self.multipliers = multipliers

    def __call__(self, timestep: Tensor, x: Tensor, **conds: Any) -> Tensor:
        for extra in ("time_dim_concat", "reference_latent"):
            if conds.get(extra) is not None:
                raise PusaError(
                    f"The conditioning carries {extra}, which adds tokens that belong to no latent frame. Pusa cannot give them "
                    "a timestep: take that node out; pictures go in through Condition Frame Injector."
                )
        return timestep[:, None] * self.multipliers.like(x, _window.get())


class PerFrameDenoised:
    """APPLY_MODEL wrapper: what the sampler sees of frame f moves m_f times as fast."""

    def __init__(self, multipliers: FrameMultipliers):
        self.multipliers = multipliers

    def __call__(self, executor: Callable[..., Tensor], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        options = args[-1] if args and isinstance(args[-1], dict) else kwargs.get("transformer_options", {})
        context = options.get("context_window")
        frames = None if context is None else list(context.index_list)
        options[TOKENS_PER_FRAME] = tokens_per_frame(*x.shape[-2:])
        measure_moving_frames(options, self.multipliers.values)
        # EasyCache adds its difference into the latent it is given
        given = x.clone() if CACHE in options else x
        token = _window.set(frames)
        try:
            denoised = executor(given, *args, **kwargs)
        except RuntimeError as error:
            sentence = _against_scalar_forward(error, executor.class_obj.diffusion_model)
            if sentence is None:
                raise
            raise PusaError(sentence) from error
        finally:
            _window.reset(token)
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


def vectorize_timesteps(model: ModelPatcher, noise_multipliers: Tensor, shift: float) -> ModelPatcher:
    """A clone of the model that runs latent frame f on sigma * noise_multipliers[f].

    noise_multipliers: [F], each in [0, 1]; shift: >= 1, of the schedules that core nodes make from the model. The
    model that is given stays as it is. With all multipliers 1 only the shift is set and the model runs on scalar timesteps.
    """
    require_wan_t2v(model)
    patched = model.clone()
    patched.remove_wrappers_with_key(WrappersMP.APPLY_MODEL, TIMESTEPS_KEY)
    patched.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, TIMESTEPS_KEY)
    multipliers = FrameMultipliers(noise_multipliers)
    config = model.model.model_config
    if bool((noise_multipliers == 1).all()):
        patched.add_object_patch("model_sampling", _scalar_sampling(config, shift))
        patched.object_patches.pop("process_timestep", None)
        unpatch_forward(patched)
        return patched
    patched.add_object_patch("model_sampling", PerFrameModelSampling(config, multipliers, shift))
    patched.add_object_patch("process_timestep", PerFrameTimestep(multipliers))
    patched.add_wrapper_with_key(WrappersMP.APPLY_MODEL, TIMESTEPS_KEY, PerFrameDenoised(multipliers))
    patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, TIMESTEPS_KEY, PerFrameRun(multipliers))
    patch_forward(patched)
    return patched


def multipliers_of(model: ModelPatcher) -> Tensor | None:
    """The noise multipliers [F] a model was patched with, None where it runs on scalar timesteps."""
    sampling = model.get_model_object("model_sampling")
    return sampling.multipliers.values if isinstance(sampling, PerFrameModelSampling) else None


def _scalar_sampling(config: Any, shift: float) -> Any:
    class ModelSampling(comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST):
        pass

    sampling = ModelSampling(config)
    sampling.set_parameters(shift=shift, multiplier=config.sampling_settings.get("multiplier", 1000))
    return sampling


# Two experts behind one MODEL


class ExpertSwitch:
    """OUTER_SAMPLE wrapper: steps from sigma >= boundary on the high-noise expert, the rest on the low-noise one.

    The rest is a run of its own without fresh noise, under a copy of the guider that points to the other expert, so
    that ComfyUI's manager loads and frees the experts one after the other. What was done to the MODEL after the switch (LoRA,
    vectorized timesteps, caches, block patches) holds for both experts.
    """

    def __init__(
        self, high: ModelPatcher, low: ModelPatcher, boundary: float, high_cfg: float, low_cfg: float
    ):
        self.high = high
        self.low = low
        self.boundary = boundary
        self.high_cfg = high_cfg
        self.low_cfg = low_cfg

    def __call__(
        self,
        executor: Any,
        noise: Tensor,
        latent_image: Tensor,
        sampler: Any,
        sigmas: Tensor,
        denoise_mask: Tensor | None = None,
        callback: Callable[..., None] | None = None,
        disable_pbar: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> Tensor:
        guider = executor.class_obj
        high_sigmas, low_sigmas = (part.clone() for part in split_sigmas(sigmas, self.boundary))
        steps, high_steps = len(sigmas) - 1, len(high_sigmas) - 1
        # made before the first step, so that what cannot run is said before minutes have passed
        low = self.low_after(guider.model_patcher)
        if high_steps:
            with _using_cfg(guider, self.high_cfg, "high_noise_cfg"):
                progress = count_from(callback, 0, steps)
                latent_image = executor(
                    noise,
                    latent_image,
                    sampler,
                    high_sigmas,
                    denoise_mask,
                    progress,
                    disable_pbar,
                    seed,
                    **kwargs,
                )
            noise = torch.zeros_like(noise)
            seed = (
                None if seed is None else seed + 1
            )  # a second run with fresh noise must not repeat the first one's
        if high_steps == steps:
            return latent_image
        guider = copy.copy(guider)
        guider.model_patcher = low
        guider.model_options = low.model_options
        with _using_cfg(guider, self.low_cfg, "low_noise_cfg"):
            progress = count_from(callback, high_steps, steps)
            return guider.sample(
                noise, latent_image, sampler, low_sigmas, denoise_mask, progress, disable_pbar, seed
            )

    def low_after(self, switched: ModelPatcher) -> ModelPatcher:
        """The low-noise expert with all that was done to `switched` after the switch."""
        low = self.low.clone()
        carry_over(self.high, switched, low)
        high_multipliers, low_multipliers = multipliers_of(switched), multipliers_of(low)
        if (high_multipliers is None) != (low_multipliers is None):
            raise PusaError(
                "Only one of the two experts has vectorized timesteps. Put Apply Vectorized Timesteps once, "
                "after Wan2.2 MoE Switch."
            )
        return low


def switch_experts(
    high: ModelPatcher, low: ModelPatcher, boundary: float, high_cfg: float = 0.0, low_cfg: float = 0.0
) -> ModelPatcher:
    """One MODEL that runs both experts of Wan2.2, see ExpertSwitch.

    boundary: sigma in [0, 1]; high_cfg, low_cfg: guidance of each expert, 0 takes the sampler's.
    """
    check_boundary(boundary)
    for name, model in (("high_noise", high), ("low_noise", low)):
        require_wan_t2v(model)
        if experts_of(model) is not None:
            raise PusaError(
                f"{name} already holds two experts. Connect the loaded models themselves to Wan2.2 MoE Switch."
            )
    switched = high.clone()
    switch = ExpertSwitch(high, low, boundary, high_cfg, low_cfg)
    switched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, EXPERTS_KEY, switch)
    return switched


def experts_of(model: ModelPatcher) -> ExpertSwitch | None:
    """The switch inside a MODEL, None where it is a single model."""
    switches = model.get_wrappers(WrappersMP.OUTER_SAMPLE, EXPERTS_KEY)
    return switches[0] if switches else None


def count_from(
    callback: Callable[..., None] | None, first_step: int, steps: int
) -> Callable[..., None] | None:
    """The callback of a whole run of `steps`, for the part of it that begins at `first_step`."""
    if callback is None:
        return None
    return lambda step, x0, x, _: callback(first_step + step, x0, x, steps)


@contextmanager
def _using_cfg(guider: Any, cfg: float, name: str) -> Iterator[None]:
    if cfg == 0:
        yield
        return
    if type(guider).set_cfg is not comfy.samplers.CFGGuider.set_cfg:
        raise PusaError(
            f"{name} is {cfg}, but the guider {type(guider).__name__} has several guidance values of its own. "
            f"Set {name} to 0, or use CFGGuider."
        )
    before = guider.cfg
    guider.set_cfg(cfg)
    try:
        yield
    finally:
        guider.set_cfg(before)


# What was done to one patcher, done to another


def carry_over(before: ModelPatcher, after: ModelPatcher, onto: ModelPatcher) -> None:
    """Do to `onto` what turned `before` into its descendant `after`: weight patches, object patches, options, wrappers."""
    weights = {
        key: added
        for key, entries in after.patches.items()
        if (added := entries[len(before.patches.get(key, ())) :])
    }
    for key, entries in weights.items():
        for strength_patch, value, strength_model, offset, function in entries:
            onto.add_patches({(key, offset, function): value}, strength_patch, strength_model)
    if weights:
        # ComfyUI patches the weights anew when this changes, so the same graph must give the same value
        onto.patches_uuid = uuid.uuid5(after.patches_uuid, "low_noise")
    for name, value in after.object_patches.items():
        if before.object_patches.get(name) is not value:
            onto.add_object_patch(name, _for_other_model(name, value, after.model, onto.model))
    _merge(onto.model_options, _added(before.model_options, after.model_options))
    for kind, by_key in after.wrappers.items():
        for key, wrappers in by_key.items():
            earlier = before.wrappers.get(kind, {}).get(key, [])
            if key == EXPERTS_KEY or wrappers == earlier:
                continue
            if any(wrapper not in wrappers for wrapper in earlier):  # replaced, not added to
                onto.remove_wrappers_with_key(kind, key)
            if key == COMPILE_KEY:
                wrappers = [_compiled_for(wrapper, onto) for wrapper in wrappers]
            for wrapper in wrappers:
                if wrapper not in earlier:
                    onto.add_wrapper_with_key(kind, key, wrapper)
    for kind, by_key in after.callbacks.items():
        for key, callbacks in by_key.items():
            for callback in callbacks[len(before.callbacks.get(kind, {}).get(key, ())) :]:
                onto.add_callback_with_key(kind, key, callback)
    for key, injections in after.injections.items():
        if key not in before.injections:
            onto.set_injections(key, injections)


def _for_other_model(name: str, patch: Any, model: Any, other: Any) -> Any:
    """An object patch made for `model`, as `other` needs it: a method bound to a module is bound to the other's module."""
    owner = name.rpartition(".")[0]
    if isinstance(patch, MethodType) and patch.__self__ is comfy.utils.get_attr(model, owner):
        if model is not other and _holds_tensors(patch.__func__):
            raise PusaError(
                f"A node after Wan2.2 MoE Switch patched {name} with values that the high-noise expert computed (NAG nodes do), "
                "which are wrong for the low-noise one. Connect that node before the switch, once for each expert."
            )
        return MethodType(patch.__func__, comfy.utils.get_attr(other, owner))
    if isinstance(patch, torch.nn.Module) and name.split(".")[0] == "diffusion_model" and model is not other:
        raise PusaError(
            f"A node after Wan2.2 MoE Switch replaced {name} of the high-noise expert by a module of its own, which cannot be "
            "done to the low-noise one. Connect that node before the switch, once for each expert."
        )
    return patch


def _holds_tensors(function: Any) -> bool:
    """Whether a function's closure holds a tensor, itself or as an attribute of an object that is no module."""
    held = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    owners = [value for value in held if not isinstance(value, torch.nn.Module)]
    held += [value for owner in owners for value in getattr(owner, "__dict__", {}).values()]
    return any(isinstance(value, Tensor) for value in held)


def _compiled_for(wrapper: Any, model: ModelPatcher) -> Any:
    """TorchCompileModel's wrapper for another model: it holds the compiled modules themselves, so it is made again.

    Once for a model, as the wrapper is looked up by its original; torch compiles when the modules are first called.
    """
    made = _compiled.setdefault(wrapper, weakref.WeakKeyDictionary())
    if model.model not in made:
        compiled = inspect.getclosurevars(wrapper).nonlocals.get("compiled_module_dict")
        if compiled is None:  # another pack's wrapper
            logger.info(
                "The low-noise expert runs uncompiled: connect the compile node before Wan2.2 MoE Switch, once for each expert."
            )
            return wrapper
        keys = list(compiled)
        trial = model.clone()
        set_torch_compile_wrapper(trial, keys=keys, **model.model_options[TORCH_COMPILE_KWARGS])
        made[model.model] = trial.get_wrappers(WrappersMP.APPLY_MODEL, COMPILE_KEY)[0]
    return made[model.model]


_compiled: weakref.WeakKeyDictionary[Any, weakref.WeakKeyDictionary[Any, Any]] = weakref.WeakKeyDictionary()


def _added(before: dict[Any, Any], after: dict[Any, Any]) -> dict[Any, Any]:
    """What `after` has and `before` has not: new keys, new ends of lists, the same inside dicts."""
    added: dict[Any, Any] = {}
    for key, value in after.items():
        if key not in before:
            added[key] = value
        elif isinstance(value, dict) and isinstance(before[key], dict):
            if inner := _added(before[key], value):
                added[key] = inner
        elif isinstance(value, list) and isinstance(before[key], list) and len(value) > len(before[key]):
            added[key] = value[len(before[key]) :]
    return added


def _merge(onto: dict[Any, Any], added: dict[Any, Any]) -> None:
    for key, value in added.items():
        if isinstance(value, dict) and isinstance(onto.get(key), dict):
            _merge(onto[key], value)
        elif isinstance(value, list) and isinstance(onto.get(key), list):
            onto[key] = onto[key] + value
        else:
            onto[key] = value
