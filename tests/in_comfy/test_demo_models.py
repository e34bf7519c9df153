"""Claims: the shipped demo models load in ComfyUI's own loaders, agree with our own code, and do what docs/RESULTS.md says."""

from itertools import islice
from pathlib import Path

import comfy.model_management
import folder_paths
import nodes as comfy_nodes
import pytest
import torch

from comfyui_pusa.demo import data, progressive_eval, zoo
from comfyui_pusa.demo.training.vae import psnr
from comfyui_pusa.pusa_core.conditions import FrameCondition

MODELS = Path(__file__).resolve().parents[2] / "demo" / "models"
FILES = sorted(path for path in MODELS.rglob("*.safetensors"))
EXPECTED = {
    "diffusion_models/demo_wan2.1_t2v.safetensors",
    "diffusion_models/demo_wan2.2_t2v_high_noise.safetensors",
    "diffusion_models/demo_wan2.2_t2v_low_noise.safetensors",
    "loras/demo_high_noise_pusa.safetensors",
    "loras/demo_lightx2v_4steps_high_noise.safetensors",
    "loras/demo_lightx2v_4steps_low_noise.safetensors",
    "loras/demo_lightx2v_4steps_wan2.1.safetensors",
    "loras/demo_low_noise_pusa.safetensors",
    "loras/demo_pusa_v1.safetensors",
    "vae/demo_wan_vae.safetensors",
}
GATE_CLIPS = 8


@pytest.fixture(scope="module", autouse=True)
def demo_folders():
    """The demo's models beside ComfyUI's own, as `dev.py serve` offers them."""
    for kind in ("diffusion_models", "loras", "vae"):
        folder_paths.add_model_folder_path(kind, str(MODELS / kind))


@pytest.fixture(scope="module")
def clips():
    """Held-out scenes, their clips of 17 frames and the latents of these."""
    scenes = list(islice(data.scenes(data.HELD_OUT_SEED, held_out=True), GATE_CLIPS))
    videos = data.render(scenes, length=17)
    return scenes, videos, zoo.encode(zoo.vae(), videos)


def test_all_files_are_here_and_together_below_25_mb():
    assert {path.relative_to(MODELS).as_posix() for path in FILES} == EXPECTED
    assert sum(path.stat().st_size for path in FILES) < 25e6


def test_comfyuis_vae_gives_our_latents_and_pictures(clips):
    theirs = comfy_nodes.VAELoader().load_vae("demo_wan_vae.safetensors")[0]
    video = clips[1][0].permute(1, 2, 3, 0) / 2 + 0.5  # ComfyUI's IMAGE: [frames, H, W, 3] in [0, 1]
    latent = theirs.encode(video)
    ours = zoo.vae()
    torch.testing.assert_close(latent, ours.encode(clips[1][:1]), atol=2e-4, rtol=0)
    decoded = theirs.decode(latent)[0]
    mine = (ours.decode(latent)[0].permute(1, 2, 3, 0) / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(decoded, mine, atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", [zoo.BASE, zoo.HIGH_NOISE, zoo.LOW_NOISE])
def test_comfyuis_model_gives_our_velocity(name):
    loaded = comfy_nodes.UNETLoader().load_unet(f"{name}.safetensors", "default")[0]
    comfy.model_management.load_models_gpu([loaded])
    latent = torch.randn(1, 16, 5, 8, 8, generator=torch.Generator().manual_seed(1))
    text = data.text_embedding(
        data.Scene("circle", "red", "dark", "up", "slowly", "small", 8, 32, 40).caption
    )
    sigma = torch.tensor([0.8])
    denoised = loaded.model.apply_model(latent, sigma, c_crossattn=text)
    velocity = (latent - denoised) / 0.8
    expected = zoo.dit(name)(latent, 1000 * sigma, text)
    torch.testing.assert_close(velocity, expected, atol=1e-4, rtol=0)


def pusa_image_to_video(pack, model, clip_latent, caption):
    """One clip through the pack's own nodes and ComfyUI's sampler; latent in the model's space."""
    from comfy.latent_formats import Wan21

    multipliers = torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0])
    samples = torch.zeros(1, 16, 5, 8, 8)
    samples[:, :, :1] = Wan21().process_out(clip_latent[:, :, :1])
    latent = {"samples": samples, "noise_multipliers": multipliers}
    positive, negative = ([[data.text_embedding(text), {}]] for text in (caption, ""))
    sampled = pack["PusaSampler"].execute(
        model,
        positive,
        negative,
        latent,
        seed=7,
        steps=6,
        cfg=2.0,
        shift=5.0,
        sampler_name="euler",
        denoise=1.0,
    )
    return Wan21().process_in(sampled.result[0]["samples"])


