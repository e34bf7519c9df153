"""Claims about the per-frame samplers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pusa_core.samplers import (
    add_noise,
    remove_noise_share,
    sample_euler,
    sample_euler_ancestral,
    sample_lcm,
)
from pusa_core.schedule import flow_sigmas, frame_sigmas, over_frames

multiplier_lists = st.lists(
    st.sampled_from([0.0, 0.2, 0.5, 1.0]) | st.floats(0, 1, width=32), min_size=1, max_size=6
)
STOCHASTIC = [sample_euler_ancestral, sample_lcm]


def clip(frames, seed=0, size=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 1, 4, frames, size, size, generator=generator)


@given(steps=st.integers(1, 50), multipliers=multiplier_lists)
def test_a_straight_flow_lands_on_the_clean_latent(steps, multipliers):
    clean, noise = clip(len(multipliers), steps)
    table = frame_sigmas(flow_sigmas(steps), torch.tensor(multipliers))
    x = add_noise(clean, noise, over_frames(table[0]))
    out = sample_euler(lambda x, step: x - over_frames(table[step]) * (noise - clean), x, table)
    torch.testing.assert_close(out, clean, atol=1e-5, rtol=0)


def test_euler_is_the_sum_written_out():
    multipliers = torch.tensor([0.0, 0.3, 1.0])
    table = frame_sigmas(flow_sigmas(3), multipliers)
    (x,) = clip(3)[:1]
    velocity = lambda x, step: torch.sin(x) + step  # noqa: E731
    expected = x.clone()
    for step in range(3):
        moved = velocity(expected, step)
        for frame in range(3):
            expected[:, :, frame] += moved[:, :, frame] * (table[step + 1, frame] - table[step, frame])
    ours = sample_euler(lambda x, step: x - over_frames(table[step]) * velocity(x, step), x, table)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("sampler", [sample_euler, *STOCHASTIC])
def test_a_frame_with_multiplier_0_keeps_every_bit(sampler):
    clean, noise = clip(3)
    table = frame_sigmas(flow_sigmas(5), torch.tensor([0.0, 0.4, 1.0]))
    x = add_noise(clean, noise, over_frames(table[0]))
    denoiser = lambda x, step: x - over_frames(table[step]) * torch.cos(3 * x)  # noqa: E731
    extra = () if sampler is sample_euler else (lambda: torch.randn_like(clean),)
    assert torch.equal(sampler(denoiser, x, table, *extra)[:, :, 0], clean[:, :, 0])


@pytest.mark.parametrize("sampler", STOCHASTIC)
def test_fresh_noise_gives_each_frame_the_variance_its_own_sigma_asks_for(sampler):
    multipliers = torch.tensor([0.0, 0.2, 0.5, 1.0])
    table = frame_sigmas(flow_sigmas(4), multipliers)
    clean = torch.full((1, 4, 4, 128, 128), 0.7)
    generator = torch.Generator().manual_seed(0)
    draw = lambda: torch.randn(clean.shape, generator=generator)  # noqa: E731
    states = []

    def perfect(x, step):
        states.append(x)
        return clean

    sampler(perfect, add_noise(clean, draw(), over_frames(table[0])), table, draw)
    for x, levels in zip(states, table, strict=False):
        spread = (x - (1 - over_frames(levels)) * clean).std(dim=(0, 1, 3, 4))
        torch.testing.assert_close(spread, levels, atol=2e-3, rtol=0.01)


@settings(max_examples=25)
@given(steps=st.integers(1, 12), multipliers=multiplier_lists)
def test_ancestral_with_eta_0_is_euler(steps, multipliers):
    clean, noise = clip(len(multipliers), steps)
    table = frame_sigmas(flow_sigmas(steps), torch.tensor(multipliers))
    x = add_noise(clean, noise, over_frames(table[0]))
    denoiser = lambda x, step: 0.5 * torch.tanh(x)  # noqa: E731
    ancestral = sample_euler_ancestral(denoiser, x, table, lambda: torch.full_like(x, torch.nan), eta=0.0)
    torch.testing.assert_close(ancestral, sample_euler(denoiser, x, table), atol=1e-5, rtol=1e-4)


@given(level=st.floats(0, 0.99))
def test_a_handover_without_noise_gives_the_state_back(level):
    x, zero = clip(2)
    levels = torch.tensor(level)
    back = add_noise(remove_noise_share(x, levels), torch.zeros_like(zero), levels)
    torch.testing.assert_close(back, x, atol=1e-5, rtol=1e-5)
