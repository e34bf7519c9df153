"""Claims about noise levels."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pusa_core.errors import PusaError
from pusa_core.schedule import flow_sigmas, frame_sigmas, over_frames

shifts = st.floats(1.0, 20.0)


def test_four_steps_at_shift_5_are_lightx2vs_list():
    torch.testing.assert_close(flow_sigmas(4, 5.0), torch.tensor([1, 0.9375, 5 / 6, 0.625, 0]))


def test_ten_steps_begin_as_the_reference_does():
    # printed by FlowMatchSchedulerPusa for ten steps
    torch.testing.assert_close(flow_sigmas(10)[:3], torch.tensor([1, 0.9783, 0.9524]), atol=5e-5, rtol=0)


@given(steps=st.integers(1, 200), shift=shifts, denoise=st.floats(0.01, 1.0))
def test_levels_fall_from_denoise_to_0(steps, shift, denoise):
    sigmas = flow_sigmas(steps, shift, denoise)
    assert len(sigmas) == steps + 1
    assert sigmas[-1] == 0
    assert (sigmas[1:] < sigmas[:-1]).all()
    start = shift * denoise / (1 + (shift - 1) * denoise)
    assert math.isclose(sigmas[0], start, rel_tol=1e-6)


@given(steps=st.integers(1, 50))
def test_shift_1_spaces_the_levels_evenly(steps):
    torch.testing.assert_close(flow_sigmas(steps, 1.0), torch.linspace(1, 0, steps + 1), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (dict(steps=0), "steps is 0; use 1 or more"),
        (dict(steps=-3), "steps is -3"),
        (dict(steps=4, shift=0.5), "shift is 0.5; use 1.0 or more"),
        (dict(steps=4, shift=math.nan), "shift is nan"),
        (dict(steps=4, denoise=0.0), "denoise is 0.0"),
        (dict(steps=4, denoise=1.1), "denoise is 1.1"),
        (dict(steps=4, denoise=math.nan), "denoise is nan"),
    ],
)
def test_a_bad_schedule_is_a_sentence(arguments, sentence):
    with pytest.raises(PusaError, match=sentence):
        flow_sigmas(**arguments)


def test_each_frame_runs_on_its_share():
    table = frame_sigmas(torch.tensor([1.0, 0.5, 0.0]), torch.tensor([0.0, 0.2, 1.0]))
    torch.testing.assert_close(table, torch.tensor([[0, 0.2, 1], [0, 0.1, 0.5], [0, 0, 0]]))


def test_values_over_frames_line_up_with_the_third_axis():
    latent = torch.ones(2, 16, 3, 4, 5) * over_frames(torch.tensor([1.0, 2.0, 3.0]))
    assert latent[1, 7, :, 3, 4].tolist() == [1, 2, 3]
