"""Claims: bad input is refused on the node it was given to, in a sentence with what is allowed and what to do."""

import math
import re

import pytest
import torch
from safetensors.torch import save_file

from devtools.comfy_server import GraphRefusedError, NodeFailedError
from support import tiny_wan


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


@pytest.fixture(scope="module")
def other_models(models):
    """Small real files of models that Pusa is not for, in ComfyUI's diffusion_models folder."""
    weights = tiny_wan.weights(10)
    width = 256
    files = {
        "tiny_i2v.safetensors": weights | {"patch_embedding.weight": torch.zeros(width, 36, 1, 2, 2)},
        "tiny_5b.safetensors": weights
        | {
            "patch_embedding.weight": torch.zeros(width, 48, 1, 2, 2),
            "head.head.weight": torch.zeros(4 * 48, width),
            "head.head.bias": torch.zeros(4 * 48),
        },
        "tiny_camera.safetensors": weights
        | {
            "patch_embedding.weight": torch.zeros(width, 36, 1, 2, 2),
            "control_adapter.conv.weight": torch.zeros(width, 24 * 64, 2, 2),
        },
    }
    for name, content in files.items():
        save_file({key: value.clone() for key, value in content.items()}, models / "diffusion_models" / name)
    return sorted(files)


@pytest.fixture(scope="module")
def graph(server, tiny_wan_file, tiny_vae_file, other_models):
    """graph(**changes) -> a small image-to-video prompt; changes: node name -> inputs to replace, or a whole node."""

    def build(**changes):
        prompt = {
            "model": node("UNETLoader", unet_name=tiny_wan_file(10), weight_dtype="default"),
            "vae": node("VAELoader", vae_name=tiny_vae_file),
            "picture": node("EmptyImage", width=40, height=32, batch_size=1, color=0x336699),
            "empty": node("EmptyHunyuanLatentVideo", width=32, height=32, length=17, batch_size=1),
            "inject": node(
                "PusaConditionFrames", vae=["vae", 0], latent=["empty", 0], images=["picture", 0], positions="0",
                noise_multipliers="0.2", resize="crop", position_unit="latent frame",
            ),
            "text": node("SeededText", seed=1),
            "sample": node(
                "PusaSampler", model=["model", 0], positive=["text", 0], negative=["text", 0], latent=["inject", 0], seed=1,
                steps=2, cfg=1.0, shift=5.0, sampler_name="euler", denoise=1.0,
            ),
            "save": node("SaveLatent", samples=["sample", 0], filename_prefix="bad_input"),
        }  # fmt: skip
        for name, change in changes.items():
            if "class_type" in change:
                prompt[name] = change
            else:
                prompt[name]["inputs"] |= change
        return prompt

    return build


@pytest.mark.server
def test_the_graph_that_the_others_are_changed_from_is_right(server, graph):
    server.run(graph())


