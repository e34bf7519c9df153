"""Claims: a patched MODEL is right under ComfyUI's own samplers, and refuses those that cannot be."""

import comfy.samplers
import pytest
import torch

from support import tiny_wan
from support.comfy_runs import (
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

HOLDING = [
    "euler", "heun", "dpmpp_2m", "res_multistep", "heunpp2", "dpm_2", "lms", "ipndm", "ipndm_v", "deis",
    "gradient_estimation", "uni_pc", "uni_pc_bh2", "ddim", "dpmpp_2m_cfg_pp", "res_multistep_cfg_pp",
    "gradient_estimation_cfg_pp", "dpm_fast", "dpm_adaptive", "exp_heun_2_x0",
]  # fmt: skip
HOLDING = [name for name in HOLDING if name in comfy.samplers.SAMPLER_NAMES]
STOCHASTIC = [
    "euler_ancestral", "lcm", "dpmpp_2m_sde", "dpmpp_sde", "er_sde", "sa_solver", "seeds_2", "ddpm", "res_multistep_ancestral",
]  # fmt: skip
MIXED = [0.0, 0.3, 1.0, 1.0, 0.5]


@pytest.fixture
def vectorized(pack):
    """vectorized(model, latent) -> MODEL from Apply Vectorized Timesteps."""
    return lambda model, latent: pack["PusaVectorizedTimesteps"].execute(model, latent, SHIFT)[0]


@pytest.fixture
def schedule(pack):
    return pack["PusaScheduler"].execute(STEPS, SHIFT)[0]


def test_every_sampler_of_comfyui_is_sorted(pack):
    from comfyui_pusa.nodes.host import samplers as core_samplers

    tables = [core_samplers.HOLDING, core_samplers.STOCHASTIC, core_samplers.SCALAR]
    assert not set(comfy.samplers.SAMPLER_NAMES) - frozenset().union(*tables)
    assert sum(map(len, tables)) == len(frozenset().union(*tables))
    assert set(HOLDING) == core_samplers.HOLDING & set(comfy.samplers.SAMPLER_NAMES)


@pytest.mark.parametrize("sampler", HOLDING)
def test_frames_with_multiplier_0_come_back_to_the_last_bit(sampler, load_tiny_wan, vectorized):
    latent = video_latent(MIXED)
    out = ksampler(vectorized(load_tiny_wan(), latent), latent, sampler)
    assert torch.equal(out[:, :, 0], latent["samples"][:, :, 0])
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("sampler", HOLDING)
def test_frames_with_multiplier_0_do_not_move_while_sampling(sampler, load_tiny_wan, vectorized):
    import comfy.sample
    from comfy.latent_formats import Wan21

    latent = video_latent(MIXED)
    model = vectorized(load_tiny_wan(), latent)
    seen = []
    comfy.sample.sample(
        model, torch.randn_like(latent["samples"]), STEPS, 3.0, sampler, "simple", prompt(1), prompt(2),
        latent["samples"], seed=1, callback=lambda step, x0, x, steps: seen.append(x0[:, :, 0].clone()),
    )  # fmt: skip
    given = Wan21().process_in(latent["samples"])[:, :, 0]
    # the last one is in order; before it, a free frame stands in front (see the preview tests)
    assert largest_difference(seen[-1], given) <= (5e-3 if sampler.startswith("uni_pc") else 1e-4)


@pytest.fixture
def constant_velocity_model(models):
    """A real Wan model file whose velocity is the same everywhere: all of the head's weights are 0, its bias is not."""
    import nodes
    from safetensors.torch import save_file

    weights = tiny_wan.weights(10)
    weights["head.head.weight"].zero_()
    weights["head.head.bias"].fill_(0.25)
    save_file(weights, models / "diffusion_models" / "constant_velocity.safetensors")
    return nodes.UNETLoader().load_unet("constant_velocity.safetensors", "default")[0]


# ComfyUI's ipndm_v misses the closed form on a plain model too: its weights for unequal steps do not sum to 1
@pytest.mark.parametrize("sampler", sorted(set(HOLDING) - {"ipndm_v"}))
def test_on_a_straight_flow_every_sampler_gives_the_closed_form(
    sampler, constant_velocity_model, vectorized, schedule
):
    import comfy.sample
    from comfy.latent_formats import Wan21

    latent = video_latent(MIXED)
    out, _ = custom_sampler(vectorized(constant_velocity_model, latent), latent, schedule, sampler)
    given = Wan21().process_in(latent["samples"])
    share = latent["noise_multipliers"][None, None, :, None, None]
    noise = comfy.sample.prepare_noise(given, 77)
    expected = (1 - share) * given + share * (noise - 0.25)
    # dpm_fast and dpm_adaptive stop at the last level above 0, uni_pc at 0.001
    rest = {
        "dpm_fast": 0.25 * schedule[-2],
        "dpm_adaptive": 0.25 * schedule[-2],
        "uni_pc": 5e-3,
        "uni_pc_bh2": 5e-3,
    }
    assert largest_difference(Wan21().process_in(out), expected) < rest.get(sampler, 0) + 1e-4


@pytest.mark.parametrize(
    "sampler", sorted(set(HOLDING) - {"deis", "exp_heun_2_x0"})
)  # these two bend their steps by the absolute sigma
def test_one_multiplier_for_all_frames_is_the_plain_sampler_on_the_scaled_schedule(
    sampler, load_tiny_wan, vectorized, schedule
):
    multiplier = 0.6
    latent = video_latent([multiplier] * 5)
    model = load_tiny_wan()
    ours, _ = custom_sampler(vectorized(model, latent), latent, schedule.clone(), sampler)
    theirs, _ = custom_sampler(plain(model), latent, multiplier * schedule, sampler)
    # uni_pc ends at sigma 0.001 instead of 0, which is 0.0006 on our scale; dpm_adaptive chooses its own steps
    tolerance = {"uni_pc": 1e-2, "uni_pc_bh2": 1e-2, "dpm_adaptive": 5e-2}.get(sampler, 2e-4)
    assert largest_difference(ours, theirs) < tolerance


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "euler_ancestral", "lcm"])
def test_multiplier_1_everywhere_is_the_plain_ksampler(sampler, cfg, load_tiny_wan, vectorized):
    latent = video_latent([1.0] * 5)
    model = load_tiny_wan()
    ours = ksampler(vectorized(model, latent), latent, sampler, cfg)
    assert largest_difference(ours, ksampler(plain(model), latent, sampler, cfg)) < 1e-5


