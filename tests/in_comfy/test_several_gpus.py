"""Claims: on several GPUs (MultiGPU CFG Split, 0.33 and later) each copy of a model runs its own blocks, and what cannot be is said.

The two devices are cpu and cpu:0, which ComfyUI takes for two; where the node does not exist, its calls are made by hand.
"""

import comfy.model_management
import pytest
import torch

from comfyui_pusa.nodes.host import features
from comfyui_pusa.nodes.host.expert_switch import experts_of, switch_experts
from comfyui_pusa.nodes.host.frozen_cache import attention_with_frozen_frames, cache_frozen_frames
from comfyui_pusa.nodes.host.roll import roll_latents
from comfyui_pusa.pusa_core.errors import PusaError
from support import tiny_wan
from support.comfy_runs import ksampler, largest_difference, video_latent
from support.composition import vectorized

try:
    from comfy.multigpu import create_multigpu_deepclones
except ImportError:
    create_multigpu_deepclones = None

MULTIPLIERS = (0.0, 0.0, 0.3, 1.0, 1.0)


@pytest.fixture
def split(monkeypatch):
    """split(model): after MultiGPU CFG Split on two devices."""
    devices = [torch.device("cpu"), torch.device("cpu", 0)]
    monkeypatch.setattr(comfy.model_management, "get_all_torch_devices", lambda **_: devices, raising=False)
    return lambda model: create_multigpu_deepclones(model, 2)


def cached(model):
    return cache_frozen_frames(model, 2, 0.0, 1.0, 0.0)


def switched(model_of):
    return switch_experts(model_of(10), model_of(11), 0.875)


@pytest.fixture
def modules_at_work(monkeypatch):
    """Ids of the block modules that ran, each with the device its call was meant for."""
    import comfy.ldm.wan.model

    seen = set()
    forward = comfy.ldm.wan.model.WanT2VCrossAttention.forward

    def noted(self, x, *args, transformer_options=None, **kwargs):
        seen.add((id(self), str((transformer_options or {}).get("multigpu_thread_device"))))
        return forward(self, x, *args, transformer_options=transformer_options or {}, **kwargs)

    monkeypatch.setattr(comfy.ldm.wan.model.WanT2VCrossAttention, "forward", noted)
    return seen


if create_multigpu_deepclones:  # 0.33 and later

    @pytest.mark.parametrize("treatment", [lambda model: model, cached, lambda model: roll_latents(model, 2)])
    @pytest.mark.parametrize("first", ["split first", "split last"])
    def test_two_devices_give_what_one_gives(load_tiny_wan, split, modules_at_work, treatment, first):
        latent = video_latent(MULTIPLIERS)
        theirs = ksampler(vectorized(treatment(load_tiny_wan()), latent), latent)
        modules_at_work.clear()
        if first == "split first":
            model = vectorized(treatment(split(load_tiny_wan())), latent)
        else:
            model = split(vectorized(treatment(load_tiny_wan()), latent))
        ours = ksampler(model, latent)
        assert largest_difference(ours, theirs) < 1e-5 * theirs.abs().max()
        devices = {device for _, device in modules_at_work}
        assert len(devices) == 2
        assert len(modules_at_work) == 2 * tiny_wan.LAYERS  # no module ran for both devices

    def test_both_experts_split_before_the_switch_run_on_two_devices(load_tiny_wan, split, modules_at_work):
        latent = video_latent(MULTIPLIERS)
        theirs = ksampler(vectorized(switched(load_tiny_wan), latent), latent)
        modules_at_work.clear()
        ours = ksampler(vectorized(switched(lambda seed: split(load_tiny_wan(seed))), latent), latent)
        assert largest_difference(ours, theirs) < 1e-5 * theirs.abs().max()
        assert len(modules_at_work) == 4 * tiny_wan.LAYERS

    def test_a_split_after_the_switch_is_refused(load_tiny_wan, split):
        latent = video_latent(MULTIPLIERS)
        model = vectorized(split(switched(load_tiny_wan)), latent)
        with pytest.raises(
            PusaError, match=r"Connect MultiGPU CFG Split before Wan2\.2 MoE Switch, once for each"
        ):
            ksampler(model, latent)


