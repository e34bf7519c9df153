"""ComfyUI's hook LoRAs beside LoRAs that are merged into the weights: the same as beside LoRAs that are patched."""

import comfy.hooks
import comfy.model_management
import nodes as comfy_nodes
import pytest
import torch

from comfyui_pusa.nodes.host import merged_models
from comfyui_pusa.nodes.host.merge_loras import KEEP
from pusa_core.errors import PusaError
from support import tiny_wan
from support.comfy_runs import CFG, SEED, ksampler, largest_difference, prompt, video_latent


@pytest.fixture
def patched(pack, load_tiny_wan, tiny_lora_file):
    """patched() -> a fresh model after Pusa LoRA Loader."""
    return lambda: pack["PusaLoraLoader"].execute(load_tiny_wan(), tiny_lora_file(), 1.4)[0]


@pytest.fixture
def merged(pack, patched):
    """merged(keep) -> a fresh model after Pusa LoRA Loader and Merge LoRAs."""
    return lambda keep: pack["PusaMergeLoras"].execute(patched(), keep)[0]


def with_hook_lora(strength: float) -> list:
    """The positive text of the other runs, with another LoRA hooked to it."""
    weights = {
        "diffusion_model." + key.replace(".default", ""): value for key, value in tiny_wan.lora(105).items()
    }
    hooks = comfy.hooks.create_hook_lora(weights, strength, 0.0)
    return comfy.hooks.set_hooks_for_conditioning(prompt(1), hooks)


def hooked(model, strength=0.8, steps=3):
    """KSampler with a hook LoRA on the positive text alone."""
    latent = video_latent([1.0] * 3)
    positive = with_hook_lora(strength)
    out = comfy_nodes.KSampler().sample(
        model, SEED, steps, CFG, "euler", "simple", positive, prompt(2), latent
    )
    return out[0]["samples"]


@pytest.mark.parametrize("keep", KEEP)
def test_a_hook_lora_beside_merge_loras_samples_what_it_does_on_the_patched_model(keep, patched, merged):
    expected = hooked(patched())
    found = hooked(merged(keep))
    assert largest_difference(found, expected) < 1e-4
    plain = ksampler(patched(), video_latent([1.0] * 3), steps=3)
    assert largest_difference(expected, plain) > 1e-2, "the hook does nothing"


@pytest.mark.parametrize("keep", KEEP)
def test_after_a_hook_lora_the_merged_model_is_as_before(keep, merged):
    model = merged(keep)
    latent = video_latent([1.0] * 3)
    before = ksampler(model, latent, steps=2)
    hooked(model, steps=2)
    assert torch.equal(ksampler(model, latent, steps=2), before)


def test_comfyui_gets_a_copy_of_a_merged_model_where_it_asks_for_another_one(merged):
    """As its cached_patcher_init: for hook LoRAs under dynamic VRAM, and for every further GPU."""
    model = merged(KEEP[0])
    copy = merged_models.copy_of(model.clone())
    theirs = dict(copy.model.diffusion_model.named_parameters())
    for name, weight in model.model.diffusion_model.named_parameters():
        assert torch.equal(theirs[name], weight)
        assert theirs[name].data_ptr() != weight.data_ptr()
    if hasattr(model, "cached_patcher_init"):
        make, arguments = model.clone().cached_patcher_init
        assert type(make(*arguments, disable_dynamic=True)).__name__ == "ModelPatcher"


def test_too_little_memory_for_that_copy_is_said(merged, monkeypatch):
    from types import SimpleNamespace

    model = merged(KEEP[0])
    monkeypatch.setattr(merged_models.psutil, "virtual_memory", lambda: SimpleNamespace(available=10**6))
    monkeypatch.setattr(merged_models.psutil, "swap_memory", lambda: SimpleNamespace(free=0))
    with pytest.raises(PusaError, match=r"takes \d+\.\d MB of memory.*keep to in a file"):
        merged_models.copy_of(model.clone())
