"""How often a LoRA file is read: at low VRAM, for another strength, for the identity of a run; and names that come by a link."""

import asyncio
import shutil
import uuid
from collections import Counter

import comfy.lora
import comfy.model_management
import folder_paths
import pytest
import torch
from safetensors.torch import load_file, save_file

from comfyui_pusa.nodes.host import lora_loading
from comfyui_pusa.nodes.host.identity import model_identity, weights_identity
from pusa_core.errors import PusaError
from pusa_core.lora import weight_files
from support import tiny_wan
from support.comfy_runs import ksampler, video_latent

STEPS = 3


@pytest.fixture
def reads(monkeypatch):
    """Counts every read of a tensor by its key."""
    counted, read = Counter(), weight_files.SafetensorsFile.read

    def counting(file, key):
        counted[key] += 1
        return read(file, key)

    monkeypatch.setattr(weight_files.SafetensorsFile, "read", counting)
    return counted


@pytest.fixture
def own_lora(models):
    """own_lora(name, seed) -> the name of a LoRA file that no other test has loaded."""

    def save(name=None, seed=101, rank=8):
        name = name or f"reads_{uuid.uuid4().hex}.safetensors"
        save_file(tiny_wan.lora(seed, rank), models / "loras" / name)
        folder_paths.filename_list_cache.clear()
        return name

    return save


@pytest.fixture
def load(pack, load_tiny_wan):
    """load(lora_name, alpha) -> a fresh model after Pusa LoRA Loader."""
    return lambda name, alpha=1.4: pack["PusaLoraLoader"].execute(load_tiny_wan(), name, alpha)[0]


def is_dynamic(model):
    """Whether this ComfyUI runs the model in dynamic VRAM (devtools/dynamic_vram.py makes a core that does so on the CPU)."""
    return getattr(model, "is_dynamic", bool)()


def keep_away(model, monkeypatch):
    """Let ComfyUI load nothing of a model, so that it computes every layer anew at each use; dynamic VRAM does so by itself."""
    if is_dynamic(model):
        return
    kind = type(model)
    load = kind.load

    def load_nothing(
        self, device_to=None, lowvram_model_memory=0, force_patch_weights=False, full_load=False
    ):
        return load(self, device_to, 1, force_patch_weights, full_load=False)

    monkeypatch.setattr(kind, "load", load_nothing)


@pytest.mark.parametrize("steps", [1, STEPS])
def test_at_low_vram_each_matrix_is_read_once_a_step_and_the_table_of_contents_never_again(
    steps, load, own_lora, reads, monkeypatch
):
    model = load(own_lora())
    reads.clear()
    monkeypatch.setattr(weight_files, "safe_open", None)
    keep_away(model, monkeypatch)
    ksampler(model, video_latent([1.0] * 2), steps=steps)
    model.detach()
    assert len(reads) == len(tiny_wan.lora(101))
    assert set(reads.values()) == {steps}


def test_a_layer_that_comfyui_asks_for_three_times_in_a_row_is_read_once(
    load_tiny_wan, load, own_lora, reads, monkeypatch
):
    """As its dynamic VRAM does (comfy/ops.py, cast_modules_with_vbar): the size, the place, the numbers; and the shape at load."""
    monkeypatch.setattr(type(load_tiny_wan()), "is_dynamic", lambda model: True, raising=False)
    model = load(own_lora())
    reads.clear()
    adapters = [entries[0][1] for entries in model.patches.values()]
    for adapter in adapters:
        assert adapter.calculate_shape("any") is None
    assert not reads
    for _ in range(2):
        for adapter in adapters:
            for _ in range(3):
                rebuilt = type(adapter)(adapter.loaded_keys, tuple(adapter.weights))
            assert all(
                torch.equal(a, b) for a, b in zip(rebuilt.weights[:2], adapter.weights[:2], strict=True)
            )
    assert set(reads.values()) == {2}
    name = next(iter(model.patches))
    weight = torch.zeros(tiny_wan.shapes()[name.removeprefix("diffusion_model.")])
    one, other = (
        comfy.lora.calculate_weight([(1.4, adapter, 1.0, None, None)], weight.clone(), name)
        for adapter in (adapters[0], type(adapters[0])(set(), tuple(adapters[0].weights)))
    )
    assert torch.equal(one, other)
    assert one.abs().max() > 0


def test_another_strength_reads_nothing_of_the_file(load, own_lora, reads, monkeypatch):
    name = own_lora()
    load(name, 1.4)
    assert set(reads.values()) == {1}
    reads.clear()

    def opened(*_, **__):
        raise AssertionError("the file was opened again")

    monkeypatch.setattr(weight_files, "safe_open", opened)
    monkeypatch.setattr(weight_files, "open", opened, raising=False)
    load(name, 1.1)
    assert not reads
    monkeypatch.undo()


def test_a_file_that_changed_is_read_and_checked_again(load, own_lora, models):
    name = own_lora()
    load(name)
    weights = tiny_wan.lora(101)
    first = next(iter(weights))
    save_file(weights | {first: torch.full_like(weights[first], float("nan"))}, models / "loras" / name)
    with pytest.raises(PusaError, match="not numbers"):
        load(name)


def test_the_identity_of_a_run_reads_no_matrix(load, own_lora, reads):
    model = load(own_lora())
    reads.clear()
    model_identity(model)
    weights_identity(model)
    assert not reads


