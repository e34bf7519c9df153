"""Claims: what a run hands from the high-noise expert to the low-noise one: the noise mask's picture, seeds, guidance, options."""

import comfy.samplers
import pytest
import torch
from comfy_extras.nodes_custom_sampler import Guider_Basic, Noise_RandomNoise, SamplerCustomAdvanced

from comfyui_pusa.nodes.host.expert_switch import experts_of, switch_experts
from comfyui_pusa.pusa_core.errors import PusaError
from comfyui_pusa.pusa_core.schedule import flow_sigmas
from support.comfy_runs import (
    SHIFT,
    STEPS,
    custom_sampler,
    ksampler,
    largest_difference,
    prompt,
    run_node,
    video_latent,
)
from support.composition import vectorized

GIVEN, FREE = (0.0, 1.0, 1.0, 0.4, 1.0), (1.0,) * 5
MASKS = {
    "left half": lambda mask: mask[..., :2].fill_(1),
    "two frames": lambda mask: mask[:, 2:4].fill_(1),
    "all": lambda mask: mask.fill_(1),
    "nothing": lambda mask: mask,
    "half strength": lambda mask: mask.fill_(0.5),
}


def masked_latent(multipliers, mask="left half"):
    latent = video_latent(multipliers)
    latent["samples"] = torch.randn(latent["samples"].shape, generator=torch.Generator().manual_seed(8))
    latent["noise_mask"] = torch.zeros(1, *latent["samples"].shape[2:])
    MASKS[mask](latent["noise_mask"])
    return latent


@pytest.mark.parametrize("multipliers", [FREE, GIVEN])
@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "uni_pc"])
def test_what_lies_outside_a_noise_mask_comes_back_through_the_switch(load_tiny_wan, multipliers, sampler):
    """Field case 01: the second expert pasted in its own half-made start, with no noise on it."""
    latent = masked_latent(multipliers)
    model = vectorized(switch_experts(load_tiny_wan(10), load_tiny_wan(11), 0.875), latent)
    out = ksampler(model, latent, sampler)
    outside = (latent["noise_mask"] == 0).expand_as(out)
    # uni_pc ends at sigma 0.001 in ComfyUI, with or without the switch
    alone = ksampler(vectorized(load_tiny_wan(10), latent), latent, sampler)
    limit = 2e-5 + 1.01 * largest_difference(alone[outside], latent["samples"][outside])
    assert limit < (0.02 if sampler == "uni_pc" else 4e-5)
    assert largest_difference(out[outside], latent["samples"][outside]) < limit
    assert largest_difference(out, latent["samples"]) > 0.1


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("multipliers", [FREE, GIVEN])
def test_one_model_on_both_sides_of_the_switch_is_that_model_under_a_mask(load_tiny_wan, mask, multipliers):
    latent, model = masked_latent(multipliers, mask), load_tiny_wan(10)
    one = ksampler(vectorized(model, latent), latent)
    both = ksampler(vectorized(switch_experts(model, model, 0.875), latent), latent)
    assert largest_difference(both, one) < 1e-5 * one.abs().max()


@pytest.mark.parametrize(
    "sampler", ["euler", "heun", "ddim"]
)  # samplers that remember nothing of the steps before
def test_the_same_holds_with_samplers_and_without_pusa(load_tiny_wan, sampler):
    latent, model = masked_latent(FREE), load_tiny_wan(10)
    one = ksampler(model, latent, sampler)
    both = ksampler(switch_experts(model, model, 0.875), latent, sampler)
    assert largest_difference(both, one) < 1e-5 * one.abs().max()


def test_a_sampler_that_does_not_say_how_it_masks_is_refused(load_tiny_wan):
    class OwnSampler(comfy.samplers.KSAMPLER):
        def sample(self, *args, **kwargs):
            return super().sample(*args, **kwargs)

    sampler = OwnSampler(comfy.samplers.sampler_object("euler").sampler_function)
    latent = masked_latent(FREE)
    model = switch_experts(load_tiny_wan(10), load_tiny_wan(11), 0.875)
    with pytest.raises(PusaError, match="the sampler OwnSampler does not say how it pastes in"):
        custom_sampler(model, latent, flow_sigmas(STEPS, SHIFT), sampler)


@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral", "lcm"])
def test_the_largest_seed_runs_both_experts(pack, load_tiny_wan, sampler):
    """The second expert's seed is one more, which 2^64 - 1 does not have."""
    latent = video_latent(GIVEN)
    model = switch_experts(load_tiny_wan(10), load_tiny_wan(11), 0.875)

    def run(seed):
        return pack["PusaSampler"].execute(
            model, prompt(1), prompt(2), latent, seed=seed, steps=4, sampler_name=sampler
        )[0]["samples"]

    last = run(2**64 - 1)
    assert torch.isfinite(last).all()
    assert not torch.equal(last, run(2**64 - 2))


def test_the_largest_seed_is_minus_one_to_torch():
    generators = [torch.Generator().manual_seed(seed) for seed in (2**64 - 1, -1)]
    first, second = (torch.randn(4, generator=generator) for generator in generators)
    assert torch.equal(first, second)


def basic(model, latent):
    """Samples of SamplerCustomAdvanced under BasicGuider."""
    guider = Guider_Basic(model)
    guider.set_conds(prompt(1))
    sampler = comfy.samplers.sampler_object("euler")
    out = run_node(
        SamplerCustomAdvanced, Noise_RandomNoise(7), guider, sampler, flow_sigmas(STEPS, SHIFT), latent
    )
    return out[0]["samples"]


