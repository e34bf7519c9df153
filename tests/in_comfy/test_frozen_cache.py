"""Pusa Frozen Frame Cache: exact where nothing is left out, close where it is, gone after a run."""

from types import MethodType

import comfy.ldm.wan.model
import comfy.model_management
import pytest
import torch

from comfyui_pusa.nodes.frozen_cache import PusaFrozenFrameCache
from comfyui_pusa.nodes.host import frozen_cache
from comfyui_pusa.nodes.host.expert_switch import switch_experts
from comfyui_pusa.nodes.host.frozen_cache import cache_frozen_frames
from comfyui_pusa.pusa_core.errors import PusaError
from support import composition
from support.comfy_runs import ksampler, run_node, video_latent
from support.composition import SAMPLERS, relative_error, vectorized

EXTENSION = (0.0, 0.0, 0.2, 1.0, 1.0)


def run(model, multipliers=EXTENSION, sampler="KSampler"):
    return SAMPLERS[sampler](model, video_latent(multipliers))


@pytest.fixture
def tokens_of_blocks(monkeypatch):
    """Tokens that every call of a block's feed-forward got, in order."""
    seen = []
    forward = comfy.ldm.wan.model.WanT2VCrossAttention.forward

    def counted(self, x, *args, **kwargs):
        seen.append(x.shape[1])
        return forward(self, x, *args, **kwargs)

    monkeypatch.setattr(comfy.ldm.wan.model.WanT2VCrossAttention, "forward", counted)
    return seen


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_refreshing_at_every_step_gives_the_bits_of_no_cache(load_tiny_wan, sampler):
    cached = cache_frozen_frames(load_tiny_wan(), 1, 0.0, 1.0, 0.0)
    assert torch.equal(run(cached, sampler=sampler), run(load_tiny_wan(), sampler=sampler))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("up_to", [0.0, 0.2])
def test_free_frames_stay_close_and_given_frames_stay_exact(load_tiny_wan, sampler, up_to):
    cached, plain = cache_frozen_frames(load_tiny_wan(), 3, 0.0, 1.0, up_to), load_tiny_wan()
    ours, theirs = run(cached, sampler=sampler), run(plain, sampler=sampler)
    assert not torch.equal(ours, theirs)
    assert relative_error(ours[:, :, 3:], theirs[:, :, 3:]) < 0.05
    assert torch.equal(ours[:, :, :2], video_latent(EXTENSION)["samples"][:, :, :2])


def test_skip_layer_guidance_has_a_memory_of_its_own(load_tiny_wan):
    """Its further call with the positive prompt skips blocks, so that keys after them are others."""
    from comfy_extras.nodes_slg import SkipLayerGuidanceDiT

    guided = run_node(SkipLayerGuidanceDiT, load_tiny_wan(), 3.0, 0.0, 1.0, "0", "0")[0]
    sampled = [
        ksampler(vectorized(model, latent), latent, cfg=1.0)
        for latent in [video_latent(EXTENSION)]
        for model in (guided, cache_frozen_frames(guided, 3, 0.0, 1.0, 0.0))
    ]
    assert not torch.equal(*sampled)
    assert relative_error(sampled[1][:, :, 3:], sampled[0][:, :, 3:]) < 0.005


def test_tokens_of_frozen_frames_are_computed_at_refreshes_only(load_tiny_wan, tokens_of_blocks):
    run(cache_frozen_frames(load_tiny_wan(), 3, 0.0, 1.0, 0.0))  # 6 steps, 2 blocks, 4 tokens a frame
    assert tokens_of_blocks == ([20] * 2 + [12] * 4) * 2


def test_outside_its_range_all_frames_are_computed(load_tiny_wan, tokens_of_blocks):
    run(cache_frozen_frames(load_tiny_wan(), 100, 0.0, 0.5, 0.0))
    assert set(tokens_of_blocks[:2]) == {20}
    assert 12 in tokens_of_blocks
    assert set(tokens_of_blocks[-2:]) == {20}


def test_what_is_kept_between_two_computations_of_the_same_latent_is_exact(load_tiny_wan):
    """Free frames that attend to kept keys and values of the very same call give what the whole forward gives."""
    model = load_tiny_wan().model.diffusion_model
    options = {frozen_cache.TOKENS_PER_FRAME: 4, "uuids": ["a"], "sigmas": torch.ones(1)}
    plan = frozen_cache.Plan(2, 0.0, 1.0, 0.0)
    memory = frozen_cache.RunMemory(plan, [0.0, 1.0, 0.0, 1.0, 1.0], 1.0, 0.0)
    x = torch.randn(1, 16, 5, 4, 4)
    t = torch.tensor([[0.0, 900.0, 0.0, 900.0, 900.0]])
    freqs = model.rope_encode(5, 4, 4, device=x.device, dtype=x.dtype)
    raw = torch.randn(1, 7, 4096)
    for block in model.blocks:
        block.self_attn.forward = MethodType(frozen_cache.attention_with_frozen_frames, block.self_attn)
    first = frozen_cache.forward_without_frozen_frames(
        model, x, t, raw, freqs=freqs, transformer_options=options | {frozen_cache.MEMORY: memory}
    )
    options["sigmas"] = torch.ones(1)  # a new step
    second = frozen_cache.forward_without_frozen_frames(
        model, x, t, raw, freqs=freqs, transformer_options=options | {frozen_cache.MEMORY: memory}
    )
    assert not memory.call(x, options).refreshing
    torch.testing.assert_close(second, first, atol=2e-5, rtol=0)


def test_both_experts_have_a_cache_of_their_own(load_tiny_wan):
    def switched():
        return switch_experts(load_tiny_wan(10), load_tiny_wan(11), 0.875)

    ours, theirs = run(cache_frozen_frames(switched(), 2, 0.0, 1.0, 0.0)), run(switched())
    assert not torch.equal(ours, theirs)
    assert relative_error(ours, theirs) < 0.05


