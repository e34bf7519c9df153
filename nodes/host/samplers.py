"""ComfyUI's samplers, sorted by whether they hold a condition frame, and the two stochastic ones made to."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from torch import Tensor

from ...pusa_core import samplers
from ...pusa_core.errors import PusaError
from ...pusa_core.schedule import frame_sigmas
from . import symbols

logger = logging.getLogger("ComfyUI-Pusa")

OFFERED = (
    "euler",
    "heun",
    "dpmpp_2m",
    "euler_ancestral",
    "lcm",
    "res_multistep",
    "heunpp2",
    "dpm_2",
    "lms",
    "ipndm",
    "ipndm_v",
    "deis",
    "gradient_estimation",
    "uni_pc",
    "uni_pc_bh2",
    "ddim",
)
"""Sampler names of Vectorized Timestep Sampler; euler_ancestral and lcm are ours, the others ComfyUI's."""

HOLDING = frozenset(OFFERED) - {"euler_ancestral", "lcm"} | {
    "dpmpp_2m_cfg_pp",
    "res_multistep_cfg_pp",
    "gradient_estimation_cfg_pp",
    "dpm_fast",
    "dpm_adaptive",
    "exp_heun_2_x0",  # ComfyUI 0.4 and later
}
"""ComfyUI samplers without fresh noise: scalar sigmas outside, per-frame levels inside, and the equation is the right one."""

STOCHASTIC = frozenset(
    {
        "euler_ancestral",
        "euler_ancestral_cfg_pp",
        "dpm_2_ancestral",
        "dpmpp_2s_ancestral",
        "dpmpp_2s_ancestral_cfg_pp",
        "dpmpp_sde",
        "dpmpp_sde_gpu",
        "dpmpp_2m_sde",
        "dpmpp_2m_sde_gpu",
        "dpmpp_2m_sde_heun",
        "dpmpp_2m_sde_heun_gpu",
        "dpmpp_3m_sde",
        "dpmpp_3m_sde_gpu",
        "ddpm",
        "lcm",
        "lcm_upscale",  # the node SamplerLCMUpscale
        "res_multistep_ancestral",
        "res_multistep_ancestral_cfg_pp",
        "er_sde",
        "seeds_2",
        "seeds_3",
        "sa_solver",
        "sa_solver_pece",
        "exp_heun_2_x0_sde",  # ComfyUI 0.4 and later
    }
)
"""ComfyUI samplers that add noise by the scalar sigma, which would drown condition frames."""

SCALAR = frozenset({"euler_cfg_pp"})
"""ComfyUI samplers that weigh the guided and the unguided estimate by the scalar sigma, wrong for 0 < m < 1."""

_OTHER_FUNCTION_NAMES = {
    "sample_unipc": "uni_pc",
    "sample_unipc_bh2": "uni_pc_bh2",
    "dpm_fast_function": "dpm_fast",
    "dpm_adaptive_function": "dpm_adaptive",
}


class PerFrameSampler(symbols.base_class("KSAMPLER")):  # type: ignore[misc]
    """A SAMPLER whose fresh noise follows each frame's own level."""

    def __init__(self, loop: Callable[..., Tensor], noise_multipliers: Tensor):
        """loop: of pusa_core.samplers, called with (denoiser, x, table, fresh_noise); noise_multipliers: [F]."""

        def run(
            model: Any, x: Tensor, sigmas: Tensor, extra_args: Any, callback: Any, disable: Any
        ) -> Tensor:
            seed = extra_args.get("seed")
            # 0.12 and later add 1 on the CPU; the largest seed is the same to torch as -1, which leaves room for that
            draw = symbols.default_noise_sampler(x, seed=-1 if seed == 2**64 - 1 else seed)
            batch = x.new_ones([x.shape[0]])

            def denoiser(x: Tensor, step: int) -> Tensor:
                denoised = model(x, sigmas[step] * batch, **extra_args)
                if callback is not None:
                    level = sigmas[step]
                    callback({"x": x, "i": step, "sigma": level, "sigma_hat": level, "denoised": denoised})
                return denoised

            table = frame_sigmas(sigmas, noise_multipliers.to(sigmas))
            return loop(denoiser, x, table, lambda: draw(None, None))

        super().__init__(run)


