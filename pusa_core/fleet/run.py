"""One run of a fleet from beginning to end: Ray, its workers, the items that are missing, and the report."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import PusaError
from .process import STOP_SECONDS, Installation
from .progress import Progress
from .refusals import FULL, is_full
from .results import FAILED, REPORT, WAITING, ResultsFolder, Row
from .schedule import Ending, Schedule, first_line
from .worker import Worker

PACKAGE = Path(__file__).resolve().parent.parent  # pusa_core, which travels to Ray's other machines
RESTARTS = 20  # of one worker, by Ray
STOPPED = 130  # exit code after Ctrl+C


@dataclass(frozen=True)
class Plan:
    """What the workers are."""

    servers: tuple[str, ...] = ()  # addresses of servers that run already; () starts them
    installation: Installation | None = None  # of those that are started
    workers: int | None = None  # None: as many as Ray sees GPUs
    threads: int | None = None  # CPU threads of a worker; None: 1 on the CPU, else a GPU's share of the cores
    attempts: int = 2  # of an item
    timeout: float | None = None  # seconds of an item
    address: str | None = None  # of a Ray cluster; None: this machine, or what RAY_ADDRESS says


def run(results: ResultsFolder, plan: Plan) -> int:
    """Runs what has no result yet; returns 0 when every item has one, 1 when one failed, 130 after Ctrl+C."""
    jobs, missing = results.jobs, results.missing()
    progress = Progress(len(missing))
    if len(missing) < len(jobs):
        progress.say(f"{len(jobs) - len(missing)} of {len(jobs)} items are finished already.")
    if not missing:
        return 0
    ray = import_ray()
    results.begin()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a plain kill ends it as Ctrl+C does
    workers: dict[str, Any] = {}
    try:
        start_ray(ray, plan)
        if url := dashboard(ray):
            progress.say(f"Ray's dashboard: {url}")
        workers = make_workers(ray, plan)
        progress.say(
            f"{len(missing)} items on {len(workers)} {'worker' if len(workers) == 1 else 'workers'}."
        )
        schedule = Schedule(ray, workers, missing, plan.attempts, progress.say, results.prepare)
        left = schedule.run(lambda ending: record(results, progress, ending), progress.draw)
        why = " ".join(dict.fromkeys(schedule.losses.values()))
        for attempt in left:
            sentence = attempt.sentence or why or "No worker was left."
            progress.item(f"{attempt.job.name}: not run. {sentence}")
            results.rows[attempt.job.name] = replace(
                results.rows[attempt.job.name], attempts=str(len(attempt.tried)), sentence=sentence
            )
        code = int(any(results.rows[job.name].status in (FAILED, WAITING) for job in jobs))
    except KeyboardInterrupt:
        progress.say("Stopping ...")
        explain(results, "The run was stopped before it ended.")
        code = STOPPED
    except PusaError as error:  # nothing more can be run, or saved
        explain(results, str(error))
        raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl+C would leave servers behind
        end_workers(ray, workers)
        progress.finish()
        with suppress(PusaError):
            results.write_report(is_last=True)
        signal.signal(signal.SIGINT, signal.default_int_handler)
    counted = [results.rows[job.name].status for job in jobs]
    summary = ", ".join(
        f"{counted.count(status)} {status}"
        for status in dict.fromkeys(("done", *counted))
        if status in counted
    )
    progress.say(f"{summary}; the report is {results.folder / REPORT}.")
    if not code and results.next_step:
        progress.say(results.next_step)
    return code


def explain(results: ResultsFolder, sentence: str) -> None:
    """Writes beside the items that were not run why."""
    for job in results.jobs:
        if (row := results.rows[job.name]).status == WAITING:
            results.rows[job.name] = replace(row, sentence=sentence)


def record(results: ResultsFolder, progress: Progress, ending: Ending) -> None:
    """Saves what an item made, or why it failed, and shows its line."""
    outcome, name = ending.outcome, ending.job.name
    if not ending.attempts:  # no worker had it
        if outcome.sentence:
            results.note(Row(name, sentence=outcome.sentence, digest=ending.job.digest))
        else:
            results.keep(ending.job)
        progress.item(f"{name}: {f'not run. {outcome.sentence}' if outcome.sentence else 'still holds.'}")
        return
    row = Row(
        name,
        worker=ending.worker,
        attempts=str(ending.attempts),
        seconds=f"{outcome.seconds:.2f}",
        sentence=outcome.sentence,
        digest=ending.job.digest,
    )
    if outcome.sentence:
        results.note(replace(row, status=FAILED))
        progress.item(f"{name}: failed {ending.attempts} times. {outcome.sentence}")
        return
    row = results.save(ending.job, outcome.files, row)
    progress.item(f"{name}: {outcome.seconds:.1f} s on {ending.worker}, {row.files}")


def import_ray() -> Any:
    """Ray, or a sentence on how to get it."""
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise PusaError(
            f"A fleet runs on Ray, which this Python cannot import ({error}). Install it: python -m pip install -r requirements-fleet.txt"
        ) from error


LATE = "timed out during startup"
"""Ray's words when its own processes did not answer within the half minute that it gives them."""


