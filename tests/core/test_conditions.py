"""Claims about placing given frames."""

import math

import pytest
import torch

from pusa_core.bases import WAN
from pusa_core.conditions import FrameCondition, check_video_samples, frame_multipliers, place
from pusa_core.errors import PusaError

SHAPE = (2, 16, 5, 4, 6)


def condition(position, multiplier=0.2, value=1.0):
    return FrameCondition(torch.full((1, 16, 1, 4, 6), value), position, multiplier)


def test_conditions_stand_in_their_frames_and_nowhere_else():
    samples = torch.zeros(SHAPE)
    placed, multipliers = place(samples, None, [condition(0, 0.0, 1.0), condition(3, 0.5, 2.0)])
    assert placed[:, :, 0].eq(1).all()
    assert placed[:, :, 3].eq(2).all()
    assert placed[:, :, [1, 2, 4]].eq(0).all()
    assert multipliers.tolist() == [0, 1, 1, 0.5, 1]
    assert multipliers.dtype == torch.float32


def test_what_is_given_is_not_written_to():
    samples, multipliers = torch.zeros(SHAPE), torch.ones(5)
    place(samples, multipliers, [condition(1)])
    assert samples.eq(0).all()
    assert multipliers.eq(1).all()


def test_a_second_injection_adds_to_the_first_and_replaces_in_the_same_frame():
    first = place(torch.zeros(SHAPE), None, [condition(0, 0.2), condition(4, 0.4)])
    placed, multipliers = place(*first, [condition(4, 0.0, 3.0), condition(2, 0.3)])
    assert multipliers.tolist() == pytest.approx([0.2, 1, 0.3, 1, 0])
    assert placed[:, :, 4].eq(3).all()


def test_a_frame_given_twice_is_an_error():
    with pytest.raises(PusaError, match="Latent frame 2 is given twice"):
        place(torch.zeros(SHAPE), None, [condition(2), condition(2)])


@pytest.mark.parametrize("multiplier", [-0.01, 1.01, math.nan, math.inf])
def test_a_multiplier_outside_0_to_1_is_an_error(multiplier):
    with pytest.raises(PusaError, match=r"use 0 .kept clean. to 1"):
        condition(0, multiplier)


def test_a_condition_of_another_vae_is_an_error():
    with pytest.raises(PusaError, match="Use the VAE that belongs to the model"):
        place(torch.zeros(SHAPE), None, [FrameCondition(torch.zeros(1, 48, 1, 4, 6), 0, 0.2)])


def test_a_condition_with_nan_is_an_error():
    with pytest.raises(PusaError, match="NaN"):
        FrameCondition(torch.full((1, 16, 1, 4, 6), math.nan), 0, 0.2)


@pytest.mark.parametrize(
    ("multipliers", "sentence"),
    [
        (torch.ones(4), "describe 4 latent frames, the latent has 5"),
        (torch.ones(5, 1), "describe 5 latent frames"),
        (torch.tensor([0, 0, 2.0, 1, 1]), "noise_multiplier is 2.0"),
        (torch.tensor([0, math.nan, 1, 1, 1]), "noise_multiplier is nan"),
    ],
)
def test_a_vector_that_does_not_fit_is_an_error(multipliers, sentence):
    with pytest.raises(PusaError, match=sentence):
        frame_multipliers(multipliers, 5)


def test_no_vector_means_all_frames_are_free():
    assert frame_multipliers(None, 3).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ((1, 4, 64, 64), "has 4 dimensions"),
        ((1, 48, 5, 4, 4), "has 48 channels, this model works with 16"),
        ((0, 16, 5, 4, 4), "is empty"),
        ((1, 16, 0, 4, 4), "is empty"),
    ],
)
def test_what_is_not_a_wan_video_latent_is_refused(shape, sentence):
    with pytest.raises(PusaError, match=sentence):
        check_video_samples(torch.zeros(shape), WAN)
