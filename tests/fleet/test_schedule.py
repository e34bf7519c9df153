"""Who runs what, with a double of Ray that answers at once; the real one runs in test_fleet_runs.py."""

from types import SimpleNamespace

import pytest

from pusa_core.fleet.jobs import Job
from pusa_core.fleet.schedule import Schedule
from pusa_core.fleet.worker import Outcome


class DiedError(Exception):
    """What Ray raises for an actor whose process ended."""


class Call:
    """`worker.run`: remote() gives a reference, here the answer itself in a box."""

    def __init__(self, answer):
        self.answer = answer

    def options(self, max_task_retries):
        assert max_task_retries == -1
        return self

    def remote(self, *arguments):
        return SimpleReference(self.answer(*arguments))


class SimpleReference:
    def __init__(self, value):
        self.value = value


def get(reference):
    if isinstance(reference.value, Exception):
        raise reference.value
    return reference.value


RAY = SimpleNamespace(
    exceptions=SimpleNamespace(RayError=DiedError),
    wait=lambda pending, num_returns, timeout: (pending[-1:], pending[:-1]),
    get=get,
)


def worker(run, ready=lambda: ""):
    return SimpleNamespace(run=Call(lambda graph, files: run(graph["name"])), ready=Call(ready))


def fine(name):
    return Outcome(1.0)


@pytest.fixture
def go():
    """go(workers, names) -> endings as (item, worker, attempts, sentence), items left, the schedule."""

    def run(workers, names, attempts=2):
        said, endings = [], []
        jobs = [Job(name, {"name": name}, {}, "") for name in names]
        schedule = Schedule(RAY, workers, jobs, attempts, said.append)
        left = schedule.run(endings.append, lambda running: None)
        told = [(end.job.name, end.worker, end.attempts, end.outcome.sentence) for end in endings]
        return told, [attempt.job.name for attempt in left], schedule

    return run


def test_every_item_ends_once(go):
    told, left, _ = go({"a": worker(fine), "b": worker(fine)}, "123456")
    assert sorted(end[0] for end in told) == list("123456")
    assert not left
    assert {end[1] for end in told} == {"a", "b"}


def test_an_item_that_fails_runs_again_on_another_worker(go):
    broken = worker(lambda name: Outcome(1.0, sentence="disk full"))
    told, left, _ = go({"a": worker(fine), "b": broken}, "1234")
    assert sorted(end[0] for end in told) == list("1234")
    assert all(end[1] == "a" and not end[3] for end in told)
    assert [end[2] for end in told if end[2] > 1]
    assert not left


def test_an_item_that_fails_twice_is_told_and_the_rest_goes_on(go):
    picky = lambda name: Outcome(1.0, sentence="bad seed") if name == "2" else Outcome(1.0)  # noqa: E731
    told, left, _ = go({"a": worker(picky), "b": worker(picky)}, "1234")
    assert ("2", "bad seed") in [(end[0], end[3]) for end in told]
    assert sorted(end[0] for end in told) == list("1234")
    assert not left


def test_with_one_worker_an_item_runs_again_on_it(go):
    tries = []
    told, _, _ = go({"a": worker(lambda name: tries.append(name) or Outcome(1.0, sentence="no"))}, "1")
    assert tries == ["1", "1"]
    assert told == [("1", "a", 2, "no")]


def test_the_item_of_a_worker_that_dies_runs_elsewhere_and_the_worker_is_made_ready_again(go):
    deaths = iter([DiedError("The actor died because its process was killed.\nmore")])
    readied = []
    mortal = worker(lambda name: next(deaths, Outcome(1.0)), lambda: readied.append(1) or "")
    told, left, _ = go({"a": mortal, "b": worker(fine)}, "123456")
    assert sorted(end[0] for end in told) == list("123456")
    assert all(not end[3] for end in told)
    assert not left
    assert len(readied) == 2
    assert [end[1] for end in told if end[2] == 2] == ["b"]


def test_without_a_worker_that_starts_nothing_runs_and_it_is_said_why(go):
    told, left, schedule = go({"a": worker(fine, lambda: "no ComfyUI there")}, "12")
    assert told == []
    assert left == ["1", "2"]
    assert schedule.losses == {"a": "no ComfyUI there"}


def test_a_worker_that_cannot_start_does_not_hold_up_the_others(go):
    told, left, _ = go({"a": worker(fine, lambda: DiedError("gone")), "b": worker(fine)}, "12")
    assert [end[1] for end in told] == ["b", "b"]
    assert not left