def test_timesteps_equal_on_all_frames_match_the_scalar_call(load_tiny_wan, vectorized):
    latent = video_latent(
        [1.0, 1.0, 1.0, 1.0, 0.99999994]
    )  # the vector path, at multipliers that are 1 but for one ulp
    model = load_tiny_wan()
    ours = ksampler(vectorized(model, latent), latent)
    assert largest_difference(ours, ksampler(plain(model), latent)) < 1e-4


@pytest.mark.parametrize("switch_at", [1, 3, 5])
def test_two_stages_equal_one_run(switch_at, load_tiny_wan, vectorized):
    latent = video_latent(MIXED)
    model = vectorized(load_tiny_wan(), latent)
    one, two = ksampler(model, latent), ksampler_in_two_stages(model, latent, switch_at)
    assert largest_difference(one, two) < 1e-5 * max(1.0, one.abs().max().item())
    assert torch.equal(two[:, :, 0], latent["samples"][:, :, 0])


def test_the_three_routes_give_the_same_latent(load_tiny_wan, vectorized, pack):
    latent = video_latent(MIXED)
    model = load_tiny_wan()
    patched = vectorized(model, latent)
    steps = 5  # divides 1000, so that core's simple schedule is the reference's
    sigmas = pack["PusaScheduler"].execute(steps, SHIFT)[0]
    by_ksampler = ksampler(patched, latent, steps=steps)
    by_custom, _ = custom_sampler(patched, latent, sigmas)
    by_pusa = pack["PusaSampler"].execute(model, prompt(1), prompt(2), latent, seed=77, steps=steps)[0][
        "samples"
    ]
    assert largest_difference(by_ksampler, by_custom) < 1e-5 * by_custom.abs().max()
    assert torch.equal(by_pusa, by_custom)