def test_a_clip_through_comfyui_and_the_nodes_is_our_own_codes_clip(pack, clips):
    scenes, _, latents = clips
    model = comfy_nodes.UNETLoader().load_unet(f"{zoo.BASE}.safetensors", "default")[0]
    model = pack["PusaLoraLoader"].execute(model, f"{zoo.PUSA}.safetensors", 1.0, "wan2.1").result[0]
    made = pusa_image_to_video(pack, model, latents[:1], scenes[0].caption)
    ours = zoo.sample(
        zoo.Pair.single(zoo.dit(zoo.BASE, {zoo.PUSA: 1.0})),
        [scenes[0].caption],
        zoo.Settings(steps=6),
        [FrameCondition(latents[:1, :, :1], 0, 0.0)],
    )
    torch.testing.assert_close(made, ours, atol=1e-4, rtol=0)


def test_the_expert_pair_through_comfyui_and_the_nodes_is_our_own_codes_pair(pack, clips):
    scenes, _, latents = clips
    experts = []
    for model_name, lora, expert in (
        (zoo.HIGH_NOISE, zoo.HIGH_NOISE_PUSA, "high_noise"),
        (zoo.LOW_NOISE, zoo.LOW_NOISE_PUSA, "low_noise"),
    ):
        model = comfy_nodes.UNETLoader().load_unet(f"{model_name}.safetensors", "default")[0]
        experts.append(pack["PusaLoraLoader"].execute(model, f"{lora}.safetensors", 1.0, expert).result[0])
    switched = pack["PusaMoESwitch"].execute(*experts, 0.875, 0.0, 0.0).result[0]
    made = pusa_image_to_video(pack, switched, latents[:1], scenes[0].caption)
    pair = zoo.Pair(
        zoo.dit(zoo.HIGH_NOISE, {zoo.HIGH_NOISE_PUSA: 1.0}), zoo.dit(zoo.LOW_NOISE, {zoo.LOW_NOISE_PUSA: 1.0})
    )
    given = [FrameCondition(latents[:1, :, :1], 0, 0.0)]
    ours = zoo.sample(pair, [scenes[0].caption], zoo.Settings(steps=6), given)
    torch.testing.assert_close(made, ours, atol=1e-4, rtol=0)


def test_a_progressive_run_through_comfyui_is_the_one_that_the_tables_measure(pack, clips):
    from comfy.latent_formats import Wan21

    scenes, videos, latents = clips
    caption, multipliers = scenes[0].caption, torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0])
    small = zoo.encode(zoo.vae(), progressive_eval.shrunk_pictures(videos[:1], 32, 32))
    kind = progressive_eval.Kind("six steps", {zoo.PUSA: 1.0}, 6, 2.0)
    noise = torch.randn(1, 16, 5, 8, 8, generator=torch.Generator().manual_seed(7))
    runner = progressive_eval.Runner(kind, [caption])
    ours = runner.run(progressive_eval.Way("half", "1/2"), latents[:1], lambda _: small, noise, multipliers)
    given = torch.zeros_like(small)
    given[:, :, :1] = Wan21().process_out(small[:, :, :1])
    model = comfy_nodes.UNETLoader().load_unet(f"{zoo.BASE}.safetensors", "default")[0]
    model = pack["PusaLoraLoader"].execute(model, f"{zoo.PUSA}.safetensors", 1.0, "wan2.1").result[0]
    model = (
        pack["PusaProgressive"]
        .execute(model, "1/2", 0.875, {"samples": given, "noise_multipliers": multipliers})
        .result[0]
    )
    made = pusa_image_to_video(pack, model, latents[:1], caption)
    torch.testing.assert_close(made, ours, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", [path.name for path in FILES if path.parent.name == "loras"])
def test_every_lora_fits_its_model_completely(pack, name):
    expert = "high_noise" if "high_noise" in name else "low_noise" if "low_noise" in name else "wan2.1"
    model_name = {"high_noise": zoo.HIGH_NOISE, "low_noise": zoo.LOW_NOISE, "wan2.1": zoo.BASE}[expert]
    model = comfy_nodes.UNETLoader().load_unet(f"{model_name}.safetensors", "default")[0]
    loader = pack["PusaLoraLoader" if "pusa" in name else "PusaLightX2VLoader"]
    patched = loader.execute(model, name, 1.0, expert).result[0]
    changed = {key for key in patched.patches if key.endswith("weight")}
    assert len(changed) == 40


def test_the_pusa_lora_turns_the_failing_base_into_an_image_to_video_model(clips):
    scenes, videos, latents = clips
    given = [FrameCondition(latents[:, :, :1], 0, 0.0)]
    decoder = zoo.vae()
    quality = {}
    for name, loras in (("base", {}), ("pusa", {zoo.PUSA: 1.0})):
        made = zoo.sample(
            zoo.Pair.single(zoo.dit(zoo.BASE, loras)),
            [scene.caption for scene in scenes],
            zoo.Settings(),
            given,
        )
        quality[name] = psnr(zoo.decode(decoder, made)[:, :, 1:], videos[:, :, 1:]).mean()
    assert quality["pusa"] > quality["base"] + 3.0
