"""Claims: the demo's VAE is causal, keeps what it reconstructs when its latents are rescaled, and refuses foreign files."""

import pytest
import torch

from comfyui_pusa.demo.wan_vae import (
    LATENT_MEAN,
    LATENT_STD,
    WanVAE,
    initialise,
    load_vae,
    match_latent_statistics,
    to_model_space,
    to_vae_space,
)


@pytest.fixture
def vae():
    """As training starts it, with random biases so that none is missed."""
    torch.manual_seed(0)
    model = WanVAE()
    initialise(model)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1 and parameter.requires_grad:
                parameter.normal_(std=0.1)
    return model.eval()


@pytest.fixture
def clip():
    return torch.rand(1, 3, 17, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


@torch.no_grad()
def test_a_latent_frame_does_not_see_later_pixel_frames(vae, clip):
    changed = clip.clone()
    changed[:, :, 9:] = 0
    torch.testing.assert_close(vae.encode(changed)[:, :, :3], vae.encode(clip)[:, :, :3], atol=1e-5, rtol=0)
    assert (vae.encode(changed)[:, :, 3] - vae.encode(clip)[:, :, 3]).abs().max() > 1e-3


@torch.no_grad()
def test_the_first_pixel_frame_is_decoded_from_the_first_latent_frame_alone(vae, clip):
    latent = vae.encode(clip)
    torch.testing.assert_close(
        vae.decode(latent[:, :, :1])[:, :, 0], vae.decode(latent)[:, :, 0], atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(("pixel_frames", "latent_frames"), [(1, 1), (5, 2), (17, 5), (33, 9)])
@torch.no_grad()
def test_four_frames_make_one_latent_frame_after_the_first(vae, pixel_frames, latent_frames):
    latent = vae.encode(torch.zeros(1, 3, pixel_frames, 32, 48))
    assert latent.shape == (1, 16, latent_frames, 4, 6)
    assert vae.decode(latent).shape == (1, 3, pixel_frames, 32, 48)


@torch.no_grad()
def test_matching_the_statistics_rescales_latents_and_nothing_else(vae, clip):
    before, decoded = vae.encode(clip), vae.decode(vae.encode(clip))
    mean, std = before.mean((0, 2, 3, 4)), before.std((0, 2, 3, 4))
    match_latent_statistics(vae, mean, std)
    after = vae.encode(clip)
    torch.testing.assert_close(after.mean((0, 2, 3, 4)), LATENT_MEAN, atol=1e-3, rtol=0)
    torch.testing.assert_close(after.std((0, 2, 3, 4)), LATENT_STD, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(vae.decode(after), decoded, atol=1e-3, rtol=0)


def test_model_space_and_vae_space_undo_each_other():
    latent = torch.randn(1, 16, 2, 3, 3, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(to_model_space(to_vae_space(latent)), latent)


@torch.no_grad()
def test_a_saved_vae_loads_and_computes_the_same(vae, clip):
    torch.testing.assert_close(load_vae(vae.state_dict()).encode(clip), vae.encode(clip), atol=0, rtol=0)


@pytest.mark.parametrize(
    "key",
    ["encoder.conv1.weight", "encoder.downsamples.1.residual.6.weight", "decoder.middle.1.proj.weight"],
)
def test_a_file_that_uses_a_layer_we_skip_is_refused_by_its_name(vae, key):
    weights = {name: value.clone() for name, value in vae.state_dict().items()}
    weights[key] += 0.1
    with pytest.raises(
        ValueError, match=key.split(".residual")[0].removesuffix(".weight").removesuffix(".proj")
    ):
        load_vae(weights)
