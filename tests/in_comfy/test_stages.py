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
    run_node,
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


def test_a_lora_after_stages_of_one_loaded_model_leaves_each_its_own_weights(
    load_tiny_wan, stages, pusa_sampler, pack, tiny_lora_file
):
    """The second and the third stage differ by a LoRA's strength alone, and ComfyUI tells weights apart by a name for their patches."""
    latent, shared = video_latent(MIXED), load_tiny_wan(11)

    def lora(model, alpha, seed=101):
        return pack["PusaLoraLoader"].execute(model, tiny_lora_file(seed), alpha)[0]

    def three(treat):
        first, second, third = (
            treat(one) for one in (load_tiny_wan(10), lora(shared, 0.5), lora(shared, 2.0))
        )
        return stages(stages(first, second, steps=2), third, steps=2)

    ours = pusa_sampler(lora(three(lambda model: model), 1.0, 102), latent)
    each = pusa_sampler(three(lambda model: lora(model, 1.0, 102)), latent)
    assert largest_difference(ours, each) < 1e-5 * each.abs().max()


@pytest.mark.parametrize("roll", [2, 3])
def test_a_loop_rolls_on_through_the_stages(load_tiny_wan, stages, pusa_sampler, pack, roll):
    latent, model = video_latent(MIXED), load_tiny_wan()
    whole = pusa_sampler(pack["PusaLoopModel"].execute(model, roll)[0], latent)
    parts = pusa_sampler(pack["PusaLoopModel"].execute(stages(model, model, steps=3), roll)[0], latent)
    assert largest_difference(parts, whole) < 1e-5 * whole.abs().max()
    assert largest_difference(whole, pusa_sampler(model, latent)) > 1e-3 * whole.abs().max()


def test_a_soft_mask_is_let_go_once_in_all_stages(load_tiny_wan, stages, pusa_sampler):
    """Differential Diffusion counts by the levels of the run how much of a soft mask is free yet."""
    from comfy_extras.nodes_differential_diffusion import DifferentialDiffusion

    latent, model = masked(video_latent(MIXED)), load_tiny_wan()
    latent["samples"] = torch.randn(latent["samples"].shape, generator=torch.Generator().manual_seed(8))
    soft = lambda one: run_node(DifferentialDiffusion, one)[0]  # noqa: E731
    whole = pusa_sampler(soft(model), latent)
    parts = pusa_sampler(soft(stages(model, model, steps=3)), latent)
    assert largest_difference(parts, whole) < 1e-5 * whole.abs().max()
    assert largest_difference(whole, pusa_sampler(model, latent)) > 1e-3 * whole.abs().max()


@pytest.mark.parametrize("dtype", ["bf16"])
def test_a_compute_type_set_after_the_stages_holds_for_all_of_them(
    load_tiny_wan, stages, pusa_sampler, dtype
):
    from comfy_extras.nodes_model_advanced import ModelComputeDtype

    latent = video_latent(MIXED)
    typed = lambda one: run_node(ModelComputeDtype, one, dtype)[0]  # noqa: E731
    a, b = load_tiny_wan(10), load_tiny_wan(11)
    joined = pusa_sampler(typed(stages(a, b, steps=2)), latent)
    each = pusa_sampler(stages(typed(a), typed(b), steps=2), latent)
    assert largest_difference(joined, each) < 1e-5 * each.abs().max()


def test_what_is_injected_into_the_first_models_modules_is_refused_for_the_others(
    load_tiny_wan, stages, pusa_sampler
):
    """Load LoRA (Bypass) of ComfyUI 0.12 and later does so."""
    model = stages(load_tiny_wan(10), load_tiny_wan(11), steps=2).clone()
    model.set_injections("bypass_lora", [])
    with pytest.raises(PusaError, match="Connect that node before the switch, once for each expert"):
        pusa_sampler(model, video_latent(MIXED))


def test_stages_the_wrong_way_round_are_told_how_to_chain(load_tiny_wan, stages):
    model = load_tiny_wan()
    with pytest.raises(
        PusaError, match=r"later already holds several models\. Chain Pusa Stages the other way"
    ):
        stages(model, stages(model, model))
    with pytest.raises(PusaError, match=r"earlier_cfg is 4\.0, but earlier holds 2 stages"):
        stages(stages(model, model), model, earlier_cfg=4.0)
