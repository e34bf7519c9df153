"""A training run as one TOML file: every setting with its default, its unit and its rule."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_origin, get_type_hints

from ..errors import PusaError
from .bases import BASES
from .draw import TimestepDraw

EXPERTS = ("", "high_noise", "low_noise")
PRECISIONS = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
TARGETS = ("q", "k", "v", "o", "ffn.0", "ffn.2")
"""The layers Pusa V1.0 adapts, in both attentions of every block (lora_target_modules of train_wan_pusa.py)."""
SHARDINGS = ("none", "fsdp2", "hsdp")
OPTIMIZERS = ("adamw", "adamw8bit")
SCHEDULES = ("constant", "cosine", "linear")
BAD_CLIPS = ("stop", "skip")
QUANTIZE = ("none", "nf4")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise PusaError(f"{name} is {value!r}; use one of {', '.join(map(repr, allowed))}.")


def _at_least(name: str, value: float, least: float, hint: str = "") -> None:
    if not (math.isfinite(value) and value >= least):
        raise PusaError(f"{name} is {value}; use {least} or more{hint}.")


def _share(name: str, value: float, hint: str = "") -> None:
    if not 0.0 <= value < 1.0:
        raise PusaError(f"{name} is {value}; use a share from 0 up to, but not including, 1{hint}.")


@dataclass(frozen=True)
class ModelSettings:
    """The model that is trained, or that the LoRA is for."""

    base: str = "wan2.1-14b"
    weights: str = ""  # a .safetensors file, or a folder of the official shards
    expert: str = ""  # "high_noise" or "low_noise" for Wan2.2's two 14B experts
    held_in: str = "bf16"  # type in which frozen weights are kept in memory
    quantize: str = "none"  # "nf4" keeps the frozen matrices in 4 bits (bitsandbytes, CUDA)

    def __post_init__(self) -> None:
        _one_of("model.base", self.base, tuple(BASES))
        _one_of("model.expert", self.expert, EXPERTS)
        _one_of("model.held_in", self.held_in, tuple(PRECISIONS))
        _one_of("model.quantize", self.quantize, QUANTIZE)
        if not self.weights:
            raise PusaError(
                "model.weights is empty. Name the text-to-video model to train on: a .safetensors file from "
                "models/diffusion_models, or the folder of the official shards."
            )
        if self.base == "wan2.2-14b" and not self.expert:
            raise PusaError(
                'model.base is "wan2.2-14b", which has two experts. Set model.expert to "high_noise" or "low_noise"; '
                "each is trained in a run of its own."
            )
        if self.expert and self.base not in ("wan2.2-14b", "any"):
            raise PusaError(f"model.expert is {self.expert!r}, but {self.base} has no experts. Leave it out.")
        name = Path(self.weights).name.replace("-", "_")
        if self.expert and self.expert not in name and any(other in name for other in EXPERTS if other):
            raise PusaError(
                f"model.expert is {self.expert!r}, but {Path(self.weights).name} is the other expert by its name. Change one of the two."
            )


@dataclass(frozen=True)
class DataSettings:
    """The clips."""

    folders: tuple[str, ...] = ()  # of cache files, searched with their sub-folders
    bad_clips: str = "stop"  # what a damaged cache file does
    caption_dropout: float = 0.1  # share of clips shown without caption

    def __post_init__(self) -> None:
        if not self.folders:
            raise PusaError(
                'data.folders is empty. Name the folders of your cached clips, such as ["output/pusa_training/cats"]; the node '
                "Pusa Training Clip writes them."
            )
        _one_of("data.bad_clips", self.bad_clips, BAD_CLIPS)
        _share("data.caption_dropout", self.caption_dropout)


@dataclass(frozen=True)
class LoraSettings:
    """The low-rank update; its scale is 1, as in the authors' files."""

    rank: int = 512
    targets: tuple[str, ...] = TARGETS

    def __post_init__(self) -> None:
        _at_least("lora.rank", self.rank, 1, " (the authors use 512; 32 to 128 fit small cards)")
        if unknown := [target for target in self.targets if target not in TARGETS]:
            raise PusaError(f"lora.targets has {unknown[0]!r}; choose from {', '.join(TARGETS)}.")
        if not self.targets:
            raise PusaError(f"lora.targets is empty; choose from {', '.join(TARGETS)}.")