CASES = {
    "more positions than pictures": (
        {"inject": {"positions": "0, -1"}},
        "PusaConditionFrames",
        r"1 images for 2 positions \(0, -1\)\. Give one position per picture",
    ),
    "more multipliers than positions": (
        {"inject": {"noise_multipliers": "0.2, 0.5"}},
        "PusaConditionFrames",
        r"2 noise_multipliers for 1 positions\. Give one value",
    ),
    "a position after the end": (
        {"inject": {"positions": "5"}},
        "PusaConditionFrames",
        r"Position 5 is outside this latent of 5 latent frames\. Use -5 to 4, or set the video length to 21 or more",
    ),
    "a position before the start": (
        {"inject": {"positions": "-6"}},
        "PusaConditionFrames",
        r"Position -6 is outside this latent of 5 latent frames",
    ),
    "a video frame after the end": (
        {"inject": {"positions": "17", "position_unit": "video frame"}},
        "PusaConditionFrames",
        r"Position 17 is outside this latent of 17 video frames\. Use -17 to 16",
    ),
    "words for positions": (
        {"inject": {"positions": "first"}},
        "PusaConditionFrames",
        r"'first' in positions is not a whole number",
    ),
    "a multiplier above 1": (
        {"inject": {"noise_multipliers": "1.2"}},
        "PusaConditionFrames",
        r"noise_multiplier is 1\.2; use 0 \(kept clean\) to 1 \(free\)",
    ),
    "a multiplier that is NaN": (
        {"inject": {"noise_multipliers": "nan"}},
        "PusaConditionFrames",
        r"noise_multiplier is nan; use 0",
    ),
    "an unknown way to resize": (
        {"inject": {"resize": "zoom"}},
        "PusaConditionFrames",
        r"resize is 'zoom'; use one of crop, letterbox, stretch|Value not in list",
    ),
    "an image latent for the injector": (
        {"empty": node("EmptyLatentImage", width=32, height=32, batch_size=1)},
        "PusaConditionFrames",
        r"The latent has 4 dimensions .* a video latent has 5.*Empty Hunyuan Latent Video",
    ),
    "an image latent for the sampler": (
        {"empty": node("EmptyLatentImage", width=32, height=32, batch_size=1), "sample": {"latent": ["empty", 0]}},
        "PusaSampler",
        r"The latent has 4 dimensions",
    ),
    "a latent of Wan2.2 5B": (
        {"empty": node("Wan22ImageToVideoLatent", vae=["vae", 0], width=64, height=64, length=17, batch_size=1)},
        "PusaConditionFrames",
        r"The latent has 48 channels, this model works with 16",
    ),
    "a latent of Wan2.2 5B for the sampler": (
        {
            "empty": node("Wan22ImageToVideoLatent", vae=["vae", 0], width=64, height=64, length=17, batch_size=1),
            "sample": {"latent": ["empty", 0]},
        },
        "PusaSampler",
        r"The latent has 48 channels, this model works with 16",
    ),
    "an image-to-video model": (
        {"model": {"unet_name": "tiny_i2v.safetensors"}},
        "PusaSampler",
        r"This is an image-to-video model: it takes 36 channels, a text-to-video model 16, .*WanImageToVideo.* Load a Wan2\.1 or Wan2\.2 14B text",
    ),
    "a camera model": (
        {"model": {"unet_name": "tiny_camera.safetensors"}},
        "PusaSampler",
        r"This is a camera-control model, which has conditions of its own \(WanCameraImageToVideo",
    ),
    "the 5B model with a latent of the 14B ones": (
        {"model": {"unet_name": "tiny_5b.safetensors"}},
        "PusaSampler",
        r"The latent has 16 channels, this model works with 48\. 16 channels belong to Wan2\.1 or Wan2\.2 14B\. For Wan2\.2 TI2V 5B use Wan22Image",
    ),
    "an image-to-video model for the switch": (
        {
            "other": node("UNETLoader", unet_name="tiny_i2v.safetensors", weight_dtype="default"),
            "switch": node(
                "PusaMoESwitch", high_noise=["model", 0], low_noise=["other", 0], boundary=0.875, high_noise_cfg=0, low_noise_cfg=0
            ),
            "sample": {"model": ["switch", 0]},
        },
        "PusaMoESwitch",
        r"takes 36 channels",
    ),
    "a latent cut after the injection": (
        {
            "cut": node("LatentCut", samples=["inject", 0], dim="t", index=0, amount=3),
            "sample": {"latent": ["cut", 0]},
        },
        "PusaSampler",
        r"noise_multipliers describe 5 latent frames, the latent has 3\. .*inject them after that step",
    ),
    "timesteps for another latent": (
        {
            "longer": node("EmptyHunyuanLatentVideo", width=32, height=32, length=33, batch_size=1),
            "timesteps": node("PusaVectorizedTimesteps", model=["model", 0], latent=["inject", 0], shift=5.0),
            "sample": node(
                "KSampler", model=["timesteps", 0], positive=["text", 0], negative=["text", 0], latent_image=["longer", 0],
                seed=1, steps=2, cfg=1.0, sampler_name="euler", scheduler="simple", denoise=1.0,
            ),
        },
        "KSampler",
        r"Vectorized timesteps were applied for 5 latent frames, the model was given \(1, 16, 9, 4, 4\)",
    ),
    "another sampling after the timesteps": (
        {
            "timesteps": node("PusaVectorizedTimesteps", model=["model", 0], latent=["inject", 0], shift=5.0),
            "shift": node("ModelSamplingSD3", model=["timesteps", 0], shift=8.0),
            "sample": node(
                "KSampler", model=["shift", 0], positive=["text", 0], negative=["text", 0], latent_image=["inject", 0],
                seed=1, steps=2, cfg=1.0, sampler_name="euler", scheduler="simple", denoise=1.0,
            ),
        },
        "KSampler",
        r"ModelSamplingSD3 does.*set shift on the Pusa node",
    ),
    "a sampler that adds noise": (
        {
            "timesteps": node("PusaVectorizedTimesteps", model=["model", 0], latent=["inject", 0], shift=5.0),
            "sample": node(
                "KSampler", model=["timesteps", 0], positive=["text", 0], negative=["text", 0], latent_image=["inject", 0],
                seed=1, steps=2, cfg=1.0, sampler_name="dpmpp_2m_sde", scheduler="simple", denoise=1.0,
            ),
        },
        "KSampler",
        r"The sampler dpmpp_2m_sde adds fresh noise to every frame.*These hold them: euler, heun, dpmpp_2m",
    ),
    "a sampler that is not offered": (
        {"sample": {"sampler_name": "er_sde"}},
        "PusaSampler",
        r"sampler_name is 'er_sde'\. These hold them: euler|Value not in list",
    ),
    "denoise 0": (
        {"sample": {"denoise": 0.0}},
        "PusaSampler",
        r"denoise is 0\.0; use a value above 0 and up to 1",
    ),
    "an empty schedule": (
        {
            "sigmas": node("BasicScheduler", model=["model", 0], scheduler="simple", steps=4, denoise=0.0),
            "sample": {"sigmas": ["sigmas", 0]},
        },
        "PusaSampler",
        r"sigmas holds 0 levels, which makes no step",
    ),
    "a schedule of another kind of model": (
        {
            "sigmas": node("KarrasScheduler", steps=4, sigma_max=14.0, sigma_min=0.03, rho=7.0),
            "sample": {"sigmas": ["sigmas", 0]},
        },
        "PusaSampler",
        r"sigmas has values outside 0 to 1",
    ),
    "a reference latent in the conditioning": (
        {
            "reference": node("ReferenceLatent", conditioning=["text", 0], latent=["empty", 0]),
            "sample": {"positive": ["reference", 0], "negative": ["reference", 0]},
        },
        "PusaSampler",
        r"The conditioning carries reference_latent",
    ),
    "no steps": ({"sample": {"steps": 0}}, "PusaSampler", r"Value 0 smaller than min of 1: steps"),
    "a boundary above 1": (
        {
            "switch": node(
                "PusaMoESwitch", high_noise=["model", 0], low_noise=["model", 0], boundary=875.0, high_noise_cfg=0, low_noise_cfg=0
            ),
            "sample": {"model": ["switch", 0]},
        },
        "PusaMoESwitch",
        r"Value 875\.0 bigger than max of 1\.0: boundary",
    ),
    "a LoRA that is not there": (
        {
            "lora": node("PusaLoraLoader", model=["model", 0], lora_name="gone.safetensors", alpha=1.4, expert="auto"),
            "sample": {"model": ["lora", 0]},
        },
        "PusaLoraLoader",
        r"gone\.safetensors",
    ),
}  # fmt: skip


