"""The doctor on real objects: one right graph and a gallery of wrong ones, made by the nodes a user would connect."""

import folder_paths
import pytest
import torch
from safetensors.torch import save_file

from comfyui_pusa.nodes.doctor import gather
from pusa_core.doctor import diagnose, report
from pusa_core.graph.settings import GraphSettings, read_graph
from pusa_core.schedule import flow_sigmas
from support import tiny_wan
from support.comfy_runs import video_latent
from support.lora_layouts import AB, AB_DEFAULT, DOWN_UP, Layout, pairs, prefixed

FILES = {
    # name: (layout, seed)
    "high_noise_pusa.safetensors": (("", AB_DEFAULT), 1),
    "low_noise_pusa.safetensors": (("", AB_DEFAULT), 2),
    "pusa_v1.safetensors": (("", AB_DEFAULT), 3),
    "lightx2v_4step_high_noise.safetensors": (("diffusion_model.", DOWN_UP), 4),
    "lightx2v_4step_low_noise.safetensors": (("diffusion_model.", DOWN_UP), 5),
    "i2v_pusa_v1.safetensors": (("", AB), 6),
}


@pytest.fixture(scope="session")
def lora_files(models):
    """FILES, saved where the loaders find them."""
    for name, ((prefix, ends), seed) in FILES.items():
        weights = Layout("", prefixed(prefix), *ends, pairs(seed=seed)).weights()
        if name.startswith("i2v"):
            weights |= {
                f"blocks.{block}.cross_attn.k_img{end}": torch.ones(shape)
                for block in range(2)
                for end, shape in zip(ends, ((8, tiny_wan.WIDTH), (tiny_wan.WIDTH, 8)), strict=True)
            }
        save_file(weights, models / "loras" / name)
    folder_paths.filename_list_cache.clear()
    return FILES


@pytest.fixture
def graph_of(pack, load_tiny_wan, lora_files):
    """graph_of(high=..., low=..., ...) -> (MODEL, LATENT) as the sampler gets them."""

    def load(node, model, name, *settings):
        return pack[node].execute(model, name, *settings).args[0]

    def build(
        high=("high_noise_pusa.safetensors", "lightx2v_4step_high_noise.safetensors"),
        low=("low_noise_pusa.safetensors", "lightx2v_4step_low_noise.safetensors"),
        multipliers=(0.2, 1.0, 1.0),
        on_mismatch="stop",
        vectorized=True,
    ):
        experts = []
        for seed, files in ((10, high), (11, low)):
            if files is None:
                continue
            model = load_tiny_wan(seed)
            for name in files:
                if "lightx2v" in name:
                    model = load("PusaLightX2VLoader", model, name, 1.0, "auto", on_mismatch)
                else:
                    model = load("PusaLoraLoader", model, name, 1.4, "auto", on_mismatch)
            experts.append(model)
        model = experts[0] if low is None else pack["PusaMoESwitch"].execute(*experts).args[0]
        latent = video_latent(multipliers)
        if vectorized:
            model = pack["PusaVectorizedTimesteps"].execute(model, latent, 5.0).args[0]
        return model, latent

    return build


def examine(model, latent, sigmas=None, cfg=1.0, sampler_name="euler", frame_rate=16.0, graph=None):
    facts = gather(
        model,
        latent,
        flow_sigmas(4) if sigmas is None else sigmas,
        cfg,
        sampler_name,
        frame_rate,
        graph or GraphSettings(),
    )
    findings = diagnose(facts)
    return [finding.what for finding in findings], report(facts, findings)


def test_a_right_graph_gets_nothing(graph_of):
    found, text = examine(*graph_of())
    assert found == []
    assert text.splitlines()[0] == "Nothing to report."
    for part in (
        "two experts",
        *list(FILES)[:2],
        *list(FILES)[3:5],
        "3 latent frames of 32 x 32",
        "1 given frame",
        "4 steps",
        "cfg 1",
    ):
        assert part in text


def test_wan21_alone_and_without_distillation_gets_nothing(graph_of):
    found, _ = examine(*graph_of(high=["pusa_v1.safetensors"], low=None), sigmas=flow_sigmas(30), cfg=3.0)
    assert found == []


GRAPHS = {
    "swapped experts": (
        dict(high=["low_noise_pusa.safetensors"], low=["high_noise_pusa.safetensors"]),
        dict(sigmas=flow_sigmas(30), cfg=3.0),
        "low_noise_pusa.safetensors and high_noise_pusa.safetensors are swapped",
    ),
    "missing expert": (
        dict(high=["high_noise_pusa.safetensors"], low=None),
        dict(sigmas=flow_sigmas(30), cfg=3.0),
        "The low-noise expert is missing",
    ),
    "Wan2.1 file in a two-expert graph": (
        dict(high=["pusa_v1.safetensors"], low=["low_noise_pusa.safetensors"]),
        dict(sigmas=flow_sigmas(30), cfg=3.0),
        "pusa_v1.safetensors is Pusa's LoRA for Wan2.1",
    ),
    "LoRA that fits in part": (
        dict(high=["i2v_pusa_v1.safetensors"], low=None, on_mismatch="apply what matches"),
        dict(sigmas=flow_sigmas(30), cfg=3.0),
        "i2v_pusa_v1.safetensors is applied in part: 20 of 22 layers",
    ),
    "given frame without a Pusa LoRA": (
        dict(high=(), low=None),
        dict(sigmas=flow_sigmas(30), cfg=3.0),
        "Frames are given, but the model has no Pusa LoRA",
    ),
    "LightX2V with guidance": ({}, dict(cfg=3.0), "LightX2V runs with cfg 3"),
    "LightX2V with eight steps": ({}, dict(sigmas=flow_sigmas(8)), "LightX2V runs with 8 steps"),
    "shift 8": ({}, dict(sigmas=flow_sigmas(4, 8.0)), "The sigmas have a shift of about 8.0"),
    "24 pictures a second": ({}, dict(frame_rate=24.0), "The frame rate is 24"),
    "stochastic sampler": (
        {},
        dict(sampler_name="dpmpp_2m_sde"),
        "The sampler dpmpp_2m_sde adds fresh noise",
    ),
    "multiplier 0.9": (dict(multipliers=(0.2, 1.0, 0.9)), {}, "Latent frame 2 has the noise multiplier 0.9"),
}


