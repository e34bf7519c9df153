"""Both loaders on ComfyUI's own models: what ends up in the weights, and what ends up nowhere."""

import pickle
import time

import comfy.lora
import comfy.model_management
import folder_paths
import nodes as comfy_nodes
import pytest
import safetensors.torch
import torch
from safetensors.torch import save_file

from comfyui_pusa.nodes.host.lora_patches import lora_facts
from pusa_core.errors import PusaError
from pusa_core.lora.experts import HIGH_NOISE, LIGHTX2V, PUSA
from support import tiny_wan
from support.comfy_runs import ksampler, video_latent
from support.loaded_weights import DYNAMIC, loaded_weights
from support.lora_layouts import layouts, pairs, prefixed

TOLERANCE = 1e-6
DIT = "diffusion_model."


@pytest.fixture
def save_lora(models):
    """save_lora(weights, name) -> the name, for the loaders' lora_name."""

    def save(weights, name="test_lora.safetensors", metadata=None):
        save_file(weights, models / "loras" / name, metadata)
        folder_paths.filename_list_cache.clear()
        return name

    return save


@pytest.fixture
def pusa(pack):
    """pusa(model, name, alpha=...) -> (MODEL, text on the node)."""
    return lambda model, name, alpha=1.4, **inputs: _run(pack["PusaLoraLoader"], model, name, alpha, inputs)


@pytest.fixture
def lightx2v(pack):
    """lightx2v(model, name, strength=...) -> (MODEL, text on the node)."""
    return lambda model, name, strength=1.0, **inputs: _run(
        pack["PusaLightX2VLoader"], model, name, strength, inputs
    )


def _run(node, model, name, strength, inputs):
    out = node.execute(model, name, strength, **inputs)
    return out.args[0], out.ui.as_dict()["text"][0]


@pytest.fixture
def weights_in_use():
    """weights_in_use(model) -> its weights by name while ComfyUI has it loaded, float64 copies; unloads it again."""

    return lambda model: {
        name.removeprefix(DIT): value.double() for name, value in loaded_weights(model).items()
    }


def largest_error(weights, base, differences):
    """Largest deviation from base + differences over all weights; differences: name -> tensor."""
    assert set(differences) <= set(weights)
    return max(
        (weights[name] - base[name] - differences.get(name, 0.0)).abs().max().item() for name in weights
    )


@pytest.mark.parametrize("layout", layouts(), ids=lambda layout: layout.name)
def test_every_published_layout_adds_strength_times_scale_times_b_a(
    layout, load_tiny_wan, save_lora, pusa, weights_in_use
):
    model = load_tiny_wan()
    base = weights_in_use(model)
    patched, report = pusa(model, save_lora(layout.weights()), alpha=1.4)
    expected = {f"{layer}.weight": 1.4 * pair.difference for layer, pair in layout.pairs.items()}
    assert largest_error(weights_in_use(patched), base, expected) < TOLERANCE
    assert f"Layers: {len(layout.pairs)} of {len(layout.pairs)} matched" in report


@pytest.mark.parametrize("layout", layouts()[4:7], ids=lambda layout: layout.name)
def test_lightx2v_adds_strength_times_alpha_over_rank(
    layout, load_tiny_wan, save_lora, lightx2v, weights_in_use
):
    model = load_tiny_wan()
    base = weights_in_use(model)
    patched, _ = lightx2v(model, save_lora(layout.weights()), strength=0.7)
    expected = {f"{layer}.weight": 0.7 * pair.difference for layer, pair in layout.pairs.items()}
    assert largest_error(weights_in_use(patched), base, expected) < TOLERANCE


def whole_differences():
    """diff, diff_b and diff_m as LightX2V's Wan2.1 file has them, and the parameters they change."""
    generator = torch.Generator().manual_seed(3)
    shapes = tiny_wan.shapes()
    targets = {
        "blocks.0.self_attn.norm_q.diff": "blocks.0.self_attn.norm_q.weight",
        "blocks.1.norm3.diff": "blocks.1.norm3.weight",
        "blocks.1.norm3.diff_b": "blocks.1.norm3.bias",
        "blocks.0.self_attn.q.diff_b": "blocks.0.self_attn.q.bias",
        "patch_embedding.diff": "patch_embedding.weight",
        "patch_embedding.diff_b": "patch_embedding.bias",
        "head.head.diff": "head.head.weight",
        "blocks.0.diff_m": "blocks.0.modulation",
        "blocks.1.diff_m": "blocks.1.modulation",
        "head.diff_m": "head.modulation",
    }
    weights = {key: 0.1 * torch.randn(shapes[name], generator=generator) for key, name in targets.items()}
    return weights, {targets[key]: weight.double() for key, weight in weights.items()}