def test_the_identity_differs_for_another_file_and_strength_and_not_for_a_copy_of_the_file(
    load, own_lora, models
):
    name = own_lora()
    shutil.copy(models / "loras" / name, models / "loras" / f"copy_of_{name}")
    folder_paths.filename_list_cache.clear()
    for identity in (model_identity, weights_identity):
        found = [
            identity(model)
            for model in (
                load(name),
                load(name),
                load(f"copy_of_{name}"),
                load(name, 1.3),
                load(own_lora(seed=105)),
            )
        ]
        assert found[0] == found[1] == found[2]
        assert len(set(found)) == 3


# A name that comes by a link


def linked_graph(lora_name, into="lora_name"):
    nodes = {
        "base": ("UNETLoader", {"unet_name": "tiny_wan_10.safetensors", "weight_dtype": "default"}),
        "name": ("PrimitiveString", {"value": lora_name}),
        "lora": ("PusaLoraLoader", {"model": ["base", 0], "lora_name": lora_name, "alpha": 1.4, "expert": "auto", into: ["name", 0]}),
        "text": ("SeededText", {"seed": 1}),
        "latent": ("EmptyHunyuanLatentVideo", {"width": 64, "height": 64, "length": 9, "batch_size": 1}),
        "sample": ("PusaSampler", {"model": ["lora", 0], "positive": ["text", 0], "negative": ["text", 0], "latent": ["latent", 0], "seed": 3, "steps": 2, "cfg": 1.0, "shift": 5.0, "sampler_name": "euler", "denoise": 1.0}),
        "save": ("SaveLatent", {"samples": ["sample", 0], "filename_prefix": "linked"}),
    }  # fmt: skip
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


def errors_of(graph):
    """What the server's validator says of the loader in a graph that ends at it."""
    from execution import validate_prompt

    short = {name: graph[name] for name in ("base", "name", "lora")}
    short["end"] = {"class_type": "PreviewAny", "inputs": {"source": ["lora", 0]}}
    valid, _, _, errors = asyncio.run(validate_prompt("test", short, None))
    assert valid is not bool(errors)
    return [error["details"] for error in errors.get("lora", {}).get("errors", ())]


@pytest.mark.parametrize("node", ["PusaLoraLoader", "PusaLightX2VLoader"])
def test_the_validator_takes_a_text_that_is_linked_to_a_drop_down(node, pack, tiny_wan_file, tiny_lora_file):
    tiny_wan_file()
    graph = linked_graph(tiny_lora_file())
    graph["lora"]["class_type"] = node
    if node == "PusaLightX2VLoader":
        graph["lora"]["inputs"]["strength"] = graph["lora"]["inputs"].pop("alpha")
    assert errors_of(graph) == []


def test_the_validator_still_refuses_a_link_of_the_wrong_kind(pack, tiny_wan_file, tiny_lora_file):
    tiny_wan_file()
    [said] = errors_of(linked_graph(tiny_lora_file(), into="alpha"))
    assert said.endswith("alpha is linked to STRING; it takes FLOAT.")
    graph = linked_graph(tiny_lora_file())
    graph["lora"]["inputs"]["lora_name"] = ["base", 0]
    [said] = errors_of(graph)
    assert said.endswith("lora_name is linked to MODEL; it takes COMBO or STRING.")


class AnyType(str):
    """As packs write a type that fits every input."""

    def __ne__(self, other):
        return False


@pytest.mark.parametrize(
    "received", ["COMBO", "STRING", "*", AnyType("*"), "INT,STRING", ["a.safetensors", "b.safetensors"]]
)
def test_what_fits_a_drop_down(received, pack):
    assert pack["PusaLoraLoader"].validate_inputs(input_types={"lora_name": received}) is True


def test_a_linked_name_has_a_fingerprint_that_changes_with_the_files(pack, own_lora):
    """ComfyUI asks before the link has a value, and hands None over."""
    node, name = pack["PusaLoraLoader"], own_lora()
    first = node.fingerprint_inputs(lora_name=None, model=None, alpha=1.4)
    assert node.fingerprint_inputs(lora_name=None, model=None, alpha=1.4) == first
    own_lora(name, rank=4)
    assert node.fingerprint_inputs(lora_name=None, model=None, alpha=1.4) != first


def test_a_name_without_a_file_has_a_fingerprint(pack):
    assert lora_loading.lora_fingerprint("gone.safetensors") == (
        "gone.safetensors",
        ("gone.safetensors", None),
    )


@pytest.mark.server
def test_the_server_runs_a_linked_name_and_keeps_the_result_for_the_next_run(server):
    name = "tiny_pusa_lora_101_rank8.safetensors"
    run = server.run(linked_graph(name))
    again = server.run(linked_graph(name))  # at once: some versions forget what another graph does not use
    direct = linked_graph(name)
    direct["lora"]["inputs"]["lora_name"] = name
    expected = server.run(direct)
    latents = [load_file(server.files(one)[-1])["latent_tensor"] for one in (run, expected)]
    assert torch.equal(*latents)
    cached = [node for kind, data in again.events if kind == "execution_cached" for node in data["nodes"]]
    assert {"base", "name", "lora", "sample"} <= set(cached)
