"""EasyCache and LazyCache beside frozen frames: how many forwards they skip is decided by the frames that move."""

import comfy.ldm.wan.model
import pytest
import torch

from comfyui_pusa.nodes.host import step_caches
from comfyui_pusa.nodes.host.expert_switch import switch_experts
from support import composition
from support.comfy_runs import ksampler, ksampler_in_two_stages, video_latent
from support.composition import relative_error, vectorized

STEPS = 20


@pytest.fixture
def forwards(monkeypatch):
    """forwards(model, latent) -> (number of forwards of the DiT in one run, samples)."""

    def count(model, latent, sample=ksampler):
        calls = []
        forward = comfy.ldm.wan.model.WanModel.forward_orig

        def counted(self, *args, **kwargs):
            calls.append(1)
            return forward(self, *args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(comfy.ldm.wan.model.WanModel, "forward_orig", counted)
            samples = sample(model, latent, steps=STEPS, cfg=1.0)
        return len(calls), samples

    return count


def large_latent(multipliers):
    """16 x 16, as the caches look at every eighth pixel."""
    mask = torch.tensor(multipliers) < 1
    given = torch.randn(1, 16, len(multipliers), 16, 16, generator=torch.Generator().manual_seed(4))
    return video_latent(multipliers) | {"samples": given * mask[None, None, :, None, None]}


def skipping(forwards, load_tiny_wan, treatment, threshold):
    """[(forwards, error against the run without a cache)] for 0 to 4 of 5 latent frames frozen."""
    found = []
    for frozen in range(5):
        latent = large_latent([0.0] * frozen + [1.0] * (5 - frozen))
        model = treatment(load_tiny_wan(), threshold)
        count, samples = forwards(vectorized(model, latent), latent)
        plain = ksampler(vectorized(load_tiny_wan(), latent), latent, steps=STEPS, cfg=1.0)
        moving = slice(frozen, None)
        found.append((count, relative_error(samples[:, :, moving], plain[:, :, moving])))
    return found


@pytest.mark.parametrize("treatment", [composition.easy_cache, composition.lazy_cache])
def test_frozen_frames_do_not_make_a_cache_skip_more(forwards, load_tiny_wan, treatment, monkeypatch):
    measured = skipping(forwards, load_tiny_wan, treatment, 0.3)
    monkeypatch.setattr("comfyui_pusa.nodes.host.timesteps.measure_moving_frames", lambda *_: None)
    diluted = skipping(forwards, load_tiny_wan, treatment, 0.3)
    composition.record(
        f"{treatment.__name__}: (forwards of {STEPS}, error) for 0 to 4 of 5 frames frozen",
        {"measured on moving frames": measured, "on all frames, as without Pusa": diluted},
    )
    counts, errors = zip(*measured, strict=True)
    assert all(counts[0] <= count <= counts[0] + 3 for count in counts)
    assert max(errors) <= 1.7 * errors[0] + 0.01
    assert diluted[4][0] < counts[0]  # what this corrects


def test_a_cache_of_the_model_itself_is_left_as_it_is(load_tiny_wan):
    model = composition.easy_cache(load_tiny_wan())
    latent = large_latent([0.0, 1.0, 1.0, 1.0, 1.0])
    ksampler(vectorized(model, latent), latent, steps=4)
    holder = model.model_options["transformer_options"][step_caches.CACHE]
    assert "subsample" not in vars(holder)


def two_stages(model, latent, **settings):
    return ksampler_in_two_stages(model, latent, STEPS // 2, **settings)


@pytest.mark.parametrize("treatment", [composition.easy_cache, composition.lazy_cache])
@pytest.mark.parametrize("how", ["two stages", "two experts"])
def test_a_cache_works_in_a_run_of_two_parts(forwards, load_tiny_wan, treatment, how):
    """Each part begins a cache of its own: nothing of the first expert's is used for the second."""
    latent = large_latent([0.0, 0.0, 1.0, 1.0, 1.0])
    sample = two_stages if how == "two stages" else ksampler

    def run(with_cache):
        model = load_tiny_wan(0)
        if how == "two experts":
            model = switch_experts(model, load_tiny_wan(1), 0.8)
        model = treatment(model, 0.3) if with_cache else model
        return forwards(vectorized(model, latent), latent, sample)

    (count, samples), (all_steps, plain) = run(True), run(False)
    assert all_steps == STEPS
    assert count < STEPS
    assert torch.equal(samples[:, :, :2], latent["samples"][:, :, :2])
    error = relative_error(samples[:, :, 2:], plain[:, :, 2:])
    composition.record(f"{treatment.__name__} in {how}: (forwards of {STEPS}, error)", (count, error))
    assert 0 < error < 0.3
