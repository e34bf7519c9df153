"""What a training would need, computed: parameters from the meta device, activations and operations from a block run on fake tensors.

Nothing large is allocated. Times divide the counted operations by the rate that a published run of the same model reached.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from ..bases import WAN
from ..errors import PusaError
from ..wan_dit import HEAD_WIDTH, PATCH, WanBlock, WanConfig, WanDiT
from .bases import BASES
from .config import LoraSettings
from .model import adapt, keep_input_types

GIB = 2**30
TEXT_TOKENS = 512
TRAINED_BYTES = 16  # of a trained parameter: weight, gradient and AdamW's two means in float32
NF4_BYTES = 0.53  # of a 4-bit number with its share of the block's scale, 64 numbers a block (bitsandbytes)
RESERVE = 1.5 * GIB  # CUDA's own memory and what the allocator cannot use; an assumption
RESIDENT_BLOCKS = 3  # with offload: the one that computes, the next on its way, one that leaves

# Seconds of one pass at 832 x 480, 81 frames, that runs of the 14B model were published with: Wan2.2's README (40 steps
# with guidance, T2V-A14B, one card) and LightX2V's (a step with guidance, Wan2.1-I2V-14B). The rates follow from the counted operations.
PUBLISHED_PASS = {"H100": 326.9 / 80, "A100": 785.7 / 80, "RTX 4090D": 30.5 / 2}


@dataclass(frozen=True)
class Plan:
    """One training to be weighed."""

    base: str = "wan2.1-14b"
    rank: int | None = 512  # None trains all parameters
    width: int = 832  # pixels
    height: int = 480
    length: int = 81  # pixel frames
    devices: int = 1
    micro_batch: int = 1
    held_in: str = "bf16"  # or "nf4"
    checkpointing: bool = True
    sharding: str = "none"
    cpu_offload: bool = False

    def __post_init__(self) -> None:
        multiple = BASES[self.base].pixel_multiple
        for name, value in (
            ("rank", self.rank),
            ("devices", self.devices),
            ("micro_batch", self.micro_batch),
        ):
            if value is not None and value < 1:
                raise PusaError(f"{name} is {value}; use 1 or more.")
        if min(self.width, self.height) < multiple or self.width % multiple or self.height % multiple:
            raise PusaError(f"The size is {self.width} x {self.height}; use multiples of {multiple}.")
        if self.length < 1 or (self.length - 1) % WAN.temporal_stride:
            raise PusaError(f"length is {self.length}; use 4n + 1 video frames, such as 81.")
        if self.rank is None and self.held_in == "nf4":
            raise PusaError("4-bit weights cannot all be trained; plan a LoRA, or held_in bf16.")
        if self.cpu_offload and self.sharding == "none":
            raise PusaError("cpu_offload needs sharding fsdp2 (also on one device).")
        if self.held_in == "nf4" and self.sharding != "none":
            raise PusaError(
                "4-bit weights are not shared out; plan them with sharding none, or held_in bf16."
            )

    @property
    def sizes(self) -> WanConfig:
        """The model's sizes."""
        sizes = BASES[self.base].sizes
        assert sizes is not None
        return sizes

    @property
    def grid(self) -> tuple[int, int]:
        """Latent frames, tokens of each."""
        stride = BASES[self.base].spatial_stride * PATCH
        return WAN.latent_frame_count(self.length), (self.width // stride) * (self.height // stride)


@dataclass(frozen=True)
class Need:
    """What a plan costs each device."""

    weights: float  # bytes
    trained: float  # weights that move, gradients, optimizer
    activations: float
    ram: float  # bytes of main memory, on the whole machine
    operations: float  # of one clip, forward and back

    @property
    def memory(self) -> float:
        """Bytes of device memory."""
        return self.weights + self.trained + self.activations + RESERVE


@dataclass(frozen=True)
class BlockCost:
    """One block on one clip."""

    saved: int  # bytes kept for the way back
    forward: int  # operations
    backward: int


def need(plan: Plan) -> Need:
    """Memory and operations of a plan."""
    matrices, others, adapted = parameters(plan.base, plan.rank)
    full = plan.rank is None
    shards = plan.devices if plan.sharding != "none" else 1
    held = NF4_BYTES if plan.held_in == "nf4" else 2.0
    if full:
        weights, trained = (
            2.0 * matrices / plan.sizes.layers * 2,
            TRAINED_BYTES * (matrices + others) / shards,
        )
    else:
        weights, trained = (held * matrices + 4 * others) / shards, TRAINED_BYTES * adapted / shards
    ram = 0.0
    if plan.sharding != "none" and not full:
        weights += 2 * held * matrices / plan.sizes.layers  # two gathered blocks
    if plan.cpu_offload:
        ram = (weights + trained) * plan.devices
        block = (2.0 * matrices + (4.0 * adapted if not full else 0.0)) / plan.sizes.layers
        weights, trained = RESIDENT_BLOCKS * block + 4 * others, 0.0
    frames, tokens = plan.grid
    cost = block_cost(plan.sizes.dim, plan.sizes.ffn_dim, plan.rank, frames, tokens)
    stream = 4 * frames * tokens * plan.sizes.dim  # what goes from block to block, float32
    layers = plan.sizes.layers
    kept = layers * stream + cost.saved + 2 * stream if plan.checkpointing else layers * cost.saved
    passes = cost.forward * (2 if plan.checkpointing else 1) + cost.backward
    return Need(weights, trained, kept * plan.micro_batch, ram, float(passes * layers))


@lru_cache
def parameters(base: str, rank: int | None) -> tuple[int, int, int]:
    """Parameters in the blocks' matrices, everywhere else, and in a LoRA of that rank, from the meta device."""
    sizes = BASES[base].sizes
    assert sizes is not None
    with torch.device("meta"):
        model = WanDiT(sizes)
    counts = [(n.startswith("blocks.") and p.ndim == 2, p.numel()) for n, p in model.named_parameters()]
    matrices = sum(count for in_blocks, count in counts if in_blocks)
    adapted = 0 if rank is None else sum(p.numel() for p in adapt(model, LoraSettings(rank=rank)).values())
    return matrices, sum(count for _, count in counts) - matrices, adapted


@lru_cache
def block_cost(dim: int, ffn_dim: int, rank: int | None, frames: int, tokens: int) -> BlockCost:
    """What one block keeps and computes for one clip, under bf16 autocast, counted on fake tensors.

    The softmax weights, which only the written-out attention of CPUs keeps, are left out.
    """
    with torch.device("meta"):
        owner = nn.Module()
        owner.blocks = nn.ModuleList([WanBlock(dim, ffn_dim)])
    owner.requires_grad_(rank is None)
    if rank is not None:
        for parameter in owner.parameters():
            parameter.data = parameter.data.bfloat16() if parameter.ndim == 2 else parameter.data
        adapt(owner, LoraSettings(rank=rank))
        keep_input_types(owner)
    total, kept = frames * tokens, dict[int, int]()
    with FakeTensorMode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in owner.modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                fake = torch.empty(parameter.shape, dtype=parameter.dtype)
                setattr(module, name, nn.Parameter(fake, requires_grad=parameter.requires_grad))
        own = {parameter.untyped_storage()._cdata for parameter in owner.parameters()}
        x = torch.empty(1, total, dim, requires_grad=True)
        modulation, rotation = torch.empty(1, frames, 6, dim), torch.empty(total, HEAD_WIDTH // 2)
        context = torch.empty(1, TEXT_TOKENS, dim, dtype=torch.bfloat16)

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            is_softmax = (
                tensor.ndim >= 3 and tensor.shape[-2] == total and tensor.shape[-1] in (total, TEXT_TOKENS)
            )
            if storage._cdata not in own and not is_softmax:
                kept[storage._cdata] = storage.nbytes()
            return tensor

        with torch.autocast("cpu", torch.bfloat16):
            with (
                torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
                FlopCounterMode(display=False) as counted,
            ):
                out = owner.blocks[0](x, modulation, rotation, context)
            forward = counted.get_total_flops()
            with FlopCounterMode(display=False) as counted:
                out.sum().backward()
    return BlockCost(sum(kept.values()), forward, counted.get_total_flops())


def rate_of(card: str) -> float:
    """Operations a second that a published run of the 14B model reached on a card."""
    plan = Plan()
    frames, tokens = plan.grid
    return (
        block_cost(plan.sizes.dim, plan.sizes.ffn_dim, None, frames, tokens).forward
        * plan.sizes.layers
        / PUBLISHED_PASS[card]
    )


def plan_text(plan: Plan, teraflops: float | None) -> str:
    """What a plan needs, for a person to read. teraflops: what a device reaches, None takes a published H100 run's."""
    if teraflops is not None and not (math.isfinite(teraflops) and teraflops > 0):
        raise PusaError(f"teraflops is {teraflops}; use what one device reaches, above 0.")
    found = need(plan)
    rate = teraflops * 1e12 if teraflops else rate_of("H100")
    told = (
        f"{teraflops:g} TFLOP/s as given"
        if teraflops
        else f"{rate / 1e12:.0f} TFLOP/s, what Wan2.2's published H100 run reached"
    )
    _, _, adapted = parameters(plan.base, plan.rank)
    kind = (
        "all parameters"
        if plan.rank is None
        else f"LoRA of rank {plan.rank}, {adapted / 1e6:,.0f} million parameters"
    )
    lines = [
        f"{BASES[plan.base].title}, {kind}, {plan.width} x {plan.height}, {plan.length} frames, {plan.devices} device(s)",
        "Computed, not measured:",
        f"  weights on each device      {found.weights / GIB:7.1f} GiB",
        f"  what is trained, optimizer  {found.trained / GIB:7.1f} GiB",
        f"  activations                 {found.activations / GIB:7.1f} GiB",
        f"  CUDA and fragmentation      {RESERVE / GIB:7.1f} GiB (assumed)",
        f"  device memory               {found.memory / GIB:7.1f} GiB",
        *([f"  main memory for offload     {found.ram / GIB:7.1f} GiB"] if found.ram else []),
        f"  one clip, there and back    {found.operations / rate:7.1f} s at {told}",
        f"  a step of 8 clips           {8 * found.operations / rate / plan.devices:7.1f} s",
    ]
    return "\n".join(lines)


CARDS = (  # memory in GB, devices, whose rate
    ("12 GB", 12, 1, "RTX 4090D"),
    ("24 GB", 24, 1, "RTX 4090D"),
    ("48 GB", 48, 1, "RTX 4090D"),
    ("80 GB", 80, 1, "H100"),
    ("8 x 80 GB", 80, 8, "H100"),
)
CLIPS = ((832, 480, 81), (832, 480, 49), (640, 384, 49), (512, 320, 33), (384, 256, 17))
RANKS = (512, 128, 32)


def fitting(base: str, gigabytes: float, devices: int) -> Plan | None:
    """The first plan that fits: large clips before high ranks, weights on the card before weights in RAM."""
    sharded = "fsdp2" if devices > 1 else "none"
    multiple = BASES[base].pixel_multiple
    for width, height, length in CLIPS:
        size = (width // multiple * multiple, height // multiple * multiple, length)
        plain = [Plan(base, rank, *size, devices, sharding=sharded) for rank in RANKS]
        offloaded = [replace(plan, sharding="fsdp2", cpu_offload=True) for plan in plain]
        for plan in (*plain, *offloaded):
            if need(plan).memory <= 0.95 * gigabytes * 1e9:
                return plan
    return None


TABLE = ("wan2.1-1.3b", "wan2.2-5b", "wan2.1-14b")


def markdown_table(bases: tuple[str, ...] = TABLE) -> str:
    """The table of the training page, computed."""
    lines = [
        "| base | card | clips | rank | weights held | device memory, GB | RAM for offload, GB | a step of 8 clips |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for base in bases:
        for card, gigabytes, devices, speed in CARDS:
            plan = fitting(base, gigabytes, devices)
            if plan is None:
                lines.append(f"| {BASES[base].title} | {card} | none of the sizes tried fits | | | | | |")
                continue
            found = need(plan)
            held = (
                "in RAM, bf16" if plan.cpu_offload else plan.held_in + (", shared out" if devices > 1 else "")
            )
            seconds = 8 * found.operations / rate_of(speed) / devices
            lines.append(
                f"| {BASES[base].title} | {card} | {plan.width} x {plan.height} x {plan.length} | {plan.rank} | {held} | "
                f"{found.memory / 1e9:.0f} | {found.ram / 1e9:.0f} | {seconds:,.0f} s ({speed}) |"
            )
    return "\n".join(lines)
