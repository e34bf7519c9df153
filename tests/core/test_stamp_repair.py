"""Claims about time stamps made to rise."""

from fractions import Fraction
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from pusa_core.clips.stamp_repair import Believable, Stamped, rising

USUAL = Fraction(1, 16)


def times(stamps, container="matroska", length=None):
    items = [Stamped(None if s is None else Fraction(s), USUAL, n) for n, s in enumerate(stamps)]
    return list(rising(items, USUAL, Believable(container, length)))


stamp = st.one_of(
    st.none(), st.fractions(-5, 5), st.integers(-10, 200).map(lambda n: Fraction(n, 16)), st.just(10**6)
)


@given(stamps=st.lists(stamp, max_size=40))
@settings(max_examples=300, deadline=None)
def test_whatever_the_stamps_none_is_lost_and_time_rises_by_no_more_than_can_be_believed(stamps):
    found = times(stamps)
    assert [one.item for one in found] == list(range(len(stamps)))
    assert all(before.time < after.time for before, after in pairwise(found))
    assert all(after.time - before.time <= 601 for before, after in pairwise(found))
    assert all(0 < one.duration <= 600 for one in found)


@given(gaps=st.lists(st.integers(1, 160), max_size=40), start=st.fractions(-3, 5000))
def test_good_stamps_stay_as_they_are(gaps, start):
    stamps = [start + Fraction(sum(gaps[:n]), 16) for n in range(len(gaps) + 1)]
    assert [one.time for one in times(stamps)] == stamps


def steady(count, start=Fraction(0)):
    return [start + n * USUAL for n in range(count)]


def test_a_clock_that_starts_again_goes_on():
    assert [one.time for one in times([*steady(20), *steady(20)])] == steady(40)


def test_a_jump_is_a_pause_where_the_file_can_have_one():
    far = [*steady(4), *steady(4, Fraction(30))]
    assert [one.time for one in times(far, length=Fraction(40))] == far
    assert [one.time for one in times(far)] == far
    assert [one.time for one in times(far, "mpegts")] == steady(8)
    assert [one.time for one in times(far, length=Fraction(1, 2))] == steady(8)


def test_single_stamps_out_of_their_row_are_put_back():
    for stray in (Fraction(0), Fraction(1, 100), Fraction(5), Fraction(10**5)):
        stamps = steady(20)
        stamps[9] = stray
        assert [one.time for one in times(stamps)] == steady(20)


def test_repeated_and_missing_stamps_are_spread_to_the_next_good_one():
    assert [one.time for one in times([0, 0, Fraction(1, 8), Fraction(1, 8), Fraction(1, 4)])] == steady(5)
    assert [one.time for one in times([0, None, None, Fraction(3, 16), None])] == steady(5)
    assert [one.time for one in times([None] * 30)] == steady(30)
    assert [one.time for one in times([7] * 30)] == steady(30, Fraction(7))


def test_what_is_not_needed_is_not_read():
    read = []

    def items():
        for number in range(100):
            read.append(number)
            yield Stamped(number * USUAL, USUAL, number)

    found = rising(items(), USUAL, Believable("mov", None))
    assert [next(found).item for _ in range(3)] == [0, 1, 2]
    assert max(read) <= 4
