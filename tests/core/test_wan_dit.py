"""Claims: our WanDiT reads official Wan files, takes one timestep a clip or a frame, and can be trained."""

import pytest
import torch

from comfyui_pusa.pusa_core.errors import PusaError
from comfyui_pusa.pusa_core.wan_dit import WanConfig, WanDiT
from support import tiny_wan


@pytest.fixture
def model():
    return WanDiT.from_state_dict(tiny_wan.weights(1))


@pytest.fixture
def inputs():
    """Latent [2, 16, 5, 8, 8] and text [2, 7, 4096]."""
    return tiny_wan.latent(2, 5, 8, 8).repeat(2, 1, 1, 1, 1), tiny_wan.context(3).repeat(2, 1, 1)


def test_the_sizes_are_read_from_the_file():
    assert WanConfig.of(tiny_wan.weights(1)) == WanConfig(dim=256, ffn_dim=512, layers=2)


@pytest.mark.parametrize("prefix", ["model.diffusion_model.", "diffusion_model."])
def test_a_prefix_of_the_names_makes_no_difference(model, prefix):
    prefixed = {prefix + name: value for name, value in tiny_wan.weights(1).items()}
    for name, value in WanDiT.from_state_dict(prefixed).state_dict().items():
        assert torch.equal(value, model.state_dict()[name])


def test_a_saved_model_has_the_official_names(model):
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == {
        name: tuple(value.shape) for name, value in tiny_wan.weights(1).items()
    }


def test_equal_timesteps_on_all_frames_are_the_scalar_call(model, inputs):
    latent, text = inputs
    with torch.no_grad():
        scalar = model(latent, torch.tensor([700.0, 30.0]), text)
        vector = model(latent, torch.tensor([700.0, 30.0])[:, None].expand(2, 5), text)
    torch.testing.assert_close(vector, scalar, atol=1e-5, rtol=0)


def test_another_timestep_on_one_frame_changes_that_frame_most(model, inputs):
    latent, text = inputs
    timestep = torch.full((2, 5), 700.0)
    changed = timestep.clone()
    changed[:, 3] = 0.0
    with torch.no_grad():
        difference = (model(latent, timestep, text) - model(latent, changed, text)).abs().mean((0, 1, 3, 4))
    assert difference.argmax() == 3
    assert difference[3] > 3 * difference[[0, 1, 2, 4]].max()


def test_clips_of_a_batch_do_not_see_each_other(model, inputs):
    latent, text = inputs
    other = torch.cat([latent[:1], tiny_wan.latent(9, 5, 8, 8)])
    timestep = torch.tensor([[900.0, 0.0, 500.0, 20.0, 1.0]]).expand(2, 5)
    with torch.no_grad():
        torch.testing.assert_close(
            model(latent, timestep, text)[0], model(other, timestep, text)[0], atol=1e-5, rtol=0
        )


def test_training_and_inference_compute_the_same_velocity(model, inputs):
    latent, text = inputs
    timestep = torch.rand(2, 5, generator=torch.Generator().manual_seed(0)) * 1000
    trained = model(latent, timestep, text)
    with torch.no_grad():
        torch.testing.assert_close(trained.detach(), model(latent, timestep, text), atol=1e-5, rtol=0)


def test_every_parameter_receives_a_gradient(model, inputs):
    latent, text = inputs
    model.train()(latent, torch.tensor([700.0, 30.0]), text).square().mean().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert without == []


def test_bfloat16_autocast_stays_close_to_float32(model, inputs):
    latent, text = inputs
    timestep = torch.tensor([700.0, 30.0])
    with torch.no_grad():
        exact = model(latent, timestep, text)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(latent, timestep, text).float()
    assert (rounded - exact).std() / exact.std() < 0.03


@pytest.mark.parametrize("shape", [(2, 1), (2, 4), (1, 5), (5,), ()])
def test_a_timestep_that_fits_neither_clips_nor_frames_is_refused(model, inputs, shape):
    with pytest.raises(PusaError, match="timestep has shape"):
        model(inputs[0], torch.zeros(shape), inputs[1])


def test_an_odd_latent_size_is_refused_with_the_video_size_that_fits(model, inputs):
    with pytest.raises(PusaError, match="multiple of 16"):
        model(inputs[0][..., :7], torch.zeros(2), inputs[1])


def test_a_file_with_a_missing_layer_is_refused_by_its_name():
    weights = tiny_wan.weights(1)
    del weights["blocks.1.ffn.2.bias"]
    with pytest.raises(PusaError, match=r"lacks 'blocks\.1\.ffn\.2\.bias'"):
        WanDiT.from_state_dict(weights)


def test_a_file_with_an_extra_layer_is_refused_by_its_name():
    weights = tiny_wan.weights(1) | {"img_emb.proj.0.weight": torch.zeros(1)}
    with pytest.raises(PusaError, match=r"unknown 'img_emb\.proj\.0\.weight'"):
        WanDiT.from_state_dict(weights)


def test_an_image_to_video_model_is_refused_with_the_way_out():
    weights = tiny_wan.weights(1) | {"patch_embedding.weight": torch.zeros(256, 36, 1, 2, 2)}
    with pytest.raises(PusaError, match="Use the T2V model"):
        WanDiT.from_state_dict(weights)


def test_a_file_of_another_kind_is_refused():
    with pytest.raises(PusaError, match="not a Wan text-to-video model"):
        WanDiT.from_state_dict({"conv.weight": torch.zeros(1)})


def test_what_only_tests_and_training_use_is_named_as_the_oracle():
    import pusa_core.wan_dit

    assert pusa_core.wan_dit.__doc__.startswith("Oracle: a plain Wan DiT")
