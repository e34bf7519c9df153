"""Claims: Wan2.2 MoE Switch is two KSamplerAdvanced in one MODEL, under every sampler node."""

import pytest
import torch

from support.comfy_runs import (
    CFG,
    SHIFT,
    STEPS,
    custom_sampler,
    ksampler,
    ksampler_in_two_stages,
    largest_difference,
    plain,
    prompt,
    run_node,
    video_latent,
)

MIXED = [0.2, 1.0, 1.0, 1.0, 0.0]
HIGH, LOW = 10, 11


@pytest.fixture
def switch(pack):
    """switch(high, low, boundary, high_cfg, low_cfg) -> MODEL from Wan2.2 MoE Switch."""
    return lambda *arguments: pack["PusaMoESwitch"].execute(*arguments)[0]


@pytest.fixture
def vectorized(pack):
    return lambda model, latent: pack["PusaVectorizedTimesteps"].execute(model, latent, SHIFT)[0]


def two_experts_by_hand(high, low, latent, switch_at, cfgs=(CFG, CFG)):
    """What users built before: KSamplerAdvanced on each expert, the step of the change worked out by hand."""
    import nodes

    for model, cfg, start, end, noise in [
        (high, cfgs[0], 0, switch_at, "enable"),
        (low, cfgs[1], switch_at, 1000, "disable"),
    ]:
        latent = nodes.KSamplerAdvanced().sample(
            model, noise, 77, STEPS, cfg, "euler", "simple", prompt(1), prompt(2), latent, start, end,
            "enable" if end == switch_at else "disable",
        )[0]  # fmt: skip
    return latent["samples"]


def high_steps(model, boundary):
    """Steps of core's simple schedule at or above the boundary."""
    import comfy.samplers

    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", STEPS)
    return int((sigmas[:-1] >= boundary).sum())


@pytest.mark.parametrize("boundary", [0.875, 0.6])
def test_the_switch_equals_two_samplers_with_the_step_worked_out(boundary, load_tiny_wan, switch, vectorized):
    latent = video_latent(MIXED)
    high, low = load_tiny_wan(HIGH), load_tiny_wan(LOW)
    ours = ksampler(vectorized(switch(high, low, boundary), latent), latent)
    by_hand = vectorized(high, latent), vectorized(low, latent)
    theirs = two_experts_by_hand(*by_hand, latent, high_steps(by_hand[0], boundary))
    assert largest_difference(ours, theirs) < 1e-5 * theirs.abs().max()
    assert largest_difference(ours, ksampler(by_hand[0], latent)) > 0.1  # the low-noise expert did take part


@pytest.mark.parametrize("boundary", [0.0, 1.0])
def test_a_boundary_at_the_end_leaves_one_expert_nearly_alone(boundary, load_tiny_wan, switch, vectorized):
    latent = video_latent(MIXED)
    models = load_tiny_wan(HIGH), load_tiny_wan(LOW)
    ours = ksampler(vectorized(switch(*models, boundary), latent), latent)
    if boundary == 0.0:
        theirs = ksampler(vectorized(models[0], latent), latent)
    else:  # the first step stands at sigma 1, which is not below the boundary
        theirs = two_experts_by_hand(*(vectorized(model, latent) for model in models), latent, 1)
    assert largest_difference(ours, theirs) < 1e-5 * theirs.abs().max()


def test_a_schedule_below_the_boundary_runs_the_low_expert_with_its_noise(
    load_tiny_wan, switch, vectorized, pack
):
    latent = video_latent(MIXED)
    low = load_tiny_wan(LOW)
    sigmas = pack["PusaScheduler"].execute(STEPS, SHIFT, 0.4)[0]
    assert sigmas[0] < 0.875
    ours, _ = custom_sampler(vectorized(switch(load_tiny_wan(HIGH), low, 0.875), latent), latent, sigmas)
    theirs, _ = custom_sampler(vectorized(low, latent), latent, sigmas)
    assert torch.equal(ours, theirs)


