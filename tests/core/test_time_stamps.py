"""Claims about picking frames by their time stamps."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pusa_core.clips.time_stamps import StampedFrame, check_rate, clip_of_pictures, resample
from pusa_core.errors import PusaError


def stamped(times, duration=Fraction(1, 16)):
    return [StampedFrame(Fraction(time), duration, torch.tensor(number)) for number, time in enumerate(times)]


def numbers(times, rate, duration=Fraction(1, 16)):
    return [int(frame.pixels) for frame in resample(stamped(times, duration), Fraction(rate))]


@given(
    count=st.integers(1, 60),
    start=st.integers(-3, 9),
    rate=st.sampled_from([16, 24, 30, Fraction(24000, 1001)]),
)
def test_a_clip_already_at_the_rate_comes_through_frame_by_frame(count, start, rate):
    times = [start + Fraction(number) / rate for number in range(count)]
    assert numbers(times, rate, 1 / Fraction(rate)) == list(range(count))


@given(count=st.integers(1, 40))
def test_time_stamps_rounded_to_milliseconds_do_not_disturb_sixteen_frames_a_second(count):
    times = [Fraction(round(number * 62.5), 1000) for number in range(count)]
    assert numbers(times, 16, Fraction(62, 1000)) == list(range(count))


@given(
    gaps=st.lists(st.integers(1, 400), min_size=1, max_size=30),
    rate=st.sampled_from([Fraction(16), Fraction(24000, 1001), Fraction(5)]),
)
def test_every_output_is_the_input_nearest_in_time_for_any_spacing(gaps, rate):
    times = [Fraction(sum(gaps[:i]), 1000) for i in range(len(gaps) + 1)]
    last = Fraction(gaps[-1], 1000)
    found = numbers(times, rate, last)
    for place, number in enumerate(found):
        wanted = place / rate
        assert abs(times[number] - wanted) == min(abs(time - wanted) for time in times)
    assert abs(len(found) / rate - (times[-1] + last)) <= 1 / rate


def test_one_second_at_thirty_frames_gives_sixteen():
    assert len(numbers([Fraction(i, 30) for i in range(30)], 16, Fraction(1, 30))) == 16


def test_half_the_rate_shows_every_frame_twice_and_ties_go_to_the_earlier():
    assert numbers([Fraction(i, 8) for i in range(4)], 16, Fraction(1, 8)) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_long_pause_in_the_stamps_holds_its_frame():
    assert numbers([0, Fraction(1, 16), 1], 16).count(1) > numbers([0, Fraction(1, 16), 1], 16).count(0)


def test_doubled_and_backward_stamps_are_left_out():
    assert numbers([0, 0, Fraction(1, 16), Fraction(1, 32), Fraction(2, 16)], 16) == [0, 2, 4]


def test_a_tail_holds_only_what_it_returns_and_a_head_reads_no_further():
    read = []

    def frames():
        for number in range(100):
            read.append(number)
            yield StampedFrame(Fraction(number, 16), Fraction(1, 16), torch.full((2, 2, 3), float(number)))

    clip = clip_of_pictures(torch.zeros(1, 2, 2, 3), Fraction(16))
    clip = type(clip)("the clip", Fraction(16), frames, lambda: None)
    assert clip.head(5, Fraction(16))[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert max(read) <= 6
    assert clip.tail(3, Fraction(16))[:, 0, 0, 0].tolist() == [97, 98, 99]


def test_a_clip_too_short_says_how_long_it_is():
    clip = clip_of_pictures(torch.zeros(7, 2, 2, 3), Fraction(16))
    for part in (clip.head, clip.tail):
        with pytest.raises(PusaError, match=r"13 frames .* are needed, it has 7"):
            part(13, Fraction(16))


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), 5000])
def test_impossible_rates_are_refused(rate):
    with pytest.raises(PusaError, match="frames per second"):
        check_rate(rate)
