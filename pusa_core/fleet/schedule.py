"""Which item runs where, and what follows when it fails or its worker dies. Ray places the workers and starts them again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import PusaError
from .jobs import Job
from .worker import Outcome

LOOK_SECONDS = 1.0  # the bar is drawn as often
QUIET_LOOKS = 60  # after so many without a worker, it is said what is waited for


@dataclass
class Attempts:
    """An item on its way."""

    job: Job
    tried: list[str] = field(default_factory=list)  # workers, in order
    sentence: str = ""  # of the last failure
    is_ready: bool = False  # what it needs is done


@dataclass(frozen=True)
class Ending:
    """How an item ended: with an outcome, after as many failures as are allowed, or without a worker (no attempts)."""

    job: Job
    worker: str
    attempts: int
    outcome: Outcome


class Schedule:
    """Hands items to workers that are free.

    A failed item runs again on another worker where there is one. A worker whose process or machine dies is started again by
    Ray (as an actor with max_restarts); `ready`, which Ray repeats by itself, says when it can be used. No item waits for it.
    An item that needs others waits for them; those that others need go first.
    """

    def __init__(
        self,
        ray: Any,
        workers: Mapping[str, Any],
        jobs: Sequence[Job],
        attempts: int,
        say: Callable[[str], None],
        prepare: Callable[[Job], Job | None] = lambda job: job,
    ) -> None:
        """ray: the module; workers: actors by name; say: shows a line; prepare: see ResultsFolder.prepare."""
        self.ray = ray
        self.workers = dict(workers)
        self.attempts = attempts
        self.say = say
        self.prepare = prepare
        needed = {name for job in jobs for name in job.needs}
        self.waiting = deque(Attempts(job) for job in sorted(jobs, key=lambda job: job.name not in needed))
        self.open = {job.name for job in jobs}  # that have not ended
        self.failed: set[str] = set()
        self.idle: list[str] = []
        self.starting: dict[Any, str] = {}  # ray's reference of `ready` -> worker
        self.running: dict[Any, tuple[str, Attempts]] = {}  # ray's reference of `run` -> worker, item
        self.losses: dict[str, str] = {}  # workers that are gone for good, and why
        for name in self.workers:
            self._make_ready(name)

    def run(self, on_end: Callable[[Ending], None], on_look: Callable[[int], None]) -> list[Attempts]:
        """Runs until every item has ended or no worker is left; returns the items that were not run to an end.

        on_look(items that run now) is called about once a second.
        """
        quiet = 0
        while self.waiting or self.running:
            self._release(on_end)
            if self._hand_out(on_end):
                continue
            pending = [*self.running, *self.starting] if self.waiting or self.running else []
            if not pending:
                break
            on_look(len(self.running))
            ready, _ = self.ray.wait(pending, num_returns=1, timeout=LOOK_SECONDS)
            quiet = 0 if ready or self.running else quiet + 1
            if quiet == QUIET_LOOKS:
                self.say(
                    "Still waiting for a worker: Ray has no free GPU or machine for it, or its ComfyUI is slow to start."
                )
            for reference in ready:
                if reference in self.starting:
                    self._worker_answered(reference)
                elif (ending := self._item_ended(reference)) is not None:
                    self._end(ending, on_end)
        return [attempt for _, attempt in self.running.values()] + list(self.waiting)

    def _release(self, on_end: Callable[[Ending], None]) -> None:
        """Makes those ready whose needs are done; ends those that cannot run, and those that turn out to be there already."""
        is_settled = False
        while not is_settled:
            is_settled = True
            for attempt in [one for one in self.waiting if not one.is_ready]:
                if lost := self.failed & set(attempt.job.needs):
                    outcome = Outcome(0.0, sentence=f"It is made from {min(lost)}, which was not made.")
                elif self.open & set(attempt.job.needs):
                    continue
                elif isinstance(prepared := self._prepared(attempt.job), Job):
                    attempt.job, attempt.is_ready = prepared, True
                    continue
                else:
                    outcome = prepared
                self.waiting.remove(attempt)
                self._end(Ending(attempt.job, "", 0, outcome), on_end)
                is_settled = False

    def _prepared(self, job: Job) -> Job | Outcome:
        """The job as a worker gets it, or how it ends without one."""
        try:
            return self.prepare(job) or Outcome(0.0)
        except PusaError as error:
            return Outcome(0.0, sentence=str(error))

    def _end(self, ending: Ending, on_end: Callable[[Ending], None]) -> None:
        self.open.discard(ending.job.name)
        if ending.outcome.sentence:
            self.failed.add(ending.job.name)
        on_end(ending)

    def _make_ready(self, name: str) -> None:
        # Ray repeats this call by itself on the actor that it starts again.
        self.starting[self.workers[name].ready.options(max_task_retries=-1).remote()] = name

    def _worker_answered(self, reference: Any) -> None:
        name = self.starting.pop(reference)
        try:
            sentence = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            sentence = f"Ray gave it up ({first_line(error)})."
        if sentence:
            self.losses[name] = sentence
            self.say(f"{name} is not used any more: {sentence}")
        else:
            self.idle.append(name)

    def _hand_out(self, on_end: Callable[[Ending], None]) -> bool:
        """Gives items to workers that are free; returns whether one ended instead, as a file of it is gone."""
        for name in list(self.idle):
            attempt = self._next_for(name)
            if attempt is None:
                continue
            try:
                contents = {on_server: file.read_bytes() for on_server, file in attempt.job.files.items()}
            except OSError as error:
                sentence = f"The file {error.filename} cannot be read ({error.strerror})."
                self._end(Ending(attempt.job, "", 0, Outcome(0.0, sentence=sentence)), on_end)
                return True
            self.idle.remove(name)
            attempt.tried.append(name)
            reference = self.workers[name].run.remote(attempt.job.graph, contents)
            self.running[reference] = (name, attempt)
        return False

    def _next_for(self, name: str) -> Attempts | None:
        """The next item for a worker: one it has not failed on, unless no other worker is there."""
        others = {worker for worker, _ in self.running.values()} | set(self.idle) - {name}
        for attempt in self.waiting:
            if not attempt.is_ready:
                continue
            if name not in attempt.tried or not others - set(attempt.tried):
                self.waiting.remove(attempt)
                return attempt
        return None

    def _item_ended(self, reference: Any) -> Ending | None:
        name, attempt = self.running.pop(reference)
        try:
            outcome: Outcome = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            outcome = Outcome(
                0.0, sentence=f"Its worker {name} died ({first_line(error)}).", server_is_gone=True
            )
        if outcome.server_is_gone:
            self._make_ready(name)
        else:
            self.idle.append(name)
        if outcome.sentence and len(attempt.tried) < self.attempts:
            self.say(f"{attempt.job.name}: failed on {name} and is tried again. {outcome.sentence}")
            attempt.sentence = outcome.sentence
            self.waiting.append(attempt)
            return None
        return Ending(attempt.job, name, len(attempt.tried), outcome)


def first_line(error: BaseException) -> str:
    """The first line of an error, without a full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
