"""Claims: which steps run small and how large, the noise they see, and what the full-size steps begin with."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pusa_core.bases import BASES, WAN
from pusa_core.errors import PusaError
from pusa_core.progressive import (
    SHARES,
    check_until,
    enlarged,
    resumed,
    shrunk_noise,
    small_schedule,
    small_size,
    small_steps,
)
from pusa_core.schedule import flow_sigmas

FOUR = flow_sigmas(4)  # 1, 0.9375, 0.8333, 0.625, 0


@pytest.mark.parametrize(
    ("until", "steps"), [(1.0, 1), (0.9375, 2), (0.875, 2), (0.8, 3), (0.7, 3), (0.0, 3)]
)
def test_steps_that_start_at_the_level_or_above_run_small_but_never_the_last(until, steps):
    assert small_steps(FOUR, until) == steps


def test_a_part_that_ends_with_noise_may_run_small_as_a_whole():
    assert small_steps(FOUR[:3], 0.875) == 2
    assert small_steps(FOUR[2:], 0.875) == 0


def test_one_step_runs_at_full_size():
    assert small_steps(torch.tensor([1.0, 0.0]), 0.0) == 0


def test_the_small_steps_end_at_the_clean_estimate():
    assert small_schedule(FOUR, 2).tolist() == [1.0, 0.9375, 0.0]


@pytest.mark.parametrize(
    ("size", "share", "wanted"),
    [((60, 104), "1/2", (30, 52)), ((60, 104), "2/3", (40, 70)), ((90, 160), "1/2", (44, 80)), ((60, 104), "full", (60, 104)), ((2, 2), "1/2", (2, 2))],
)  # fmt: skip
def test_the_small_size_is_whole_tokens(size, share, wanted):
    assert small_size(*size, SHARES[share], WAN) == wanted


@given(st.sampled_from(BASES), st.integers(1, 40), st.integers(1, 40), st.sampled_from(list(SHARES)))
def test_a_small_size_fits_the_base_and_is_no_larger(base, rows, columns, share):
    token = base.size_multiple // base.spatial_stride
    height, width = rows * token, columns * token
    small = small_size(height, width, SHARES[share], base)
    assert all(length % token == 0 for length in small)
    assert small[0] <= height
    assert small[1] <= width


@pytest.mark.parametrize("size", [(8, 12), (11, 18), (16, 24)])
def test_shrunk_noise_is_white_and_of_variance_one(size):
    noise = torch.randn(64, 16, 1, 16, 24, generator=torch.Generator().manual_seed(1))
    small = shrunk_noise(noise, *size)
    assert small.shape[-2:] == size
    assert small.dtype == noise.dtype
    places = small.flatten(0, 2).flatten(1)
    covariance = places.T @ places / len(places)
    assert (covariance - torch.eye(len(covariance))).abs().max() < 0.25  # 8 standard deviations of 1024 draws
    assert small.std().item() == pytest.approx(1, abs=0.01)


def test_noise_of_the_same_size_stays_and_large_forms_stay_in_smaller_noise():
    noise = torch.randn(1, 4, 2, 8, 8, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(shrunk_noise(noise, 8, 8), noise, atol=1e-6, rtol=0)
    # means over a picture are its lowest frequency; half of each side doubles what is left of it
    torch.testing.assert_close(
        shrunk_noise(noise, 4, 4).mean((-1, -2)), 2 * noise.mean((-1, -2)), atol=1e-6, rtol=0
    )


def test_an_enlarged_latent_keeps_what_is_even_and_mixes_no_frames():
    latent = torch.arange(6.0).reshape(1, 2, 3, 1, 1).expand(1, 2, 3, 4, 6)
    torch.testing.assert_close(
        enlarged(latent, 8, 12), torch.arange(6.0).reshape(1, 2, 3, 1, 1).expand(1, 2, 3, 8, 12)
    )
    assert enlarged(latent, 4, 6) is latent


def test_given_frames_go_on_as_they_were_encoded_to_the_last_bit():
    samples, small = torch.randn(2, 4, 3, 8, 8), torch.randn(2, 4, 3, 4, 4)
    multipliers = torch.tensor([0.0, 0.3, 1.0])
    made = resumed(small, samples, multipliers)
    assert torch.equal(made[:, :, :2], samples[:, :, :2])
    assert torch.equal(made[:, :, 2], enlarged(small, 8, 8)[:, :, 2])


@pytest.mark.parametrize("until", [-0.1, 1.1, float("nan")])
def test_a_level_outside_0_to_1_is_refused(until):
    with pytest.raises(PusaError, match="until_sigma is"):
        check_until(until)
