"""Claims: what goes wrong in a step of training leaves checkpoints from which the run goes on."""

from pathlib import Path

import pytest
import torch

from pusa_core.errors import PusaError
from pusa_core.training.checkpoints import Checkpoints
from pusa_core.training.loop import CHECKPOINTS, Run, train


def run_of(folder: Path, steps: int = 4) -> Run:
    """A run over one number, saved at every second step."""
    value = torch.nn.Parameter(torch.ones(1))
    return Run(
        "small", folder, {"value": value}, [torch.optim.AdamW([value], 0.1)], steps,
        rate_at=lambda step: 0.1, identity={"seed": 0}, save_every=2,
    )  # fmt: skip


def gradients(run: Run, broken_step: int = -1):
    """compute of the loop: the loss stays finite where the gradient is not."""

    def compute(step: int) -> torch.Tensor:
        value = run.trained["value"]
        value.grad = torch.full_like(value, float("inf") if step == broken_step else 1.0)
        return value.detach().sum()

    return compute


def test_a_gradient_without_a_number_stops_the_run_before_it_reaches_a_checkpoint(tmp_path):
    run = run_of(tmp_path)
    with pytest.raises(PusaError, match="The gradient of step 4 is"):
        train(run, gradients(run, broken_step=3))
    assert Checkpoints(tmp_path / CHECKPOINTS).steps() == [2]
    again = run_of(tmp_path)
    assert train(again, gradients(again)).finished
    assert torch.isfinite(again.trained["value"]).all()


def test_an_old_checkpoint_that_another_program_holds_open_does_not_end_the_run(tmp_path, monkeypatch):
    original = Path.unlink

    def unlink(path, missing_ok=False):
        if path.name == "step_0000002.safetensors" and not freed:
            raise PermissionError(13, "The process cannot access the file", str(path))
        original(path, missing_ok)

    freed = []
    monkeypatch.setattr(Path, "unlink", unlink)
    run, longer = run_of(tmp_path, 6), run_of(tmp_path, 8)
    assert train(run, gradients(run)).finished
    store = Checkpoints(tmp_path / CHECKPOINTS)
    assert store.steps() == [6, 4, 2]
    freed.append(True)
    train(longer, gradients(longer))
    assert store.steps() == [8, 6]
