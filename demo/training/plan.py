"""A run of the zoo: its plan, handed to the pack's own training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ...pusa_core.training import loop
from ...pusa_core.training.checkpoints import Checkpoint, Checkpoints
from ...pusa_core.training.config import OptimizerSettings
from ...pusa_core.training.progress import Progress, TerminalProgress


@dataclass(frozen=True)
class Plan:
    """What decides a run, apart from its loss."""

    name: str  # of its folder below the runs' folder
    steps: int
    learning_rate: float  # after the warm-up, before the decay
    seed: int
    batch: int = 32  # clips a step
    warm_up: int = 30  # steps
    final_share: float = 0.02  # of the learning rate, reached at the end of the cosine
    save_every: int = 250  # steps

    @property
    def identity(self) -> dict[str, object]:
        """What a checkpoint must share with the plan to go on with it."""
        return {"name": self.name, "seed": self.seed, "steps": self.steps, "batch": self.batch}

    @property
    def schedule(self) -> OptimizerSettings:
        """Linear warm-up, then half a cosine down to final_share."""
        return OptimizerSettings(
            learning_rate=self.learning_rate,
            schedule="cosine",
            warm_up=self.warm_up,
            final_share=self.final_share,
        )


def train(
    plan: Plan,
    runs: Path,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    loss_of_step: Callable[[int], Tensor],
    measure: Callable[[], dict[str, float]] | None = None,
    progress: Progress | None = None,
) -> loop.Outcome:
    """Train what the model has to train, in place, from the newest checkpoint to plan.steps.

    loss_of_step gets the step's number and may use torch's global random generator, which is seeded from the plan and the step
    alone: a run that was interrupted goes on exactly as if it had not been. measure runs at each checkpoint.
    """
    (runs / plan.name).mkdir(parents=True, exist_ok=True)

    def compute(step: int) -> Tensor:
        torch.manual_seed(plan.seed * 1_000_003 + step)
        loss = loss_of_step(step)
        loss.backward()
        return loss

    def at_step(step: int) -> dict[str, float] | None:
        is_checkpoint = step % plan.save_every == 0 or step == plan.steps
        return measure() if measure and is_checkpoint else None

    outcome = loop.train(
        loop.Run(
            name=plan.name,
            folder=runs / plan.name,
            trained={name: value for name, value in model.named_parameters() if value.requires_grad},
            optimizers=optimizers,
            steps=plan.steps,
            rate_at=lambda step: plan.schedule.learning_rate_at(step, plan.steps),
            identity=plan.identity,
            save_every=plan.save_every,
            progress=progress or TerminalProgress(),
        ),
        compute,
        at_step,
    )
    if not outcome.finished:
        raise KeyboardInterrupt
    return outcome


def has_begun(plan: Plan, runs: Path) -> bool:
    """Whether the run has a checkpoint."""
    return bool(Checkpoints(runs / plan.name / loop.CHECKPOINTS).steps())


def begin_at(plan: Plan, runs: Path, step: int, weights: Mapping[str, Tensor]) -> None:
    """Write a first checkpoint, from which train goes on: these weights at this step, an optimizer that has seen nothing."""
    facts = {"identity": plan.identity, "history": [], "seconds": 0.0, "numbers": {}, "steps": plan.steps}

    def reader(value: Tensor) -> Callable[[], Tensor]:
        return lambda: value

    tensors = [
        (f"weight/{name}", value.element_size(), reader(value)) for name, value in sorted(weights.items())
    ]
    Checkpoints(runs / plan.name / loop.CHECKPOINTS).save(step, facts, tensors, writes=True)


def finished(plan: Plan, runs: Path) -> Checkpoint:
    """The last checkpoint of a finished run; refuses a run that is still going."""
    return loop.finished(runs / plan.name, plan.steps)


def trained_weights(plan: Plan, runs: Path) -> dict[str, Tensor]:
    """What a finished run trained, by parameter name."""
    return loop.trained_weights(finished(plan, runs))