def build_sampler(name: str, noise_multipliers: Tensor) -> Any:
    """The SAMPLER of a name in OFFERED, for a latent with these multipliers [F]."""
    if name not in OFFERED:
        raise PusaError(f"sampler_name is {name!r}. {_advice()}")
    if name == "euler_ancestral":
        return PerFrameSampler(samplers.sample_euler_ancestral, noise_multipliers)
    if name == "lcm":
        return PerFrameSampler(samplers.sample_lcm, noise_multipliers)
    return symbols.sampler_object(name)


def sampler_name(sampler: Any) -> str | None:
    """ComfyUI's name of a SAMPLER, or None where it is not one of ComfyUI's."""
    function = getattr(getattr(sampler, "sampler_function", None), "__name__", "")
    name = _OTHER_FUNCTION_NAMES.get(function, function.removeprefix("sample_"))
    return name if name in HOLDING | STOCHASTIC | SCALAR else None


def check_sampler(sampler: Any) -> None:
    """Refuse a sampler that would add noise to condition frames; one that is not known is let through with a log line."""
    if isinstance(sampler, PerFrameSampler):
        return
    name = sampler_name(sampler)
    options = getattr(sampler, "extra_options", {})
    if name in STOCHASTIC and options.get("eta", 1.0) != 0:
        raise PusaError(
            f"The sampler {name} adds fresh noise to every frame, also to the given ones. {_advice()}"
        )
    if name in HOLDING and options.get("eta", 0.0) > 0:
        raise PusaError(
            f"eta of the sampler {name} is {options['eta']}, which adds fresh noise to every frame, also to the given ones. Set it to 0."
        )
    if name in SCALAR:
        raise PusaError(
            f"The sampler {name} guides all frames by one sigma, which is wrong for given ones. {_advice()}"
        )
    if options.get("s_churn", 0.0) > 0:
        raise PusaError(
            f"s_churn is {options['s_churn']}, which adds fresh noise to every frame, also to the given ones. Set it to 0."
        )
    if name is None and options.get("eta", 1.0) != 0:
        _check_deterministic_twin(sampler)
    if name is None:
        logger.info(
            "%s is not a sampler of ComfyUI's; condition frames hold only if it adds no noise.",
            type(sampler).__name__,
        )


def check_part(sampler: Any, sigmas: Tensor, what: str = "models") -> None:
    """Refuse a part of a run, with levels [S+1], in which ComfyUI's sampler would hand the latent back with all its noise.

    what: that the parts belong to, for the sentence.

    uni_pc needs two steps to move at all; dpm_fast and dpm_adaptive end at the last level above 0, which may be their first.
    """
    name, ends_clean = sampler_name(sampler), bool(sigmas[-1] == 0)
    idle = name in {"uni_pc", "uni_pc_bh2"} or (name in {"dpm_fast", "dpm_adaptive"} and ends_clean)
    if idle and len(sigmas) == 2:
        raise PusaError(
            f"One of the {what} gets one step, and the sampler {name} does nothing in a run of one step. Give each of the {what} two "
            "steps or more (more steps, or another sigma at which they change), or choose another sampler, such as euler."
        )


def _check_deterministic_twin(sampler: Any) -> None:
    """Refuse samplers like RES4LYF's res_2m, which add noise unless they are called res_2m_ode or given eta 0."""
    name = getattr(getattr(sampler, "sampler_function", None), "__name__", "").removeprefix("sample_")
    known = symbols.KSampler.SAMPLERS
    if f"{name}_ode" in known or name == "rk_beta":
        twin = f"{name}_ode" if name != "rk_beta" else "eta 0, or a sampler whose name ends in _ode"
        raise PusaError(
            f"The sampler {name} adds fresh noise to every frame, also to the given ones. Choose {twin} instead."
        )


def runs_one_callback_per_step(sampler: Any) -> bool:
    """Whether the sampler calls back exactly once for each interval of its sigmas, the last time with the last step."""
    return isinstance(sampler, PerFrameSampler) or sampler_name(sampler) in HOLDING - {
        "dpm_fast",
        "dpm_adaptive",
        "uni_pc",
        "uni_pc_bh2",
    }


def _advice() -> str:
    return (
        f"These hold them: {', '.join(name for name in OFFERED if name in HOLDING)}; "
        "euler_ancestral and lcm do in Vectorized Timestep Sampler."
    )
