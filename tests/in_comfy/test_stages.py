"""Claims: Pusa Stages is several runs in one MODEL, and with one model in all stages it is that model."""

import pytest
import torch

from pusa_core.errors import PusaError
from support.comfy_runs import (
    CFG,
    SHIFT,
    custom_sampler,
    ksampler,
    largest_difference,
    prompt,
    video_latent,
)

MIXED = [0.2, 1.0, 1.0, 1.0, 0.0]
STEPS = 6


@pytest.fixture
def stages(pack):
    """stages(earlier, later, until_sigma, steps, earlier_cfg, later_cfg) -> MODEL"""
    return lambda *arguments, **named: pack["PusaStages"].execute(*arguments, **named)[0]


@pytest.fixture
def vectorized(pack):
    return lambda model, latent: pack["PusaVectorizedTimesteps"].execute(model, latent, SHIFT)[0]


@pytest.fixture
def pusa_sampler(pack):
    def sample(model, latent, **settings):
        settings = {"steps": STEPS, "cfg": CFG, "shift": SHIFT, **settings}
        return pack["PusaSampler"].execute(model, prompt(1), prompt(2), latent, 7, **settings)[0]["samples"]

    return sample


def masked(latent):
    mask = torch.zeros(1, 64, 64)
    mask[:, :, :32] = 1
    mask[:, 40:, :] = 0.5
    return {**latent, "noise_mask": mask}


@pytest.mark.parametrize("end", [{"until_sigma": 0.9}, {"steps": 2}])
@pytest.mark.parametrize("with_mask", [False, True])
def test_three_stages_of_one_model_are_that_model(
    load_tiny_wan, stages, pusa_sampler, vectorized, pack, end, with_mask
):
    model = load_tiny_wan()
    latent = video_latent(MIXED)
    latent = masked(latent) if with_mask else latent
    three = stages(stages(model, model, **end), model, 0.5)
    whole = pusa_sampler(model, latent)
    assert largest_difference(pusa_sampler(three, latent), whole) < 1e-5 * whole.abs().max()
    sigmas = pack["PusaScheduler"].execute(STEPS, SHIFT)[0]
    ours, _ = custom_sampler(vectorized(three, latent), latent, sigmas)
    theirs, _ = custom_sampler(vectorized(model, latent), latent, sigmas)
    assert largest_difference(ours, theirs) < 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("sampler_name", ["euler", "lcm", "res_multistep"])
def test_two_stages_are_the_switch_to_the_last_bit(
    load_tiny_wan, stages, pusa_sampler, vectorized, pack, sampler_name
):
    high, low = load_tiny_wan(10), load_tiny_wan(11)
    latent = video_latent(MIXED)
    switch = pack["PusaMoESwitch"].execute(high, low, 0.875, 4.0, 1.0)[0]
    two = stages(high, low, 0.875, 0, 4.0, 1.0)
    assert torch.equal(
        pusa_sampler(two, latent, sampler_name=sampler_name),
        pusa_sampler(switch, latent, sampler_name=sampler_name),
    )
    assert torch.equal(
        ksampler(vectorized(two, latent), latent), ksampler(vectorized(switch, latent), latent)
    )


def test_a_stage_in_front_of_the_switch_gives_three_models(load_tiny_wan, stages, pusa_sampler, pack):
    """Against three runs by hand, each on its part of the schedule."""
    first, high, low = load_tiny_wan(12), load_tiny_wan(10), load_tiny_wan(11)
    latent = video_latent(MIXED)
    sigmas = pack["PusaScheduler"].execute(STEPS, SHIFT)[0]
    three = stages(stages(first, high, steps=2, earlier_cfg=5.0), low, 0.7, later_cfg=1.0)
    ours = pusa_sampler(three, latent, sigmas=sigmas)
    cut = int((sigmas[:-1] >= 0.7).sum())
    by_hand = latent
    for model, part, cfg in [
        (first, sigmas[:3], 5.0),
        (high, sigmas[2 : cut + 1], CFG),
        (low, sigmas[cut:], 1.0),
    ]:
        import comfy.sample
        from comfy.samplers import sampler_object

        from comfyui_pusa.nodes.host.timesteps import vectorize_timesteps

        patched = vectorize_timesteps(model, latent["noise_multipliers"], SHIFT)
        noise = comfy.sample.prepare_noise(latent["samples"], 7) * (1 if part[0] == 1 else 0)
        by_hand = {
            **latent,
            "samples": comfy.sample.sample_custom(
                patched,
                noise,
                cfg,
                sampler_object("euler"),
                part,
                prompt(1),
                prompt(2),
                by_hand["samples"],
                seed=7,
            ),
        }
    assert largest_difference(ours, by_hand["samples"]) < 1e-5 * ours.abs().max()


def test_a_lora_between_two_stage_nodes_holds_for_what_stands_before_it(
    load_tiny_wan, stages, pusa_sampler, pack, tiny_lora_file
):
    latent = video_latent(MIXED)
    lora = lambda model: pack["PusaLoraLoader"].execute(model, tiny_lora_file(), 1.0)[0]  # noqa: E731
    a, b, c = load_tiny_wan(10), load_tiny_wan(11), load_tiny_wan(12)
    joined = stages(lora(stages(a, b, steps=2)), c, steps=2)
    each = stages(stages(lora(a), lora(b), steps=2), c, steps=2)
    assert torch.equal(pusa_sampler(joined, latent), pusa_sampler(each, latent))


def test_stages_the_wrong_way_round_are_told_how_to_chain(load_tiny_wan, stages):
    model = load_tiny_wan()
    with pytest.raises(
        PusaError, match=r"later already holds several models\. Chain Pusa Stages the other way"
    ):
        stages(model, stages(model, model))
    with pytest.raises(PusaError, match=r"earlier_cfg is 4\.0, but earlier holds 2 stages"):
        stages(stages(model, model), model, earlier_cfg=4.0)
