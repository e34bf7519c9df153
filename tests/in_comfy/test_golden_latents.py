"""Claims: the nodes give the reference's latents, file by file, in a real server."""

import json

import pytest
from safetensors import safe_open
from safetensors.torch import load_file

CASES = ["t2v_wan21", "i2v_clean", "i2v_noise02", "i2v_lora_single", "start_end_moe"]


@pytest.fixture(params=CASES)
def golden(request, goldens):
    """(case, exact, integer): a golden file's recipe and its two latents in model space."""
    with safe_open(goldens / f"{request.param}.safetensors", framework="pt") as file:
        return json.loads(file.metadata()["case"]), file.get_tensor("exact"), file.get_tensor("integer")


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


def golden_graph(case, tiny_wan_file, tiny_lora_file, route):
    """The API prompt of a golden case by PusaSampler or by Apply Vectorized Timesteps and SamplerCustom."""

    def expert(graph, name, seed):
        graph[name] = node("UNETLoader", unet_name=tiny_wan_file(seed), weight_dtype="default")
        if case.get("lora") is not None:
            lora = {"lora_name": tiny_lora_file(case["lora"]), "alpha": case["alpha"], "expert": "auto"}
            graph[f"{name}_lora"] = node("PusaLoraLoader", model=[name, 0], **lora)
            return [f"{name}_lora", 0]
        return [name, 0]

    graph = {
        "positive": node("SeededText", seed=case["context"]),
        "negative": node("SeededText", seed=case["negative"]),
        "latent": node(
            "SeededLatent",
            seed=case["latent"],
            frames=case["F"],
            size=case["h"],
            multipliers=json.dumps(case["mult"]),
        ),
    }
    model = expert(graph, "high", case["weights"])
    if case.get("low") is not None:
        low = expert(graph, "low", case["low"])
        graph["switch"] = node(
            "PusaMoESwitch",
            high_noise=model,
            low_noise=low,
            boundary=case["boundary"],
            high_noise_cfg=0,
            low_noise_cfg=0,
        )
        model = ["switch", 0]
    schedule = {"steps": case["steps"], "shift": case["shift"], "denoise": 1.0}
    run = {"positive": ["positive", 0], "negative": ["negative", 0], "cfg": case["cfg"]}
    if route == "PusaSampler":
        graph["sample"] = node(
            route,
            model=model,
            latent=["latent", 0],
            seed=case["seed"],
            sampler_name="euler",
            **run,
            **schedule,
        )
    else:
        graph["timesteps"] = node(
            "PusaVectorizedTimesteps", model=model, latent=["latent", 0], shift=case["shift"]
        )
        graph["sigmas"] = node("PusaScheduler", **schedule)
        graph["euler"] = node("KSamplerSelect", sampler_name="euler")
        graph["sample"] = node(
            "SamplerCustom", model=["timesteps", 0], add_noise=True, noise_seed=case["seed"], sampler=["euler", 0],
            sigmas=["sigmas", 0], latent_image=["latent", 0], **run,
        )  # fmt: skip
    graph["save"] = node("SaveLatent", samples=["sample", 0], filename_prefix="golden")
    return graph


@pytest.mark.server
@pytest.mark.parametrize("route", ["PusaSampler", "SamplerCustom"])
def test_the_server_gives_the_reference_latent(
    golden, route, server, tiny_wan_file, tiny_lora_file, record_property
):
    from comfy.latent_formats import Wan21

    case, exact, integer = golden
    run = server.run(golden_graph(case, tiny_wan_file, tiny_lora_file, route))
    samples = load_file(server.files(run)[-1])["latent_tensor"]
    difference = (Wan21().process_in(samples) - exact).abs().max().item()
    record_property("difference", difference)
    assert difference < 1e-4
    assert (
        difference < 0.01 * (integer - exact).abs().max().item()
    )  # the reference's own truncation is visible beside it
