"""Claims: what goes wrong in a step of training leaves checkpoints from which the run goes on."""

from pathlib import Path

import pytest
import torch

from pusa_core.errors import PusaError
from pusa_core.training.checkpoints import Checkpoints
from pusa_core.training.devices import OneDevice
from pusa_core.training.export import newest
from pusa_core.training.loop import CHECKPOINTS, STOP, Run, train
from pusa_core.training.progress import Progress


def run_of(folder: Path, steps: int = 4, **settings: object) -> Run:
    """A run over one number, saved at every second step."""
    value = torch.nn.Parameter(torch.ones(1))
    return Run(
        "small", folder, {"value": value}, [torch.optim.AdamW([value], 0.1)], steps,
        rate_at=lambda step: 0.1, save_every=2, **{"identity": {"seed": 0}, **settings},
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


def test_an_export_leaves_the_checkpoint_that_a_run_is_writing_and_a_new_start_removes_what_is_left(tmp_path):
    run = run_of(tmp_path)
    train(run, gradients(run))
    part = tmp_path / CHECKPOINTS / "step_0000006.safetensors.part"
    part.write_bytes(b"half")
    assert newest(tmp_path).step == 4
    assert part.is_file()
    again = run_of(tmp_path)
    train(again, gradients(again))
    assert not part.exists()


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_damaged_checkpoints_take_no_place_of_new_ones_and_a_run_without_a_whole_one_begins_anew(tmp_path):
    run, store = run_of(tmp_path), Checkpoints(tmp_path / CHECKPOINTS)
    train(run, gradients(run))
    expected = run.trained["value"].clone()
    for step in store.steps():
        damage(store.path(step))
    told = Said()
    shorter, said = run_of(tmp_path, 2, progress=told), told.heard
    assert train(shorter, gradients(shorter)).finished
    assert store.steps() == [2]
    assert "step_0000004.safetensors.damaged" in said[0]
    assert said[-2:] == [
        f"None of the 2 checkpoints in {tmp_path / CHECKPOINTS} is whole.", "small begins anew at step 0.",
    ]  # fmt: skip
    whole = run_of(tmp_path)
    train(whole, gradients(whole))
    assert torch.equal(whole.trained["value"], expected)
    assert store.steps() == [4, 2]


class Said(Progress):
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def say(self, text: str) -> None:
        self.heard.append(text)


def test_a_gradient_without_a_number_stops_a_run_that_clips_none_too(tmp_path):
    run = run_of(tmp_path, clip_norm=0.0)
    with pytest.raises(PusaError, match="The gradient of step 4 is"):
        train(run, gradients(run, broken_step=3))
    assert Checkpoints(tmp_path / CHECKPOINTS).steps() == [2]


def test_a_file_named_stop_ends_a_run_after_its_step_and_is_gone_when_it_goes_on(tmp_path):
    run = run_of(tmp_path, 6)

    def stop_at_three(step: int) -> None:
        if step == 3:
            (tmp_path / STOP).touch()

    stopped = train(run, gradients(run), stop_at_three)
    assert (stopped.step, stopped.finished) == (4, False)
    assert not (tmp_path / STOP).exists()
    assert Checkpoints(tmp_path / CHECKPOINTS).steps() == [4, 2]
    again = run_of(tmp_path, 6)
    assert train(again, gradients(again)).finished


def test_the_running_mean_of_a_short_run_is_of_its_weights_and_not_of_where_it_began(tmp_path):
    run, values = run_of(tmp_path, 60, ema=0.999), []
    train(run, gradients(run), lambda step: values.append(float(run.trained["value"])))
    mean = 1.0  # where it began
    for step, value in enumerate(values):
        decay = (1 + step) / (10 + step)  # below 0.999 so far
        mean = decay * mean + (1 - decay) * value
    found = newest(tmp_path).read("ema/value")
    assert float(found) == pytest.approx(mean, rel=1e-5)
    assert abs(float(found) - values[-1]) < 0.2 * abs(1.0 - values[-1])


class OneOfTwo(OneDevice):
    """A process of two, of which another may refuse."""

    count = 2

    def __init__(self, rank: int, refusals: int = 0):
        self.rank, self.refusals = rank, refusals

    def agree(self, text):
        return text if self.rank == 0 else "4"

    def total(self, value):
        return value + self.refusals


@pytest.mark.parametrize(("rank", "refusals"), [(0, 1), (1, 0)])
def test_a_checkpoint_that_a_machine_does_not_see_is_refused_by_all(rank, refusals, tmp_path):
    if rank == 0:
        run = run_of(tmp_path)
        train(run, gradients(run))
    run = run_of(tmp_path, devices=OneOfTwo(rank, refusals))
    with pytest.raises(PusaError, match=r"stands at step 4.*Put train\.output on a disk"):
        train(run, gradients(run))


def test_another_optimizer_cannot_go_on_with_a_run_whether_its_checkpoint_names_the_first_or_not(tmp_path):
    run = run_of(tmp_path, 2)
    train(run, gradients(run))
    other = run_of(tmp_path, identity={"seed": 0, "optimizer": "adamw8bit"})
    with pytest.raises(PusaError, match=r"another optimizer \(adamw instead of adamw8bit\)"):
        train(other, gradients(other))
    same = run_of(tmp_path, identity={"seed": 0, "optimizer": "adamw"})
    assert train(same, gradients(same)).finished
    with pytest.raises(PusaError, match=r"another optimizer \(adamw instead of adamw8bit\)"):
        train(other, gradients(other))


def test_an_8_bit_run_of_an_earlier_version_is_known_by_its_state(tmp_path):
    facts = {"identity": {"seed": 0}, "history": [], "seconds": 0.0, "numbers": {}}
    tensors = [(name, 4, lambda: torch.ones(1)) for name in ("weight/value", "state/state1/value")]
    Checkpoints(tmp_path / CHECKPOINTS).save(2, facts, tensors, writes=True)
    run = run_of(tmp_path, 2, identity={"seed": 0, "optimizer": "adamw8bit"})
    assert train(run, gradients(run)).finished


def test_a_run_beyond_the_steps_asked_for_is_finished(tmp_path):
    run, shorter = run_of(tmp_path, 6), run_of(tmp_path, 4)
    train(run, gradients(run))
    outcome = train(shorter, gradients(shorter))
    assert (outcome.step, outcome.finished) == (6, True)