def test_whole_differences_reach_weight_bias_and_modulation(
    load_tiny_wan, save_lora, lightx2v, weights_in_use
):
    weights, changed = whole_differences()
    low_rank = pairs(alpha=lambda layer: 4.0)
    file = {f"{DIT}{key}": value for key, value in weights.items()}
    for layer, pair in low_rank.items():
        file |= {
            f"{DIT}{layer}.lora_down.weight": pair.down,
            f"{DIT}{layer}.lora_up.weight": pair.up,
            f"{DIT}{layer}.alpha": torch.tensor(pair.alpha),
        }
    model = load_tiny_wan()
    base = weights_in_use(model)
    patched, report = lightx2v(model, save_lora(file), strength=0.8)
    expected = {name: 0.8 * value for name, value in changed.items()}
    expected |= {f"{layer}.weight": 0.8 * pair.difference for layer, pair in low_rank.items()}
    assert largest_error(weights_in_use(patched), base, expected) < TOLERANCE
    assert f"{len(expected)} of {len(expected)} matched, {len(changed)} of them whole differences" in report


def test_a_layer_with_both_matrices_and_a_difference_gets_both(
    load_tiny_wan, save_lora, pusa, weights_in_use
):
    layer, pair = next(iter(pairs().items()))
    difference = 0.1 * torch.randn(pair.difference.shape, generator=torch.Generator().manual_seed(4))
    file = {
        f"{layer}.lora_A.weight": pair.down,
        f"{layer}.lora_B.weight": pair.up,
        f"{layer}.diff": difference,
    }
    model = load_tiny_wan()
    base = weights_in_use(model)
    patched, _ = pusa(model, save_lora(file), alpha=0.5)
    expected = {f"{layer}.weight": 0.5 * (pair.difference + difference.double())}
    assert largest_error(weights_in_use(patched), base, expected) < TOLERANCE


def test_comfyui_alone_would_leave_modulation_as_it_is(load_tiny_wan, weights_in_use):
    """The reason for patch_bare_parameters; when this fails, ComfyUI patches it and ours must not do it twice."""
    model = load_tiny_wan()
    base = weights_in_use(model)
    patched = model.clone()
    patched.add_patches({f"{DIT}blocks.0.modulation": ("diff", (torch.ones(1, 6, tiny_wan.WIDTH),))}, 1.0)
    assert largest_error(weights_in_use(patched), base, {}) == 0.0


def test_modulation_changes_the_samples_and_is_restored_afterwards(load_tiny_wan, save_lora, lightx2v):
    model = load_tiny_wan()
    latent = video_latent([1.0] * 3)
    before = ksampler(model, latent, steps=2)
    patched, _ = lightx2v(model, save_lora({"blocks.0.diff_m": torch.ones(1, 6, tiny_wan.WIDTH)}))
    assert not torch.allclose(ksampler(patched, latent, steps=2), before, atol=1e-3)
    assert torch.equal(ksampler(model, latent, steps=2), before)


def test_modulation_is_patched_once_however_often_the_model_is_loaded(
    load_tiny_wan, save_lora, lightx2v, weights_in_use
):
    model = load_tiny_wan()
    base = weights_in_use(model)
    difference = torch.ones(1, 6, tiny_wan.WIDTH)
    patched, _ = lightx2v(model, save_lora({"blocks.0.diff_m": difference}))
    comfy.model_management.load_models_gpu([patched])
    patched.partially_load(torch.device("cpu"), 2**30)
    patched.load(torch.device("cpu"), full_load=not DYNAMIC)
    assert largest_error(weights_in_use(patched), base, {"blocks.0.modulation": difference}) < TOLERANCE