@pytest.mark.parametrize(
    "treatment",
    [
        composition.context_windows,
        lambda model: composition.context_windows(model, 9, 4),
        composition.block_patch,
        composition.attention_override,
        composition.attention_patch,
        lambda model: composition.easy_cache(model, 0.05),
        lambda model: composition.lazy_cache(model, 0.05),
    ],
)
def test_it_works_with(treatment, load_tiny_wan):
    cached = cache_frozen_frames(treatment(load_tiny_wan()), 2, 0.0, 1.0, 0.0)
    assert relative_error(run(cached), run(treatment(load_tiny_wan()))) < 0.1


def test_it_steps_aside_where_the_model_is_compiled(load_tiny_wan, caplog):
    cached = composition.compiled(cache_frozen_frames(load_tiny_wan(), 3, 0.0, 1.0, 0.0))
    with caplog.at_level("INFO", logger="ComfyUI-Pusa"):
        samples = run(cached)
    assert any("compiled" in record.message for record in caplog.records)
    assert relative_error(samples, run(load_tiny_wan())) < 1e-5


@pytest.mark.parametrize("multipliers", [(1.0,) * 5, (0.3, 1.0, 1.0, 1.0, 1.0), (0.0,) * 5])
def test_it_steps_aside_where_nothing_is_frozen_or_nothing_free(load_tiny_wan, multipliers):
    cached = cache_frozen_frames(load_tiny_wan(), 3, 0.0, 1.0, 0.0)
    assert torch.equal(run(cached, multipliers), run(load_tiny_wan(), multipliers))


def test_a_run_leaves_no_memory_and_no_method_behind(load_tiny_wan, monkeypatch):
    memories = []
    create = frozen_cache.RunMemory.__init__

    def kept(self, *args):
        create(self, *args)
        memories.append(self)

    monkeypatch.setattr(frozen_cache.RunMemory, "__init__", kept)
    model = load_tiny_wan()
    cached = cache_frozen_frames(model, 3, 0.0, 1.0, 0.0)
    latent = video_latent(EXTENSION)
    patched = vectorized(cached, latent)
    ksampler(patched, latent)
    assert [memory.calls for memory in memories] == [{}]
    assert frozen_cache.MEMORY not in patched.model_options["transformer_options"]
    comfy.model_management.unload_all_models()
    wan = model.model.diffusion_model
    assert wan.forward_orig.__func__ is type(wan).forward_orig
    assert wan.blocks[0].self_attn.forward.__func__ is type(wan.blocks[0].self_attn).forward


def test_two_nodes_in_a_row_count_once(load_tiny_wan, tokens_of_blocks):
    twice = cache_frozen_frames(cache_frozen_frames(load_tiny_wan(), 2, 0.0, 1.0, 0.0), 3, 0.0, 1.0, 0.0)
    run(twice)
    assert tokens_of_blocks == ([20] * 2 + [12] * 4) * 2


def test_another_patch_of_the_same_method_is_refused(load_tiny_wan):
    model = load_tiny_wan().clone()
    model.add_object_patch("diffusion_model.blocks.0.self_attn.forward", lambda *args, **kwargs: None)
    with pytest.raises(PusaError, match="Another node patched"):
        cache_frozen_frames(model, 2, 0.0, 1.0, 0.0)


def test_an_empty_range_is_refused(load_tiny_wan):
    with pytest.raises(PusaError, match="start_percent"):
        PusaFrozenFrameCache.execute(load_tiny_wan(), 2, 0.5, 0.5)


@pytest.mark.parametrize("cfg", [1.0, 5.0])
@pytest.mark.parametrize("expert", ["one", "two"])
def test_comfyui_is_told_what_the_cache_will_keep(load_tiny_wan, monkeypatch, cfg, expert):
    """Against the keys and values that a run really kept, of the conditional and the unconditional rows."""
    asked, kept = [], []
    load_models_gpu = comfy.model_management.load_models_gpu

    def noted(models, memory_required=0, **kwargs):
        asked.append(memory_required)
        return load_models_gpu(models, memory_required=memory_required, **kwargs)

    attention = frozen_cache.attention_with_frozen_frames

    def counted(self, *args, transformer_options, **kwargs):
        out = attention(self, *args, transformer_options=transformer_options, **kwargs)
        memory = transformer_options[frozen_cache.CALL]
        kept.append(sum(tensor.nbytes for pair in memory.keys_and_values.values() for tensor in pair))
        return out

    def model():
        return (
            load_tiny_wan() if expert == "one" else switch_experts(load_tiny_wan(0), load_tiny_wan(1), 0.875)
        )

    latent = video_latent(EXTENSION)
    with monkeypatch.context() as patch:
        patch.setattr(comfy.model_management, "load_models_gpu", noted)
        ksampler(vectorized(model(), latent), latent, cfg=cfg)
        without = asked.copy()
        asked.clear()
        patch.setattr(frozen_cache, "attention_with_frozen_frames", counted)
        patch.setattr(
            frozen_cache.FrozenFrameCache, "patches", (frozen_cache.forward_without_frozen_frames, counted)
        )
        ksampler(vectorized(cache_frozen_frames(model(), 2, 0.0, 1.0, 0.0), latent), latent, cfg=cfg)
    rows = 1 if cfg == 1 else 2
    assert len(asked) == len(without) == (1 if expert == "one" else 2)
    for mine, theirs in zip(asked, without, strict=True):
        # ComfyUI always asks for the rows of a conditional and an unconditional prompt
        assert mine - theirs == pytest.approx(2 * max(kept) / rows, rel=1e-6)
