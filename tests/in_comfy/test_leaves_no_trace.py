"""Claims: what the nodes are given stays as it was; runs do not see each other; cancelling leaves nothing behind."""

import copy
from itertools import pairwise

import pytest
import torch

from support.comfy_runs import CFG, SHIFT, STEPS, ksampler, prompt, video_latent

MIXED = [0.0, 0.3, 1.0, 1.0, 0.5]


def fingerprint(model):
    """All that a run could have changed about a MODEL: weights, attributes that ComfyUI patches, options, wrappers."""
    base = model.model
    return {
        "weights": {key: value.clone() for key, value in base.state_dict().items()},
        "sampling": base.model_sampling,
        "process_timestep": base.process_timestep,
        "blocks": [block.forward.__func__ for block in base.diffusion_model.blocks],
        "options": copy.deepcopy(model.model_options),
        "wrappers": copy.deepcopy(model.wrappers),
        "patches": dict(model.patches),
        "object_patches": dict(model.object_patches),
    }


def assert_same(before, after):
    weights, weights_after = before.pop("weights"), after.pop("weights")
    assert weights.keys() == weights_after.keys()
    assert all(torch.equal(weights[key], weights_after[key]) for key in weights)
    assert before == after


@pytest.fixture
def models_of_a_run(pack, load_tiny_wan, tiny_lora_file):
    """(high, low, MODEL of the whole graph, LATENT): two experts with LoRA, switch, vectorized timesteps."""
    latent = video_latent(MIXED)
    high, low = load_tiny_wan(10), load_tiny_wan(11)
    loader = pack["PusaLoraLoader"]
    switched = pack["PusaMoESwitch"].execute(
        *(
            loader.execute(model=model, lora_name=tiny_lora_file(101), alpha=1.4, expert="auto")[0]
            for model in (high, low)
        )
    )[0]
    return high, low, pack["PusaVectorizedTimesteps"].execute(switched, latent, SHIFT)[0], latent


def test_a_run_leaves_both_base_models_as_they_were(models_of_a_run):
    high, low, model, latent = models_of_a_run
    plain = video_latent([1.0] * 5)
    ksampler(high, plain), ksampler(low, plain)
    before = [fingerprint(base) for base in (high, low)]
    ksampler(model, latent)
    (
        ksampler(high, plain),
        ksampler(low, plain),
    )  # ComfyUI takes patches off when another clone of the model runs
    for base, expected in zip((high, low), before, strict=True):
        assert_same(expected, fingerprint(base))


def test_a_run_leaves_the_patched_model_as_it_was(models_of_a_run):
    _, _, model, latent = models_of_a_run
    options, wrappers = (
        copy.deepcopy(model.model_options),
        {kind: dict(keys) for kind, keys in model.wrappers.items()},
    )
    first = ksampler(model, latent)
    assert model.model_options == options
    assert model.wrappers == wrappers
    assert torch.equal(ksampler(model, latent), first)


def test_nodes_do_not_write_into_the_latent_they_are_given(pack, load_tiny_wan, load_tiny_vae):
    latent = video_latent(MIXED)
    samples, multipliers = latent["samples"].clone(), latent["noise_multipliers"].clone()
    pack["PusaConditionFrames"].execute(load_tiny_vae(), latent, torch.rand(1, 32, 32, 3), "2", "0.4")
    pack["PusaSampler"].execute(load_tiny_wan(), prompt(1), prompt(2), latent, seed=1, steps=2)
    assert latent.keys() == {"samples", "noise_multipliers"}
    assert torch.equal(latent["samples"], samples)
    assert torch.equal(latent["noise_multipliers"], multipliers)


@pytest.mark.parametrize("sampler", ["euler", "uni_pc", "lcm"])
def test_the_sampler_does_not_write_into_the_sigmas_it_is_given(sampler, pack, load_tiny_wan):
    sigmas = pack["PusaScheduler"].execute(STEPS, SHIFT)[0]
    before = sigmas.clone()
    pack["PusaSampler"].execute(
        load_tiny_wan(),
        prompt(1),
        prompt(2),
        video_latent(MIXED),
        seed=1,
        sampler_name=sampler,
        sigmas=sigmas,
    )
    assert torch.equal(sigmas, before)


