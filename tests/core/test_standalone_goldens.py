"""Claims: pusa_core alone, without ComfyUI, gives the reference's latents."""

import json

import pytest
import torch
from safetensors import safe_open

from pusa_core.experts import split_sigmas
from pusa_core.samplers import add_noise, sample_euler
from pusa_core.schedule import TIMESTEPS, flow_sigmas, frame_sigmas, over_frames
from pusa_core.wan_dit import WanDiT
from support import tiny_wan

CASES = ["t2v_wan21", "i2v_clean", "i2v_noise02", "i2v_lora_single", "start_end_moe"]


def expert(seed, case):
    """The tiny model of a seed, with the case's LoRA added: W + alpha * B @ A."""
    weights = tiny_wan.weights(seed)
    if (lora_seed := case.get("lora")) is not None:
        lora = tiny_wan.lora(lora_seed)
        for key in [key for key in lora if "lora_A" in key]:
            up = lora[key.replace("lora_A", "lora_B")]
            weights[key.replace(".lora_A.default", "")] += case["alpha"] * up @ lora[key]
    return WanDiT.from_state_dict(weights)


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_pusa_core_alone_gives_the_reference_latent(name, goldens):
    with safe_open(goldens / f"{name}.safetensors", framework="pt") as file:
        case, exact = json.loads(file.metadata()["case"]), file.get_tensor("exact")
    frames = case["F"]
    multipliers = torch.ones(frames)
    for position, multiplier in case["mult"].items():
        multipliers[int(position)] = multiplier
    sigmas = flow_sigmas(case["steps"], case["shift"])
    torch.testing.assert_close(sigmas, torch.tensor(case["sigmas"]))
    table = frame_sigmas(sigmas, multipliers)
    experts = [expert(case[key], case) for key in ("weights", "low") if key in case]
    high_steps = len(split_sigmas(sigmas, case["boundary"])[0]) - 1 if len(experts) > 1 else case["steps"]
    positive, negative = (tiny_wan.context(case[key]) for key in ("context", "negative"))

    def denoiser(x, step):
        model = experts[0] if step < high_steps else experts[1]
        timestep = TIMESTEPS * table[None, step]
        guided, free = model(x, timestep, positive), model(x, timestep, negative)
        return x - over_frames(table[step]) * (free + case["cfg"] * (guided - free))

    given = tiny_wan.latent(case["latent"], frames, case["h"], case["w"])
    noise = torch.randn(given.shape, generator=torch.Generator().manual_seed(case["seed"]))
    out = sample_euler(denoiser, add_noise(given, noise, over_frames(table[0])), table)
    assert (out - exact).abs().max() < 1e-4
