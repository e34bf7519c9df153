"""Claims: VACE and Fun control models take a timestep for every latent frame beside their control pictures."""

import pytest
import torch
from safetensors.torch import save_file

from comfyui_pusa.nodes.host import bases
from comfyui_pusa.nodes.host.models import base_of, require_base
from comfyui_pusa.nodes.host.prompts_by_frame import check_prompts_by_frame
from comfyui_pusa.nodes.host.timesteps import vectorize_timesteps
from pusa_core.bases import WAN
from pusa_core.errors import PusaError
from support import tiny_wan
from support.base_models import loaded
from support.comfy_runs import plain, run_node

FRAMES, SIDE = 4, 4
SIGMAS = torch.tensor([1.0, 0.9, 0.6, 0.0])
KINDS = ("VACE", "Fun control", "Fun control with a mask")


def draw(*shape, seed=3):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def weights_of(kind):
    """A state dict of the layout by which ComfyUI tells the kind."""
    weights, width = tiny_wan.weights(10), tiny_wan.WIDTH
    if kind != "VACE":
        channels = 48 if kind == "Fun control" else 52
        return weights | {"patch_embedding.weight": 0.05 * draw(width, channels, 1, 2, 2)}
    blocks = {f"vace_{key}": value + 0.01 for key, value in weights.items() if key.startswith("blocks.")}
    more = {
        "vace_patch_embedding.weight": 0.05 * draw(width, 96, 1, 2, 2),
        "vace_patch_embedding.bias": torch.zeros(width),
    }
    for name in ("vace_blocks.0.before_proj", "vace_blocks.0.after_proj", "vace_blocks.1.after_proj"):
        more |= {f"{name}.weight": 0.05 * draw(width, width), f"{name}.bias": torch.zeros(width)}
    return weights | blocks | more


def prompt_of(kind, control_seed):
    """A CONDITIONING with control pictures, as WanVaceToVideo and WanFunControlToVideo make them."""
    if kind == "VACE":
        control = {
            "vace_frames": [draw(1, 32, FRAMES, SIDE, SIDE, seed=control_seed)],
            "vace_mask": [torch.ones(1, 64, FRAMES, SIDE, SIDE)],
            "vace_strength": [0.8],
        }
    else:
        control = {"concat_latent_image": draw(1, 32, FRAMES, SIDE, SIDE, seed=control_seed)}
    return [[tiny_wan.context(1), control]]


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def model(kind):
    return loaded(weights_of(kind))


def sampled(model, kind, latent, control_seed=5, sigmas=SIGMAS, sampler="euler"):
    """The samples of SamplerCustom at cfg 3, both prompts with the control pictures."""
    from comfy.samplers import sampler_object
    from comfy_extras.nodes_custom_sampler import SamplerCustom

    prompts = prompt_of(kind, control_seed), [[tiny_wan.context(2), prompt_of(kind, control_seed)[0][1]]]
    given = (model, True, 5, 3.0, *prompts, sampler_object(sampler), sigmas, latent)
    return run_node(SamplerCustom, *given)[0]["samples"]


def test_pusa_progressive_says_that_it_cannot_take_control_frames_of_vace(pack, model, kind):
    if kind != "VACE":
        assert pack["PusaProgressive"].execute(model, "1/2", 0.9)
        return
    with pytest.raises(PusaError, match="cannot make the control frames of Wan VACE smaller"):
        pack["PusaProgressive"].execute(model, "1/2", 0.9)


def test_pusa_progressive_says_so_too_where_the_vace_model_joins_later(pack):
    divided = pack["PusaProgressive"].execute(loaded(tiny_wan.weights(10)), "1/2", 0.9)[0]
    with pytest.raises(PusaError, match="cannot make the control frames of Wan VACE smaller"):
        pack["PusaMoESwitch"].execute(divided, loaded(weights_of("VACE")), 0.8)


def test_it_is_a_wan_model(model, kind):
    assert base_of(model) is WAN
    assert require_base(model).title == ("Wan VACE" if kind == "VACE" else "")


def test_multiplier_1_everywhere_is_plain_core(model, kind):
    latent = {"samples": torch.zeros(1, 16, FRAMES, SIDE, SIDE)}
    ours = sampled(vectorize_timesteps(model, torch.ones(FRAMES), 5.0), kind, latent)
    assert torch.equal(ours, sampled(plain(model), kind, latent))


def test_equal_timesteps_are_cores_forward(model, kind, record_property):
    """Only the timestep of the first step differs from a plain run at that sigma: all frames are at 0.6 * sigma."""
    seen = []
    model.model.diffusion_model.register_forward_hook(lambda dit, given, output: seen.append(output.clone()))
    latent = {"samples": draw(1, 16, FRAMES, SIDE, SIDE)}
    half = torch.full((FRAMES,), 0.6)
    sampled(vectorize_timesteps(model, half, 1.0), kind, latent, sigmas=torch.tensor([0.9, 0.0]))
    sampled(plain(model, 1.0), kind, latent, sigmas=torch.tensor([0.54, 0.0]))
    ours, theirs = seen
    difference = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    record_property("difference", difference)
    assert difference < 1e-5


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m"])
def test_given_frames_stay_to_the_last_bit_and_control_changes_the_others(model, kind, sampler):
    latent = {"samples": draw(1, 16, FRAMES, SIDE, SIDE)}
    patched = vectorize_timesteps(model, torch.tensor([0.0, 1.0, 0.4, 1.0]), 5.0)
    one, other = (sampled(patched, kind, latent, seed, sampler=sampler) for seed in (5, 6))
    for samples in (one, other):
        assert torch.equal(samples[:, :, 0], latent["samples"][:, :, 0])
        assert bool(torch.isfinite(samples).all())
    assert not torch.allclose(one[:, :, 1:], other[:, :, 1:], atol=1e-3)


