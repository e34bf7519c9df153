"""The commands lora and full: a configuration becomes a run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import PusaError
from ..wan_dit import WanDiT
from .base_weights import BaseWeights, open_base
from .batches import Batches
from .cache_files import ClipEntry, data_hash, find_clips
from .checkpoints import Checkpoints
from .checks import check_clips, check_machine, only_run, run_folder, whole_clips
from .config import TrainingConfig
from .devices import refuse_together
from .distributed import Launched, gathers_gradients, shard
from .draw import draw_noise, drops_caption
from .export import export
from .loop import CHECKPOINTS, Outcome, Run, train
from .loss import vta_loss
from .model import (
    adapt,
    empty_model,
    fill,
    keep_input_types,
    quantize_blocks,
    recompute_blocks,
    start_of_lora,
)
from .packages import package
from .progress import Progress, TerminalProgress
from .samples import SampleMaker

LORA, FULL = "lora", "full"


@dataclass(frozen=True)
class Prepared:
    """A model ready to train."""

    plain: WanDiT
    wrapped: nn.Module  # as the passes go through it
    trained: dict[str, nn.Parameter]


def run_training(kind: str, config: TrainingConfig) -> Outcome:
    """Train a LoRA ("lora") or the whole model ("full") to the end, or to Ctrl+C, and export it."""
    launched = Launched()
    try:
        folder = run_folder(config)
        with only_run(folder, launched):
            return _train(kind, config, folder, launched)
    finally:
        launched.end()


def _train(kind: str, config: TrainingConfig, folder: Path, launched: Launched) -> Outcome:
    progress = TerminalProgress() if launched.rank == 0 else Progress()
    entries = find_clips([Path(each) for each in config.data.folders], config.data.bad_clips, progress.say)
    base = open_base(Path(config.model.weights), config.model.base)
    check_clips(entries, base, config)
    check_machine(kind == FULL, config)
    accumulation = config.train.accumulation(launched.count)
    refuse_other_clips(launched, entries)
    entries = whole_clips(entries, config.data.bad_clips, launched, progress.say)
    batches = Batches(tuple(entries), config.train.batch, config.train.seed)
    progress.say(
        f"{len(entries)} clips in {len(batches.buckets)} buckets, {batches.steps_an_epoch} steps an epoch; {launched.count} x "
        f"{launched.device.type}, {accumulation} x {config.train.micro_batch} clips a step on each."
    )
    if launched.count > 1:
        progress.say(
            f"To stop it, run the same command in another terminal with: stop {folder}. Ctrl+C gives several processes 30 seconds to end the step "
            "and save."
        )
    prepared = prepare(kind, config, base, launched)
    run = Run(
        name=f"{kind} {folder.name}",
        folder=folder,
        trained=prepared.trained,
        optimizers=[optimizer_of(config, prepared.trained)],
        steps=config.train.steps,
        rate_at=lambda step: config.optimizer.learning_rate_at(step, config.train.steps),
        identity=identity(kind, config, data_hash(entries), base.fingerprint()),
        save_every=config.train.save_every,
        keep=config.train.keep,
        clip_norm=config.optimizer.clip_norm,
        ema=config.train.ema,
        devices=launched,
        progress=progress,
    )
    compute = Gradients(prepared.wrapped, batches, config, launched, accumulation)
    samples = (
        SampleMaker(config, entries, prepared.plain, launched, launched.device, compute.autocast)
        if config.sample.every
        else None
    )
    board = _tensorboard(folder) if launched.rank == 0 else None

    def at_step(step: int) -> None:
        if board is not None:
            board.add_scalar("loss", compute.last, step)
        if samples is not None and step % config.sample.every == 0:
            samples.make(step)

    outcome = train(run, compute, at_step)
    if launched.rank == 0:
        _finish(run, outcome)
    return outcome


def refuse_other_clips(launched: Launched, entries: list[ClipEntry]) -> None:
    """Refuse machines that do not have the same clips."""
    hashed = data_hash(entries)
    refuse_together(
        launched,
        launched.agree(hashed) != hashed,
        "The machines have different clips in data.folders. Put them on a disk that all machines share, or copy the same files to each.",
    )


def prepare(kind: str, config: TrainingConfig, base: BaseWeights, launched: Launched) -> Prepared:
    """The model with its weights on the devices, wrapped as the configuration says."""
    full, sharded = kind == FULL, config.parallel.sharding != "none"
    model = empty_model(base, config.model.held_in, trained=full)
    if config.model.quantize == "nf4":
        quantize_blocks(model, base, launched.device)
        rest = {name: value for name, value in model.named_parameters() if value.is_meta}
        for name in rest:
            parent, _, leaf = name.rpartition(".")
            moved = nn.Parameter(base.read(name).float().to(launched.device), requires_grad=False)
            setattr(model.get_submodule(parent), leaf, moved)
    trained = dict(model.named_parameters()) if full else adapt(model, config.lora)
    autocasts = config.train.precision != "fp32"
    if autocasts:
        keep_input_types(model)
    if config.train.checkpointing:
        recompute_blocks(model)
    if sharded:
        shard(model, config.parallel, launched, torch.bfloat16 if full and autocasts else None)
    if config.model.quantize == "nf4":
        _start_lora(trained, config.train.seed, launched.device)
    else:
        model.to_empty(device="cpu" if config.parallel.cpu_offload else launched.device)
        fill(model, base, config.train.seed, launched.like)
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    wrapped: nn.Module = model
    if not sharded and launched.count > 1:
        wrapped = nn.parallel.DistributedDataParallel(
            model,
            device_ids=[launched.device] if launched.device.type == "cuda" else None,
            gradient_as_bucket_view=True,
        )
    return Prepared(model, wrapped, trained)


def _start_lora(trained: dict[str, nn.Parameter], seed: int, device: torch.device) -> None:
    for name, parameter in trained.items():
        parameter.data = start_of_lora(name, tuple(parameter.shape), seed).to(device)


class Gradients:
    """compute of the loop: the gradients of one step, from clips, noise levels and noise that depend on its number alone."""

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        config: TrainingConfig,
        launched: Launched,
        accumulation: int,
    ) -> None:
        self.model = model
        self.batches = batches
        self.config = config
        self.launched = launched
        self.accumulation = accumulation
        self.last = 0.0  # this process's share of the newest loss

    def __call__(self, step: int) -> Tensor:
        """Leave the gradients on the model; returns this process's share of the loss."""
        train, devices = self.config.train, self.launched
        clips = self.batches.of_step(step)
        share = torch.zeros(())
        for number in range(self.accumulation):
            first = (number * devices.count + devices.rank) * train.micro_batch
            samples = range(first, first + train.micro_batch)
            with gathers_gradients(self.model, last=number == self.accumulation - 1):
                loss = self._loss([clips[sample] for sample in samples], step, samples)
                part = loss * (train.micro_batch / train.batch)
                torch.autograd.backward(
                    part * devices.count
                )  # exchanged gradients are averaged over the devices
            share += part.detach().cpu()
        self.last = float(share) * devices.count
        return share

    def _loss(self, entries: list[ClipEntry], step: int, samples: range) -> Tensor:
        seed, device = self.config.train.seed, self.launched.device
        clean, contexts, noise, sigmas, learned = [], [], [], [], []
        for entry, sample in zip(entries, samples, strict=True):
            clip = entry.read()
            drawn, counted = self.config.draw.draw(clip.latent.shape[1], seed, step, sample)
            clean.append(clip.latent)
            noise.append(draw_noise(clip.latent.shape, seed, step, sample))
            sigmas.append(drawn)
            learned.append(counted)
            if drops_caption(self.config.data.caption_dropout, seed, step, sample):
                assert clip.empty is not None  # check_clips
                contexts.append(clip.empty)
            else:
                contexts.append(clip.context)
        if len({context.shape for context in contexts}) > 1:
            raise PusaError(
                f"The captions of {', '.join(entry.path.name for entry in entries)} have text embeddings of different lengths, which cannot go "
                "through the model together. Set train.micro_batch to 1."
            )
        x, context, fresh, levels, counts = (
            torch.stack(part).to(device) for part in (clean, contexts, noise, sigmas, learned)
        )
        with self.autocast():
            return vta_loss(self.model, x, context, fresh, levels, self.config.draw.shift, counts)

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of the computation."""
        if self.config.train.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.launched.device.type, torch.bfloat16)


def identity(kind: str, config: TrainingConfig, hashed: str, weights: str) -> dict[str, Any]:
    """What must stay while a run is interrupted; the optimizer's numbers, precision, length, devices and saving may change."""
    return {
        "kind": kind,
        "base": config.model.base,
        "expert": config.model.expert,
        "base model": weights,
        "lora": asdict(config.lora) if kind == LORA else None,
        "draw": asdict(config.draw),
        "seed": config.train.seed,
        "batch": config.train.batch,
        "caption_dropout": config.data.caption_dropout,
        "data": hashed,
        "optimizer": config.optimizer.name,
    }


def optimizer_of(config: TrainingConfig, trained: dict[str, nn.Parameter]) -> torch.optim.Optimizer:
    """AdamW, in 32 bits or with its state in 8."""
    settings = config.optimizer
    kind: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW
    if settings.name == "adamw8bit":
        kind = package("bitsandbytes").optim.AdamW8bit
    return kind(
        list(trained.values()),
        lr=settings.learning_rate,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
    )


def _finish(run: Run, outcome: Outcome) -> None:
    """Export a finished run; say how a stopped one goes on."""
    newest = Checkpoints(run.folder / CHECKPOINTS).newest(run.progress.say)
    if newest is None:
        return
    if not outcome.finished:
        run.progress.say(
            f"Stopped and saved at step {outcome.step} of {run.steps}. The same command goes on from there."
        )
        return
    if outcome.step > run.steps:
        run.progress.say(
            f"The run stands at step {outcome.step}, beyond train.steps = {run.steps}; it is exported as it stands."
        )
    for path in export(newest, run.folder):
        run.progress.say(f"wrote {path}")


def _tensorboard(folder: Path) -> Any:
    """A writer of TensorBoard's curves where the package is installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))
