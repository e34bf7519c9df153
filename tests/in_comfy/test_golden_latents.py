"""Claims: the nodes give the reference's latents, file by file."""

import json

import pytest
import torch
from safetensors import safe_open

from support import tiny_wan

CASES = ["t2v_wan21", "i2v_clean", "i2v_noise02", "i2v_lora_single", "start_end_moe"]


@pytest.fixture(params=CASES)
def golden(request, goldens):
    """(case, exact, integer): a golden file's recipe and its two latents in model space."""
    with safe_open(goldens / f"{request.param}.safetensors", framework="pt") as file:
        return json.loads(file.metadata()["case"]), file.get_tensor("exact"), file.get_tensor("integer")


def golden_latent(case):
    """The LATENT a golden case starts from: conditions in place, in ComfyUI's latent space."""
    from comfy.latent_formats import Wan21

    samples = torch.zeros(1, 16, case["F"], case["h"], case["w"])
    multipliers = torch.ones(case["F"])
    conditions = tiny_wan.latent(case["latent"], case["F"], case["h"], case["w"])
    for position, multiplier in case["mult"].items():
        samples[:, :, int(position)] = Wan21().process_out(conditions)[:, :, int(position)]
        multipliers[int(position)] = multiplier
    return {"samples": samples, "noise_multipliers": multipliers}


def golden_model(case, pack, load_tiny_wan, tiny_lora_file):
    """The MODEL of a golden case, made by the nodes."""

    def expert(seed):
        model = load_tiny_wan(seed)
        if case.get("lora") is None:
            return model
        loader = pack["PusaLoraLoader"]
        return loader.execute(
            model=model, lora_name=tiny_lora_file(case["lora"]), alpha=case["alpha"], expert="auto"
        )[0]

    if case.get("low") is None:
        return expert(case["weights"])
    switch = pack["PusaMoESwitch"]
    return switch.execute(expert(case["weights"]), expert(case["low"]), boundary=case["boundary"])[0]


def test_the_sampler_node_gives_the_reference_latent(golden, pack, load_tiny_wan, tiny_lora_file):
    from comfy.latent_formats import Wan21

    case, exact, integer = golden
    out = pack["PusaSampler"].execute(
        golden_model(case, pack, load_tiny_wan, tiny_lora_file),
        [[tiny_wan.context(case["context"]), {}]],
        [[tiny_wan.context(case["negative"]), {}]],
        golden_latent(case),
        seed=case["seed"],
        steps=case["steps"],
        cfg=case["cfg"],
        shift=case["shift"],
    )[0]
    difference = (Wan21().process_in(out["samples"]) - exact).abs().max().item()
    assert difference < 1e-4
    assert difference < 0.01 * (integer - exact).abs().max().item()