def test_denoised_output_of_a_custom_sampler_keeps_its_frames_in_order(load_tiny_wan, vectorized, schedule):
    latent = video_latent(MIXED)
    out, denoised = custom_sampler(vectorized(load_tiny_wan(), latent), latent, schedule)
    assert largest_difference(out, denoised) < 1e-4


def test_a_batch_of_two_equals_two_runs(load_tiny_wan, vectorized):
    latent = video_latent(MIXED, batch=2)
    model = vectorized(load_tiny_wan(), latent)
    both = ksampler(model, latent)
    first = {**latent, "samples": latent["samples"][:1]}
    assert largest_difference(both[:1], ksampler(model, first)) < 1e-4
    assert not torch.equal(both[0], both[1])


@pytest.mark.parametrize("sampler", STOCHASTIC)
def test_a_sampler_that_adds_noise_is_refused_by_name(sampler, load_tiny_wan, vectorized, pack):
    latent = video_latent(MIXED)
    with pytest.raises(
        ValueError, match=rf"The sampler {sampler} adds fresh noise.*euler, heun, dpmpp_2m"
    ) as error:
        ksampler(vectorized(load_tiny_wan(), latent), latent, sampler)
    assert "Vectorized Timestep Sampler" in str(error.value)


def test_a_sampler_that_guides_by_one_sigma_is_refused(load_tiny_wan, vectorized):
    latent = video_latent(MIXED)
    with pytest.raises(ValueError, match="The sampler euler_cfg_pp guides all frames by one sigma"):
        ksampler(vectorized(load_tiny_wan(), latent), latent, "euler_cfg_pp")


@pytest.mark.parametrize(
    ("sampler", "option", "sentence"),
    [
        ("euler", "s_churn", r"s_churn is 0\.5"),
        ("dpm_adaptive", "eta", r"eta of the sampler dpm_adaptive is 0\.5"),
    ],
)
def test_an_option_that_adds_noise_is_refused(load_tiny_wan, vectorized, schedule, sampler, option, sentence):
    import comfy.samplers

    latent = video_latent(MIXED)
    with pytest.raises(ValueError, match=sentence):
        custom_sampler(
            vectorized(load_tiny_wan(), latent),
            latent,
            schedule,
            comfy.samplers.ksampler(sampler, {option: 0.5}),
        )


def test_the_node_sampler_lcm_upscale_is_refused(load_tiny_wan, vectorized, schedule):
    from comfy_extras.nodes_advanced_samplers import SamplerLCMUpscale

    latent = video_latent(MIXED)
    sampler = run_node(SamplerLCMUpscale, 1.0, -1, "bislerp")[0]
    with pytest.raises(ValueError, match="The sampler lcm_upscale adds fresh noise"):
        custom_sampler(vectorized(load_tiny_wan(), latent), latent, schedule, sampler)


@pytest.mark.parametrize("sampler", ["euler_ancestral", "lcm"])
def test_our_stochastic_samplers_are_comfyuis_where_no_frame_is_given(sampler, load_tiny_wan, pack, schedule):
    from comfyui_pusa.nodes.host.samplers import build_sampler

    latent = video_latent([1.0] * 5)
    model = plain(load_tiny_wan())
    ours, _ = custom_sampler(model, latent, schedule, build_sampler(sampler, latent["noise_multipliers"]))
    theirs, _ = custom_sampler(model, latent, schedule, sampler)
    assert largest_difference(ours, theirs) < 1e-5


@pytest.mark.parametrize("sampler", ["euler_ancestral", "lcm"])
def test_our_stochastic_samplers_keep_given_frames_and_repeat_with_the_seed(sampler, load_tiny_wan, pack):
    latent = video_latent(MIXED)

    def run(seed):
        return pack["PusaSampler"].execute(
            load_tiny_wan(), prompt(1), prompt(2), latent, seed=seed, steps=STEPS, sampler_name=sampler
        )[0]["samples"]

    first = run(1)
    assert torch.equal(first[:, :, 0], latent["samples"][:, :, 0])
    assert torch.equal(first, run(1))
    assert not torch.equal(first, run(2))
