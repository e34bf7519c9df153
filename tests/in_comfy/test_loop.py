"""Claims about Loop Model and Loop Decode in ComfyUI's own sampling."""

import pytest
import torch

from pusa_core.errors import PusaError
from support.comfy_runs import FRAMES, SEED, STEPS, ksampler, plain, prompt, video_latent

FREE = [1.0] * FRAMES


def rolled(pack, model, roll_per_step):
    return pack["PusaLoopModel"].execute(model, roll_per_step).args[0]


def vectorized(pack, model, latent):
    return pack["PusaVectorizedTimesteps"].execute(model, latent, 5.0).args[0]


def by_hand(model, steps, roll_per_step, cfg):
    """Euler steps on a latent that is really rolled along time before each of them, and rolled back at the end."""
    import comfy.sample
    import comfy.samplers

    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(prompt(1), prompt(2))
    guider.set_cfg(cfg)
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", steps)
    empty = torch.zeros(1, 16, FRAMES, 4, 4)
    x = comfy.sample.prepare_noise(empty, SEED)
    for step in range(steps):
        x = x.roll(-roll_per_step * (step > 0), dims=2)
        # one step of the sampler; the state between steps is (1 - sigma) * latent + sigma * noise
        latent = guider.sample(
            x / sigmas[step],
            empty,
            comfy.samplers.sampler_object("euler"),
            sigmas[step : step + 2],
            disable_pbar=True,
        )
        x = model.model.process_latent_in(latent) * (1 - sigmas[step + 1])
    return model.model.process_latent_out(x.roll(roll_per_step * (steps - 1), dims=2))


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "heun"])
def test_rolling_by_the_whole_length_is_not_rolling(pack, load_tiny_wan, sampler):
    model = plain(load_tiny_wan())
    same = ksampler(rolled(pack, model, FRAMES), video_latent(FREE), sampler)
    torch.testing.assert_close(same, ksampler(model, video_latent(FREE), sampler), atol=0, rtol=0)


def test_the_model_sees_what_a_really_rolled_latent_would_show(pack, load_tiny_wan):
    model = plain(load_tiny_wan())
    ours = ksampler(rolled(pack, model, 2), video_latent(FREE), cfg=3.0)
    torch.testing.assert_close(ours, by_hand(model, STEPS, 2, 3.0), atol=2e-5, rtol=0)
    assert (ours - ksampler(model, video_latent(FREE), cfg=3.0)).abs().max() > 0.01


def test_condition_frames_keep_their_own_timesteps_while_the_video_rolls(pack, load_tiny_wan):
    latent = video_latent([0.0, 1, 1, 0.4, 1])
    model = vectorized(pack, load_tiny_wan(), latent)
    before = ksampler(rolled(pack, model, FRAMES), latent)
    torch.testing.assert_close(before, ksampler(model, latent), atol=0, rtol=0)
    after = vectorized(pack, rolled(pack, load_tiny_wan(), 2), latent)
    moving = ksampler(rolled(pack, model, 2), latent)
    torch.testing.assert_close(moving, ksampler(after, latent), atol=0, rtol=0)
    assert torch.equal(moving[:, :, 0], latent["samples"][:, :, 0])


def test_rolling_twice_is_rolling_once_and_the_model_stays_as_it_was(pack, load_tiny_wan):
    model = plain(load_tiny_wan())
    before = ksampler(model, video_latent(FREE))
    once = ksampler(rolled(pack, model, 2), video_latent(FREE))
    twice = ksampler(rolled(pack, rolled(pack, model, 3), 2), video_latent(FREE))
    assert torch.equal(once, twice)
    assert torch.equal(before, ksampler(model, video_latent(FREE)))


def test_loop_decode_plays_round(pack, load_tiny_vae):
    vae = load_tiny_vae()
    samples = torch.randn(1, 16, 5, 4, 4, generator=torch.Generator().manual_seed(3))
    images = pack["PusaLoopDecode"].execute(vae, {"samples": samples}, "rolled").args[0]
    assert images.shape == (20, 32, 32, 3)
    # the same loop begun elsewhere has the same frames, up to how far back the causal VAE sees
    turned = pack["PusaLoopDecode"].execute(vae, {"samples": samples.roll(-2, 2)}, "rolled").args[0]
    ordinary = vae.decode(samples).flatten(0, 1)
    assert (images.roll(-8, 0) - turned).abs().mean() < 0.5 * (images[1:17] - ordinary[:16]).abs().mean()
    still = pack["PusaLoopDecode"].execute(vae, {"samples": samples}, "still at both ends").args[0]
    assert torch.equal(still, ordinary[:13])
    faded = pack["PusaLoopDecode"].execute(vae, {"samples": samples}, "still at both ends", 3).args[0]
    assert torch.equal(faded[:10], still[:10])
    torch.testing.assert_close(faded[12], torch.lerp(still[12], still[0], 0.75))


@pytest.mark.parametrize("encode", ["in sequence", "single"])
def test_a_rolled_still_is_given_once_and_stays_while_its_loop_rolls(
    pack, load_tiny_wan, load_tiny_vae, encode
):
    vae, picture = load_tiny_vae(), torch.rand(1, 32, 32, 3, generator=torch.Generator().manual_seed(2))
    empty = {"samples": torch.zeros(1, 16, FRAMES, 4, 4)}
    latent = (
        pack["PusaLoopConditions"]
        .execute(vae, empty, picture, "rolled still", noise_multipliers="0", encode=encode)
        .args[0]
    )
    assert latent["noise_multipliers"].tolist() == [0.0] + [1.0] * (FRAMES - 1)
    held = vae.encode(picture.expand(17 if encode == "in sequence" else 1, -1, -1, -1))[:, :, -1:]
    torch.testing.assert_close(latent["samples"][:, :, :1], held)
    made = ksampler(rolled(pack, vectorized(pack, load_tiny_wan(), latent), 2), latent)
    assert torch.equal(made[:, :, 0], latent["samples"][:, :, 0])


def test_a_rolled_still_has_one_multiplier_and_needs_a_frame_to_make(pack, load_tiny_vae):
    vae, picture = load_tiny_vae(), torch.rand(1, 32, 32, 3)
    for frames, multipliers, sentence in (
        (5, "0.2, 0.5", "noise_multipliers"),
        (1, "0.2", "A loop from a rolled still needs frames to make; 1 latent .* Use a length of 5 or more"),
    ):
        latent = {"samples": torch.zeros(1, 16, frames, 4, 4)}
        with pytest.raises(PusaError, match=sentence):
            pack["PusaLoopConditions"].execute(
                vae, latent, picture, "rolled still", noise_multipliers=multipliers
            )


def test_unknown_choices_and_short_loops_are_answered_in_a_sentence(pack, load_tiny_vae):
    vae, picture = load_tiny_vae(), torch.rand(1, 32, 32, 3)
    short = {"samples": torch.zeros(1, 16, 1, 4, 4)}
    with pytest.raises(PusaError, match="kind is 'spiral'"):
        pack["PusaLoopDecode"].execute(vae, {"samples": torch.zeros(1, 16, 5, 4, 4)}, "spiral")
    with pytest.raises(PusaError, match="nothing to go round"):
        pack["PusaLoopDecode"].execute(vae, short, "rolled")
    with pytest.raises(PusaError, match="Use a length of 9 or more"):
        pack["PusaLoopConditions"].execute(vae, short, picture)
    with pytest.raises(PusaError, match="3 pictures came in for a still loop"):
        pack["PusaLoopConditions"].execute(
            vae, {"samples": torch.zeros(1, 16, 5, 4, 4)}, picture.expand(3, -1, -1, -1)
        )
