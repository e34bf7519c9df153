"""Claims: Mochi with a timestep for every latent frame is the DiT of Pusa V0.5's authors, and ComfyUI's own where all are equal."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from support import tiny_mochi
from support.comfy_runs import run_node

CASES = ["t2v", "clean", "i2v", "start_end"]


@pytest.fixture(params=CASES)
def golden(request, goldens):
    """(case, exact, first_output) of a golden file, in model space."""
    with safe_open(goldens / "mochi" / f"{request.param}.safetensors", framework="pt") as file:
        return json.loads(file.metadata()["case"]), file.get_tensor("exact"), file.get_tensor("first_output")


def vectorize(model, multipliers):
    """The MODEL after Apply Vectorized Timesteps."""
    from comfyui_pusa.nodes.host.timesteps import vectorize_timesteps

    return vectorize_timesteps(model, torch.tensor(multipliers), 5.0)


def latent_of(case):
    """The LATENT of a golden case, in ComfyUI's space."""
    from comfy.latent_formats import Mochi

    given = Mochi().process_out(tiny_mochi.latent(case["latent"], case["F"], case["h"], case["w"]))
    samples, multipliers = torch.zeros_like(given), torch.ones(case["F"])
    for position, multiplier in case["mult"].items():
        samples[:, :, int(position)] = given[:, :, int(position)]
        multipliers[int(position)] = multiplier
    return {"samples": samples, "noise_multipliers": multipliers}


def sampled(pack, case, route, model):
    """The LATENT that the nodes make of a golden case."""
    latent, prompts = latent_of(case), [tiny_mochi.prompt(*case[name]) for name in ("positive", "negative")]
    if route == "PusaSampler":
        return pack["PusaSampler"].execute(
            model, *prompts, latent, case["seed"], case["steps"], case["cfg"], 5.0, "euler", 1.0
        )[0]
    from comfy.samplers import sampler_object
    from comfy_extras.nodes_custom_sampler import SamplerCustom

    patched = pack["PusaVectorizedTimesteps"].execute(model, latent, 5.0)[0]
    sigmas = pack["PusaScheduler"].execute(case["steps"], model=model)[0]
    return run_node(
        SamplerCustom,
        patched,
        True,
        case["seed"],
        case["cfg"],
        *prompts,
        sampler_object("euler"),
        sigmas,
        latent,
    )[0]


@pytest.mark.parametrize("route", ["PusaSampler", "SamplerCustom"])
def test_the_nodes_give_the_latent_of_the_authors_dit(pack, golden, route, record_property):
    from comfy.latent_formats import Mochi

    case, exact, _ = golden
    samples = sampled(pack, case, route, tiny_mochi.model(case["weights"]))["samples"]
    difference = ((Mochi().process_in(samples) - exact).abs().max() / exact.abs().max()).item()
    record_property("difference", difference)
    assert difference < 1e-5


def test_the_first_output_is_that_of_the_authors_dit(pack, golden, record_property):
    case, _, first = golden
    outputs = []
    model = tiny_mochi.model(case["weights"])
    model.model.diffusion_model.register_forward_hook(lambda dit, given, output: outputs.append(output))
    sampled(pack, {**case, "cfg": 1.0, "steps": 1}, "PusaSampler", model)
    # ComfyUI's module returns minus what the authors' does
    difference = ((outputs[0] + first).abs().max() / first.abs().max()).item()
    record_property("difference", difference)
    assert difference < 5e-6


@pytest.mark.parametrize("multiplier", [0.3, 0.9])
def test_equal_timesteps_are_comfyuis_own_mochi(multiplier):
    from comfy.model_management import load_models_gpu

    model = tiny_mochi.model(1)
    dit, (features, options) = model.model.diffusion_model, tiny_mochi.prompt(2, 17)[0]
    x = tiny_mochi.latent(4, 3, 6, 4)
    given = features, options["attention_mask"], 17
    load_models_gpu([model])
    theirs = dit(x, torch.tensor([multiplier]), *given)
    patched = vectorize(model, [multiplier] * 3)
    load_models_gpu([patched])
    ours = dit(x, torch.full((1, 3), multiplier), *given)
    scalar = dit(x, torch.tensor([multiplier]), *given)
    patched.detach()
    for outputs in (ours, scalar):
        torch.testing.assert_close(outputs, theirs, atol=2e-6 * theirs.abs().max().item(), rtol=0)


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


