"""Claims about spreading pictures over a video."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pusa_core.errors import PusaError
from pusa_core.keyframes import even_positions, keyframe_positions


@given(count=st.integers(2, 60), spare=st.integers(0, 60))
def test_even_keyframes_run_from_first_to_last_with_gaps_that_differ_by_at_most_one(count, spare):
    positions = even_positions(count, count + spare)
    gaps = {after - before for before, after in itertools.pairwise(positions)}
    assert positions[0] == 0
    assert positions[-1] == count + spare - 1
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 1


def test_five_pictures_over_81_frames():
    assert keyframe_positions(5, 21, "even", "", 16) == [0, 5, 10, 15, 20]


def test_one_picture_goes_to_the_first_frame():
    assert keyframe_positions(1, 21, "even", "", 16) == [0]


def test_seconds_become_the_latent_frames_that_hold_them():
    assert keyframe_positions(4, 21, "seconds", "0, 0.25, 2.5; 5", 16) == [0, 1, 10, 20]


def test_frames_may_count_from_the_end():
    assert keyframe_positions(2, 21, "video frames", "4, -1", 16) == [1, 20]
    assert keyframe_positions(2, 21, "latent frames", "4, -1", 16) == [4, 20]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((3, 2, "even", "", 16), "3 pictures do not fit into 2 latent frames.* length to 9"),
        ((1, 21, "even", "0", 16), "even spacing needs none"),
        ((1, 21, "beats", "0", 16), "spacing is 'beats'"),
        ((1, 21, "seconds", "soon", 16), "'soon' in times is not a number"),
        ((1, 21, "seconds", "nan", 16), "outside this video"),
        ((1, 21, "seconds", "5.1", 16), r"5.1 s is outside this video of 81 frames .* 0 to 5 s"),
        ((1, 21, "seconds", "-1", 16), "-1 s is outside"),
        ((3, 21, "seconds", "0, 1", 16), "2 times for 3 pictures"),
        ((1, 21, "latent frames", "21", 16), "Position 21 is outside"),
    ],
)
def test_times_that_do_not_fit_are_said(arguments, sentence):
    with pytest.raises(PusaError, match=sentence):
        keyframe_positions(*arguments)