@pytest.mark.server
@pytest.mark.parametrize("case", CASES)
def test_the_node_says_what_is_wrong(case, server, graph):
    changes, class_type, sentence = CASES[case]
    with pytest.raises((NodeFailedError, GraphRefusedError)) as failure:
        server.run(graph(**changes))
    text = str(failure.value)
    if isinstance(failure.value, NodeFailedError):
        assert failure.value.node_type == class_type
        assert failure.value.exception_type.endswith("PusaError")
        text = failure.value.message
    assert re.search(sentence, text, re.DOTALL), text


def test_a_batch_without_pictures_is_refused(pack, load_tiny_vae):
    latent = {"samples": torch.zeros(1, 16, 5, 4, 4)}
    with pytest.raises(ValueError, match="images holds no picture"):
        pack["PusaConditionFrames"].execute(load_tiny_vae(), latent, torch.zeros(0, 32, 32, 3), "0")


def test_a_vae_that_did_not_load_is_refused(pack):
    latent = {"samples": torch.zeros(1, 16, 5, 4, 4)}
    with pytest.raises(ValueError, match=r"No VAE came in.*wan_2\.1_vae"):
        pack["PusaConditionFrames"].execute(None, latent, torch.zeros(1, 32, 32, 3), "0")


@pytest.mark.parametrize("boundary", [-0.1, 1.5, math.nan])
def test_a_boundary_that_slipped_past_the_server_is_refused(boundary, pack, load_tiny_wan):
    with pytest.raises(ValueError, match=r"boundary is .*; it is a sigma from 0 to 1"):
        pack["PusaMoESwitch"].execute(load_tiny_wan(10), load_tiny_wan(11), boundary)


def test_a_model_of_another_family_is_refused_by_its_name(pack):
    class Flux:
        pass

    class Patcher:
        model = Flux()

    with pytest.raises(ValueError, match="This is not a Wan model but Flux"):
        pack["PusaVectorizedTimesteps"].execute(Patcher(), {"samples": torch.zeros(1, 16, 5, 4, 4)})
