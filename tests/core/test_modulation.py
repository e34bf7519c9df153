"""Modulation by broadcast: the bits of the copied form, without its memory."""

import pytest
import torch

from pusa_core.modulation import fits, frames_of_tokens, gated, modulated

B, F, TOKENS, C = 2, 3, 4, 8


def draw(*shape, dtype=torch.float32, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def copied(by_frame):
    """[B, F, C] -> [B, F * TOKENS, C], as ComfyUI's repeat_e."""
    return torch.repeat_interleave(by_frame, TOKENS, dim=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("in_place", [False, True])
def test_broadcast_gives_the_bits_of_the_copied_form(dtype, in_place):
    x, update = draw(B, F * TOKENS, C, dtype=dtype), draw(B, F * TOKENS, C, dtype=dtype, seed=1)
    shift, scale, gate = (draw(B, F, C, dtype=dtype, seed=seed) for seed in (2, 3, 4))
    theirs = torch.addcmul(copied(shift), x, 1 + copied(scale))
    assert torch.equal(modulated(x.clone(), shift, scale, in_place), theirs)
    theirs = torch.addcmul(x, update, copied(gate))
    assert torch.equal(gated(x, update, gate), theirs)
    for place in (0, 1):
        given = x.clone(), update.clone()
        assert torch.equal(gated(*given, gate, out=given[place]), theirs)


def test_in_place_writes_into_x_and_otherwise_x_stays():
    shift, scale = draw(B, F, C, seed=2), draw(B, F, C, seed=3)
    x = draw(B, F * TOKENS, C)
    before = x.clone()
    modulated(x, shift, scale)
    assert torch.equal(x, before)
    out = modulated(x, shift, scale, in_place=True)
    assert out.data_ptr() == x.data_ptr()
    gate = draw(B, F, C, seed=4)
    for place in (0, 1):
        given = before.clone(), before.clone()
        assert gated(*given, gate, out=given[place]).data_ptr() == given[place].data_ptr()
        assert torch.equal(given[1 - place], before)


def test_mixed_precision_gives_a_new_tensor_of_the_wider_type():
    x = draw(B, F * TOKENS, C, dtype=torch.bfloat16)
    shift, scale = draw(B, F, C, seed=2), draw(B, F, C, seed=3)
    out = modulated(x, shift, scale, in_place=True)
    assert out.dtype == torch.float32
    assert torch.equal(out, torch.addcmul(copied(shift), x, 1 + copied(scale)))


def test_nothing_of_the_size_of_the_tokens_is_allocated_in_place():
    x, shift, scale = torch.zeros(1, 21 * 64, 128), torch.zeros(1, 21, 128), torch.zeros(1, 21, 128)
    with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as run:
        modulated(x, shift, scale, in_place=True)
    allocated = sum(max(event.self_cpu_memory_usage, 0) for event in run.key_averages())
    assert allocated < 0.1 * x.nbytes


@pytest.mark.parametrize(
    ("first", "tokens", "wanted"),
    [(0, 4, [0, 0, 0, 0]), (3, 3, [0, 1, 1]), (8, 4, [2, 2, 2, 2]), (10, 5, [2, 2, 2, 2, 2])],
)
def test_tokens_of_a_share_belong_to_the_frames_they_are_of(first, tokens, wanted):
    """Three frames of four tokens; what lies behind them fills a share up."""
    assert frames_of_tokens(first, tokens, 3, 4, torch.device("cpu")).tolist() == wanted


@pytest.mark.parametrize(
    ("tokens", "frames", "wanted"),
    [(12, 3, True), (13, 3, False), (3, 3, True), (2, 3, False), (4, 0, False)],
)
def test_tokens_fit_frames_of_equal_size(tokens, frames, wanted):
    assert fits(tokens, frames) is wanted