@pytest.mark.parametrize("pusa_first", [True, False], ids=["Pusa then LightX2V", "LightX2V then Pusa"])
def test_both_loaders_stack_in_either_order(
    pusa_first, load_tiny_wan, save_lora, pusa, lightx2v, weights_in_use
):
    weights, changed = whole_differences()
    own = pairs(seed=6)
    pusa_file = save_lora(tiny_file(own, ""), "wan21_pusa.safetensors")
    light_file = save_lora(tiny_file(pairs(seed=7), DIT) | weights, "lightx2v_4step.safetensors")
    model = load_tiny_wan()
    base = weights_in_use(model)
    loaders = [lambda m: pusa(m, pusa_file, 1.5)[0], lambda m: lightx2v(m, light_file, 0.9)[0]]
    patched = model
    for load in loaders if pusa_first else reversed(loaders):
        patched = load(patched)
    expected = {name: 0.9 * value for name, value in changed.items()}
    for layer, pair in own.items():
        expected[f"{layer}.weight"] = 1.5 * pair.difference + 0.9 * pairs(seed=7)[layer].difference
    assert largest_error(weights_in_use(patched), base, expected) < TOLERANCE
    assert {facts.loader for facts in lora_facts(patched)} == {PUSA, LIGHTX2V}


def tiny_file(layers, prefix):
    return {
        prefix + layer + end: tensor
        for layer, pair in layers.items()
        for end, tensor in ((".lora_A.weight", pair.down), (".lora_B.weight", pair.up))
    }


def test_a_pt_file_of_the_pusa_authors_layout_is_read(models, load_tiny_wan, pusa, weights_in_use):
    torch.save(tiny_wan.lora(101), models / "loras" / "pusa_v1.pt")
    folder_paths.filename_list_cache.clear()
    model = load_tiny_wan()
    base = weights_in_use(model)
    patched, report = pusa(model, "pusa_v1.pt")
    weights = tiny_wan.lora(101)
    expected = {
        key.removesuffix(".lora_A.default.weight") + ".weight": 1.4
        * weights[key.replace("lora_A", "lora_B")].double()
        @ down.double()
        for key, down in weights.items()
        if "lora_A" in key
    }
    assert largest_error(weights_in_use(patched), base, expected) < TOLERANCE
    assert "Expert: Wan2.1 (from the file name)" in report


if not DYNAMIC:  # whose weights stay as in the file, whatever their type, and are computed at each use; see test_lora_reads.py

    def test_fp8_weights_get_the_same_sum_before_they_are_rounded(tiny_wan_file, save_lora, pusa):
        model = comfy_nodes.UNETLoader().load_unet(tiny_wan_file(10), "fp8_e4m3fn")[0]
        own = pairs(ranks=lambda layer: 1 + layer % 5, alpha=lambda layer: 2.0)
        file = tiny_file(own, DIT) | {f"{DIT}{layer}.alpha": torch.tensor(2.0) for layer in own}
        before = {name: value.clone() for name, value in model.model.state_dict().items()}
        patched, _ = pusa(model, save_lora(file))
        assert before[f"{DIT}blocks.0.self_attn.q.weight"].dtype == torch.float8_e4m3fn
        for layer, pair in own.items():
            name = f"{DIT}{layer}.weight"
            total = comfy.lora.calculate_weight(patched.patches[name], before[name].float(), name)
            torch.testing.assert_close(
                total, (before[name].double() + 1.4 * pair.difference).float(), atol=TOLERANCE, rtol=0
            )
        comfy.model_management.load_models_gpu([patched])
        try:
            for layer, pair in own.items():
                held = model.model.state_dict()[f"{DIT}{layer}.weight"]
                assert held.dtype == torch.float8_e4m3fn
                exact = before[f"{DIT}{layer}.weight"].double() + 1.4 * pair.difference
                # three bits of mantissa, rounded at random: at most one step of 1/8, or of the smallest subnormal
                assert ((held.double() - exact).abs() <= exact.abs() / 8 + 2.0**-9).all()
        finally:
            patched.detach()
        assert all(torch.equal(value, before[name]) for name, value in model.model.state_dict().items())

    def test_low_memory_mode_computes_the_same_weights_on_the_fly(load_tiny_wan, tiny_lora_file, pusa):
        """lowvram_model_memory so small that nothing is loaded: ComfyUI then applies patches in each forward."""
        latent = video_latent([1.0] * 2)
        model = load_tiny_wan()
        patched, _ = pusa(model, tiny_lora_file())
        whole = ksampler(patched, latent, steps=2)
        patched.detach()
        patched.partially_load(torch.device("cpu"), 1)
        assert any(getattr(module, "weight_function", ()) for module in model.model.modules())
        assert torch.allclose(ksampler(patched, latent, steps=2), whole, atol=1e-4)
        patched.detach()


