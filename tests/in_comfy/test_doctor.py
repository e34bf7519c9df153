"""The doctor on real objects: one right graph and a gallery of wrong ones, made by the nodes a user would connect."""

import folder_paths
import pytest
import torch
from safetensors.torch import save_file

from comfyui_pusa.nodes.host.doctor_facts import gather
from pusa_core.doctor import diagnose, report
from pusa_core.graph import GraphFaults, GraphSettings, read_graph
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
        GraphFaults(),
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


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


def image_to_video(latent="inj", model="lora", lora="tiny_pusa_lora_101_rank8.safetensors", **others):
    """A prompt with one injected frame, a sampler that is not run, and a doctor on `latent` and `model`."""
    return {
        "m": node("UNETLoader", unet_name="tiny_wan_10.safetensors", weight_dtype="default"),
        "lora": node("PusaLoraLoader", model=["m", 0], lora_name=lora, alpha=1.4, expert="wan2.1"),
        "vae": node("VAELoader", vae_name="tiny_wan_vae.safetensors"),
        "pic": node("EmptyImage", width=64, height=64, batch_size=1, color=0x336699),
        "empty": node("EmptyHunyuanLatentVideo", width=64, height=64, length=9, batch_size=1),
        "inj": injected("0"),
        "s": node("PusaSampler", model=[model, 0], latent=[latent, 0], seed=1, steps=30, cfg=3.0, shift=5.0, sampler_name="euler"),
        "doc": node("PusaDoctor", model=[model, 0], latent=[latent, 0], frame_rate=0.0),
        **others,
    }  # fmt: skip


def injected(positions):
    return node(
        "PusaConditionFrames", vae=["vae", 0], latent=["empty", 0], images=["pic", 0], positions=positions, noise_multipliers="0.2",
        resize="crop", position_unit="latent frame",
    )  # fmt: skip


def core_sampler(latent, model="ap"):
    return node(
        "KSampler",
        model=[model, 0],
        latent_image=[latent, 0],
        seed=1,
        steps=30,
        cfg=3.0,
        sampler_name="euler",
    )


def applied(latent):
    return node("PusaVectorizedTimesteps", model=["lora", 0], latent=[latent, 0], shift=5.0)


def said_by(server, prompt):
    """The doctor's text, and whether ComfyUI took it from its cache."""
    run = server.run(prompt)
    cached = [data["nodes"] for name, data in run.events if name == "execution_cached"]
    text = next(
        data["output"]["text"][0]
        for name, data in run.events
        if name == "executed" and data["node"] == "doc" and data["output"]
    )
    return text, any("doc" in nodes for nodes in cached)


@pytest.mark.server
def test_the_doctor_runs_again_when_a_setting_of_another_node_changed_and_only_then(server):
    prompt = image_to_video("empty")

    def with_setting(name, value):
        return {**prompt, "s": {**prompt["s"], "inputs": {**prompt["s"]["inputs"], name: value}}}

    assert said_by(server, prompt)[0].startswith("Nothing to report.")
    text, cached = said_by(server, with_setting("cfg", 1.0))
    assert text.startswith("1 finding.\n1. cfg 1 without LightX2V.")
    assert not cached
    text, cached = said_by(server, prompt)
    assert text.startswith("Nothing to report.")
    assert not cached
    text, cached = said_by(server, with_setting("seed", 2))
    assert text.startswith("Nothing to report.")
    assert cached


@pytest.mark.server
def test_a_linked_cfg_is_read_from_its_constant_or_said_to_be_unknown(server):
    prompt = image_to_video("empty", c=node("PrimitiveFloat", value=1.0))
    prompt["s"]["inputs"]["cfg"] = ["c", 0]
    assert said_by(server, prompt)[0].startswith("1 finding.\n1. cfg 1 without LightX2V.")
    prompt["s"]["inputs"] |= {"cfg": 3.0, "steps": ["c", 0]}
    prompt["c"] = node("StringLength", string="thirty steps")
    text, _ = said_by(server, prompt)
    first, unknown, *_ = text.splitlines()
    assert first == "Nothing to report from what is known."
    assert unknown == (
        "Not known before the run: steps of PusaSampler (node s), which comes from StringLength (node c)."
    )


LOST = {
    "Apply gets the empty latent": (
        dict(latent="inj", model="ap", ap=applied("empty"), s=core_sampler("inj")),
        "PusaVectorizedTimesteps (node ap) was given another latent than the one that KSampler (node s) samples.",
    ),
    "KSampler gets the empty latent": (
        dict(latent="empty", model="ap", ap=applied("inj"), s=core_sampler("empty")),
        "PusaVectorizedTimesteps (node ap) was given another latent than the one that KSampler (node s) samples.",
    ),
    "RebatchLatents": (
        dict(latent="rb", rb=node("RebatchLatents", latents=["inj", 0], batch_size=1)),
        "The frames given by PusaConditionFrames (node inj) are lost in RebatchLatents (node rb).",
    ),
    "LatentCompositeMasked": (
        dict(latent="lc", lc=node("LatentCompositeMasked", destination=["empty", 0], source=["inj", 0], x=0, y=0, resize_source=False)),
        "The frames given by PusaConditionFrames (node inj) are lost in LatentCompositeMasked (node lc).",
    ),
    "SaveLatent and LoadLatent": (
        dict(latent="ll", ll=node("LoadLatent", latent="lost.latent")),
        "The latent holds pictures in latent frame 0 and nothing in the others, but no noise multipliers.",
    ),
    "LatentBatch": (
        dict(latent="lb", inj2=injected("-1"), lb=node("LatentBatch", samples1=["inj", 0], samples2=["inj2", 0])),
        "The frames given by PusaConditionFrames (node inj2) are lost in LatentBatch (node lb).",
    ),
}  # fmt: skip


@pytest.mark.server
@pytest.mark.parametrize(("changes", "what"), LOST.values(), ids=LOST)
def test_multipliers_that_a_node_lost_are_found(server, changes, what):
    if "ll" in changes:
        saved = image_to_video(save=node("SaveLatent", samples=["inj", 0], filename_prefix="lost"))
        del saved["doc"]
        server.run(saved)
        (file,) = list(server.output_folder.glob("lost*.latent"))[:1]
        (server.input_folder / "lost.latent").write_bytes(file.read_bytes())
    text, _ = said_by(server, image_to_video(**changes))
    assert text.startswith(f"1 finding.\n1. {what}\n"), text


@pytest.mark.server
def test_a_sampling_patch_before_the_pusa_sampler_is_found(server):
    text, _ = said_by(
        server, image_to_video("empty", model="ms", ms=node("ModelSamplingSD3", model=["lora", 0], shift=8.0))
    )
    assert text.startswith("1 finding.\n1. ModelSamplingSD3 (node ms) sets shift 8, which has no effect.\n")