def test_clones_with_different_conditions_interleave_without_seeing_each_other(pack, load_tiny_wan):
    base = load_tiny_wan()
    latents = [
        video_latent(MIXED, seed=1),
        video_latent([1.0, 1.0, 0.0, 1.0, 0.2], seed=2),
        video_latent([1.0] * 5),
    ]
    models = [pack["PusaVectorizedTimesteps"].execute(base, latent, SHIFT)[0] for latent in latents]
    alone = [ksampler(model, latent) for model, latent in zip(models, latents, strict=True)]
    for i in (2, 0, 1, 0, 2, 1):
        assert torch.equal(ksampler(models[i], latents[i]), alone[i])


def test_applying_timesteps_twice_is_applying_the_last_ones(pack, load_tiny_wan):
    apply = pack["PusaVectorizedTimesteps"].execute
    base = load_tiny_wan()
    latent, other = video_latent(MIXED), video_latent([1.0, 0.0, 1.0, 0.0, 1.0])
    once = ksampler(apply(base, latent, SHIFT)[0], latent)
    twice = ksampler(apply(apply(base, other, 3.0)[0], latent, SHIFT)[0], latent)
    assert torch.equal(once, twice)
    freed = ksampler(
        apply(apply(base, latent, SHIFT)[0], video_latent([1.0] * 5), SHIFT)[0], video_latent([1.0] * 5)
    )
    assert torch.equal(
        freed, ksampler(apply(base, video_latent([1.0] * 5), SHIFT)[0], video_latent([1.0] * 5))
    )


class Cancel:
    """A preview callback that presses Cancel at one step, and a count of model calls after that."""

    def __init__(self, at_step):
        self.at_step = at_step

    def __call__(self, step, x0, x, steps):
        import comfy.model_management

        if step == self.at_step:
            comfy.model_management.interrupt_current_processing()


@pytest.mark.parametrize("at_step", [0, 3, 4])  # 4 is the low-noise expert's
def test_cancel_takes_effect_before_the_next_model_call_and_the_next_run_is_clean(at_step, models_of_a_run):
    import comfy.model_management
    import comfy.sample

    high, low, model, latent = models_of_a_run
    undisturbed = ksampler(model, latent)
    calls = []
    counted = model.clone()
    counted.set_model_unet_function_wrapper(
        lambda apply, args: (calls.append(1), apply(args["input"], args["timestep"], **args["c"]))[1]
    )
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        comfy.sample.sample(
            counted, torch.zeros_like(latent["samples"]), STEPS, CFG, "euler", "simple", prompt(1), prompt(2),
            latent["samples"], callback=Cancel(at_step),
        )  # fmt: skip
    assert len(calls) <= at_step + 2  # one call, the interrupted one, after the click
    assert torch.equal(ksampler(model, latent), undisturbed)
    plain = video_latent([1.0] * 5)
    ksampler(high, plain), ksampler(low, plain)
    for base in (high, low):
        assert type(base.model.model_sampling).__name__ == "ModelSampling"
        assert base.model.process_timestep.__name__ == "process_timestep"


def test_the_preview_shows_a_free_frame(pack, load_tiny_wan, monkeypatch):
    import latent_preview

    shown = []

    class Watch(latent_preview.LatentPreviewer):
        def decode_latent_to_preview_image(self, preview_format, x0):
            shown.append(x0[0, :, 0].clone())

    monkeypatch.setattr(latent_preview, "get_previewer", lambda *_: Watch())
    latent = video_latent([0.0, 1.0, 1.0, 1.0, 0.0])
    model = pack["PusaVectorizedTimesteps"].execute(load_tiny_wan(), latent, SHIFT)[0]
    ksampler(model, latent)
    assert len(shown) == STEPS
    changes = [(b - a).abs().max() for a, b in pairwise(shown[:-1])]
    assert min(changes) > 0.01  # a frozen frame would not change at all; the last one is in order
