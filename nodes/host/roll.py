"""Loop Model: the DiT sees the video rolled along time, by some more latent frames at each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...pusa_core.errors import PusaError
from ...pusa_core.loop import rolled_back, rolled_order, step_of
from . import symbols
from .features import Aspect, Feature, Hooks, apply
from .models import require_wan_forward
from .whole_run import SCHEDULE


class RolledLatents:
    """DIFFUSION_MODEL wrapper: the model sees latent and per-frame timesteps rolled, and its velocity is rolled back.

    The sampler's own state stays where it is, so any sampler, cache or preview works on it unchanged. That holds for the wrappers of
    others too: EasyCache adds what it kept of an earlier step, so it must not see the latent rolled, wherever its node stands. Tensor
    operations only: this runs inside the compiled region of TorchCompileModel.
    """

    def __init__(self, roll_per_step: int):
        self.roll_per_step = roll_per_step

    def __call__(self, executor: Any, x: Tensor, timestep: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if inner := executor.wrappers[executor.idx + 1 :]:
            innermost = type(executor).new_class_executor(
                executor.original, executor.class_obj, [*inner, self]
            )
            return innermost.execute(x, timestep, *args, **kwargs)
        options = next(
            (value for value in reversed(args) if isinstance(value, dict)),
            kwargs.get("transformer_options") or {},
        )
        if options.get("context_window") is not None:
            raise PusaError(
                "Loop Model cannot work inside context windows, where the model never sees the whole loop. Remove one of the two nodes."
            )
        sigmas, sigma = options.get(SCHEDULE, options.get("sample_sigmas")), options.get("sigmas")
        if sigmas is None or sigma is None:
            raise PusaError(
                "Loop Model is not told the schedule by this sampler. Use KSampler, SamplerCustom or Vectorized Timestep Sampler."
            )
        order = rolled_order(x.shape[2], step_of(sigma.flatten()[0], sigmas), self.roll_per_step).to(x.device)
        if timestep.ndim == 2 and timestep.shape[1] == x.shape[2]:
            timestep = timestep[:, order]
        return executor(x.index_select(2, order), timestep, *args, **kwargs).index_select(
            2, rolled_back(order)
        )


@dataclass(frozen=True)
class LoopRoll(Feature):
    """A latent rolled by `roll_per_step` latent frames more at each step."""

    roll_per_step: int

    name = "Loop Model"
    key = "pusa_roll"
    changes = frozenset({Aspect.AXIS_ORDER})
    needs = ("WrappersMP",)

    def settings(self) -> Any:
        return self.roll_per_step

    def check(self, patcher: Any) -> None:
        require_wan_forward(patcher, self.name)

    def hooks(self, patcher: Any) -> Hooks:
        return Hooks(wrappers={symbols.WrappersMP.DIFFUSION_MODEL: RolledLatents(self.roll_per_step)})


def roll_latents(model: Any, roll_per_step: int) -> Any:
    """A clone of the MODEL that sees its latent rolled by `roll_per_step` latent frames more at each step."""
    return apply(model, LoopRoll(roll_per_step))
