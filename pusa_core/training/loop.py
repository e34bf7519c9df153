"""The training loop: schedule, optimizer, running mean, log, and checkpoints from which a run goes on to the bit.

It holds no random state: what a step computes depends on its number alone (draw.py), so weights, optimizer and step are all.
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..charts import Series, line_chart
from ..errors import PusaError
from .checkpoints import Checkpoint, Checkpoints
from .devices import Devices, OneDevice, refuse_together
from .progress import Progress

CHECKPOINTS, HISTORY, CURVE = "checkpoints", "history.json", "loss.png"
STOP = "stop"
"""A file of this name in a run's folder ends the run after the step under way: launchers kill their processes 30 s after Ctrl+C."""
LOG_POINTS = 400  # of a whole run, at most


@dataclass
class Run:
    """What is trained and how; compute gives the gradients."""

    name: str
    folder: Path
    trained: Mapping[str, nn.Parameter]  # in one order on all devices
    optimizers: Sequence[torch.optim.Optimizer]
    steps: int
    rate_at: Callable[[int], float]  # learning rate of a step
    identity: Mapping[str, Any]  # what a checkpoint must share with this run for both to be one
    save_every: int = 50
    keep: int = 2
    clip_norm: float = 1.0  # 0 leaves the gradient as it is
    ema: float = 0.0
    devices: Devices = field(default_factory=OneDevice)
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True)
class Outcome:
    """Where a run stands when the loop ends."""

    step: int
    finished: bool
    history: list[dict[str, float]]