def test_a_frames_timestep_reaches_its_own_tokens(model, kind):
    """One forward with frame 0 at timestep 0: with the head's modulation alone, only that frame may change."""
    from comfy.model_management import load_models_gpu

    dit = model.model.diffusion_model
    x = draw(2, dit.patch_embedding.weight.shape[1], FRAMES, SIDE, SIDE)
    context = tiny_wan.context(1).expand(2, -1, -1)
    more = (
        {"vace_context": draw(2, 1, 96, FRAMES, SIDE, SIDE), "vace_strength": [0.0]} if kind == "VACE" else {}
    )
    by_frame = torch.tensor([[0.0, 700.0, 700.0, 700.0], [700.0] * 4])
    patched = vectorize_timesteps(model, torch.tensor([0.0, 1.0, 1.0, 1.0]), 5.0)
    timesteps = bases.host_of(WAN).timesteps if kind != "VACE" else require_base(model).timesteps
    load_models_gpu([patched])
    mixed = dit(x, timesteps(by_frame, x, {}), context, **more)
    equal = dit(x, timesteps(torch.full((2, 4), 700.0), x, {}), context, **more)
    patched.detach()
    torch.testing.assert_close(mixed[1], equal[1], atol=1e-5, rtol=0)
    assert not torch.allclose(mixed[0, :, 0], equal[0, :, 0], atol=1e-3)


def test_the_model_is_as_it_was_after_a_run(model, kind):
    latent = {"samples": draw(1, 16, FRAMES, SIDE, SIDE)}
    before = sampled(plain(model), kind, latent)
    sampled(vectorize_timesteps(model, torch.tensor([0.0, 1.0, 1.0, 1.0]), 5.0), kind, latent)
    assert torch.equal(sampled(plain(model), kind, latent), before)


def test_a_pusa_lora_fits_its_blocks(pack, models, model, kind):
    import folder_paths

    weights = {}
    layers = [f"blocks.{block}.self_attn.{name}" for block in range(2) for name in "qkvo"]
    for layer in layers:
        weights[f"{layer}.lora_A.default.weight"] = torch.ones(4, tiny_wan.WIDTH)
        weights[f"{layer}.lora_B.default.weight"] = torch.ones(tiny_wan.WIDTH, 4)
    save_file(weights, models / "loras" / "tiny_pusa_for_control.safetensors")
    folder_paths.filename_list_cache.clear()
    patched = pack["PusaLoraLoader"].execute(model, "tiny_pusa_for_control.safetensors", 1.0)[0]
    assert sorted(patched.patches) == sorted(f"diffusion_model.{layer}.weight" for layer in layers)


@pytest.mark.parametrize("node", ["PusaLoopModel", "PusaFrozenFrameCache"])
def test_what_works_inside_wans_forward_is_refused_for_vace(pack, node):
    with pytest.raises(ValueError, match=r"works inside Wan's forward, which Wan VACE does not have"):
        pack[node].execute(loaded(weights_of("VACE")), *((2,) if node == "PusaLoopModel" else ()))


@pytest.mark.parametrize("node", ["PusaLoopModel", "PusaFrozenFrameCache"])
def test_it_is_refused_too_behind_a_switch_to_a_vace_model(pack, node):
    staged = pack["PusaMoESwitch"].execute(loaded(tiny_wan.weights(10)), loaded(weights_of("VACE")), 0.8)[0]
    with pytest.raises(ValueError, match=r"works inside Wan's forward, which Wan VACE does not have"):
        pack[node].execute(staged, *((2,) if node == "PusaLoopModel" else ()))


def test_prompts_by_frame_are_refused_behind_a_switch_to_a_vace_model(pack):
    staged = pack["PusaMoESwitch"].execute(loaded(tiny_wan.weights(10)), loaded(weights_of("VACE")), 0.8)[0]
    with pytest.raises(
        PusaError, match=r"prompts_by frame works inside Wan's forward, which Wan VACE does not have"
    ):
        check_prompts_by_frame(staged)


def test_an_image_to_video_model_is_refused_with_what_to_use():
    weights = tiny_wan.weights(10) | {"patch_embedding.weight": torch.zeros(tiny_wan.WIDTH, 36, 1, 2, 2)}
    with pytest.raises(
        ValueError, match=r"This is an image-to-video model: it takes 36 channels.*WanImageToVideo"
    ):
        base_of(loaded(weights))


def test_a_camera_model_is_refused_with_what_runs_it():
    weights = tiny_wan.weights(10) | {
        "patch_embedding.weight": torch.zeros(tiny_wan.WIDTH, 36, 1, 2, 2),
        "control_adapter.conv.weight": torch.zeros(tiny_wan.WIDTH, 24 * 64, 2, 2),
    }
    with pytest.raises(ValueError, match=r"This is a camera-control model.*WanCameraImageToVideo"):
        base_of(loaded(weights))
