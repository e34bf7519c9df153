"""The training loop every model of the zoo shares: schedule, checkpoints that resume exactly, log and loss plot."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Plan:
    """What decides a run, apart from its loss."""

    name: str  # of its folder below the runs' folder
    steps: int
    learning_rate: float  # after the warm-up, before the decay
    seed: int
    warm_up: int = 30  # steps
    final_share: float = 0.02  # of the learning rate, reached at the end of the cosine
    log_every: int = 50  # steps
    save_every: int = 250  # steps
    clip_norm: float = 1.0

    def learning_rate_at(self, step: int) -> float:
        """Linear warm-up, then half a cosine down to final_share."""
        decay = 0.5 + 0.5 * math.cos(math.pi * step / self.steps)
        return (
            self.learning_rate
            * min(1.0, (step + 1) / self.warm_up)
            * (self.final_share + (1 - self.final_share) * decay)
        )


def train(
    plan: Plan,
    folder: Path,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    loss_of_step: Callable[[int], Tensor],
    measure: Callable[[], dict[str, float]] | None = None,
) -> None:
    """Train the parameters that the optimizers hold, in place, from the newest checkpoint to plan.steps.

    loss_of_step gets the step's number and may use torch's global random generator, which is seeded from the plan and
    the step alone: a run that was interrupted goes on exactly as if it had not been. measure runs at each checkpoint.
    """
    folder = folder / plan.name
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint.pt"
    trained = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    step, history, seconds = 0, [], 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        step, history, seconds = state["step"], state["history"], state["seconds"]
    started = time.monotonic() - seconds
    recent: list[float] = []
    while step < plan.steps:
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = plan.learning_rate_at(step)
            optimizer.zero_grad(set_to_none=True)
        torch.manual_seed(plan.seed * 1_000_003 + step)
        loss = loss_of_step(step)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, plan.clip_norm)
        for optimizer in optimizers:
            optimizer.step()
        step += 1
        recent.append(loss.item())
        is_checkpoint = step % plan.save_every == 0 or step == plan.steps
        if step % plan.log_every == 0 or is_checkpoint:
            seconds = time.monotonic() - started
            row = {"step": step, "seconds": round(seconds, 1), "loss": sum(recent) / len(recent)}
            recent = []
            if is_checkpoint and measure is not None:
                row |= measure()
            history.append(row)
            _report(plan, folder, row, history)
        if is_checkpoint:
            state = {
                "model": model.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                "step": step,
                "history": history,
                "seconds": seconds,
            }
            torch.save(state, folder / "checkpoint.new")
            (folder / "checkpoint.new").replace(checkpoint)


def finished_model(plan: Plan, folder: Path) -> dict[str, Tensor]:
    """The weights a finished run left; refuses a run that is still going."""
    checkpoint = folder / plan.name / "checkpoint.pt"
    if not checkpoint.exists():
        raise FileNotFoundError(
            f"{plan.name} has not been trained: run its stage first ({checkpoint} is missing)."
        )
    state = torch.load(checkpoint, weights_only=True)
    if state["step"] < plan.steps:
        raise RuntimeError(
            f"{plan.name} stands at step {state['step']} of {plan.steps}: finish its stage first."
        )
    return state["model"]


def _report(plan: Plan, folder: Path, row: dict[str, float], history: list[dict[str, float]]) -> None:
    """Write one progress line, and the whole history as a file the plots are drawn from."""
    numbers = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "step")
    with (folder / "progress.txt").open("a", encoding="utf-8") as file:
        file.write(f"{plan.name} {row['step']}/{plan.steps}  {numbers}\n")
    (folder / "history.json").write_text(json.dumps(history), encoding="utf-8")
