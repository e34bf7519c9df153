"""The frozen-frame cache's plan: which frames, which steps, what it saves."""

import pytest

from pusa_core.frozen_frames import cache_bytes, is_refresh, share_of_operations, split_frames

SHAPE = {"tokens": 1560, "width": 5120, "hidden": 13824}


def test_frames_up_to_the_multiplier_are_frozen_and_all_others_free():
    assert split_frames([0.0, 0.2, 1.0, 0.0], 0.0) == ([0, 3], [1, 2])
    assert split_frames([0.0, 0.2, 1.0, 0.0], 0.2) == ([0, 1, 3], [2])


def test_the_first_step_refreshes_and_every_kth_after_it():
    assert [is_refresh(step, 3) for step in range(7)] == [True, False, False, True, False, False, True]


@pytest.mark.parametrize("frozen", [1, 4, 11, 20])
def test_more_frozen_frames_and_rarer_refreshes_save_more(frozen):
    shares = [share_of_operations(21, frozen, every=every, **SHAPE) for every in (1, 2, 4, 8)]
    assert shares[0] == 1
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] >= 1 - frozen / 21
    assert share_of_operations(21, frozen - 1, every=4, **SHAPE) > share_of_operations(
        21, frozen, every=4, **SHAPE
    )


def test_the_memory_is_that_of_a_key_and_a_value_for_every_token_of_every_layer():
    assert cache_bytes(1, 1560, 5120, 40) == 2 * 1560 * 5120 * 40 * 2