def start_ray(ray: Any, plan: Plan) -> None:
    """Joins a cluster, or starts Ray on this machine for as long as the run takes."""
    options: dict[str, Any] = {"address": plan.address} if plan.address else {}
    if not plan.address and not os.getenv("RAY_ADDRESS"):
        cores = os.cpu_count() or 1
        # else Ray would leave some workers unplaced
        options["num_cpus"] = max(cores, (plan.workers or 0) * (plan.threads or 1))
    options |= {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "runtime_env": {"py_modules": [str(PACKAGE)]},
    }
    try:
        try:
            ray.init(**options)
        except Exception as error:
            if LATE not in str(error):
                raise
            ray.shutdown()  # a busy machine: what was late is in memory by now
            ray.init(**options)
    except Exception as error:  # Ray raises some of them bare
        if is_full(str(error)):
            raise PusaError(
                f"Ray could not start: the disk of its folder for temporary files is full ({FULL}). Free some space there, or "
                "name another folder in RAY_TMPDIR."
            ) from error
        raise PusaError(
            f"Ray could not be started or joined ({first_line(error)}). Start a cluster with `ray start --head` and give its "
            "address, or leave --address out to use this machine alone."
        ) from error


def dashboard(ray: Any) -> str:
    """Where Ray shows its workers and tasks, if it does (with ray[default])."""
    url = getattr(ray.get_runtime_context(), "dashboard_url", None) or ray._private.worker.get_dashboard_url()
    return f"http://{url}" if url else ""


def make_workers(ray: Any, plan: Plan) -> dict[str, Any]:
    """The actors by name; Ray chooses their machines and sets which GPU each sees."""
    actor = ray.remote(Worker)
    run_id = uuid.uuid4().hex[:8]
    common = {"max_restarts": RESTARTS, "max_task_retries": 0}
    if plan.servers:
        return {
            f"{url} ({number})" if plan.servers.count(url) > 1 else url: actor.options(
                num_cpus=0, **common
            ).remote(url, url, plan.timeout)
            for number, url in enumerate(plan.servers, 1)
        }
    assert plan.installation is not None
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    count = plan.workers or gpus
    if not plan.installation.cpu and (not gpus or count > gpus):
        raise PusaError(
            f"Ray sees {gpus or 'no'} {'GPU' if gpus == 1 else 'GPUs'}"
            f"{f' and --workers is {count}' if gpus else ''}. Use --workers N --cpu to run on the CPU, --servers for ComfyUIs "
            "that run already, or --address for a cluster with GPUs."
        )
    count = count or 1
    # On the CPU sums depend on the number of threads, so it does not depend on the number of workers.
    threads = plan.threads or (
        1 if plan.installation.cpu else max(1, int(resources.get("CPU", 1)) // max(1, gpus))
    )
    share = {"num_cpus": threads} if plan.installation.cpu else {"num_cpus": 0, "num_gpus": 1}
    kind = "cpu" if plan.installation.cpu else "gpu"
    return {
        f"{kind}-{number}": actor.options(
            **share,
            **common,
            scheduling_strategy="SPREAD",
            # Ray's own value is the actor's num_cpus
            runtime_env={"env_vars": {"OMP_NUM_THREADS": str(threads)}},
        ).remote(plan.installation, f"{run_id}-{kind}-{number}", plan.timeout)
        for number in range(1, count + 1)
    }


def end_workers(ray: Any, workers: dict[str, Any]) -> None:
    """Ends every worker and its server, also those that hang; then Ray."""
    if not ray.is_initialized():
        return
    stopping = [worker.stop.remote() for worker in workers.values()]
    with suppress(ray.exceptions.RayError):
        ray.wait(stopping, num_returns=len(stopping), timeout=STOP_SECONDS + 5) if stopping else None
    for worker in workers.values():
        with suppress(ray.exceptions.RayError):
            ray.kill(worker)
    ray.shutdown()
