"""Merge LoRAs: the same weights as ComfyUI's own patching gives, once; and a file that is whole or not there."""

import json
import shutil
from types import MethodType, SimpleNamespace

import comfy.lora
import comfy.model_management
import comfy.sd
import comfy.utils
import folder_paths
import nodes as comfy_nodes
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from comfyui_pusa.nodes.host import merged_models, symbols
from comfyui_pusa.nodes.host.doctor_facts import model_facts
from comfyui_pusa.nodes.host.lora_patches import lora_facts
from comfyui_pusa.nodes.host.merge import MergedWeights, compute_type
from comfyui_pusa.nodes.host.merge_loras import IN_A_FILE, IN_MEMORY, KEEP
from comfyui_pusa.nodes.host.parameters import pieces
from devtools.bench_timing import peak_bytes
from pusa_core.errors import PusaError
from support import composition, tiny_wan
from support.comfy_runs import ksampler, largest_difference, video_latent
from support.composition import vectorized
from support.loaded_weights import DYNAMIC
from support.loaded_weights import loaded_weights as weights_in_use

DIT = "diffusion_model."
MIXED = [0.0, 0.3, 1.0, 1.0, 1.0]


@pytest.fixture
def merged_folder(models):
    """Where merged files go; empty before and after the test."""
    folder = models / "diffusion_models" / "pusa_merged"
    shutil.rmtree(folder, ignore_errors=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def merge(pack, merged_folder):
    """merge(model, keep) -> (MODEL, text on the node)."""

    def run(model, keep=IN_MEMORY):
        out = pack["PusaMergeLoras"].execute(model, keep)
        return out.args[0], out.ui.as_dict()["text"][0]

    return run


def test_experts_whose_loras_core_loaded_are_merged_and_then_joined(
    pack, merge, load_tiny_wan, tiny_lora_file
):
    latent = video_latent(MIXED)
    experts = [
        comfy_nodes.LoraLoaderModelOnly().load_lora_model_only(load_tiny_wan(seed), tiny_lora_file(), 1.0)[0]
        for seed in (10, 11)
    ]
    merged, plain = (
        ksampler(vectorized(pack["PusaMoESwitch"].execute(*pair, 0.875)[0], latent), latent)
        for pair in ([merge(one)[0] for one in experts], experts)
    )
    assert largest_difference(merged, plain) < 1e-4 * plain.abs().max()


def test_what_is_injected_before_merging_is_refused(merge, load_tiny_wan, with_lora):
    model = with_lora(load_tiny_wan()).clone()
    model.set_injections("bypass_lora", [])
    with pytest.raises(PusaError, match="Connect that node after Merge LoRAs"):
        merge(model)


@pytest.fixture
def with_lora(pack, tiny_lora_file):
    """with_lora(model, alpha) -> the model after Pusa LoRA Loader."""
    return lambda model, alpha=1.4: pack["PusaLoraLoader"].execute(model, tiny_lora_file(), alpha)[0]


def same_bits(a, b):
    return a.keys() == b.keys() and all(
        a[name].dtype == b[name].dtype
        and torch.equal(
            a[name].reshape(-1).contiguous().view(torch.uint8),
            b[name].reshape(-1).contiguous().view(torch.uint8),
        )
        for name in a
    )


# Every kind of base model and of patch


def plain_model(tiny_wan_file):
    return comfy_nodes.UNETLoader().load_unet(tiny_wan_file(), "default")[0]


def bf16_model(tiny_wan_file):
    weights = {name: weight.bfloat16() for name, weight in tiny_wan.weights(10).items()}
    return comfy.sd.load_diffusion_model_state_dict(weights, {"dtype": torch.bfloat16})


def fp8_model(tiny_wan_file):
    return comfy_nodes.UNETLoader().load_unet(tiny_wan_file(), "fp8_e4m3fn")[0]


def fp8_fast_model(tiny_wan_file):
    return comfy_nodes.UNETLoader().load_unet(tiny_wan_file(), "fp8_e4m3fn_fast")[0]


def scaled_fp8_model(tiny_wan_file, marker=2):
    """As the fp8_scaled files of Wan: every linear layer of the blocks in fp8 with a scale, the rest in fp16."""
    weights = {"scaled_fp8": torch.zeros(marker, dtype=torch.float8_e4m3fn)}
    for name, weight in tiny_wan.weights(10).items():
        layer = name.removesuffix(".weight")
        if layer != name and weight.ndim == 2:
            scale = weight.abs().amax() / 448
            weights[name] = (weight / scale).to(torch.float8_e4m3fn)
            weights[f"{layer}.scale_weight"] = scale.float()
            if marker == 0:
                weights[f"{layer}.scale_input"] = torch.ones((), dtype=torch.float32)
        else:
            weights[name] = weight.half()
    return comfy.sd.load_diffusion_model_state_dict(weights)


def scaled_fp8_fast_model(tiny_wan_file):
    return scaled_fp8_model(tiny_wan_file, marker=0)


BASES = [plain_model, bf16_model, fp8_model, fp8_fast_model, scaled_fp8_model, scaled_fp8_fast_model]


def pusa_lora(pack, model, models, tiny_lora_file):
    return pack["PusaLoraLoader"].execute(model, tiny_lora_file(), 1.4)[0]


def core_lora(pack, model, models, tiny_lora_file):
    weights = {
        DIT + key.replace(".default", ""): value
        for key, value in load_file(lora_path(tiny_lora_file)).items()
    }
    save_file(weights, models / "loras" / "prefixed.safetensors")
    return comfy_nodes.LoraLoaderModelOnly().load_lora_model_only(model, "prefixed.safetensors", 0.8)[0]


def lora_path(tiny_lora_file):
    return folder_paths.get_full_path_or_raise("loras", tiny_lora_file())


def every_kind_of_difference(pack, model, models, tiny_lora_file):
    """Pairs with .alpha, whole differences, biases, norms and modulation, in one file and on top of another LoRA."""
    generator = torch.Generator().manual_seed(3)
    shapes = tiny_wan.shapes()
    changed = {
        "blocks.0.self_attn.norm_q.diff": "blocks.0.self_attn.norm_q.weight",
        "blocks.1.norm3.diff_b": "blocks.1.norm3.bias",
        "patch_embedding.diff": "patch_embedding.weight",
        "blocks.0.self_attn.q.diff_b": "blocks.0.self_attn.q.bias",
        "blocks.1.diff_m": "blocks.1.modulation",
        "head.diff_m": "head.modulation",
    }
    weights = {key: 0.1 * torch.randn(shapes[name], generator=generator) for key, name in changed.items()}
    for key, value in tiny_wan.lora(104, 4).items():
        weights[key.replace(".default", "")] = value
        if "lora_A" in key:
            weights[key.replace("lora_A.default.weight", "alpha")] = torch.tensor(2.0)
    save_file(weights, models / "loras" / "lightx2v_4step.safetensors")
    folder_paths.filename_list_cache.clear()
    both = core_lora(pack, model, models, tiny_lora_file)
    return pack["PusaLightX2VLoader"].execute(both, "lightx2v_4step.safetensors", 0.9)[0]


def core_difference_of_modulation(pack, model, models, tiny_lora_file):
    """What ComfyUI accepts and never applies: it must not be applied here either."""
    patched = pusa_lora(pack, model, models, tiny_lora_file)
    patched.add_patches({f"{DIT}blocks.0.modulation": ("diff", (torch.ones(1, 6, tiny_wan.WIDTH),))}, 1.0)
    return patched


def other_model(pack, model, models, tiny_lora_file):
    """ModelMergeSimple's patches, which hold the other model's weights."""
    from comfy_extras.nodes_model_merging import ModelMergeSimple

    weights = {name: weight + 0.01 for name, weight in tiny_wan.weights(10).items()}
    other = comfy.sd.load_diffusion_model_state_dict(weights)
    return ModelMergeSimple().merge(pusa_lora(pack, model, models, tiny_lora_file), other, 0.3)[0]


@pytest.mark.parametrize("keep", KEEP)
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(
    "patch", [pusa_lora, core_lora, every_kind_of_difference, core_difference_of_modulation, other_model]
)
def test_the_merged_weights_are_those_of_comfyuis_own_patching_to_the_last_bit(
    patch, base, keep, pack, merge, models, tiny_wan_file, tiny_lora_file
):
    patched = patch(pack, base(tiny_wan_file), models, tiny_lora_file)
    merged, told = merge(patched, keep)
    assert not {key for key in merged.patches if key.endswith((".weight", ".bias"))}
    ours, theirs = weights_in_use(merged), weights_in_use(patched)
    if DYNAMIC:  # casts modulation to the model's type at load, in place, before a LoRA is added
        bare = [name for name in theirs if name.endswith("modulation")]
        assert all(
            torch.allclose(ours.pop(name).float(), theirs.pop(name).float(), rtol=0.2, atol=0.02)
            for name in bare
        )
    assert same_bits(ours, theirs)
    assert "Merged into" in told


@pytest.mark.parametrize("keep", KEEP)
@pytest.mark.parametrize("base", BASES)
def test_the_merged_model_samples_what_the_patched_one_samples(base, keep, merge, with_lora, tiny_wan_file):
    latent = video_latent(MIXED)
    patched = with_lora(base(tiny_wan_file))
    expected = ksampler(vectorized(patched, latent), latent, steps=2)
    merged, _ = merge(patched, keep)
    found = ksampler(vectorized(merged, latent), latent, steps=2)
    if DYNAMIC:  # there a LoRA's sum is not rounded to the weight's type
        assert (found - expected).std() < 0.05 * expected.std()
    else:
        assert torch.equal(found, expected)
    assert merged.model.get_dtype() == patched.model.get_dtype()
    assert merged.model.manual_cast_dtype == patched.model.manual_cast_dtype


@pytest.mark.parametrize("keep", KEEP)
def test_a_model_is_merged_from_its_originals_while_comfyui_has_another_lora_in_its_weights(
    keep, merge, with_lora, load_tiny_wan
):
    model = load_tiny_wan()
    patched, other = with_lora(model, 1.4), with_lora(model, 0.5)
    expected = weights_in_use(patched)
    comfy.model_management.load_models_gpu([other])
    merged, _ = merge(patched, keep)
    other.detach()
    assert same_bits(weights_in_use(merged), expected)


# What stays, what comes along


@pytest.mark.parametrize("keep", KEEP)
def test_the_model_that_is_given_stays_as_it_was(keep, merge, with_lora, load_tiny_wan):
    model = load_tiny_wan()
    base = weights_in_use(model)
    patched = with_lora(model)
    patches, uuid, facts = dict(patched.patches), patched.patches_uuid, lora_facts(patched)
    merged, _ = merge(patched, keep)
    for parameter in merged.model.parameters():
        parameter.data.zero_()  # nothing of it may be the base model's own memory
    assert same_bits(weights_in_use(model), base)
    assert (patched.patches, patched.patches_uuid, lora_facts(patched)) == (patches, uuid, facts)
    assert merged.model is not model.model


def method_of_the_model(model):
    """An object patch of a name without dots that is a method of the model itself."""
    model = model.clone()
    twice = MethodType(lambda base, timestep, **kwargs: 2 * timestep, model.model)
    model.add_object_patch("process_timestep", twice)
    return model


TREATMENTS = [
    method_of_the_model,
    composition.attention_patch,
    composition.block_patch,
    composition.easy_cache,
    composition.context_windows,
    *([] if DYNAMIC else [composition.compiled]),  # dynamo cannot look into the stand-in for dynamic VRAM
    composition.attention_override,
    lambda model: vectorized(model, video_latent(MIXED)),
]


@pytest.mark.parametrize("keep", KEEP)
@pytest.mark.parametrize("treat", TREATMENTS)
def test_what_other_nodes_did_to_the_model_comes_along(treat, keep, merge, with_lora, load_tiny_wan):
    latent = video_latent([1.0] * 5)
    treated = treat(with_lora(load_tiny_wan()))
    expected = ksampler(treated, latent, steps=3)
    merged, _ = merge(treated, keep)
    assert largest_difference(ksampler(merged, latent, steps=3), expected) < 1e-5


def test_the_doctor_still_knows_which_loras_are_in(
    pack, merge, with_lora, models, load_tiny_wan, tiny_lora_file
):
    patched = with_lora(load_tiny_wan())
    merged, _ = merge(patched)
    assert lora_facts(merged) == lora_facts(patched) != ()
    assert model_facts(merged) == model_facts(patched)
    theirs = core_lora(pack, load_tiny_wan(), models, tiny_lora_file)
    merged, _ = merge(theirs)
    assert model_facts(merged).other_patches == model_facts(theirs).other_patches > 0


def test_a_lora_loaded_after_the_merge_adds_to_it(merge, with_lora, load_tiny_wan):
    once = with_lora(load_tiny_wan(), 1.0)
    twice = weights_in_use(with_lora(once, 0.5))
    merged, _ = merge(once)
    after = weights_in_use(with_lora(merged, 0.5))
    assert max(largest_difference(after[name], twice[name]) for name in twice) < 1e-6
    assert len(lora_facts(with_lora(merged, 0.5))) == 2


def test_a_model_without_lora_is_passed_on_as_it_is(merge, load_tiny_wan, merged_folder):
    model = load_tiny_wan()
    for keep in KEEP:
        passed, told = merge(model, keep)
        assert passed is model
        assert told == "This model carries no LoRA. It is passed on as it is."
    assert not merged_folder.exists()


def test_each_expert_is_merged_on_its_own(pack, merge, with_lora, load_tiny_wan):
    latent = video_latent([1.0] * 3)
    experts = [with_lora(load_tiny_wan(seed)) for seed in (10, 11)]
    switch = pack["PusaMoESwitch"]
    expected = ksampler(switch.execute(*experts)[0], latent, steps=4)
    merged = switch.execute(*(merge(expert)[0] for expert in experts))[0]
    assert torch.equal(ksampler(merged, latent, steps=4), expected)
    with pytest.raises(PusaError, match=r"both experts.*before Wan2\.2 MoE Switch, once for each expert"):
        merge(switch.execute(*experts)[0])


# Low VRAM


@pytest.mark.parametrize(  # 0.3.64 keeps less away: of 4 MB too little to tell
    "partly", [1, 2_000_000, pytest.param(4_000_000, marks=pytest.mark.core("0.3.75"))]
)
def test_without_memory_for_the_model_merged_and_recomputed_weights_sample_the_same(
    partly, merge, with_lora, load_tiny_wan, monkeypatch
):
    """partly: bytes ComfyUI may load; the rest it keeps away and, with a LoRA at run time, computes anew at every step."""
    latent = video_latent(MIXED)
    patched = with_lora(load_tiny_wan())
    merged, _ = merge(patched)
    kind = type(patched)
    load = kind.load

    def load_a_part(self, device_to=None, lowvram_model_memory=0, force_patch_weights=False, full_load=False):
        return load(self, device_to, partly, force_patch_weights, full_load=False)

    if not DYNAMIC:  # which loads nothing by itself
        monkeypatch.setattr(kind, "load", load_a_part)
    computed = count_calls(monkeypatch, comfy.lora, "calculate_weight")
    recomputed = ksampler(vectorized(patched, latent), latent)
    assert len(computed) >= 12 * 6, "no weight was computed anew in the steps"
    computed.clear()
    once = ksampler(vectorized(merged, latent), latent)
    assert not computed, "a merged model has no weight to compute"
    assert DYNAMIC or merged.model.model_lowvram
    assert largest_difference(once, recomputed) < 1e-4


def count_calls(monkeypatch, module, name):
    """A list that grows with every call of the module's function."""
    calls, function = [], getattr(module, name)

    def counted(*args, **kwargs):
        calls.append(name)
        return function(*args, **kwargs)

    monkeypatch.setattr(module, name, counted)
    return calls


# Memory


def test_merging_in_memory_takes_one_model_and_a_layer(merge, with_lora, load_tiny_wan):
    patched = with_lora(load_tiny_wan())
    merge(patched)
    sizes = [weight.nbytes for weight in patched.model.diffusion_model.state_dict().values()]
    peak = peak_bytes(torch.device("cpu"), lambda: merge(patched))
    assert peak < sum(sizes) + 4 * max(sizes)


def test_writing_the_file_takes_a_layer(with_lora, load_tiny_wan):
    patched = with_lora(load_tiny_wan())
    weights = MergedWeights(patched)
    layer = max(weights.originals[key].nbytes for key in weights.patched)

    def write():
        for _ in merged_models.for_a_file(weights, lambda: None):
            pass

    assert peak_bytes(torch.device("cpu"), write) < 5 * layer < weights.nbytes / 3


def test_too_little_memory_is_said_before_a_second_model_is_begun(
    merge, with_lora, load_tiny_wan, monkeypatch
):
    patched = with_lora(load_tiny_wan())
    monkeypatch.setattr(merged_models.psutil, "virtual_memory", lambda: SimpleNamespace(available=10**6))
    monkeypatch.setattr(merged_models.psutil, "swap_memory", lambda: SimpleNamespace(free=0))
    with pytest.raises(PusaError, match=r"takes \d+\.\d MB of memory.*1\.0 MB are free.*keep to in a file"):
        merge(patched)
    with pytest.raises(PusaError, match=r"It lies in .*load it with Load Diffusion Model"):
        merge(patched, IN_A_FILE)


# The file


def test_the_second_run_finds_the_file_and_computes_nothing(
    merge, with_lora, load_tiny_wan, merged_folder, monkeypatch
):
    first, told = merge(with_lora(load_tiny_wan()), IN_A_FILE)
    [file] = merged_folder.iterdir()
    assert f"Written: pusa_merged/{file.name}, " in told
    written = file.stat().st_mtime_ns
    renamed = file.rename(file.with_name("my name for it_" + file.name[-28:]))  # 16 digits and the suffix

    monkeypatch.setattr(comfy.lora, "calculate_weight", None)
    again, told = merge(with_lora(load_tiny_wan()), IN_A_FILE)
    assert f"Found, written by an earlier run: pusa_merged/{renamed.name}, " in told
    assert [path.stat().st_mtime_ns for path in merged_folder.iterdir()] == [written]
    assert same_bits(weights_in_use(again), weights_in_use(first))


@pytest.mark.parametrize("other", ["strength", "lora", "base", *([] if DYNAMIC else ["type"])])
def test_another_strength_lora_or_model_is_another_file(
    other, pack, merge, with_lora, load_tiny_wan, tiny_lora_file, tiny_wan_file, merged_folder
):
    merge(with_lora(load_tiny_wan()), IN_A_FILE)
    different = {
        "strength": lambda: with_lora(load_tiny_wan(), 1.3),
        "lora": lambda: pack["PusaLoraLoader"].execute(load_tiny_wan(), tiny_lora_file(105), 1.4)[0],
        "base": lambda: with_lora(load_tiny_wan(11)),
        "type": lambda: with_lora(fp8_model(tiny_wan_file)),
    }[other]
    _, told = merge(different(), IN_A_FILE)
    assert "Written" in told
    assert len(list(merged_folder.iterdir())) == 2


def test_the_file_is_named_after_base_and_loras_and_says_what_went_in(
    pack, merge, with_lora, load_tiny_wan, merged_folder, monkeypatch
):
    prompt = {
        "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "wan/tiny wan 10.safetensors"}},
        "2": {"class_type": "LoraLoaderModelOnly", "inputs": {"model": ["1", 0], "lora_name": "style.pt"}},
        "3": {"class_type": "PusaLoraLoader", "inputs": {"model": ["2", 0], "lora_name": "tiny_pusa_lora_101_rank8.safetensors"}},
        "4": {"class_type": "PusaMergeLoras", "inputs": {"model": ["3", 0], "keep": IN_A_FILE}},
    }  # fmt: skip
    monkeypatch.setattr(
        pack["PusaMergeLoras"], "hidden", SimpleNamespace(prompt=prompt, unique_id="4"), raising=False
    )
    patched = with_lora(load_tiny_wan())
    _, told = merge(patched, IN_A_FILE)
    [file] = merged_folder.iterdir()
    assert file.name.startswith("tiny_wan_10+style+tiny_pusa_lora_101_rank8_")
    assert "weights: style, tiny_pusa_lora_101_rank8\n" in told
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    assert metadata["pusa_merged_base"] == "tiny wan 10"
    assert json.loads(metadata["pusa_merged_lora_names"]) == ["style", "tiny_pusa_lora_101_rank8"]
    assert metadata["pusa_merged_weights"] == f"12 of {len(tiny_wan.shapes())}"
    [facts] = json.loads(metadata["pusa_merged_loras"])
    assert (facts["strength"], facts["fingerprint"]) == (1.4, lora_facts(patched)[0].fingerprint)


def test_load_diffusion_model_reads_the_file_without_the_base_model(
    merge, with_lora, load_tiny_wan, merged_folder
):
    merged, _ = merge(with_lora(load_tiny_wan()), IN_A_FILE)
    [file] = merged_folder.iterdir()
    folder_paths.filename_list_cache.clear()
    name = next(
        name for name in folder_paths.get_filename_list("diffusion_models") if name.endswith(file.name)
    )
    alone = comfy_nodes.UNETLoader().load_unet(name, "default")[0]
    assert same_bits(weights_in_use(alone), weights_in_use(merged))


def test_a_cancelled_run_leaves_no_file_and_the_next_one_writes_it(
    merge, with_lora, load_tiny_wan, merged_folder, monkeypatch
):
    looks = []
    check = comfy.model_management.throw_exception_if_processing_interrupted

    def cancelled_in_the_middle():
        looks.append(list(merged_folder.iterdir()))
        if len(looks) == 20:
            comfy.model_management.interrupt_current_processing()
        check()

    monkeypatch.setattr(
        comfy.model_management, "throw_exception_if_processing_interrupted", cancelled_in_the_middle
    )
    patched = with_lora(load_tiny_wan())
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        merge(patched, IN_A_FILE)
    assert [path.suffix for path in looks[-1]] == [".part"]
    assert list(merged_folder.iterdir()) == []
    monkeypatch.undo()
    assert "Written" in merge(patched, IN_A_FILE)[1]


def test_in_memory_a_cancelled_run_ends_between_two_weights(merge, with_lora, load_tiny_wan):
    patched = with_lora(load_tiny_wan())
    comfy.model_management.interrupt_current_processing()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        merge(patched)


@pytest.mark.parametrize("damage", ["cut off", "empty", "not safetensors", "left half by a crash"])
def test_half_a_file_is_not_taken_for_a_whole_one(damage, merge, with_lora, load_tiny_wan, merged_folder):
    merged, _ = merge(with_lora(load_tiny_wan()), IN_A_FILE)
    [file] = merged_folder.iterdir()
    whole, expected = file.read_bytes(), weights_in_use(merged)
    half = {"cut off": whole[: len(whole) // 2], "empty": b"", "not safetensors": b"<html>" * 100}
    if damage in half:
        file.unlink()  # dynamic VRAM has the whole one mapped
        file.write_bytes(half[damage])
    else:
        file.rename(f"{file}.part").write_bytes(whole[:1000])
    again, told = merge(with_lora(load_tiny_wan()), IN_A_FILE)
    assert "Written" in told
    assert [path.read_bytes() == whole for path in merged_folder.iterdir()] == [True]
    assert same_bits(weights_in_use(again), expected)


def test_a_full_disk_is_said_before_anything_is_written(
    merge, with_lora, load_tiny_wan, merged_folder, monkeypatch
):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3_000_000))
    with pytest.raises(PusaError, match=r"needs \d+\.\d MB in .*pusa_merged, and 3\.0 MB are free there"):
        merge(with_lora(load_tiny_wan()), IN_A_FILE)
    assert list(merged_folder.iterdir()) == []


def test_a_disk_that_fails_while_writing_leaves_nothing(
    merge, with_lora, load_tiny_wan, merged_folder, monkeypatch
):
    import os

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        merge(with_lora(load_tiny_wan()), IN_A_FILE)
    assert list(merged_folder.iterdir()) == []


# What cannot be merged


def test_a_model_in_a_quantised_form_of_its_own_is_refused(merge, with_lora):
    weights = tiny_wan.weights(10)
    model = comfy.sd.load_diffusion_model_state_dict(
        weights, {"custom_operations": composition.quantized_ops()}
    )
    with pytest.raises(
        PusaError, match=r"form of its own \(QuantizedOps; GGUF.*Merge the LoRAs into the model as it was"
    ):
        merge(with_lora(model))


def test_a_patcher_of_another_pack_is_refused(merge, with_lora, load_tiny_wan):
    model = with_lora(load_tiny_wan())

    class GGUFModelPatcher(type(model)):
        def patch_weight_to_device(self, key, device_to=None, inplace_update=False):
            raise AssertionError("not asked")

    model.__class__ = GGUFModelPatcher
    with pytest.raises(PusaError, match=r"GGUFModelPatcher; GGUF loaders do so"):
        merge(model)


def fp8_layer(weights):
    """Quantisation of one layer, as ComfyUI knows it since 0.3.7x: metadata of the file. Changes the weights."""
    layers = {"blocks.0.ffn.0": {"format": "float8_e4m3fn"}}
    weights["blocks.0.ffn.0.weight"] = weights["blocks.0.ffn.0.weight"].to(torch.float8_e4m3fn)
    weights["blocks.0.ffn.0.weight_scale"] = torch.ones(())
    return {"_quantization_metadata": json.dumps({"format_version": "1.0", "layers": layers})}


def says_what_it_is_made_of(model):
    """Whether this ComfyUI's quantised weights name the tensors they are made of (since 0.4)."""
    return hasattr(model.model.diffusion_model.blocks[0].ffn[0].weight, "state_dict")


@pytest.mark.core("0.3.75")
def test_a_quantised_layer_is_merged_or_refused_in_words(merge, with_lora):
    weights = tiny_wan.weights(10)
    model = comfy.sd.load_diffusion_model_state_dict(weights, metadata=fp8_layer(weights))
    if says_what_it_is_made_of(model):
        patched = with_lora(model)
        assert same_bits(weights_in_use(merge(patched)[0]), weights_in_use(patched))
    else:
        with pytest.raises(PusaError, match=r"blocks\.0\.ffn\.0\.weight is kept in quantised form"):
            merge(with_lora(model))


class LayerOfNewerComfyUI(torch.nn.Linear):
    """A double of a quantised layer since 0.4: entries of its state dict that are no parameters, and a way to set its weight."""

    def state_dict(self, *args, destination=None, prefix="", **kwargs):
        found = {} if destination is None else destination
        found |= {f"{prefix}weight": self.weight, f"{prefix}bias": self.bias}
        found[f"{prefix}weight_scale"] = torch.ones(())
        return found


def test_entries_of_the_state_dict_that_are_no_parameters_are_no_weights(with_lora, load_tiny_wan):
    """ModelPatcher.get_key_patches fails on them (fault of ComfyUI since 0.4, ModelMergeSimple fails there too)."""
    model = load_tiny_wan()
    model.model.diffusion_model.blocks[0].ffn[0].__class__ = LayerOfNewerComfyUI
    weights = MergedWeights(with_lora(model))
    assert f"{DIT}blocks.0.ffn.0.weight" in weights.originals
    assert f"{DIT}blocks.0.ffn.0.weight_scale" not in weights.originals
    assert list(weights.rest) == ["blocks.0.ffn.0.weight_scale"]
    assert "blocks.0.ffn.0.weight_scale" in weights.names


def quantised_formats():
    """Formats in which this ComfyUI can give a weight back; none before 0.4."""
    try:
        import comfy.quant_ops
    except ModuleNotFoundError:
        return []
    formats = getattr(comfy.quant_ops, "QUANT_ALGOS", {})
    return list(formats) if hasattr(comfy.quant_ops.QuantizedTensor, "state_dict") else []


def quantised_model(form):
    """The tiny model with the linear layers of its blocks in a format of ComfyUI's QUANT_ALGOS."""
    from comfy.quant_ops import QUANT_ALGOS, QuantizedTensor

    weights = {}
    for name, weight in tiny_wan.weights(10).items():
        layer = name.removesuffix(".weight")
        weights[name] = weight
        if layer != name and weight.ndim == 2 and name.startswith("blocks."):
            kept = QuantizedTensor.from_float(weight.bfloat16(), QUANT_ALGOS[form]["comfy_tensor_layout"])
            weights |= kept.state_dict(name)
            told = json.dumps({"format": form}).encode()
            weights[f"{layer}.comfy_quant"] = torch.tensor(list(told), dtype=torch.uint8)
    return comfy.sd.load_diffusion_model_state_dict(weights)


if quantised_formats():  # no test at all where there is none, rather than one that is skipped

    @pytest.mark.parametrize("keep", KEEP)
    @pytest.mark.parametrize("form", quantised_formats())
    def test_every_quantised_form_is_merged_to_the_bits_of_comfyuis_own_patching(
        form, keep, pack, merge, models, tiny_lora_file
    ):
        base = quantised_model(form)
        untouched = weights_in_use(base)
        patched = every_kind_of_difference(pack, base, models, tiny_lora_file)
        merged, _ = merge(patched, keep)
        assert same_bits(weights_in_use(merged), weights_in_use(patched))
        for parameter in merged.model.parameters():
            for part in pieces("", parameter).values():
                part.reshape(-1).view(torch.uint8).zero_()  # nothing of it may be the base model's own memory
        assert same_bits(weights_in_use(base), untouched)


def test_the_sum_is_made_in_the_type_that_comfyui_takes_for_the_device(
    monkeypatch, merge, with_lora, load_tiny_wan
):
    """float16 on most GPUs since 0.12; before that there is no such function, and the type is float32."""
    had_it = hasattr(comfy.model_management, "lora_compute_dtype")
    assert compute_type(torch.device("cpu")) == torch.float32
    monkeypatch.setattr(
        comfy.model_management, "lora_compute_dtype", lambda device: torch.float16, raising=False
    )
    symbols.probe()
    try:
        assert compute_type(torch.device("cpu")) == torch.float16
        if had_it:
            patched = with_lora(load_tiny_wan())
            assert same_bits(weights_in_use(merge(patched)[0]), weights_in_use(patched))
    finally:
        monkeypatch.undo()
        symbols.probe()


def test_a_module_that_another_node_put_in_is_refused(merge, with_lora, load_tiny_wan):
    model = with_lora(load_tiny_wan())
    model.add_object_patch("diffusion_model.head", torch.nn.Identity())
    with pytest.raises(
        PusaError, match=r"replaced diffusion_model\.head.*Connect Merge LoRAs before that node"
    ):
        merge(model)


def test_a_patch_that_changes_a_shape_is_refused(merge, load_tiny_wan):
    model = load_tiny_wan()
    wider = torch.zeros(tiny_wan.WIDTH, 32, 1, 2, 2)
    model.add_patches({f"{DIT}patch_embedding.weight": ("diff", (wider, {"pad_weight": True}))}, 1.0)
    with pytest.raises(PusaError, match=r"changes the shape of diffusion_model\.patch_embedding\.weight"):
        merge(model)


def test_a_model_that_comfyuis_loader_takes_for_another_kind_is_refused(merge, with_lora, load_tiny_wan):
    import comfy.model_base

    model = load_tiny_wan()

    class Special(comfy.model_base.WAN21):
        pass

    model.model.__class__ = Special
    with pytest.raises(PusaError, match=r"loader makes WAN21 of this model's weights \(Special\)"):
        merge(with_lora(model))


def test_an_unknown_keep_is_refused(merge, with_lora, load_tiny_wan):
    with pytest.raises(PusaError, match="keep is 'on the moon'; use one of in memory, in a file"):
        merge(with_lora(load_tiny_wan()), "on the moon")


# The server


def graph(keep, merged=True, lora="tiny_pusa_lora_101_rank8.safetensors"):
    nodes = {
        "base": ("UNETLoader", {"unet_name": "tiny_wan_10.safetensors", "weight_dtype": "default"}),
        "lora": ("PusaLoraLoader", {"model": ["base", 0], "lora_name": lora, "alpha": 1.4, "expert": "auto"}),
        "merge": ("PusaMergeLoras", {"model": ["lora", 0], "keep": keep}),
        "text": ("SeededText", {"seed": 1}),
        "latent": ("EmptyHunyuanLatentVideo", {"width": 64, "height": 64, "length": 9, "batch_size": 1}),
        "sample": ("PusaSampler", {"model": ["merge" if merged else "lora", 0], "positive": ["text", 0], "negative": ["text", 0], "latent": ["latent", 0], "seed": 3, "steps": 2, "cfg": 1.0, "shift": 5.0, "sampler_name": "euler", "denoise": 1.0}),
        "save": ("SaveLatent", {"samples": ["sample", 0], "filename_prefix": "merged"}),
    }  # fmt: skip
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


@pytest.mark.server
@pytest.mark.parametrize("keep", KEEP)
def test_the_server_samples_the_same_latent_with_the_lora_merged(keep, server):
    expected = load_file(server.files(server.run(graph(keep, merged=False)))[-1])["latent_tensor"]
    run = server.run(graph(keep))
    assert torch.equal(load_file(server.files(run)[-1])["latent_tensor"], expected)
    assert run.outputs["merge"]["text"][0].startswith(
        f"Merged into 12 of {len(tiny_wan.shapes())} weights: tiny_pusa_lora_101_rank8\n"
    )
    if keep == IN_A_FILE:
        [file] = server.base.rglob("pusa_merged/*")
        assert file.name.startswith("tiny_wan_10+tiny_pusa_lora_101_rank8_")
        server.free()
        changed = graph(keep)
        changed["lora"]["inputs"]["on_mismatch"] = "apply what matches"  # so that ComfyUI runs the nodes anew
        assert "Found, written by an earlier run" in server.run(changed).outputs["merge"]["text"][0]
        file.unlink()
