"""Claims: what is shared out over processes lies where its pattern lies, and they talk by what the machine has."""

import os
import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard
from torch.distributed.tensor._dtensor_spec import DTensorSpec, TensorMeta
from torch.testing._internal.distributed.fake_pg import FakeStore

pytest.importorskip("accelerate", reason="requirements-train.txt is not installed")
pytest.importorskip("peft", reason="requirements-train.txt is not installed")

from pusa_core.training import distributed
from pusa_core.training.config import ParallelSettings, read_config
from pusa_core.training.distributed import Launched, backend, gathers_gradients, shard
from pusa_core.training.trainer import LORA, run_training
from pusa_core.wan_dit import WanDiT
from support import tiny_wan
from support.training_runs import ROOT, calm_variables, write_config, write_project


@contextmanager
def group(kind, **settings):
    """A group of processes, of which this is the first."""
    dist.init_process_group(kind, rank=0, **settings)
    try:
        yield
    finally:
        dist.destroy_process_group()


def test_under_offload_a_restored_tensor_lies_on_the_cpu_as_its_parameter_does_in_its_own_type():
    """On fake tensors: FSDP2's offloaded parameters are CPU shares on a mesh of CUDA devices."""
    whole = TensorMeta(torch.Size((4, 3)), (3, 1), torch.float32)
    with group("fake", store=FakeStore(), world_size=2):
        spec = DTensorSpec(DeviceMesh("cuda", [0, 1]), (Shard(0),), whole)
        with FakeTensorMode():
            parameter = DTensor(torch.empty(2, 3), spec, requires_grad=False)
            found = Launched.like(None, torch.zeros(4, 3, dtype=torch.float16), parameter)
        assert found.to_local().device.type == "cpu"
        assert found.to_local().shape == (2, 3)
        assert found.placements == parameter.placements
        assert found.dtype == torch.float16


def test_a_shared_model_adds_up_shares_of_gradients_and_keeps_no_whole_one():
    launched = Launched()
    try:
        model = WanDiT.from_state_dict(tiny_wan.weights(1))
        shard(model, ParallelSettings(sharding="fsdp2", cpu_offload=True), launched, None)
        matrix = model.blocks[0].self_attn.q.weight
        found = []
        for last in (False, True):
            with gathers_gradients(model, last):
                model(
                    tiny_wan.latent(1, 3, 4, 4), torch.full((1, 3), 500.0), tiny_wan.context(3)
                ).mean().backward()
            assert isinstance(matrix.grad, DTensor)
            found.append(matrix.grad.full_tensor().clone())
        torch.testing.assert_close(found[1], 2 * found[0])
    finally:
        launched.end()


@pytest.mark.parametrize(
    ("has_nccl", "expected"), [(True, "cpu:gloo,cuda:nccl"), (False, "cpu:gloo,cuda:gloo")]
)
def test_cuda_devices_talk_by_nccl_where_there_is_one_and_the_cpu_by_gloo(has_nccl, expected, monkeypatch):
    monkeypatch.setattr(dist, "is_nccl_available", lambda: has_nccl)
    assert backend("cuda") == expected
    assert backend("cpu") == "gloo"


def test_torch_opens_a_group_by_the_name_that_windows_gets():
    with group("cpu:gloo,cuda:gloo", store=dist.HashStore(), world_size=1):
        value = torch.ones(1)
        dist.all_reduce(value)
        assert value.item() == 1


@pytest.mark.parametrize(("local_rank", "opens"), [("0", True), ("", False)])
def test_accelerate_is_told_the_backend_where_a_launcher_started_the_processes(
    local_rank, opens, monkeypatch
):
    import accelerate

    told = []

    def accelerator(cpu, kwargs_handlers):
        told.extend(kwargs_handlers)
        return SimpleNamespace(device=torch.device("cuda"))

    stand_in = SimpleNamespace(
        Accelerator=accelerator, InitProcessGroupKwargs=accelerate.InitProcessGroupKwargs
    )
    monkeypatch.setattr(distributed, "package", lambda name: stand_in)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if local_rank:
        monkeypatch.setenv("LOCAL_RANK", local_rank)
    Launched()
    assert [handler.backend for handler in told] == ([backend("cuda")] if opens else [])


ONE_CONFIG_EACH = "import os, sys; from pusa_core.training.__main__ import main; sys.exit(main(['lora', sys.argv[1 + int(os.environ['RANK'])]]))"


def run_as_two_machines(first, second):
    """Two processes, each with a configuration of its own; returns what they said."""
    launcher = ("torch.distributed.run", "--standalone", "--nproc-per-node=2", "--no-python")
    done = subprocess.run(
        [sys.executable, "-m", *launcher, sys.executable, "-c", ONE_CONFIG_EACH, str(first), str(second)],
        cwd=ROOT,
        env=calm_variables(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode
    return done.stderr


def test_a_machine_without_the_checkpoint_is_told_to_share_the_output_folder(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    run_training(LORA, read_config(write_project(first, steps=2)))
    said = run_as_two_machines(write_config(first, steps=4), write_project(second, steps=4))
    assert "The run stands at step 2, but not all machines find that checkpoint" in said
    assert "Put train.output on a disk that all machines share" in said


def test_machines_with_different_clips_are_refused(tmp_path):
    said = run_as_two_machines(write_project(tmp_path / "first"), write_project(tmp_path / "second", clips=5))
    assert "The machines have different clips in data.folders" in said


def test_an_older_torch_is_a_sentence(tmp_path):
    script = (
        "import sys, torch.distributed.fsdp as fsdp; del fsdp.fully_shard;"
        "from pusa_core.training.__main__ import main; sys.exit(main(['lora', sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(write_project(tmp_path))],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "training needs 2.6 or newer" in done.stderr
    assert "Traceback" not in done.stderr
