"""Claims: on LTX-Video a multiplier is the timestep of a frame's tokens, and core's own image-to-video mask says the same at 0."""

import nodes as comfy_nodes
import pytest
import torch
from safetensors.torch import save_file

from comfyui_pusa.nodes.host.models import base_of
from comfyui_pusa.nodes.host.timesteps import vectorize_timesteps
from pusa_core.bases import LTXV
from support import tiny_ltxv
from support.base_models import ltxv_vae
from support.comfy_runs import run_node

FRAMES, SIDE = 4, 3
SIGMAS = torch.tensor([1.0, 0.9, 0.6, 0.0])


@pytest.fixture(scope="module")
def model():
    return tiny_ltxv.model()


@pytest.fixture(scope="module")
def vae():
    return ltxv_vae()


def sampled(model, latent, sampler="euler", positive=None):
    """The samples of ComfyUI's SamplerCustom."""
    from comfy.samplers import sampler_object
    from comfy_extras.nodes_custom_sampler import SamplerCustom

    prompts = positive or tiny_ltxv.prompt(1, 5), tiny_ltxv.prompt(2, 5)
    return run_node(SamplerCustom, model, True, 5, 3.0, *prompts, sampler_object(sampler), SIGMAS, latent)[0][
        "samples"
    ]


def vectorized(model, multipliers):
    return vectorize_timesteps(model, torch.tensor(multipliers), 5.0)


def filled(seed=4):
    return torch.randn(1, 128, FRAMES, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "heun"])
def test_cores_mask_over_any_frames_is_the_same_as_multipliers_0_there(model, sampler):
    samples, mask = filled(), torch.ones(1, 1, FRAMES, 1, 1)
    mask[:, :, [0, 3]] = 0
    theirs = sampled(model, {"samples": samples, "noise_mask": mask}, sampler)
    ours = sampled(vectorized(model, [0.0, 1.0, 1.0, 0.0]), {"samples": samples}, sampler)
    for frame in (0, 3):
        assert torch.equal(ours[:, :, frame], samples[:, :, frame])
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_multiplier_0_is_cores_image_to_video_node(pack, model, vae):
    picture = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(1))
    node = comfy_nodes.NODE_CLASS_MAPPINGS["LTXVImgToVideo"]
    length, prompts = LTXV.video_length(FRAMES), (tiny_ltxv.prompt(1, 5), tiny_ltxv.prompt(2, 5))
    theirs = run_node(node, *prompts, picture, vae, 64, 64, length, 1, 1.0)[2]
    empty = {"samples": torch.zeros_like(theirs["samples"])}
    ours = pack["PusaConditionFrames"].execute(vae, empty, picture, "0", "0")[0]
    assert torch.equal(ours["samples"], theirs["samples"])
    found = sampled(vectorized(model, ours["noise_multipliers"].tolist()), ours)
    torch.testing.assert_close(found, sampled(model, theirs), atol=1e-5, rtol=0)


@pytest.mark.parametrize("multiplier", [0.3, 0.9])
def test_equal_timesteps_are_cores_own_forward(model, multiplier):
    dit, (features, options) = model.model.diffusion_model, tiny_ltxv.prompt(2, 7)[0]
    given = features, options["attention_mask"]
    theirs = dit(filled(), torch.tensor([multiplier]), *given)
    ours = dit(filled(), torch.full((1, FRAMES * SIDE * SIDE), multiplier), *given)
    torch.testing.assert_close(ours, theirs, atol=2e-6 * theirs.abs().max().item(), rtol=0)


def timesteps_of(model, multipliers, **conds):
    """What the DiT is given at sigma 0.8."""
    patched = vectorized(model, multipliers)
    return patched.object_patches["process_timestep"](torch.tensor([0.8]), filled(), **conds)


def test_every_token_gets_the_timestep_of_its_frame(model):
    given = timesteps_of(model, [0.0, 0.5, 1.0, 0.25])
    assert given.shape == (1, FRAMES * SIDE * SIDE)
    tokens, _ = model.model.diffusion_model.patchifier.patchify(
        (0.8 * torch.tensor([0.0, 0.5, 1.0, 0.25]))[None, None, :, None, None].expand(
            1, 1, FRAMES, SIDE, SIDE
        )
    )
    torch.testing.assert_close(given, tokens[..., 0])


def test_a_mask_beside_multipliers_scales_its_cells(model):
    mask = torch.ones(1, 1, FRAMES, SIDE, SIDE)
    mask[:, :, 2, 0, 0] = 0
    given = timesteps_of(model, [0.5, 1.0, 1.0, 1.0], denoise_mask=mask).unflatten(1, (FRAMES, SIDE * SIDE))
    assert given[0, 2, 0] == 0
    assert bool((given[0, 2, 1:] == 0.8).all())
    torch.testing.assert_close(given[0, 0], torch.full((SIDE * SIDE,), 0.4))


def test_guides_of_ltxv_are_refused_and_what_to_do(model):
    features, options = tiny_ltxv.prompt(1, 5)[0]
    guided = [[features, {**options, "keyframe_idxs": torch.zeros(1, 3, SIDE * SIDE)}]]
    with pytest.raises(
        ValueError, match=r"keyframe_idxs, from LTXVAddGuide.*go in through Condition Frame Injector"
    ):
        sampled(vectorized(model, [0.0, 1.0, 1.0, 1.0]), {"samples": filled()}, positive=guided)


def test_ltx_2_is_refused_as_what_it_is():
    class LTXAV:
        latent_format = None

    class Patcher:
        model = LTXAV()

    with pytest.raises(
        ValueError, match=r"This is LTX-2, which makes sound.*LTX-Video 0\.9 \(experimental\)"
    ):
        base_of(Patcher())


def test_the_sampler_says_that_it_is_experimental(pack, model):
    out = pack["PusaSampler"].execute(
        model, tiny_ltxv.prompt(1, 5), tiny_ltxv.prompt(2, 5), {"samples": filled()}, 1, 1, 1.0, 5.0, "euler", 1.0
    )  # fmt: skip
    assert "LTX-Video is experimental" in str(out.ui)


def test_load_diffusion_model_makes_it_of_a_file(models):
    file = models / "diffusion_models" / "tiny_ltxv.safetensors"
    save_file(tiny_ltxv.weights(), file)
    assert base_of(comfy_nodes.UNETLoader().load_unet(file.name, "default")[0]) is LTXV


@pytest.mark.parametrize("prefix", ["", "diffusion_model."])
def test_a_lora_of_its_layers_is_loaded_with_its_coverage(pack, models, model, prefix):
    import folder_paths

    weights = {}
    layers = [
        f"transformer_blocks.{block}.attn1.{name}" for block in range(2) for name in ("to_q", "to_out.0")
    ]
    for layer in layers:
        weights[f"{prefix}{layer}.lora_A.weight"] = torch.ones(4, tiny_ltxv.WIDTH)
        weights[f"{prefix}{layer}.lora_B.weight"] = torch.ones(tiny_ltxv.WIDTH, 4)
    save_file(weights, models / "loras" / "tiny_ltxv_lora.safetensors")
    folder_paths.filename_list_cache.clear()
    loaded = pack["PusaLoraLoader"].execute(model, "tiny_ltxv_lora.safetensors", 1.0)
    assert sorted(loaded[0].patches) == sorted(f"diffusion_model.{layer}.weight" for layer in layers)