@pytest.mark.server
@pytest.mark.parametrize(("name", "route"), [("start_end", "PusaSampler"), ("clean", "SamplerCustom")])
def test_a_real_server_gives_the_latent_of_the_authors_dit(goldens, server, name, route, record_property):
    from comfy.latent_formats import Mochi

    with safe_open(goldens / "mochi" / f"{name}.safetensors", framework="pt") as file:
        case, exact = json.loads(file.metadata()["case"]), file.get_tensor("exact")
    prompts = {
        name: node("SeededMochiText", seed=case[name][0], tokens=case[name][1])
        for name in ("positive", "negative")
    }
    run = {"positive": ["positive", 0], "negative": ["negative", 0], "cfg": case["cfg"]}
    graph = {
        **prompts,
        "model": node("SeededMochi", seed=case["weights"]),
        "latent": node(
            "SeededMochiLatent", seed=case["latent"], frames=case["F"], height=case["h"], width=case["w"],
            multipliers=json.dumps(case["mult"]),
        ),
        "sample": node(
            "PusaSampler", model=["model", 0], latent=["latent", 0], seed=case["seed"], steps=case["steps"], shift=5.0,
            sampler_name="euler", denoise=1.0, **run,
        ),
        "save": node("SaveLatent", samples=["sample", 0], filename_prefix="mochi"),
    }  # fmt: skip
    if route == "SamplerCustom":
        graph |= {
            "timesteps": node("PusaVectorizedTimesteps", model=["model", 0], latent=["latent", 0], shift=5.0),
            "sigmas": node(
                "PusaScheduler", steps=case["steps"], shift=5.0, denoise=1.0, schedule="linear quadratic"
            ),
            "euler": node("KSamplerSelect", sampler_name="euler"),
            "sample": node(
                "SamplerCustom", model=["timesteps", 0], add_noise=True, noise_seed=case["seed"], sampler=["euler", 0],
                sigmas=["sigmas", 0], latent_image=["latent", 0], **run,
            ),
        }  # fmt: skip
    samples = load_file(server.files(server.run(graph))[-1])["latent_tensor"]
    difference = ((Mochi().process_in(samples) - exact).abs().max() / exact.abs().max()).item()
    record_property("difference", difference)
    assert difference < 1e-5


@pytest.mark.parametrize("prefix", ["", "diffusion_model."])
def test_a_lora_of_mochis_layers_is_loaded_with_its_coverage(pack, models, prefix):
    import folder_paths

    model = tiny_mochi.model(1)
    shapes = {name: value.shape for name, value in model.model.diffusion_model.named_parameters()}
    layers = [
        f"blocks.{block}.{layer}" for block in range(2) for layer in ("attn.qkv_x", "attn.proj_x", "mlp_x.w1")
    ]
    weights = {}
    for layer in layers:
        outputs, inputs = shapes[f"{layer}.weight"]
        weights[f"{prefix}{layer}.lora_A.default.weight"] = torch.ones(4, inputs)
        weights[f"{prefix}{layer}.lora_B.default.weight"] = torch.ones(outputs, 4)
    save_file(weights, models / "loras" / "tiny_mochi_lora.safetensors")
    folder_paths.filename_list_cache.clear()
    loaded = pack["PusaLoraLoader"].execute(model, "tiny_mochi_lora.safetensors", 1.0)
    assert sorted(loaded[0].patches) == sorted(f"diffusion_model.{layer}.weight" for layer in layers)
    assert "Layers: 6 of 6 matched" in str(loaded.ui.as_dict())
