"""Claims: a run's settings are one line that names what was run, with which models, LoRAs and prompt."""

import torch

from pusa_core.given_frames import sizes_of
from pusa_core.graph.run_line import model_texts, run_line


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


GRAPH = {
    "h": node("UNETLoader", unet_name="high.safetensors"),
    "l": node("UNETLoader", unet_name="low.safetensors"),
    "ph": node("PusaLoraLoader", model=["h", 0], lora_name="pusa_high.safetensors", alpha=1.5),
    "pl": node("PusaLoraLoader", model=["l", 0], lora_name="pusa_low.safetensors", alpha=1.4),
    "xh": node("PusaLightX2VLoader", model=["ph", 0], lora_name="x_high.safetensors", strength=1.0),
    "full": node("PusaMoESwitch", high_noise=["ph", 0], low_noise=["pl", 0]),
    "quick": node("PusaMoESwitch", high_noise=["xh", 0], low_noise=["pl", 0]),
    "v": node("PusaSpeed", fast=True, fast_model=["quick", 0], full_model=["full", 0]),
    "t": node("CLIPTextEncode", text="A cat\nwalks | slowly"),
    "p": node("PusaPromptTime", conditioning=["t", 0]),
    "s": node("PusaSampler", model=["v", 0], positive=["p", 0]),
}


def test_the_models_of_both_experts_stand_with_their_loras_in_order():
    assert model_texts(GRAPH, "s") == [
        "high.safetensors + pusa_high.safetensors (1.5) + x_high.safetensors (1)",
        "low.safetensors + pusa_low.safetensors (1.4)",
    ]


def test_models_of_the_way_that_was_not_taken_are_not_named():
    slow = {**GRAPH, "v": node("PusaSpeed", fast=False, fast_model=["quick", 0], full_model=["full", 0])}
    assert all("x_high" not in text for text in model_texts(slow, "s"))


def test_stages_are_models_too():
    staged = {
        **GRAPH,
        "s": node("PusaSampler", model=["w", 0]),
        "w": node("PusaStages", earlier=["h", 0], later=["l", 0]),
    }
    assert model_texts(staged, "s") == ["high.safetensors", "low.safetensors"]


def test_the_line_is_one_line_with_the_prompt_last():
    line = run_line({"seed": 5, "cfg": 1.0, "schedule": None}, GRAPH, "s")
    assert line.startswith("Pusa | seed: 5 | cfg: 1 | model: high.safetensors + ")
    assert line.endswith(" | prompt: A cat walks | slowly")
    assert "\n" not in line


def test_without_a_graph_the_settings_alone_are_told():
    assert run_line({"seed": 5}, None, "") == "Pusa | seed: 5"


def test_a_circle_of_models_ends():
    assert model_texts({"a": node("X", model=["b", 0]), "b": node("X", model=["a", 0])}, "a") == []


def test_a_latent_tells_size_length_and_given_frames():
    samples = torch.zeros(1, 16, 5, 60, 104)
    told = sizes_of({"samples": samples, "noise_multipliers": [0.2, 1.0, 1.0, 1.0, 1.0]})
    assert told == {"size": "832x480", "frames": 17, "given": "latent frame 0 (video frame 0) at 0.2"}
    assert sizes_of({"samples": samples})["given"] is None