def test_each_expert_takes_its_own_guidance(load_tiny_wan, switch, vectorized):
    latent = video_latent(MIXED)
    high, low = load_tiny_wan(HIGH), load_tiny_wan(LOW)
    ours = ksampler(vectorized(switch(high, low, 0.875, 4.0, 1.0), latent), latent)
    by_hand = vectorized(high, latent), vectorized(low, latent)
    theirs = two_experts_by_hand(*by_hand, latent, high_steps(by_hand[0], 0.875), (4.0, 1.0))
    assert largest_difference(ours, theirs) < 1e-5 * theirs.abs().max()


def test_a_guider_with_several_guidances_is_told_to_set_them_itself(load_tiny_wan, switch, pack):
    from comfy.samplers import sampler_object
    from comfy_extras.nodes_custom_sampler import Guider_DualCFG, Noise_RandomNoise, SamplerCustomAdvanced

    guider = Guider_DualCFG(switch(load_tiny_wan(HIGH), load_tiny_wan(LOW), 0.875, 4.0, 1.0))
    guider.set_conds(prompt(1), prompt(2), prompt(3))
    guider.set_cfg(2.0, 2.0)
    sigmas = pack["PusaScheduler"].execute(STEPS, SHIFT)[0]
    with pytest.raises(ValueError, match=r"high_noise_cfg is 4\.0, but the guider Guider_DualCFG"):
        run_node(
            SamplerCustomAdvanced,
            Noise_RandomNoise(1),
            guider,
            sampler_object("euler"),
            sigmas,
            video_latent([1.0] * 5),
        )


def test_the_switch_under_every_sampler_node_gives_one_result(load_tiny_wan, switch, vectorized, pack):
    latent = video_latent(MIXED)
    model = switch(load_tiny_wan(HIGH), load_tiny_wan(LOW), 0.875)
    patched = vectorized(model, latent)
    sigmas = pack["PusaScheduler"].execute(5, SHIFT)[0]
    by_custom, _ = custom_sampler(patched, latent, sigmas)
    tolerance = 1e-5 * by_custom.abs().max()
    assert largest_difference(ksampler(patched, latent, steps=5), by_custom) < tolerance
    by_pusa = pack["PusaSampler"].execute(model, prompt(1), prompt(2), latent, seed=77, steps=5)[0]["samples"]
    assert torch.equal(by_pusa, by_custom)


@pytest.mark.parametrize("switch_at", [1, 3, 5])
def test_two_stages_of_a_switched_model_equal_one_run(switch_at, load_tiny_wan, switch, vectorized):
    latent = video_latent(MIXED)
    model = vectorized(switch(load_tiny_wan(HIGH), load_tiny_wan(LOW), 0.875), latent)
    one, two = ksampler(model, latent), ksampler_in_two_stages(model, latent, switch_at)
    assert largest_difference(one, two) < 1e-5 * one.abs().max()


def test_the_same_expert_on_both_sides_is_one_model(load_tiny_wan, switch, vectorized):
    latent = video_latent(MIXED)
    model = load_tiny_wan(HIGH)
    one = ksampler(vectorized(model, latent), latent)
    both = ksampler(vectorized(switch(model, model, 0.875), latent), latent)
    assert largest_difference(one, both) < 1e-5 * one.abs().max()


def test_the_switch_works_for_plain_wan22_without_pusa(load_tiny_wan, switch):
    latent = video_latent([1.0] * 5)
    high, low = plain(load_tiny_wan(HIGH)), plain(load_tiny_wan(LOW))
    theirs = two_experts_by_hand(high, low, latent, high_steps(high, 0.875))
    assert largest_difference(ksampler(switch(high, low, 0.875), latent), theirs) < 1e-5 * theirs.abs().max()


def apply_lora(model, name):
    """By ComfyUI's own Load LoRA node."""
    import nodes

    return nodes.LoraLoaderModelOnly().load_lora_model_only(model, name, 0.7)[0]


