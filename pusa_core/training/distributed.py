"""Several processes that train together: accelerate starts them, torch's FSDP2 or DDP spreads the model."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, distribute_tensor

from ..errors import PusaError
from ..wan_dit import WanDiT
from .config import ParallelSettings
from .packages import package

try:
    from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy, fully_shard
except ImportError as error:
    raise PusaError(
        f"This is torch {torch.__version__}; training needs 2.6 or newer ({error}). Update torch in the Python that runs this."
    ) from error


class Launched:
    """The processes that `accelerate launch` (or plain `python -m`) started."""

    def __init__(self) -> None:
        accelerate, has_cuda = package("accelerate"), torch.cuda.is_available()
        handlers = []
        if has_cuda and int(os.getenv("LOCAL_RANK", "-1")) >= 0:  # else accelerate opens no group
            handlers = [accelerate.InitProcessGroupKwargs(backend=backend("cuda"))]
        self.accelerator: Any = accelerate.Accelerator(cpu=not has_cuda, kwargs_handlers=handlers)
        self.device: torch.device = self.accelerator.device

    @property
    def rank(self) -> int:
        return int(self.accelerator.process_index)

    @property
    def count(self) -> int:
        return int(self.accelerator.num_processes)

    def total(self, value: Tensor) -> Tensor:
        if self.count == 1:
            return value
        moved = value.to(self.device)
        dist.all_reduce(moved)
        return moved.cpu()

    def whole(self, value: Tensor) -> Tensor:
        value = value.detach()
        return (value.full_tensor() if isinstance(value, DTensor) else value).cpu()

    def like(self, whole: Tensor, pattern: Tensor) -> Tensor:
        if not isinstance(pattern, DTensor):
            return whole.to(pattern.device, copy=True)
        # every process has read the same file, so nothing has to be sent
        shared = distribute_tensor(whole, pattern.device_mesh, pattern.placements, src_data_rank=None)
        # on the mesh's device, which under offload is not the pattern's
        return torch.empty_like(pattern, dtype=whole.dtype).copy_(shared)

    def agree(self, text: str) -> str:
        if self.count == 1:
            return text
        said = [text]
        dist.broadcast_object_list(said, src=0)
        return said[0]

    def gathered(self, text: str) -> list[str]:
        """The texts of all processes."""
        said = [text] * self.count
        if self.count > 1:
            dist.all_gather_object(said, text)
        return said

    def wait(self) -> None:
        self.accelerator.wait_for_everyone()

    def end(self) -> None:
        """Leave the group of processes."""
        if dist.is_initialized():
            dist.destroy_process_group()


def backend(kind: str) -> str:
    """What carries tensors between processes, for each kind of device: under offload, those of the CPU too. NCCL is Linux's alone."""
    if kind != "cuda":
        return "gloo"
    return f"cpu:gloo,cuda:{'nccl' if dist.is_nccl_available() else 'gloo'}"


def shard(model: WanDiT, settings: ParallelSettings, launched: Launched, compute: torch.dtype | None) -> None:
    """Share the model out over the devices, block by block, in place. Its parameters may still be on the meta device.

    compute: type in which shared-out weights are gathered for computing; None leaves each in its own.
    """
    kind, count = launched.device.type, launched.count
    if not dist.is_initialized():  # one device, started without a launcher
        store = dist.HashStore()  # type: ignore[attr-defined]
        dist.init_process_group(backend(kind), store=store, rank=0, world_size=1)
    mesh = _mesh(kind, count, settings)
    policy = MixedPrecisionPolicy(param_dtype=compute, reduce_dtype=torch.float32, cast_forward_inputs=False)
    offload = CPUOffloadPolicy(pin_memory=kind == "cuda") if settings.cpu_offload else OffloadPolicy()
    for block in model.blocks:
        fully_shard(block, mesh=mesh, mp_policy=policy, offload_policy=offload)
    fully_shard(model, mesh=mesh, mp_policy=policy, offload_policy=offload)


def _mesh(kind: str, count: int, settings: ParallelSettings) -> DeviceMesh:
    if settings.sharding == "fsdp2":
        return init_device_mesh(kind, (count,), mesh_dim_names=("shard",))
    if count % settings.group:
        raise PusaError(
            f"parallel.group is {settings.group}, but {count} devices train; the number of devices must be a multiple of the group."
        )
    return init_device_mesh(
        kind, (count // settings.group, settings.group), mesh_dim_names=("replicate", "shard")
    )


def gathers_gradients(model: nn.Module, last: bool) -> AbstractContextManager[Any]:
    """Around one of several backward passes of a step: DDP exchanges gradients in the last one only.

    FSDP2 does so in each and adds up its shares; told to wait, it would keep every gradient whole on the device.
    """
    if isinstance(model, nn.parallel.DistributedDataParallel) and not last:
        return model.no_sync()
    return nullcontext()