@dataclass(frozen=True)
class OptimizerSettings:
    """How the weights move."""

    name: str = "adamw"
    learning_rate: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    clip_norm: float = 1.0  # largest norm of the gradient; 0 leaves it as it is
    schedule: str = "constant"
    warm_up: int = 0  # steps
    final_share: float = 0.0  # of the learning rate, where cosine and linear end

    def __post_init__(self) -> None:
        _one_of("optimizer.name", self.name, OPTIMIZERS)
        _one_of("optimizer.schedule", self.schedule, SCHEDULES)
        if not (math.isfinite(self.learning_rate) and 0 < self.learning_rate <= 1):
            raise PusaError(
                f"optimizer.learning_rate is {self.learning_rate}; use a number above 0 and up to 1 (the authors use 1e-5)."
            )
        if not all(0 <= beta < 1 for beta in self.betas):
            raise PusaError(
                f"optimizer.betas is {list(self.betas)}; write two numbers from 0 to below 1, such as [0.9, 0.999]."
            )
        _at_least("optimizer.weight_decay", self.weight_decay, 0)
        _at_least("optimizer.clip_norm", self.clip_norm, 0)
        _at_least("optimizer.warm_up", self.warm_up, 0)
        if not 0 <= self.final_share <= 1:
            raise PusaError(f"optimizer.final_share is {self.final_share}; use a share from 0 to 1.")
        if self.final_share and self.schedule == "constant":
            raise PusaError(
                f'optimizer.final_share is {self.final_share}, but the schedule "constant" does not fall. Use "cosine" or "linear", or leave it out.'
            )

    def learning_rate_at(self, step: int, steps: int) -> float:
        """Linear warm-up, then constant, half a cosine or a line down to final_share. step: the one that is about to run."""
        rate = self.learning_rate * min(1.0, (step + 1) / max(1, self.warm_up))
        if self.schedule == "constant":
            return rate
        done = step / steps
        left = 0.5 + 0.5 * math.cos(math.pi * done) if self.schedule == "cosine" else 1 - done
        return rate * (self.final_share + (1 - self.final_share) * left)


@dataclass(frozen=True)
class TrainSettings:
    """The run itself."""

    output: str = "pusa_training"  # folder for checkpoints, curves, samples and the finished file
    steps: int = 900
    batch: int = 8  # clips a step, over all devices together
    micro_batch: int = 1  # clips that go through the model at once on one device
    checkpointing: bool = True  # compute each block's activations again on the way back
    ema: float = 0.0  # decay of a running mean of the weights, which is then exported; 0 keeps none
    seed: int = 0
    save_every: int = 50  # steps
    keep: int = 2  # checkpoints
    precision: str = "bf16"  # of the computation

    def __post_init__(self) -> None:
        if not self.output:
            raise PusaError("train.output is empty; name the folder of this run.")
        for name in ("steps", "batch", "micro_batch", "save_every"):
            _at_least(f"train.{name}", getattr(self, name), 1)
        _at_least("train.keep", self.keep, 2, ", so that a damaged newest checkpoint has one before it")
        _at_least("train.seed", self.seed, 0)
        _share("train.ema", self.ema, " (0.999 is usual, 0 keeps none)")
        _one_of("train.precision", self.precision, ("bf16", "fp32"))
        if self.batch % self.micro_batch:
            raise PusaError(
                f"train.batch is {self.batch} and train.micro_batch {self.micro_batch}; batch must be a multiple of micro_batch."
            )

    def accumulation(self, processes: int) -> int:
        """Forward passes a step on each of `processes` devices."""
        together = self.micro_batch * processes
        if self.batch % together:
            raise PusaError(
                f"train.batch is {self.batch}: it cannot be shared by {processes} devices with micro_batch {self.micro_batch}. "
                f"Use a multiple of {together}."
            )
        return self.batch // together


@dataclass(frozen=True)
class ParallelSettings:
    """How the model is spread over devices."""

    sharding: str = "none"  # "none" copies it to each (DDP), "fsdp2" shares it out, "hsdp" within groups
    group: int = 0  # devices of one hsdp group, such as 8 of a machine
    cpu_offload: bool = False  # with fsdp2: blocks wait in RAM and come to the device one by one

    def __post_init__(self) -> None:
        _one_of("parallel.sharding", self.sharding, SHARDINGS)
        _at_least("parallel.group", self.group, 0)
        if self.sharding == "hsdp" and self.group < 2:
            raise PusaError(
                'parallel.sharding is "hsdp"; set parallel.group to the devices of one group, such as 8.'
            )
        if self.group and self.sharding != "hsdp":
            raise PusaError(
                f'parallel.group is {self.group}, which only parallel.sharding = "hsdp" uses. Set that, or leave group out.'
            )
        if self.cpu_offload and self.sharding == "none":
            raise PusaError('parallel.cpu_offload needs parallel.sharding = "fsdp2" (also on one device).')


