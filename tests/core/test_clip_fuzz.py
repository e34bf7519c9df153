"""Claims about broken files: in five containers, whatever breaks, a sentence or a clip comes of it, soon and in little memory."""

import os
from collections import Counter

import pytest

from support.clip_fuzzing import AS_PLAYERS, KINDS, REFUSED, RIGHT, SAID, WAYS, run_cases

CASES = int(os.environ.get("PUSA_FUZZ", "90"))
BATCH = 250
SECONDS_A_CASE, MEGABYTES = 2.0, 900


@pytest.fixture(scope="module")
def found():
    """The outcomes of all cases; a hang, a crash, an error that is no sentence, or too much memory fails here."""
    cases = []
    for begin in range(0, CASES, BATCH):
        count = min(BATCH, CASES - begin)
        cases += run_cases(begin, count, seconds=30 + SECONDS_A_CASE * count, megabytes=MEGABYTES)
    return cases


def test_fuzz_every_case_ends_in_a_sentence_or_a_clip(found):
    assert len(found) == CASES
    assert {one.outcome for one in found} <= {REFUSED, SAID, RIGHT, AS_PLAYERS}
    assert {one.kind for one in found} == set(KINDS)
    assert {one.way for one in found} == set(WAYS)
    print(dict(Counter((one.kind, one.outcome) for one in found)))
    print("slowest", max(found, key=lambda one: one.seconds))


def test_fuzz_what_is_cut_off_is_said(found):
    assert [one for one in found if one.way == "cut" and one.outcome not in (SAID, REFUSED)] == []