def test_equals_comfyuis_own_loader_where_that_one_reads_the_file(
    load_tiny_wan, save_lora, pusa, weights_in_use, models
):
    name = save_lora(tiny_file(pairs(), DIT))
    model = load_tiny_wan()
    theirs = comfy_nodes.LoraLoaderModelOnly().load_lora_model_only(model, name, 1.4)[0]
    ours, _ = pusa(model, name)
    ours, theirs = weights_in_use(ours), weights_in_use(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_the_base_model_is_untouched_and_two_clones_do_not_see_each_other(
    load_tiny_wan, save_lora, pusa, weights_in_use
):
    model = load_tiny_wan()
    base = weights_in_use(model)
    first, _ = pusa(model, save_lora(tiny_file(pairs(seed=1), ""), "one.safetensors"))
    second, _ = pusa(model, save_lora(tiny_file(pairs(seed=2), ""), "two.safetensors"))
    one, two = weights_in_use(first), weights_in_use(second)
    assert (
        largest_error(one, base, {f"{k}.weight": 1.4 * p.difference for k, p in pairs(seed=1).items()})
        < TOLERANCE
    )
    assert (
        largest_error(two, base, {f"{k}.weight": 1.4 * p.difference for k, p in pairs(seed=2).items()})
        < TOLERANCE
    )
    assert largest_error(weights_in_use(model), base, {}) == 0.0
    assert not model.patches
    assert not lora_facts(model)


def test_the_report_names_file_layout_layers_ranks_scale_and_expert(load_tiny_wan, save_lora, pusa):
    own = pairs(ranks=lambda layer: 2 + layer % 3, alpha=lambda layer: 2.0)
    file = tiny_file(own, DIT) | {f"{DIT}{layer}.alpha": torch.tensor(2.0) for layer in own}
    _, report = pusa(load_tiny_wan(), save_lora(file, "Wan22_PusaV1_lora_HIGH_resized.safetensors"))
    assert report.splitlines() == [
        "Pusa LoRA: Wan22_PusaV1_lora_HIGH_resized.safetensors",
        "Layout: diffusion_model.*, lora_A/lora_B",
        "Layers: 20 of 20 matched",
        "Rank: 2 to 4",
        "Scale: 0.7 to 1.4 (alpha 1.4 * .alpha / rank)",
        "Expert: high-noise (from the file name)",
    ]


def test_facts_travel_with_clones(load_tiny_wan, tiny_lora_file, pusa):
    patched, _ = pusa(load_tiny_wan(), tiny_lora_file(), expert=HIGH_NOISE)
    (facts,) = lora_facts(patched.clone().clone())
    assert (facts.loader, facts.expert, facts.expert_source, facts.strength) == (
        PUSA,
        HIGH_NOISE,
        "node",
        1.4,
    )


def test_a_choice_against_the_file_name_and_a_second_loading_are_said_on_the_node(
    load_tiny_wan, save_lora, pusa
):
    name = save_lora(tiny_file(pairs(), ""), "low_noise_pusa.safetensors")
    once, report = pusa(load_tiny_wan(), name, expert=HIGH_NOISE)
    assert (
        "Warning: expert is set to high_noise, but the file name of low_noise_pusa.safetensors says low-noise."
        in report
    )
    _, report = pusa(once, name)
    assert "Warning: This file is already loaded on this model" in report


def test_a_lora_that_does_not_fit_stops_with_three_keys_and_the_reason(load_tiny_wan, save_lora, pusa):
    file = tiny_file(pairs(), "") | {
        f"blocks.{i}.cross_attn.k_img.lora_{s}.weight": torch.zeros(
            256 if s == "B" else 8, 8 if s == "B" else 256
        )
        for i in (0, 1)
        for s in "AB"
    }
    name = save_lora(file)
    model = load_tiny_wan()
    with pytest.raises(
        PusaError, match=r"4 of 44 keys.*image-to-video LoRA and the model is text-to-video"
    ) as caught:
        pusa(model, name)
    assert str(caught.value).count("k_img") == 3
    patched, report = pusa(model, name, on_mismatch="apply what matches")
    assert "Layers: 20 of 22 matched" in report
    assert "Left out: 4 keys" in report
    assert len(patched.patches) == 20


def test_a_lora_that_fits_nothing_is_refused_even_where_part_would_do(load_tiny_wan, save_lora, pusa):
    name = save_lora(
        {
            "double_blocks.0.img_attn.qkv.lora_A.weight": torch.zeros(4, 8),
            "double_blocks.0.img_attn.qkv.lora_B.weight": torch.zeros(8, 4),
        }
    )
    with pytest.raises(PusaError, match=r"fits nothing.*Flux or HunyuanVideo"):
        pusa(load_tiny_wan(), name, on_mismatch="apply what matches")


@pytest.mark.parametrize(("field", "value"), [("expert", "both"), ("on_mismatch", "ignore")])
def test_a_word_the_drop_down_does_not_have_is_refused(field, value, load_tiny_wan, tiny_lora_file, pusa):
    with pytest.raises(PusaError, match="use one of"):
        pusa(load_tiny_wan(), tiny_lora_file(), **{field: value})


def test_a_replaced_file_is_noticed_before_it_is_half_applied(load_tiny_wan, save_lora, pusa):
    name = save_lora(tiny_file(pairs(), ""), "replaced.safetensors")
    model = load_tiny_wan()
    before = {key: value.clone() for key, value in model.model.state_dict().items()}
    patched, _ = pusa(model, name)
    save_lora(tiny_file(pairs(ranks=lambda layer: 4), ""), name)
    with pytest.raises(PusaError, match="Queue the workflow again"):
        loaded_weights(patched)  # or, in dynamic VRAM, at the first use of a layer
    patched.detach()
    assert all(torch.equal(value, before[key]) for key, value in model.model.state_dict().items())


def test_the_loader_runs_again_only_when_the_file_changed(pack, save_lora):
    node = pack["PusaLoraLoader"]
    name = save_lora(tiny_file(pairs(), ""), "again.safetensors")
    first = node.fingerprint_inputs(lora_name=name, alpha=1.4)
    assert node.fingerprint_inputs(lora_name=name, alpha=1.4) == first
    save_lora(tiny_file(pairs(ranks=lambda layer: 4), ""), name)
    assert node.fingerprint_inputs(lora_name=name, alpha=1.4) != first


def test_no_tensor_of_the_file_stays_in_memory(load_tiny_wan, save_lora, pusa):
    """The patches hold where to read, not what was read."""
    import gc

    patched, _ = pusa(load_tiny_wan(), save_lora(tiny_file(pairs(ranks=lambda layer: 13), prefixed("")(""))))
    comfy.model_management.load_models_gpu([patched])
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is torch.Tensor and 13 in one.shape]
    patched.detach()


