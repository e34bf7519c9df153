"""How the benchmarks measure: turns and medians for time, a fresh process for the peak of memory."""

import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import psutil
import torch


def row(
    what: str, against: str, value: float, limit: float | None = None, unit: str = "", note: str = ""
) -> dict[str, Any]:
    """One line of the table; ok is None where nothing was promised."""
    ok = None if limit is None else bool(value <= limit)
    return {
        "what": what,
        "against": against,
        "value": value,
        "limit": limit,
        "unit": unit,
        "note": note,
        "ok": ok,
    }


def median_seconds(
    variants: Mapping[str, Callable[[], object]], rounds: int, device: torch.device
) -> dict[str, list[float]]:
    """Seconds of every variant in every round, after one round that is not counted; the variants take turns.

    On a CPU these are seconds of the processor, which other programs on the machine do not lengthen.
    """
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(rounds + 1):
        for name, run in variants.items():
            synchronize(device)
            start = clock()
            run()
            synchronize(device)
            if turn:
                seconds[name].append(clock() - start)
    return seconds


def ratio(seconds: Mapping[str, list[float]], name: str, base: str) -> float:
    """Median over the rounds of one variant's time over the other's in the same round."""
    return statistics.median(a / b for a, b in zip(seconds[name], seconds[base], strict=True))


def synchronize(device: torch.device) -> None:
    """Waits until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_bytes(device: torch.device, run: Callable[[], object]) -> int:
    """Most memory that torch's tensors took while run() ran, over what was in use before it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True, acc_events=True
    ) as profiled:
        run()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    in_use = itertools.accumulate(
        event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())
    )
    return max(in_use, default=0)


def peak_resident_bytes(run: Callable[[], object]) -> int:
    """Most memory of this process while run() ran, over what it had before: files that are read count too."""
    before = psutil.Process().memory_info().rss
    run()
    return most_resident_bytes() - before


def most_resident_bytes() -> int:
    """Largest resident size of this process so far."""
    facts = psutil.Process().memory_info()
    if hasattr(facts, "peak_wset"):
        return facts.peak_wset
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def in_fresh_process(script: str, *arguments: str) -> Any:
    """What a part prints as JSON on its last line, run in a process of its own."""
    done = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{arguments} failed:\n" + "\n".join(done.stderr.splitlines()[-12:]))
    return json.loads(done.stdout.splitlines()[-1])
