"""Claims about loops."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pusa_core.errors import PusaError
from pusa_core.loop import (
    WRAP,
    decode_loop,
    decode_still_loop,
    faded_into_first,
    rolled_back,
    rolled_order,
    step_of,
)
from pusa_core.schedule import flow_sigmas


@given(frames=st.integers(1, 40), step=st.integers(0, 60), roll=st.integers(1, 50))
def test_rolling_back_undoes_rolling_and_keeps_the_neighbours(frames, step, roll):
    order = rolled_order(frames, torch.tensor(step), roll)
    assert torch.equal(order[rolled_back(order)], torch.arange(frames))
    assert torch.equal(torch.arange(frames)[order], torch.arange(frames).roll(-step * roll))


def test_the_seam_stands_at_another_place_in_every_step():
    seams = [int(rolled_order(21, torch.tensor(step), 2).argmin()) for step in range(21)]
    assert len(set(seams)) == 21


@pytest.mark.parametrize("steps", [1, 4, 30])
def test_each_noise_level_belongs_to_its_step_and_those_between_to_the_earlier(steps):
    sigmas = flow_sigmas(steps)
    for step in range(steps):
        assert int(step_of(sigmas[step], sigmas)) == step
        between = (sigmas[step] + sigmas[step + 1]) / 2
        assert int(step_of(between, sigmas)) == step


def test_a_loop_decodes_to_four_frames_per_latent_frame_with_its_end_before_its_start():
    seen = []

    def decode(latent):
        seen.append(latent[0, 0, :, 0, 0].tolist())
        groups = latent[0, 0, :, 0, 0].repeat_interleave(4)[3:]
        return groups.reshape(-1, 1, 1, 1)

    samples = torch.arange(9.0).reshape(1, 1, 9, 1, 1)
    pictures = decode_loop(decode, samples)
    assert seen == [[*range(9 - WRAP, 9), *range(9)]]
    assert pictures.flatten().tolist() == [frame for frame in range(9) for _ in range(4)]


def test_a_still_loop_leaves_out_the_stills_return():
    def decode(latent):
        return torch.arange(4 * latent.shape[2] - 3).reshape(-1, 1, 1, 1)

    assert len(decode_still_loop(decode, torch.zeros(1, 1, 21, 1, 1))) == 77


@given(count=st.integers(1, 12), frames=st.integers(0, 11))
def test_a_fade_ends_in_the_first_picture_and_leaves_all_before_it(count, frames):
    pictures = torch.arange(float(count)).reshape(-1, 1, 1, 1).expand(-1, 2, 2, 3)
    if frames >= count:
        with pytest.raises(PusaError, match=f"crossfade_frames is {frames}; this loop has {count} frames"):
            faded_into_first(pictures, frames)
        return
    faded = faded_into_first(pictures, frames)[:, 0, 0, 0].tolist()
    shares = [max(0, number + 1 - (count - frames)) / (frames + 1) for number in range(count)]
    assert faded == pytest.approx([number * (1 - share) for number, share in enumerate(shares)])


def test_one_latent_frame_cannot_go_round():
    for decode in (decode_loop, decode_still_loop):
        with pytest.raises(PusaError, match="nothing to go round"):
            decode(lambda latent: latent, torch.zeros(1, 1, 1, 1, 1))
