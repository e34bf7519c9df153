"""Claims about the two experts' parts of a schedule."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pusa_core.errors import PusaError
from pusa_core.experts import split_sigmas
from pusa_core.schedule import flow_sigmas


@pytest.mark.parametrize(
    ("steps", "high", "low"),
    [(4, 2, 2), (8, 4, 4), (10, 5, 5), (20, 9, 11), (30, 13, 17), (40, 17, 23), (50, 21, 29)],
)
def test_step_counts_at_shift_5_are_the_references(steps, high, low):
    parts = split_sigmas(flow_sigmas(steps), 0.875)
    assert [len(part) - 1 for part in parts] == [high, low]


@given(steps=st.integers(1, 60), shift=st.floats(1, 12), boundary=st.floats(0, 1))
def test_the_parts_make_up_the_schedule(steps, shift, boundary):
    sigmas = flow_sigmas(steps, shift)
    high, low = split_sigmas(sigmas, boundary)
    assert torch.equal(torch.cat([high, low[1:]]), sigmas)
    assert (high[:-1] >= boundary).all()
    assert (low[:-1] < boundary).all()


def test_a_step_exactly_on_the_boundary_is_the_high_noise_experts():
    high, low = split_sigmas(torch.tensor([1.0, 0.875, 0.5, 0.0]), 0.875)
    assert len(high) - 1 == 2
    assert len(low) - 1 == 1


@pytest.mark.parametrize("boundary", [-0.1, 1.1, math.nan, 875.0])
def test_a_boundary_that_is_no_sigma_is_refused(boundary):
    with pytest.raises(PusaError, match="it is a sigma from 0 to 1"):
        split_sigmas(flow_sigmas(4), boundary)
