"""Claims: on Wan2.2 TI2V 5B our multipliers and core's own first-frame mask say the same thing, in every task."""

import nodes as comfy_nodes
import pytest
import torch
from safetensors.torch import save_file

from comfyui_pusa.nodes.host.models import base_of
from comfyui_pusa.nodes.host.timesteps import vectorize_timesteps
from pusa_core.bases import WAN, WAN22_5B
from support import tiny_wan
from support.base_models import wan22_5b, wan22_5b_vae
from support.comfy_runs import custom_sampler

FRAMES, SIGMAS = 4, torch.tensor([1.0, 0.9, 0.6, 0.0])


@pytest.fixture(scope="module")
def model():
    return wan22_5b()


@pytest.fixture(scope="module")
def vae():
    return wan22_5b_vae()


def start_image(vae, node_class="Wan22ImageToVideoLatent"):
    """(core's LATENT with its noise mask, the picture) of Wan22ImageToVideoLatent with a start image."""
    picture = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(1))
    made = comfy_nodes.NODE_CLASS_MAPPINGS[node_class].execute(
        vae, 64, 64, WAN22_5B.video_length(FRAMES), 1, picture
    )
    return made[0], picture


def sampled(model, latent, sigmas=SIGMAS, sampler="euler"):
    return custom_sampler(model, latent, sigmas, sampler)[0]


def shifted(model, multipliers):
    return vectorize_timesteps(model, torch.tensor(multipliers), 5.0)


def test_multiplier_0_is_cores_own_first_frame_conditioning(pack, model, vae):
    theirs, picture = start_image(vae)
    empty = comfy_nodes.NODE_CLASS_MAPPINGS["Wan22ImageToVideoLatent"].execute(
        vae, 64, 64, WAN22_5B.video_length(FRAMES), 1
    )[0]
    ours = pack["PusaConditionFrames"].execute(vae, empty, picture, "0", "0")[0]
    # core conditions on latents it leaves in its model's space: ours are brought there to compare the sampling
    ours["samples"] = theirs["samples"]
    expected = sampled(shifted(model, [1.0] * FRAMES), theirs)
    found = sampled(shifted(model, ours["noise_multipliers"].tolist()), ours)
    assert torch.equal(found[:, :, 0], theirs["samples"][:, :, 0])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "heun"])
def test_a_mask_over_any_frames_is_the_same_as_multipliers_0_there(pack, model, sampler):
    generator = torch.Generator().manual_seed(4)
    samples = torch.randn(1, 48, FRAMES, 4, 4, generator=generator)
    mask = torch.ones(1, 1, FRAMES, 4, 4)
    mask[:, :, [0, 3]] = 0
    multipliers = [0.0, 1.0, 1.0, 0.0]
    theirs = sampled(
        shifted(model, [1.0] * FRAMES), {"samples": samples, "noise_mask": mask}, sampler=sampler
    )
    ours = sampled(shifted(model, multipliers), {"samples": samples}, sampler=sampler)
    both = sampled(shifted(model, multipliers), {"samples": samples, "noise_mask": mask}, sampler=sampler)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    torch.testing.assert_close(both, theirs, atol=1e-5, rtol=0)


def test_a_mask_beside_multipliers_sets_the_timesteps_of_its_frames(model):
    multipliers = torch.tensor([0.5, 1.0, 1.0, 0.25])
    patched = vectorize_timesteps(model, multipliers, 5.0)
    mask = torch.ones(1, 1, FRAMES, 4, 4)
    mask[:, :, 1] = 0
    timesteps = patched.object_patches["process_timestep"](
        torch.tensor([800.0]), torch.zeros(1, 48, FRAMES, 4, 4), denoise_mask=mask
    )
    torch.testing.assert_close(timesteps, 800.0 * multipliers[None] * torch.tensor([1.0, 0.0, 1.0, 1.0]))


def test_multiplier_1_everywhere_is_plain_core(model):
    latent = {"samples": torch.zeros(1, 48, FRAMES, 4, 4)}
    from support.comfy_runs import plain

    assert torch.equal(sampled(shifted(model, [1.0] * FRAMES), latent), sampled(plain(model), latent))


def test_load_diffusion_model_makes_it_of_a_file(models, pack):
    file = models / "diffusion_models" / "tiny_ti2v_5b.safetensors"
    channels, width = 48, tiny_wan.WIDTH
    weights = tiny_wan.weights(10) | {
        "patch_embedding.weight": torch.zeros(width, channels, 1, 2, 2),
        "head.head.weight": torch.zeros(4 * channels, width),
        "head.head.bias": torch.zeros(4 * channels),
    }
    save_file(weights, file)
    assert base_of(comfy_nodes.UNETLoader().load_unet(file.name, "default")[0]) is WAN22_5B


def test_a_14b_latent_or_vae_is_refused_in_words(pack, model, vae, load_tiny_vae):
    with pytest.raises(
        ValueError, match=r"has 16 channels, this model works with 48\. 16 channels belong to Wan2\.1 or"
    ):
        pack["PusaVectorizedTimesteps"].execute(model, {"samples": torch.zeros(1, 16, FRAMES, 4, 4)})
    empty = {"samples": torch.zeros(1, 48, FRAMES, 4, 4)}
    with pytest.raises(
        ValueError, match=r"has 48 channels, this model works with 16\. 48 channels belong to Wan2\.2 TI2V 5B"
    ):
        pack["PusaConditionFrames"].execute(load_tiny_vae(), empty, torch.rand(1, 64, 64, 3), "0", "0.2")


def test_a_long_video_of_another_size_multiple_is_refused(pack, model, vae):
    text = [[tiny_wan.context(1), {}]]
    with pytest.raises(ValueError, match=r"The size is 48 x 64; Wan2\.2 5B needs multiples of 32"):
        pack["PusaLongVideo"].execute(
            model, text, text, vae, 48, 64, 10, "frames", 9, 5, "0.1", 1, 1, 1.0, 5.0, "euler", "off", "crop", 24.0, 16, "video/long"
        )  # fmt: skip


def test_a_skyreels_v2_file_is_a_wan_model(models):
    """SkyReels-V2's Wan files carry one key more, which ComfyUI leaves aside."""
    file = models / "diffusion_models" / "tiny_skyreels_df.safetensors"
    save_file(tiny_wan.weights(10) | {"model_type.SkyReels-V2-DF-14B-540P": torch.zeros(1)}, file)
    assert base_of(comfy_nodes.UNETLoader().load_unet(file.name, "default")[0]) is WAN
