"""Claim: Ray's own late start is tried once more, and then is a sentence."""

from types import SimpleNamespace

import pytest

from pusa_core.errors import PusaError
from pusa_core.fleet.run import Plan, start_ray

LATE = "The current node timed out during startup. This could happen because some of the raylet failed to startup"


def a_ray(*errors):
    """A Ray whose starts end with these errors, then well."""
    answers = iter(errors)
    seen = []

    def init(**options):
        seen.append("init")
        if (error := next(answers, None)) is not None:
            raise error

    return SimpleNamespace(init=init, shutdown=lambda: seen.append("shutdown"), seen=seen)


def test_a_late_start_is_tried_again():
    ray = a_ray(Exception(LATE))
    start_ray(ray, Plan())
    assert ray.seen == ["init", "shutdown", "init"]


@pytest.mark.parametrize(
    "errors",
    [(Exception(LATE), Exception(LATE)), (ConnectionError("no cluster there"),), (Exception("odd"),)],
)
def test_what_does_not_start_is_a_sentence(errors):
    with pytest.raises(PusaError, match=r"Ray could not be started or joined.*leave --address out"):
        start_ray(a_ray(*errors), Plan())


def test_a_full_disk_is_told():
    with pytest.raises(PusaError, match="the disk of its folder for temporary files is full"):
        start_ray(a_ray(OSError(28, "No space left on device")), Plan())