def test_a_split_after_the_switch_is_refused_by_what_it_leaves_in_a_model(load_tiny_wan):
    """A double of the node: it keeps its copies among the additional models."""
    latent = video_latent(MULTIPLIERS)
    model = switched(load_tiny_wan).clone()
    model.set_additional_models("multigpu", [load_tiny_wan(10)])
    with pytest.raises(
        PusaError, match=r"Connect MultiGPU CFG Split before Wan2\.2 MoE Switch, once for each"
    ):
        experts_of(model).low_after(vectorized(model, latent))


def test_merging_after_a_split_is_refused(pack, load_tiny_wan, tiny_lora_file):
    pack["PusaMergeLoras"].hidden = None
    model = pack["PusaLoraLoader"].execute(model=load_tiny_wan(), lora_name=tiny_lora_file(101), alpha=1.4)[0]
    model.set_additional_models("multigpu", [load_tiny_wan(10)])
    with pytest.raises(PusaError, match="Connect MultiGPU CFG Split after Merge LoRAs"):
        pack["PusaMergeLoras"].execute(model, "in memory")


def other_model(before, model):
    """What clone(model_override=...) makes of a patcher before ComfyUI calls its ON_CLONE callbacks (0.18 and later)."""
    clone = before.clone()
    clone.model = model
    return clone


def test_methods_of_one_model_are_bound_to_the_other_where_a_clone_has_another(load_tiny_wan):
    latent, other = video_latent(MULTIPLIERS), load_tiny_wan(10).model
    before = vectorized(cached(load_tiny_wan(10)), latent)
    clone = other_model(before, other)
    features.follow_the_model(before, clone)
    bound = {name: patch for name, patch in clone.object_patches.items() if hasattr(patch, "__self__")}
    assert len(bound) == 1 + 2 * tiny_wan.LAYERS
    for name, patch in bound.items():
        assert patch.__self__ is features.owner_of(other, name)
        assert before.object_patches[name].__self__ is features.owner_of(before.model, name)
        assert patch.__func__ is before.object_patches[name].__func__
    assert bound["diffusion_model.blocks.0.self_attn.forward"].__func__ is attention_with_frozen_frames


def test_a_clone_of_the_same_model_keeps_its_patches(load_tiny_wan):
    before = vectorized(load_tiny_wan(), video_latent(MULTIPLIERS))
    clone = before.clone()
    assert clone.object_patches == before.object_patches
    features.follow_the_model(before, clone)
    assert clone.object_patches == before.object_patches


def test_every_clone_of_a_model_with_a_feature_follows_its_model(load_tiny_wan):
    """ComfyUI calls what is registered as ON_CLONE, once, also after several features."""
    model = vectorized(cached(load_tiny_wan()), video_latent(MULTIPLIERS)).clone()
    callbacks = model.callbacks["on_clone"][features.FOLLOW]
    assert callbacks == [features.follow_the_model]


def test_a_prompt_that_changes_its_device_between_steps_is_computed_anew(load_tiny_wan):
    """Its keys and values lie on the other device, in another model's modules."""
    from comfyui_pusa.nodes.host import frozen_cache

    run = frozen_cache.RunMemory(frozen_cache.Plan(3, 0.0, 1.0, 0.0), [0.0, 1.0, 1.0], 1.0, 0.0)
    x = torch.zeros(1, 16, 3, 4, 4)
    options = {"uuids": ["a"], frozen_cache.TOKENS_PER_FRAME: 4}
    first = run.call(x, options | {"sigmas": torch.ones(1), "multigpu_thread_device": "one"})
    first.velocity = x
    same = run.call(x, options | {"sigmas": torch.ones(1), "multigpu_thread_device": "one"})
    assert not same.refreshing
    assert run.call(x, options | {"sigmas": torch.ones(1), "multigpu_thread_device": "two"}).refreshing
