"""Beside packs that take the forward or the weights over, with doubles of how they do it (docs/COMPOSITION.md: the packs)."""

from types import MethodType

import comfy.k_diffusion.sampling
import comfy.ldm.wan.model
import comfy.samplers
import comfy.sd
import pytest
import torch

from comfyui_pusa.nodes.lora_patches import parameter_shapes
from comfyui_pusa.nodes.model_identity import model_identity
from comfyui_pusa.pusa_core.errors import PusaError
from support import composition, tiny_wan
from support.comfy_runs import ksampler, video_latent
from support.composition import vectorized

GIVEN = (0.0, 1.0, 1.0, 1.0, 1.0)


def split_over(ranks: int, splits_modulation: bool):
    """A double of the calling convention of sequence-parallel packs (read in raylight's Wan forward): it stands in for
    `forward_orig`, gives each block a share of the tokens and of the rotations, and all of the modulation.

    Here one process plays all ranks: the blocks run once for each share, and attention sees its share alone. With
    splits_modulation the modulation is written out for the tokens and split too, as [B, tokens of the rank, 6, C].
    """

    def forward_orig(self, x, t, context, clip_fea=None, freqs=None, transformer_options=None, **kwargs):
        x = self.patch_embedding(x.float()).to(x.dtype)
        grid = x.shape[2:]
        x = x.flatten(2).transpose(1, 2)
        embed = comfy.ldm.wan.model.sinusoidal_embedding_1d
        e = self.time_embedding(embed(self.freq_dim, t.flatten()).to(x.dtype)).reshape(
            t.shape[0], -1, self.dim
        )
        modulation = self.time_projection(e).unflatten(2, (6, self.dim))
        if splits_modulation:
            modulation = modulation.repeat_interleave(x.shape[1] // modulation.shape[1], dim=1)
        context = self.text_embedding(context)
        shares = []
        for number in range(ranks):
            local, rotation = x.chunk(ranks, 1)[number], freqs.chunk(ranks, 1)[number]
            part = modulation.chunk(ranks, 1)[number] if splits_modulation else modulation
            for block in self.blocks:
                local = block(
                    local, e=part, freqs=rotation, context=context, transformer_options=transformer_options
                )
            shares.append(local)
        x = torch.cat(shares, 1)
        return self.unpatchify(self.head(x, e), grid)

    return forward_orig


def with_forward(model, forward_orig):
    model = model.clone()
    model.add_object_patch(
        "diffusion_model.forward_orig", MethodType(forward_orig, model.model.diffusion_model)
    )
    return model


@pytest.mark.parametrize("splits_modulation", [False, True])
def test_a_forward_that_is_replaced_but_whole_gives_what_comfyuis_gives(load_tiny_wan, splits_modulation):
    latent = video_latent(GIVEN)
    replaced = with_forward(load_tiny_wan(), split_over(1, splits_modulation))
    ours = ksampler(vectorized(replaced, latent), latent)
    torch.testing.assert_close(ours, ksampler(vectorized(load_tiny_wan(), latent), latent), atol=1e-5, rtol=0)


def test_tokens_split_with_their_timesteps_run(load_tiny_wan):
    latent = video_latent(GIVEN)
    model = with_forward(load_tiny_wan(), split_over(2, splits_modulation=True))
    assert torch.isfinite(ksampler(vectorized(model, latent), latent)).all()


@pytest.mark.parametrize("ranks", [2, 5, 10])
def test_tokens_split_over_gpus_without_their_timesteps_are_refused(load_tiny_wan, ranks):
    """In silence, nearly all tokens would get another frame's timestep (20 tokens here, 4 a frame)."""
    latent = video_latent(GIVEN)
    model = with_forward(load_tiny_wan(), split_over(ranks, splits_modulation=False))
    with pytest.raises(PusaError, match="splits the video over several GPUs"):
        ksampler(vectorized(model, latent), latent)


def test_the_same_split_runs_where_all_frames_share_one_timestep(load_tiny_wan):
    latent = video_latent((1.0,) * 5)
    model = with_forward(load_tiny_wan(), split_over(2, splits_modulation=False))
    assert torch.isfinite(ksampler(vectorized(model, latent), latent)).all()


def load_packed(seed: int):
    """A MODEL as GGUF loaders make it: its state dict holds packed bytes, whose shape is not the weight's."""
    options = {"custom_operations": composition.quantized_ops()}
    return comfy.sd.load_diffusion_model_state_dict(tiny_wan.weights(seed), options)


def test_a_pusa_lora_matches_every_layer_of_packed_weights(pack, tiny_lora_file, load_tiny_wan):
    model = load_packed(10)
    assert parameter_shapes(model) == parameter_shapes(load_tiny_wan())
    loaded = pack["PusaLoraLoader"].execute(model=model, lora_name=tiny_lora_file(101))
    assert "12 of 12 matched" in loaded.ui.as_dict()["text"][0]


def test_packed_weights_have_an_identity_of_their_own():
    assert model_identity(load_packed(10)) == model_identity(load_packed(10))
    assert model_identity(load_packed(10)) != model_identity(load_packed(11))


@pytest.fixture
def sampler_pack(monkeypatch):
    """A double of how RES4LYF adds samplers: a noisy one, and its twin without noise, under KSampler's names."""

    def sample_twin(model, x, sigmas, extra_args=None, callback=None, disable=None):
        return comfy.k_diffusion.sampling.sample_euler(model, x, sigmas, extra_args, callback, disable)

    def sample_twin_ode(*args, **kwargs):
        return sample_twin(*args, **kwargs)

    for function in (sample_twin, sample_twin_ode):
        monkeypatch.setattr(comfy.k_diffusion.sampling, function.__name__, function, raising=False)
    names = ["twin", "twin_ode"]
    monkeypatch.setattr(comfy.samplers.KSampler, "SAMPLERS", comfy.samplers.KSampler.SAMPLERS + names)


def test_a_noisy_sampler_of_another_pack_is_refused_for_its_twin_without_noise(load_tiny_wan, sampler_pack):
    latent = video_latent(GIVEN)
    model = vectorized(load_tiny_wan(), latent)
    with pytest.raises(PusaError, match="Choose twin_ode"):
        ksampler(model, latent, sampler="twin")
    torch.testing.assert_close(ksampler(model, latent, sampler="twin_ode"), ksampler(model, latent))