def hostile_files():
    """Name and content of files that must change nothing; the kinds of tests/core/test_lora_files.py."""
    good = tiny_file(pairs(), "")
    whole = safetensors.torch.save(good)
    first = next(iter(good))
    return {
        "truncated.safetensors": whole[:-9],
        "magic.safetensors": b"GGUF" + whole,
        "page.safetensors": b"<!DOCTYPE html>" + bytes(100),
        "nan.safetensors": safetensors.torch.save(good | {first: torch.full_like(good[first], float("nan"))}),
        "shape.safetensors": safetensors.torch.save(
            good | {"blocks.0.ffn.0.lora_A.weight": torch.zeros(8, 7)}
        ),
        "path.safetensors": safetensors.torch.save(
            {f"../../../etc/{key}": value for key, value in good.items()}
        ),
        "code.pt": pickle.dumps(Runs()),
        "many.safetensors": safetensors.torch.save(
            good | {f"blocks.{i}.x.lora_A.weight": torch.zeros(1) for i in range(25_000)}
        ),
    }


class Runs:
    """A pickle that ends the test run where it is loaded by a loader that runs code."""

    def __reduce__(self):
        return (pytest.exit, ("code in a LoRA file ran",))


@pytest.mark.parametrize("name", hostile_files())
def test_a_hostile_file_is_refused_and_leaves_the_model_as_it_was(name, models, load_tiny_wan, pusa):
    (models / "loras" / name).write_bytes(hostile_files()[name])
    folder_paths.filename_list_cache.clear()
    model = load_tiny_wan()
    before = {key: value.clone() for key, value in model.model.state_dict().items()}
    state = (dict(model.patches), dict(model.object_patches), dict(model.attachments), model.patches_uuid)
    begun = time.process_time()  # of this process: other work on the machine does not count
    with pytest.raises(PusaError) as caught:
        pusa(model, name)
    assert time.process_time() - begun < 2.0
    assert str(caught.value).endswith((".", ")"))
    assert (model.patches, model.object_patches, model.attachments, model.patches_uuid) == state
    assert all(torch.equal(value, before[key]) for key, value in model.model.state_dict().items())