@pytest.mark.parametrize(("cfgs", "name"), [((3.0, 0.0), "high_noise_cfg"), ((0.0, 4.0), "low_noise_cfg")])
def test_guidance_of_an_expert_without_a_negative_prompt_is_refused(load_tiny_wan, cfgs, name):
    """ComfyUI computes 0 + cfg * cond there."""
    latent = video_latent(GIVEN)
    model = vectorized(switch_experts(load_tiny_wan(10), load_tiny_wan(11), 0.875, *cfgs), latent)
    with pytest.raises(
        PusaError, match=f"{name} is .*Guider_Basic has no negative prompt to guide away from"
    ):
        basic(model, latent)


def test_guidance_1_needs_no_negative_prompt(load_tiny_wan):
    latent = video_latent(GIVEN)

    def run(*cfgs):
        model = switch_experts(load_tiny_wan(10), load_tiny_wan(11), 0.875, *cfgs)
        return basic(vectorized(model, latent), latent)

    assert torch.equal(run(1.0, 1.0), run(0.0, 0.0))


def by_cfg_function(model, strength):
    """After a node that replaces how guidance is computed."""
    model = model.clone()
    model.set_model_sampler_cfg_function(
        lambda args: args["uncond"] + strength * (args["cond"] - args["uncond"])
    )
    return model


def test_an_option_that_is_replaced_after_the_switch_reaches_both_experts(load_tiny_wan):
    latent = video_latent(GIVEN)

    def experts(strength):
        return [by_cfg_function(load_tiny_wan(seed), strength) for seed in (10, 11)]

    after = by_cfg_function(switch_experts(*experts(2.0), 0.875), 5.0)
    before = switch_experts(*experts(5.0), 0.875)
    ours, theirs = (ksampler(vectorized(model, latent), latent) for model in (after, before))
    assert torch.equal(ours, theirs)
    weaker = switch_experts(*experts(2.0), 0.875)
    assert largest_difference(ours, ksampler(vectorized(weaker, latent), latent)) > 0.1


def low_options(change, start):
    """model_options of the low-noise expert after `change` was done to those of a switch of experts that begin with `start`."""
    experts = [start[0].clone(), start[1].clone()]
    for expert in experts:
        expert.model_options["mine"] = {"kept": 1, "list": [1, 2], "gone": 3}
    switched = switch_experts(*experts, 0.875).clone()
    change(switched.model_options)
    return experts_of(switched).low_after(switched).model_options


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda options: options.pop("mine"), None),
        (lambda options: options["mine"].pop("gone"), {"kept": 1, "list": [1, 2]}),
        (lambda options: options["mine"].update(list=[9]), {"kept": 1, "list": [9], "gone": 3}),
        (lambda options: options["mine"]["list"].append(3), {"kept": 1, "list": [1, 2, 3], "gone": 3}),
        (lambda options: options["mine"].update(kept=2), {"kept": 2, "list": [1, 2], "gone": 3}),
        (lambda options: options.update(mine=5), 5),
    ],
)
def test_options_removed_replaced_and_added_after_the_switch(load_tiny_wan, change, wanted):
    found = low_options(change, (load_tiny_wan(10), load_tiny_wan(11)))
    assert found.get("mine") == wanted


def test_a_run_on_a_copy_without_dynamic_vram_goes_on_with_such_a_copy(load_tiny_wan, monkeypatch):
    """A double of 0.18 and later, which samples hook LoRAs so: "Hooks not implemented in ModelPatcherDynamic"."""
    high, low, of_low = load_tiny_wan(10), load_tiny_wan(11), load_tiny_wan(11)
    switched = switch_experts(high, low, 0.875)
    for patcher, dynamic in ((high, True), (low, True), (of_low, False), (switched, False)):
        monkeypatch.setattr(patcher, "is_dynamic", lambda dynamic=dynamic: dynamic, raising=False)
    monkeypatch.setattr(low, "get_non_dynamic_delegate", of_low.clone, raising=False)
    assert experts_of(switched).low_after(switched).model is of_low.model
    monkeypatch.setattr(switched, "is_dynamic", lambda: True)
    assert experts_of(switched).low_after(switched).model is low.model


@pytest.mark.parametrize("sampler", ["uni_pc", "uni_pc_bh2", "dpm_fast", "dpm_adaptive"])
def test_a_last_part_of_one_step_is_refused_for_samplers_that_do_nothing_in_it(load_tiny_wan, sampler):
    """Found by the pairs: the video came out with all the noise of the hand-over."""
    latent = video_latent(GIVEN)
    sigmas = flow_sigmas(4, SHIFT)
    model = vectorized(switch_experts(load_tiny_wan(10), load_tiny_wan(11), 0.7), latent)
    with pytest.raises(
        PusaError, match=f"One of the models gets one step, and the sampler {sampler} does nothing"
    ):
        custom_sampler(model, latent, sigmas, sampler)
    model = vectorized(switch_experts(load_tiny_wan(10), load_tiny_wan(11), 0.875), latent)
    assert torch.isfinite(custom_sampler(model, latent, sigmas, sampler)[0]).all()


def test_a_first_part_of_one_step_is_refused_for_uni_pc_only(load_tiny_wan):
    latent, sigmas = video_latent(GIVEN), flow_sigmas(4, SHIFT)
    model = vectorized(switch_experts(load_tiny_wan(10), load_tiny_wan(11), 0.95), latent)
    with pytest.raises(PusaError, match="the sampler uni_pc does nothing in a run of one step"):
        custom_sampler(model, latent, sigmas, "uni_pc")
    assert torch.isfinite(custom_sampler(model, latent, sigmas, "dpm_fast")[0]).all()