@dataclass(frozen=True)
class SampleSettings:
    """Videos made on the way, with the captions and first frames of training clips."""

    every: int = 0  # steps; 0 makes none
    count: int = 2
    steps: int = 10
    cfg: float = 3.0
    noise_multiplier: float = 0.2  # of the first frame, which is given

    def __post_init__(self) -> None:
        _at_least("sample.every", self.every, 0)
        _at_least("sample.count", self.count, 1)
        _at_least("sample.steps", self.steps, 1)
        _at_least("sample.cfg", self.cfg, 0)
        if not 0 <= self.noise_multiplier <= 1:
            raise PusaError(
                f"sample.noise_multiplier is {self.noise_multiplier}; use 0 (kept clean) to 1 (text-to-video)."
            )


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides a run."""

    model: ModelSettings
    data: DataSettings
    lora: LoraSettings = field(default_factory=LoraSettings)
    draw: TimestepDraw = field(default_factory=TimestepDraw)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    parallel: ParallelSettings = field(default_factory=ParallelSettings)
    sample: SampleSettings = field(default_factory=SampleSettings)

    def __post_init__(self) -> None:
        if self.train.precision == "fp32" and self.model.held_in != "fp32":
            raise PusaError(
                f'train.precision is "fp32" but model.held_in {self.model.held_in!r}. Set model.held_in to "fp32" too, or precision to "bf16".'
            )
        if self.model.quantize == "nf4" and self.parallel.sharding != "none":
            raise PusaError(
                'model.quantize is "nf4", whose packed weights are not shared out. Set parallel.sharding to "none", or quantize to "none".'
            )
        if self.optimizer.name == "adamw8bit" and self.parallel.sharding != "none":
            raise PusaError(
                'optimizer.name is "adamw8bit", whose state is not shared out. Use "adamw" with parallel.sharding.'
            )
        if self.optimizer.warm_up > self.train.steps:
            raise PusaError(
                f"optimizer.warm_up is {self.optimizer.warm_up}, more than train.steps {self.train.steps}: the learning rate would never be "
                "reached. Lower warm_up."
            )


SECTIONS = get_type_hints(TrainingConfig)


def read_config(path: Path) -> TrainingConfig:
    """The run that a TOML file describes; relative paths in it are seen from the file's own folder."""
    return config_of(read_table(path), path.parent, path.name)


def read_table(path: Path) -> dict[str, Any]:
    """What a TOML file holds, unchecked."""
    if not path.is_file():
        raise PusaError(
            f"There is no file {path}. Write one with the node Pusa Training Config, or copy the example on the pack's page (Training)."
        )
    toml = _toml()
    try:
        table: dict[str, Any] = toml.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise PusaError(f"{path.name} is not UTF-8 text. Save it as UTF-8.") from None
    except toml.TOMLDecodeError as error:
        raise PusaError(
            f"{path.name} is not TOML: {error}. Text needs quotes, and a Windows path single ones: 'C:\\models\\wan.safetensors'."
        ) from None
    return table


def config_of(table: Mapping[str, Any], folder: Path, name: str = "the configuration") -> TrainingConfig:
    """The run of a nested table. folder: where its relative paths begin."""
    if unknown := next((key for key in table if key not in SECTIONS), None):
        raise PusaError(f"{name} has a section [{unknown}]; {_nearest(unknown, SECTIONS)}")
    sections = {key: _section(key, kind, table.get(key, {}), name) for key, kind in SECTIONS.items()}
    model, data, train = sections["model"], sections["data"], sections["train"]
    object.__setattr__(model, "weights", str(folder / model.weights))
    object.__setattr__(data, "folders", tuple(str(folder / each) for each in data.folders))
    object.__setattr__(train, "output", str(folder / train.output))
    return TrainingConfig(**sections)


def config_text(config: TrainingConfig) -> str:
    """The TOML of a run, every setting written out."""
    lines = []
    for section in fields(config):
        lines.append(f"[{section.name}]")
        part = getattr(config, section.name)
        lines += [f"{item.name} = {_toml_value(getattr(part, item.name))}" for item in fields(part)]
        lines.append("")
    return "\n".join(lines)


def _section(key: str, kind: type, given: Any, name: str) -> Any:
    if not isinstance(given, Mapping):
        raise PusaError(
            f"{key} in {name} is {given!r}; write it as a section, [{key}], with its settings below."
        )
    hints = get_type_hints(kind)
    if unknown := next((item for item in given if item not in hints), None):
        raise PusaError(f"[{key}] in {name} has {unknown!r}; {_nearest(unknown, hints)}")
    return kind(**{item: _typed(f"{key}.{item}", value, hints[item]) for item, value in given.items()})


def _typed(name: str, value: Any, kind: Any) -> Any:
    """The value as its setting's type; numbers may be written without a point."""
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        if not isinstance(value, list):
            raise PusaError(
                f"{name} is {value!r}; write a list, such as [{', '.join(['...'] * max(1, len(inner) - 1))}]."
            )
        if inner[-1] is not Ellipsis and len(value) != len(inner):
            raise PusaError(f"{name} has {len(value)} entries; write exactly {len(inner)}.")
        return tuple(_typed(name, each, inner[0]) for each in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        words = {str: "text in quotes", int: "a whole number", float: "a number", bool: "true or false"}
        raise PusaError(f"{name} is {value!r}; write {words[kind]}.")
    return value


def _nearest(given: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(given, known, 1)
    return (f"did you mean {near[0]}? " if near else "") + f"There are {', '.join(known)}."


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _toml() -> ModuleType:
    """Python's TOML reader, or its twin for Python 3.10."""
    try:
        import tomllib as found
    except ModuleNotFoundError:
        try:
            import tomli as found  # type: ignore[import-not-found, no-redef, unused-ignore]
        except ModuleNotFoundError:
            raise PusaError(
                "Python 3.10 reads TOML with the package tomli, which is missing: python -m pip install -r requirements-train.txt"
            ) from None
    return found


assert all(
    item.default is not MISSING or item.default_factory is not MISSING
    for kind in SECTIONS.values()
    for item in fields(kind)
)
