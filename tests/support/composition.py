"""What users put between a loader and a sampler: each treatment takes and gives a MODEL, through the node's own code."""

import inspect
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from torch import Tensor

from support import tiny_wan
from support.comfy_runs import (
    CFG,
    SEED,
    SHIFT,
    STEPS,
    custom_sampler,
    ksampler,
    ksampler_in_two_stages,
    prompt,
)

TASKS = {
    "text-to-video": (1.0, 1.0, 1.0, 1.0, 1.0),
    "image-to-video": (0.0, 1.0, 1.0, 1.0, 1.0),
    "extension": (0.0, 0.0, 0.3, 1.0, 1.0),
}
"""Noise multipliers of the five latent frames."""


def pusa_sampler(model, latent: dict) -> Tensor:
    """Samples of Vectorized Timestep Sampler."""
    from comfyui_pusa.nodes.sampling import PusaSampler

    out = PusaSampler.execute(
        model, prompt(1), prompt(2), latent, SEED, steps=STEPS, cfg=CFG, shift=SHIFT, sampler_name="euler"
    )
    return out[0]["samples"]


def vectorized(model, latent: dict):
    """The MODEL after Apply Vectorized Timesteps."""
    from comfyui_pusa.nodes.sampling import PusaVectorizedTimesteps

    return PusaVectorizedTimesteps.execute(model, latent, SHIFT)[0]


def sampler_custom_advanced(model, latent: dict) -> Tensor:
    """Samples of SamplerCustomAdvanced on the schedule of Pusa Scheduler."""
    from comfyui_pusa.pusa_core.schedule import flow_sigmas

    return custom_sampler(vectorized(model, latent), latent, flow_sigmas(STEPS, SHIFT))[0]


SAMPLERS: dict[str, Callable[[object, dict], Tensor]] = {
    "KSampler": lambda model, latent: ksampler(vectorized(model, latent), latent),
    "KSamplerAdvanced": lambda model, latent: ksampler_in_two_stages(vectorized(model, latent), latent, 3),
    "SamplerCustomAdvanced": sampler_custom_advanced,
    "PusaSampler": pusa_sampler,
}


# Treatments


def compiled(model, keys: tuple[str, ...] = ("diffusion_model",), backend="eager"):
    """As TorchCompileModel and the per-block compile nodes do; the backend `eager` runs the captured graphs as they are."""
    from comfy_api.torch_helpers import set_torch_compile_wrapper

    model = model.clone()
    set_torch_compile_wrapper(model, backend=backend, keys=list(keys))
    return model


def compiled_by_block(model, backend="eager"):
    """Every block compiled on its own, as the Wan compile nodes of other packs do."""
    blocks = range(len(model.model.diffusion_model.blocks))
    return compiled(model, tuple(f"diffusion_model.blocks.{index}" for index in blocks), backend)


def easy_cache(model, threshold: float = 0.1):
    """After EasyCache."""
    from comfy_extras.nodes_easycache import EasyCacheNode

    return EasyCacheNode.execute(model, threshold, 0.15, 0.95, False)[0]


def lazy_cache(model, threshold: float = 0.1):
    """After LazyCache."""
    from comfy_extras.nodes_easycache import LazyCacheNode

    return LazyCacheNode.execute(model, threshold, 0.15, 0.95, False)[0]


def context_windows(model, length: int = 17, overlap: int = 4):
    """After WAN Context Windows (Manual); length and overlap in video frames."""
    from comfy_extras.nodes_context_windows import WanContextWindowsManualNode

    # newer versions ask whether to shuffle the noise, which older ones do not do
    more = {"freenoise": False} if "freenoise" in inputs_of(WanContextWindowsManualNode) else {}
    return WanContextWindowsManualNode.execute(
        model, length, overlap, "standard_static", 1, False, "pyramid", **more
    )[0]


def inputs_of(node_class: type) -> set[str]:
    """Names of the inputs that a core node has in this version."""
    return set(inspect.signature(node_class.execute).parameters)


def attention_patch(model, scale: float = 1.5):
    """As NAG nodes do: cross_attn.forward as an object patch that adds an attention to a second text."""
    model = model.clone()
    other = tiny_wan.context(55)

    def forward(attention, x, context, **kwargs):
        plain = type(attention).forward
        positive = plain(attention, x, context, **kwargs)
        embedded = model.model.diffusion_model.text_embedding(other.to(x))
        negative = plain(attention, x, embedded.expand(len(x), -1, -1), **kwargs)
        return positive + 0.1 * scale * (positive - negative)

    for index, block in enumerate(model.model.diffusion_model.blocks):
        patch = MethodType(forward, block.cross_attn)
        model.add_object_patch(f"diffusion_model.blocks.{index}.cross_attn.forward", patch)
    return model


def block_patch(model):
    """A patches_replace `double_block` patch that hands over to the block it replaces."""
    model = model.clone()

    def replace(args, extra):
        return extra["original_block"](args)

    for index in range(len(model.model.diffusion_model.blocks)):
        model.set_model_patch_replace(replace, "dit", "double_block", index)
    return model


def attention_override(model):
    """optimized_attention_override, the hook that SageAttention nodes use, with ComfyUI's own attention inside."""
    model = model.clone()
    options = model.model_options["transformer_options"]
    options["optimized_attention_override"] = lambda function, *args, **kwargs: function(*args, **kwargs)
    return model


def quantized_ops():
    """Operations as GGUF loaders bring them: weights kept as int8 with a scale for each row, made whole at each use."""
    import comfy.ops

    class QuantizedOps(comfy.ops.manual_cast):
        class Linear(comfy.ops.manual_cast.Linear):
            def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
                weight = state_dict[f"{prefix}weight"].float()
                self.scale = weight.abs().amax(1, keepdim=True) / 127
                self.quantized = (weight / self.scale).round().to(torch.int8)
                super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
                self.weight.data.zero_()  # a proof that nobody reads it

            def _save_to_state_dict(self, destination, prefix, keep_vars):
                """Packed bytes instead of the weight, and a name that no parameter has, for ComfyUI's memory estimate."""
                rows, columns = self.weight.shape
                destination[f"{prefix}weight"] = torch.empty(rows, columns * 34 // 32, device="meta")
                destination[f"{prefix}bias"] = self.bias
                destination[f"{prefix}temp.weight"] = torch.empty(rows, columns, device="meta")

            def forward_comfy_cast_weights(self, x):
                weight = (self.quantized * self.scale).to(x)
                return torch.nn.functional.linear(x, weight, self.bias.to(x))

            def forward(self, x):
                return self.forward_comfy_cast_weights(x)

    return QuantizedOps


def relative_error(result: Tensor, plain: Tensor) -> float:
    """Root mean square difference over the standard deviation of the plain result."""
    return ((result - plain).pow(2).mean().sqrt() / plain.std()).item()


def record(name: str, value: Any) -> None:
    """Add a measured value to composition.json in the folder PUSA_RECORD, for docs/PERFORMANCE.md; nothing without it."""
    if folder := os.environ.get("PUSA_RECORD"):
        path = Path(folder) / "composition.json"
        found = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(found | {name: value}, indent=2) + "\n")
