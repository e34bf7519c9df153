"""Claims: Mochi's VAE encodes causally as the reference does, and half a VAE is noticed and can be made whole."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from comfyui_pusa.nodes.host.bases.mochi_vae import DECODER, ENCODER, causal_encoder, refuse_half
from comfyui_pusa.nodes.host.vaes import encoder_of
from pusa_core.bases.mochi_vae import DECODER_KEY, ENCODER_KEY, main
from support.base_models import mochi_vae


@pytest.fixture(scope="module")
def vae():
    return mochi_vae()


def clip(frames, size=16):
    return torch.rand(frames, size, size, 3, generator=torch.Generator().manual_seed(2))


def test_comfyuis_own_encoding_of_a_prefix_depends_on_what_follows(vae):
    """The reason for ours; should ComfyUI become causal, ours is the same as its own."""
    pictures = clip(13)
    whole, prefix = vae.encode(pictures), vae.encode(pictures[:7])
    assert not torch.allclose(prefix, whole[:, :, :2], atol=1e-3)


def test_the_causal_encoding_of_a_prefix_is_that_of_the_whole_clip(vae):
    pictures, encode = clip(13), causal_encoder(vae)
    torch.testing.assert_close(encode(pictures[:7]), encode(pictures)[:, :, :2], atol=1e-5, rtol=0)


def test_one_picture_is_encoded_as_comfyui_does(vae):
    picture = clip(1)
    assert torch.equal(causal_encoder(vae)(picture), vae.encode(picture))


def test_the_vae_itself_stays_as_it_was(vae):
    pictures = clip(7)
    before = vae.encode(pictures)
    causal_encoder(vae)(pictures)
    assert torch.equal(vae.encode(pictures), before)


def test_the_reference_space_gives_the_model_the_vaes_raw_latents(vae):
    from comfy.latent_formats import Mochi

    picture = clip(1)
    raw = encoder_of(vae)(picture)
    torch.testing.assert_close(Mochi().process_in(encoder_of(vae, "reference")(picture)), raw)
    with pytest.raises(ValueError, match="latent_space is 'raw'; use one of normalised, reference"):
        encoder_of(vae, "raw")


def test_half_a_vae_is_refused_where_the_other_half_is_needed(vae):
    only_encoder = mochi_vae("encoder.")
    for weight in only_encoder.first_stage_model.decoder.parameters():
        weight.zero_()  # as fresh memory is
    refuse_half(only_encoder, ENCODER)
    with pytest.raises(
        ValueError,
        match=r"This VAE has no decoder: it was loaded from encoder\.safetensors alone.*python pusa_core/run",
    ):
        refuse_half(only_encoder, DECODER)
    refuse_half(vae, ENCODER)
    refuse_half(vae, DECODER)


def test_the_command_joins_two_halves_into_one_file(tmp_path, capsys):
    halves = {
        "encoder": {ENCODER_KEY: torch.ones(2, 2), "a": torch.zeros(1)},
        "decoder": {DECODER_KEY: torch.ones(3)},
    }
    for name, weights in halves.items():
        save_file(weights, tmp_path / f"{name}.safetensors")
    files = [str(tmp_path / f"{name}.safetensors") for name in ("encoder", "decoder", "vae")]
    assert main(files) == 0
    assert sorted(load_file(files[2])) == sorted(
        [f"encoder.{ENCODER_KEY}", "encoder.a", f"decoder.{DECODER_KEY}"]
    )
    assert main(files) == 1
    assert "exists already" in capsys.readouterr().err
    assert main([files[1], files[0], str(tmp_path / "other")]) == 1
    assert "is not the encoder of Mochi's VAE" in capsys.readouterr().err
    assert main([str(tmp_path / "none"), files[1], str(tmp_path / "other")]) == 1
    assert "There is no file" in capsys.readouterr().err