def train(
    run: Run,
    compute: Callable[[int], Tensor],
    at_step: Callable[[int], dict[str, float] | None] | None = None,
) -> Outcome:
    """Train from the newest whole checkpoint to run.steps, or to Ctrl+C or a file named STOP in its folder, which save first.

    compute(step): leaves the gradients of run.trained and returns this process's share of the loss, a scalar; at_step(step) runs
    after a step with that many done, and may add numbers to the log.
    """
    store = Checkpoints(run.folder / CHECKPOINTS, run.keep)
    stop_file = run.folder / STOP
    averages = {name: value.detach().clone() for name, value in run.trained.items()} if run.ema else {}
    step, history, spent = _restore(run, store, averages)
    started, recent, every = time.monotonic() - spent, [], max(1, run.steps // LOG_POINTS)
    run.progress.begin(run.name, step, run.steps)
    first_of_recent = time.monotonic()
    with _interrupts() as interrupted:
        while step < run.steps:
            rate = run.rate_at(step)
            for optimizer in run.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rate * group.get("rate_scale", 1.0)
                optimizer.zero_grad(set_to_none=True)
            share = compute(step).detach().float().cpu()
            norm = nn.utils.clip_grad_norm_(list(run.trained.values()), run.clip_norm or math.inf)
            _check_number("gradient", float(run.devices.whole(norm)), step + 1)
            for optimizer in run.optimizers:
                optimizer.step()
            for name, average in averages.items():
                average.lerp_(run.trained[name].detach(), 1 - mean_decay(run.ema, step))
            step += 1
            asked = interrupted.is_set() or (run.devices.rank == 0 and stop_file.exists())
            loss, stops = run.devices.total(torch.tensor([share, float(asked)])).tolist()
            _check_number("loss", loss, step)
            recent.append(loss)
            ends = step == run.steps or bool(stops)
            if step % every == 0 or step % run.save_every == 0 or ends:
                seconds = (time.monotonic() - first_of_recent) / len(recent)
                row = {
                    "step": step,
                    "loss": sum(recent) / len(recent),
                    "rate": rate,
                    "seconds": round(seconds, 4),
                }
                history.append(row | ((at_step(step) or {}) if at_step else {}))
                recent, first_of_recent = [], time.monotonic()
            elif at_step:
                at_step(step)
            run.progress.step(step, history[-1] if history else {"loss": loss})
            if step % run.save_every == 0 or ends:
                spent = time.monotonic() - started
                _save(run, store, averages, step, history, spent)
            if stops:
                break
    run.progress.end()
    if run.devices.rank == 0:
        stop_file.unlink(missing_ok=True)
    return Outcome(step, step >= run.steps, history)


def mean_decay(ema: float, step: int) -> float:
    """Decay of the running mean at a step, the first is 0: what has just begun must not weigh for a thousand steps."""
    return min(ema, (1 + step) / (10 + step))


def _check_number(name: str, value: float, step: int) -> None:
    if not math.isfinite(value):
        raise PusaError(
            f"The {name} of step {step} is {value}. Lower optimizer.learning_rate, and check the clips; the checkpoint before "
            "this step is kept."
        )


def finished(folder: Path, steps: int) -> Checkpoint:
    """The last checkpoint of a run that reached its end; refuses a run that is still going."""
    found = Checkpoints(folder / CHECKPOINTS).newest(lambda text: None)
    if found is None:
        raise FileNotFoundError(f"{folder.name} has not been trained: {folder} has no checkpoint.")
    if found.step < steps:
        raise RuntimeError(f"{folder.name} stands at step {found.step} of {steps}: finish it first.")
    return found


def trained_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """What a run trained, by its names: the running mean where the run keeps one."""
    kind = "ema" if any(key.startswith("ema/") for key in checkpoint.keys) else "weight"
    return {
        key.removeprefix(f"{kind}/"): checkpoint.read(key)
        for key in sorted(checkpoint.keys)
        if key.startswith(f"{kind}/")
    }


def _restore(
    run: Run, store: Checkpoints, averages: dict[str, Tensor]
) -> tuple[int, list[dict[str, float]], float]:
    """Bring weights, optimizer and means to the newest whole checkpoint; returns step, history and seconds spent."""
    found = _newest_on_all(run, store)
    if found is None:
        return 0, [], 0.0
    kept = {"optimizer": _optimizer_of(found.keys)} | found.facts["identity"]
    if changed := [
        key for key in run.identity if key in kept and kept[key] != _plain(run.identity[key])
    ]:  # an earlier version wrote fewer
        raise PusaError(
            f"{run.folder} holds a run with another {changed[0]} ({kept[changed[0]]} instead of {run.identity[changed[0]]}), which "
            "cannot go on with this one. Use another train.output, or the settings of that run."
        )
    with torch.no_grad():
        for name, parameter in run.trained.items():
            parameter.copy_(run.devices.like(found.read(f"weight/{name}"), parameter))
            if name in averages:
                key = f"ema/{name}"
                source = found.read(key) if key in found.keys else found.read(f"weight/{name}")
                averages[name].copy_(run.devices.like(source, parameter))
    owners = _owners(run)
    for name, parameter in run.trained.items():
        state = owners[name].state[parameter]
        # in one order on all processes, which put shared-out tensors together one after the other
        for key in sorted(
            key for key in found.keys if key.startswith("state/") and key.split("/", 2)[2] == name
        ):
            value = found.read(key)
            same = value.shape == parameter.shape
            state[key.split("/", 2)[1]] = (
                run.devices.like(value, parameter) if same else value.to(_state_device(key, parameter))
            )
        state.update(found.facts["numbers"].get(name, {}))
    run.progress.say(f"{run.name} goes on from step {found.step}.")
    return found.step, found.facts["history"], found.facts["seconds"]


def _newest_on_all(run: Run, store: Checkpoints) -> Checkpoint | None:
    """The first process's newest checkpoint, which all must have; None where the run begins."""
    is_first = run.devices.rank == 0
    if is_first:
        store.remove_parts()
    had = store.steps()
    found = store.newest(run.progress.say, sets_aside=True) if is_first else None
    step = int(run.devices.agree(str(found.step if found else -1)))
    if step < 0:
        if had and is_first:
            run.progress.say(f"{run.name} begins anew at step 0.")
        return None
    if not is_first:
        found = store.newest(lambda text: None)
    refuse_together(
        run.devices,
        found is None or found.step != step,
        f"The run stands at step {step}, but not all machines find that checkpoint in {store.folder}. Put train.output on a disk "
        "that all machines share.",
    )
    return found


def _optimizer_of(keys: frozenset[str]) -> str:
    """optimizer.name of a checkpoint that does not say it, by what bitsandbytes calls its state."""
    return "adamw8bit" if any(key.startswith("state/state1/") for key in keys) else "adamw"


def _state_device(key: str, parameter: Tensor) -> torch.device:
    """AdamW counts its steps on the CPU."""
    return torch.device("cpu") if key.split("/", 2)[1] == "step" else parameter.device


def _save(
    run: Run,
    store: Checkpoints,
    averages: Mapping[str, Tensor],
    step: int,
    history: list[dict[str, float]],
    seconds: float,
) -> None:
    tensors: list[tuple[str, int, Callable[[], Tensor]]] = []
    numbers: dict[str, dict[str, float]] = {}
    owners = _owners(run)

    def add(name: str, value: Tensor) -> None:
        tensors.append((name, value.element_size(), lambda: run.devices.whole(value)))

    for name, parameter in run.trained.items():
        add(f"weight/{name}", parameter)
        if name in averages:
            add(f"ema/{name}", averages[name])
        for key, value in sorted(owners[name].state[parameter].items()):
            if isinstance(value, Tensor):
                add(f"state/{key}/{name}", value)
            elif isinstance(value, (int, float)):
                numbers.setdefault(name, {})[key] = value
    facts = {
        "identity": {key: _plain(value) for key, value in run.identity.items()},
        "history": history,
        "seconds": round(seconds, 1),
        "numbers": numbers,
        "steps": run.steps,
    }
    main = run.devices.rank == 0
    store.save(step, facts, tensors, writes=main)
    if main:
        (run.folder / HISTORY).write_text(json.dumps(history), encoding="utf-8")
        draw_curve(run.name, history, run.folder / CURVE)
    run.devices.wait()


def draw_curve(name: str, history: list[dict[str, float]], path: Path) -> None:
    """The loss over the steps as a picture."""
    if len(history) > 1:
        points = [(row["step"], row["loss"]) for row in history]
        line_chart(name, "step", "loss", [Series("training loss", points)], log_y=True).save(path)


def _owners(run: Run) -> dict[str, torch.optim.Optimizer]:
    """Which optimizer moves each parameter."""
    by_id = {
        id(p): optimizer
        for optimizer in run.optimizers
        for group in optimizer.param_groups
        for p in group["params"]
    }
    return {name: by_id[id(parameter)] for name, parameter in run.trained.items()}


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(value))


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Ctrl+C sets the event; pressed again it interrupts at once. Elsewhere than in the main thread nothing is caught."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(*_: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