@pytest.mark.parametrize(("graph", "settings", "what"), GRAPHS.values(), ids=GRAPHS)
def test_a_wrong_graph_gets_its_fault_named_and_no_other(graph, settings, what, graph_of):
    found, _ = examine(*graph_of(**graph), **settings)
    assert len(found) == 1, found
    assert found[0].startswith(what)


def test_a_latent_of_odd_size_and_a_wrong_base_model_are_named(graph_of, load_tiny_wan, models):
    model, _ = graph_of(vectorized=False)
    found, _ = examine(model, {"samples": torch.zeros(1, 16, 3, 5, 4)})
    assert found == ["The size 32 x 40 is not a multiple of 16."]
    weights = tiny_wan.weights(10)
    weights["patch_embedding.weight"] = torch.randn(tiny_wan.WIDTH, 36, 1, 2, 2)
    save_file(weights, models / "diffusion_models" / "tiny_i2v.safetensors")
    import nodes

    i2v = nodes.UNETLoader().load_unet("tiny_i2v.safetensors", "default")[0]
    found, text = examine(i2v, video_latent((0.2, 1.0)))
    assert found == ["The model is not a Wan text-to-video model."]
    assert "36" in text


def test_a_lora_after_the_switch_counts_for_both_experts(graph_of, pack):
    model, latent = graph_of(
        high=["high_noise_pusa.safetensors"], low=["low_noise_pusa.safetensors"], vectorized=False
    )
    model = pack["PusaLightX2VLoader"].execute(model, "lightx2v_4step_high_noise.safetensors").args[0]
    found, _ = examine(model, latent)
    assert len(found) == 1
    assert found[0].startswith(
        "lightx2v_4step_high_noise.safetensors is a high-noise LoRA, but it is loaded on the low-noise"
    )


def test_the_switch_itself_says_what_is_on_the_wrong_expert(pack, load_tiny_wan, lora_files):
    high, low = (
        pack["PusaLoraLoader"].execute(load_tiny_wan(seed), f"{name}_noise_pusa.safetensors").args[0]
        for seed, name in ((10, "high"), (11, "low"))
    )
    switch = pack["PusaMoESwitch"]
    assert switch.execute(high, low).ui.as_dict()["text"] == ("Each expert carries LoRAs that fit it.",)
    (text,) = switch.execute(low, high).ui.as_dict()["text"]
    assert text.startswith("Warning: low_noise_pusa.safetensors and high_noise_pusa.safetensors are swapped")
    assert switch.execute(load_tiny_wan(10), load_tiny_wan(11)).ui is None


def test_looking_changes_nothing(graph_of):
    model, latent = graph_of()
    patches, options, uuid = dict(model.patches), dict(model.model_options), model.patches_uuid
    samples = latent["samples"].clone()
    examine(model, latent)
    assert (model.patches, model.model_options, model.patches_uuid) == (patches, options, uuid)
    assert torch.equal(latent["samples"], samples)


PROMPT = {
    "1": ("UNETLoader", {"unet_name": "tiny_wan_10.safetensors", "weight_dtype": "default"}),
    "2": ("PusaLoraLoader", {"model": ["1", 0], "lora_name": "tiny_pusa_lora_101_rank8.safetensors", "alpha": 1.4, "expert": "wan2.1"}),
    "3": ("EmptyHunyuanLatentVideo", {"width": 64, "height": 64, "length": 9, "batch_size": 1}),
    "4": ("PusaDoctor", {"model": ["2", 0], "latent": ["3", 0]}),
    "5": ("CreateVideo", {"images": ["6", 0], "fps": 24.0}),
    "6": ("VAEDecode", {"samples": ["3", 0], "vae": ["7", 0]}),
    "7": ("VAELoader", {"vae_name": "tiny_wan_vae.safetensors"}),
}  # fmt: skip


@pytest.mark.server
def test_reports_are_sent_to_the_browser_with_the_settings_of_other_nodes(server):
    prompt = {node: {"class_type": kind, "inputs": inputs} for node, (kind, inputs) in PROMPT.items()}
    assert read_graph(prompt, "4").frame_rates == (24.0,)
    outputs = server.run(prompt).outputs
    assert outputs["4"]["text"][0].startswith("1 finding.\n1. The frame rate is 24.")
    assert outputs["4"]["findings"] == [1]
    assert outputs["2"]["text"][0].startswith("Pusa LoRA: tiny_pusa_lora_101_rank8.safetensors\n")