@pytest.fixture
def core_lora(models):
    """Name of a LoRA file in ComfyUI's own key layout."""
    from safetensors.torch import save_file

    from support import tiny_wan

    weights = {
        f"diffusion_model.{key.replace('.default', '')}": value for key, value in tiny_wan.lora(103).items()
    }
    save_file(weights, models / "loras" / "core_layout.safetensors")
    return "core_layout.safetensors"


def test_a_lora_after_the_switch_is_a_lora_on_each_expert(load_tiny_wan, switch, vectorized, core_lora):
    latent = video_latent(MIXED)
    high, low = load_tiny_wan(HIGH), load_tiny_wan(LOW)
    after = ksampler(vectorized(apply_lora(switch(high, low, 0.875), core_lora), latent), latent)
    last = ksampler(apply_lora(vectorized(switch(high, low, 0.875), latent), core_lora), latent)
    before = ksampler(
        vectorized(switch(apply_lora(high, core_lora), apply_lora(low, core_lora), 0.875), latent), latent
    )
    without = ksampler(vectorized(switch(high, low, 0.875), latent), latent)
    assert largest_difference(after, before) < 1e-5 * before.abs().max()
    assert largest_difference(last, before) < 1e-5 * before.abs().max()
    assert largest_difference(before, without) > 0.01


def test_core_loras_before_and_after_ours_add_up(load_tiny_wan, vectorized, pack, core_lora, tiny_lora_file):
    latent = video_latent(MIXED)

    def pusa(model):
        return pack["PusaLoraLoader"].execute(
            model=model, lora_name=tiny_lora_file(101), alpha=1.4, expert="auto"
        )[0]

    base = load_tiny_wan(HIGH)
    one = ksampler(vectorized(apply_lora(pusa(base), core_lora), latent), latent)
    other = ksampler(vectorized(pusa(apply_lora(base, core_lora)), latent), latent)
    late = ksampler(apply_lora(vectorized(pusa(base), latent), core_lora), latent)
    alone = ksampler(vectorized(pusa(base), latent), latent)
    assert largest_difference(one, other) < 1e-4 * one.abs().max()
    assert largest_difference(one, late) < 1e-5 * one.abs().max()
    assert largest_difference(one, alone) > 0.01


def test_a_low_expert_patched_after_the_switch_keeps_its_own_patches(
    load_tiny_wan, switch, core_lora, pack, tiny_lora_file
):
    from comfyui_pusa.nodes.host.expert_switch import experts_of

    high = load_tiny_wan(HIGH)
    low = pack["PusaLoraLoader"].execute(
        model=load_tiny_wan(LOW), lora_name=tiny_lora_file(101), alpha=1.0, expert="auto"
    )[0]
    switched = apply_lora(switch(high, low, 0.875), core_lora)
    both = experts_of(switched).low_after(switched)
    key = "diffusion_model.blocks.0.self_attn.q.weight"
    assert [entry[0] for entry in both.patches[key]] == [1.0, 0.7]
    again = experts_of(switched).low_after(switched)
    assert both.patches_uuid == again.patches_uuid != low.patches_uuid  # a second run must not patch anew
    assert len(low.patches[key]) == 1


def test_a_switch_in_a_switch_is_refused(load_tiny_wan, switch):
    high, low = load_tiny_wan(HIGH), load_tiny_wan(LOW)
    with pytest.raises(ValueError, match="low_noise already holds two experts"):
        switch(high, switch(high, low, 0.875), 0.875)


def test_progress_counts_over_both_experts(load_tiny_wan, switch, vectorized):
    import comfy.sample

    latent = video_latent(MIXED)
    model = vectorized(switch(load_tiny_wan(HIGH), load_tiny_wan(LOW), 0.875), latent)
    told = []
    comfy.sample.sample(
        model, torch.zeros_like(latent["samples"]), STEPS, CFG, "euler", "simple", prompt(1), prompt(2), latent["samples"],
        callback=lambda step, x0, x, steps: told.append((step, steps)),
    )  # fmt: skip
    assert told == [(step, STEPS) for step in range(STEPS)]
