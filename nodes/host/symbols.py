"""Names of ComfyUI that are private, or that moved from one version to another: where each is found, and what lacks it.

`symbols.NAME` is ComfyUI's object; a name that this ComfyUI does not have is a PusaError where it is used, never a failed import of
the pack. A Feature lists the names it needs, and the composer refuses it with the same sentence before anything is patched.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from ...pusa_core.errors import PusaError

PLACES: dict[str, tuple[str, ...]] = {
    # model classes
    "WAN21": ("comfy.model_base:WAN21",),
    "WAN21_Vace": ("comfy.model_base:WAN21_Vace",),
    "VaceWanModel": ("comfy.ldm.wan.model:VaceWanModel",),
    "WAN22": ("comfy.model_base:WAN22",),
    "MochiLatents": ("comfy.latent_formats:Mochi",),
    "LTXV": ("comfy.model_base:LTXV",),
    "GenmoMochi": ("comfy.model_base:GenmoMochi",),
    "WanModel": ("comfy.ldm.wan.model:WanModel",),
    "WanAttentionBlock": ("comfy.ldm.wan.model:WanAttentionBlock",),
    "WanSelfAttention": ("comfy.ldm.wan.model:WanSelfAttention",),
    "modulate": ("comfy.ldm.wan.model:modulate",),  # 0.38 and later
    "rms_norm": ("comfy.ldm.common_dit:rms_norm",),
    "apply_rope1": ("comfy.ldm.wan.model:apply_rope1",),
    "optimized_attention": ("comfy.ldm.wan.model:optimized_attention",),
    "attention_pytorch": ("comfy.ldm.modules.attention:attention_pytorch",),
    # sampling
    "ModelSamplingDiscreteFlow": ("comfy.model_sampling:ModelSamplingDiscreteFlow",),
    "CONST": ("comfy.model_sampling:CONST",),
    "CFGGuider": ("comfy.samplers:CFGGuider",),
    "KSAMPLER": ("comfy.samplers:KSAMPLER",),
    "KSampler": ("comfy.samplers:KSampler",),
    "sampler_object": ("comfy.samplers:sampler_object",),
    "default_noise_sampler": ("comfy.k_diffusion.sampling:default_noise_sampler",),
    "prepare_noise": ("comfy.sample:prepare_noise",),
    "sample_custom": ("comfy.sample:sample_custom",),
    "prepare_callback": ("latent_preview:prepare_callback",),
    "get_previewer": ("latent_preview:get_previewer",),
    # patching
    "WrappersMP": ("comfy.patcher_extension:WrappersMP",),
    "CallbacksMP": ("comfy.patcher_extension:CallbacksMP",),
    "create_model_options_clone": ("comfy.model_patcher:create_model_options_clone",),
    "get_key_weight": ("comfy.model_patcher:get_key_weight",),
    "set_torch_compile_wrapper": ("comfy_api.torch_helpers:set_torch_compile_wrapper",),
    "COMPILE_KEY": ("comfy_api.torch_helpers.torch_compile:COMPILE_KEY",),
    "TORCH_COMPILE_KWARGS": ("comfy_api.torch_helpers.torch_compile:TORCH_COMPILE_KWARGS",),
    # weights
    "LoRAAdapter": ("comfy.weight_adapter:LoRAAdapter", "comfy.weight_adapter.lora:LoRAAdapter"),
    "WeightAdapterBase": ("comfy.weight_adapter:WeightAdapterBase", "comfy.weight_adapter.base:WeightAdapterBase"),
    "calculate_weight": ("comfy.lora:calculate_weight",),
    "stochastic_rounding": ("comfy.float:stochastic_rounding",),
    "lora_compute_dtype": ("comfy.model_management:lora_compute_dtype",),
    "string_to_seed": ("comfy.utils:string_to_seed", "comfy.model_patcher:string_to_seed"),
    "load_diffusion_model": ("comfy.sd:load_diffusion_model",),
    "load_diffusion_model_state_dict": ("comfy.sd:load_diffusion_model_state_dict",),
    # files and graphs
    "ProgressBar": ("comfy.utils:ProgressBar",),
    "ExecutionBlocker": ("comfy_execution.graph_utils:ExecutionBlocker", "comfy_execution.graph:ExecutionBlocker"),
    "VideoFromFile": ("comfy_api.latest._input_impl:VideoFromFile", "comfy_api.input_impl:VideoFromFile"),
    "VideoFromComponents": ("comfy_api.latest._input_impl:VideoFromComponents", "comfy_api.input_impl:VideoFromComponents"),
    "VideoComponents": ("comfy_api.latest._util:VideoComponents", "comfy_api.util:VideoComponents"),
}  # fmt: skip
"""Where each name is looked for, "module:attribute", the first place that has it."""


_places: dict[str, tuple[ModuleType, str]] = {}
_missing: set[str] = set()


def probe() -> None:
    """Look every name up; what is not there is known as missing from then on."""
    _places.clear(), _missing.clear()
    for name, places in PLACES.items():
        found = next(filter(None, map(_look_up, places)), None)
        if found is None:
            _missing.add(name)
        else:
            _places[name] = found


def _look_up(place: str) -> tuple[ModuleType, str] | None:
    module, _, attribute = place.partition(":")
    try:
        found = importlib.import_module(module)
    except ImportError:
        return None
    return (found, attribute) if hasattr(found, attribute) else None


def missing(names: Iterable[str]) -> list[str]:
    """Those of the names that this ComfyUI lacks."""
    return [name for name in names if name in _missing]


def require(what: str, names: Iterable[str]) -> None:
    """Refuse something of this pack that needs a name which this ComfyUI lacks."""
    if lacking := missing(names):
        raise PusaError(_lacks(lacking, what))


def base_class(name: str) -> Any:
    """A class of ComfyUI to derive from; a bare stand-in where it is missing, so that the module still loads."""
    return __getattr__(name) if name in _places else type(f"Missing{name}", (), {})


def version() -> str:
    """ComfyUI's version, such as 0.3.75."""
    try:
        return str(importlib.import_module("comfyui_version").__version__)
    except (ImportError, AttributeError):
        return "of unknown version"


def _lacks(names: list[str], what: str) -> str:
    return (
        f"{what} does not work on this ComfyUI ({version()}): it lacks {', '.join(PLACES[name][0].replace(':', '.') for name in names)}. "
        "Update ComfyUI-Pusa, or use a ComfyUI that the pack's page lists as tested; everything else of the pack works."
    )


def __getattr__(name: str) -> Any:
    if name in _places:
        return getattr(*_places[name])  # at each use: other packs replace some of them
    if name in _missing:
        raise PusaError(_lacks([name], "This part of the pack"))
    raise AttributeError(f"{__name__} knows no {name}")


probe()
