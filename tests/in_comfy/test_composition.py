"""Every sampler with every common treatment of a MODEL, on every task: how far from the plain run, and frozen frames unmoved.

PUSA_RECORD=<folder> writes the measured errors as composition.json, from which docs/PERFORMANCE.md takes its table.
"""

import comfy.sd
import pytest
import torch
from safetensors.torch import load_file

from comfyui_pusa.nodes.host.expert_switch import switch_experts
from support import composition, tiny_wan
from support.comfy_runs import ksampler, video_latent
from support.composition import SAMPLERS, TASKS, record, relative_error, vectorized

TREATMENTS = {
    # name: (what it does to a MODEL, largest error against the plain run)
    "TorchCompileModel": (composition.compiled, 1e-5),
    "compile of each block": (composition.compiled_by_block, 1e-5),
    "block patch": (composition.block_patch, 0.0),
    "attention override": (composition.attention_override, 0.0),
    "context windows (one window)": (composition.context_windows, 1e-5),
    "context windows (9 of 17 frames)": (lambda model: composition.context_windows(model, 9, 4), 0.1),
    "EasyCache": (lambda model: composition.easy_cache(model, 0.6), 0.3),
    "LazyCache": (lambda model: composition.lazy_cache(model, 1.5), 0.5),
    "NAG-like attention patch": (composition.attention_patch, 0.2),
}


@pytest.fixture(scope="module")
def plain_runs(tiny_wan_file):
    """Samples of each task and sampler with nothing in between."""
    import nodes

    model = nodes.UNETLoader().load_unet(tiny_wan_file(10), "default")[0]
    with torch.inference_mode():
        return {
            (task, sampler): run(model, video_latent(multipliers))
            for task, multipliers in TASKS.items()
            for sampler, run in SAMPLERS.items()
        }


def check(name, model, plain_runs, bound):
    """Run all tasks and samplers on a treated MODEL; errors within the bound, frames with multiplier 0 as given."""
    errors = {}
    for task, multipliers in TASKS.items():
        for sampler, run in SAMPLERS.items():
            latent = video_latent(multipliers)
            samples = run(model, latent)
            error = relative_error(samples, plain_runs[task, sampler])
            errors[f"{task}, {sampler}"] = float(f"{error:.3g}")
            assert error <= bound, (task, sampler)
            frozen = torch.tensor(multipliers) == 0
            assert torch.equal(samples[:, :, frozen], latent["samples"][:, :, frozen]), (task, sampler)
    record(name, {"bound": bound, "errors": errors})


@pytest.mark.parametrize("name", TREATMENTS)
def test_every_sampler_and_task_works_with(name, load_tiny_wan, plain_runs):
    treatment, bound = TREATMENTS[name]
    torch._dynamo.reset()
    check(name, treatment(load_tiny_wan()), plain_runs, bound)


def test_every_sampler_and_task_works_with_fp8_weights(tiny_wan_file, plain_runs):
    import nodes

    model = nodes.UNETLoader().load_unet(tiny_wan_file(10), "fp8_e4m3fn")[0]
    check("fp8 weights", model, plain_runs, 0.2)


def test_every_sampler_and_task_works_with_custom_ops_as_of_gguf(plain_runs):
    options = {"custom_operations": composition.quantized_ops()}
    model = comfy.sd.load_diffusion_model_state_dict(tiny_wan.weights(10), options)
    check("GGUF-style custom ops", model, plain_runs, 0.05)


@pytest.mark.parametrize("low_vram", [False, pytest.param(True, marks=pytest.mark.core(dynamic_vram=False))])
def test_every_sampler_and_task_works_with_a_lora_as_with_merged_weights(
    low_vram, pack, load_tiny_wan, tiny_lora_file, models, monkeypatch
):
    """low_vram: ComfyUI recomputes the patched weight in every linear at every step instead of once, as dynamic VRAM always does."""
    name = tiny_lora_file(101)
    lora = load_file(models / "loras" / name)
    weights = tiny_wan.weights(10)
    for key in [key for key in lora if key.endswith("lora_A.default.weight")]:
        layer = key.removesuffix(".lora_A.default.weight")
        weights[f"{layer}.weight"] += 1.4 * lora[f"{layer}.lora_B.default.weight"] @ lora[key]
    merged = comfy.sd.load_diffusion_model_state_dict(weights)
    wanted = {
        (task, sampler): run(merged, video_latent(multipliers))
        for task, multipliers in TASKS.items()
        for sampler, run in SAMPLERS.items()
    }
    model = pack["PusaLoraLoader"].execute(model=load_tiny_wan(), lora_name=name, alpha=1.4)[0]
    if low_vram:
        kind = type(model)
        load = kind.load

        def load_nothing(
            self, device_to=None, lowvram_model_memory=0, force_patch_weights=False, full_load=False
        ):
            return load(self, device_to, 1, force_patch_weights, full_load=False)

        monkeypatch.setattr(kind, "load", load_nothing)
    check("LoRA recomputed in every linear (low VRAM)" if low_vram else "LoRA at load", model, wanted, 1e-4)
    if low_vram:
        assert model.model.lowvram_patch_counter > 0


def test_our_wrappers_add_no_graph_and_no_break_to_a_compiled_model(load_tiny_wan):
    """Counted with a backend that keeps its graphs: the same number with vectorized timesteps as without, and one graph
    for all steps."""

    def graphs(latent, patch):
        torch._dynamo.reset()
        kept = []

        def backend(graph, inputs):
            kept.append(graph)
            return graph.forward

        torch._dynamo.utils.counters.clear()
        model = composition.compiled(load_tiny_wan(), backend=backend)
        ksampler(vectorized(model, latent) if patch else model, latent)
        return len(kept), sum(torch._dynamo.utils.counters["graph_break"].values())

    latent = video_latent(TASKS["extension"])
    plain = graphs(latent, patch=False)
    ours = graphs(latent, patch=True)
    record("TorchCompileModel: (graphs, breaks) of a run", {"plain": plain, "vectorized": ours})
    assert ours <= plain


def test_a_model_compiled_after_the_expert_switch_runs_both_experts_and_compiles_in_the_first_run_only(
    load_tiny_wan,
):
    """The compile wrapper holds the compiled high-noise expert; the low-noise one must run its own weights."""

    def switched():
        return switch_experts(load_tiny_wan(10), load_tiny_wan(11), 0.875)

    kept = []

    def backend(graph, inputs):
        kept.append(graph)
        return graph.forward

    torch._dynamo.reset()
    latent = video_latent(TASKS["extension"])
    ksampler(vectorized(composition.compiled(load_tiny_wan(10), backend=backend), latent), latent)
    of_one_expert = len(kept)
    torch._dynamo.reset()
    kept.clear()
    model = composition.compiled(switched(), backend=backend)
    first = ksampler(vectorized(model, latent), latent)
    assert relative_error(first, ksampler(vectorized(switched(), latent), latent)) <= 1e-5
    graphs = len(kept)
    assert of_one_expert < graphs <= 3 * of_one_expert
    assert torch.equal(ksampler(vectorized(model, latent), latent), first)
    assert len(kept) == graphs
