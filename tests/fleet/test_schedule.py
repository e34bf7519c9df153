"""Who runs what, with a double of Ray that answers at once; the real one runs in test_fleet_runs.py."""

from types import SimpleNamespace

import pytest

from pusa_core.errors import PusaError
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

    def run(workers, names, attempts=2, needs=None, prepare=lambda job: job, files=None):
        said, endings = [], []
        jobs = [
            Job(name, {"name": name}, (files or {}).get(name, {}), "", tuple((needs or {}).get(name, "")))
            for name in names
        ]
        schedule = Schedule(RAY, workers, jobs, attempts, said.append, prepare)
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


CHAIN = {"3": "1", "4": "1", "5": "3", "6": "3"}


def test_an_item_waits_for_those_that_it_needs_and_those_that_are_needed_go_first(go):
    order = []
    told, left, _ = go({"a": worker(lambda name: order.append(name) or Outcome(1.0))}, "213456", needs=CHAIN)
    assert order == ["1", "3", "2", "4", "5", "6"]
    assert len(told) == 6
    assert not left


def test_what_needs_an_item_that_failed_is_told_and_the_rest_goes_on(go):
    picky = lambda name: Outcome(1.0, sentence="no" if name == "3" else "")  # noqa: E731
    told, left, _ = go({"a": worker(picky), "b": worker(picky)}, "123456", needs=CHAIN | {"2": "6"})
    assert {end[0] for end in told if not end[3]} == {"1", "4"}
    assert ("6", "", 0, "It is made from 3, which was not made.") in told
    assert ("2", "", 0, "It is made from 6, which was not made.") in told
    assert not left


def test_an_item_whose_file_is_gone_when_its_turn_comes_is_told_and_the_rest_goes_on(go, tmp_path):
    files = {"b": {"input/picture.png": tmp_path / "picture.png"}}
    told, left, _ = go({"one": worker(fine)}, "abc", files=files)
    assert left == []
    assert {name: (attempts, sentence) for name, _, attempts, sentence in told} == {
        "a": (1, ""),
        "b": (0, f"The file {tmp_path / 'picture.png'} cannot be read (No such file or directory)."),
        "c": (1, ""),
    }


def test_an_item_that_cannot_be_prepared_is_told_and_the_rest_goes_on(go):
    def prepare(job):
        if job.name == "b":
            raise PusaError("The picture is gone.")
        return job

    told, left, _ = go({"one": worker(fine)}, "abc", prepare=prepare)
    assert left == []
    assert sorted((name, sentence) for name, _, _, sentence in told) == [
        ("a", ""),
        ("b", "The picture is gone."),
        ("c", ""),
    ]


def test_an_item_that_turns_out_to_be_there_needs_no_worker(go):
    ran = []
    there = worker(lambda name: ran.append(name) or Outcome(1.0))
    told, _, _ = go(
        {"a": there}, "123456", needs=CHAIN, prepare=lambda job: None if job.name in "35" else job
    )
    assert sorted(ran) == ["1", "2", "4", "6"]
    assert {end[:3] for end in told if end[0] in "35"} == {("3", "", 0), ("5", "", 0)}
