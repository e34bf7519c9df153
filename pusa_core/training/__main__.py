"""The command line of training: python -m pusa_core.training cache | plan | lora | full | export."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import PusaError
from .bases import BASES
from .cache_files import SUFFIXES, damaged_content, data_hash, find_clips
from .config import read_config
from .sources import Fit, Source, bucket_of, buckets_text, find_sources, parse_lengths


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it worked, 1 with a sentence on stderr when it did not."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except PusaError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def run_cache(options: argparse.Namespace) -> int:
    """Say what a folder holds: of clips their buckets and which still want caching, of cache files their shapes and hash."""
    folder = Path(options.folder)
    if folder.is_dir() and any(path.name.endswith(SUFFIXES) for path in folder.rglob("*")):
        skipped: list[str] = []
        found = find_clips([folder], "skip", skipped.append)
        damaged = damaged_content(found)
        skipped += [f"skipped: {sentence}" for sentence in damaged.values()]
        entries = [entry for place, entry in enumerate(found) if place not in damaged]
        shapes = [entry.shape for entry in entries]
        for shape in sorted(set(shapes)):
            _say(f"  latent {' x '.join(map(str, shape))}: {shapes.count(shape)}")
        for sentence in skipped:
            _say(sentence)
        _say(f"{len(entries)} cached clips, data hash {data_hash(entries)}; {len(skipped)} damaged.")
        return int(bool(skipped) and options.bad_clips == "stop")
    base = BASES[options.base]
    width, height = (int(part) for part in options.size)
    fit = Fit(width, height, parse_lengths(options.lengths), options.keep_proportions, base.pixel_multiple)
    sources, bad = find_sources(folder)
    good: list[Source] = []
    buckets = []
    for source in sources:
        try:
            buckets.append(bucket_of(source, fit, base.rate))
            good.append(source)
        except PusaError as error:
            bad.append(str(error))
    _say(
        f"{len(good)} clips at {float(base.rate):g} frames per second, in {len(set(buckets))} buckets:\n{buckets_text(buckets)}"
    )
    for sentence in bad:
        _say(f"bad: {sentence}")
    _say(
        "Encode them with the workflow 'Pusa cache a folder for training' (nodes Training Folder and Training Clip)."
    )
    return int(bool(bad) and options.bad_clips == "stop")


def run_plan(options: argparse.Namespace) -> None:
    """Print what a training would need."""
    from .plan import Plan, markdown_table, plan_text

    if options.table:
        _say(markdown_table())
        return
    width, height = (int(part) for part in options.size)
    _say(
        plan_text(
            Plan(
                options.base,
                None if options.full else options.rank,
                width,
                height,
                options.length,
                options.devices,
                options.micro_batch,
                options.held_in,
                not options.no_checkpointing,
                options.sharding,
                options.cpu_offload,
            ),
            options.teraflops,
        )
    )


def run_lora(options: argparse.Namespace) -> None:
    """Train a LoRA."""
    from .trainer import LORA

    _train(LORA, options)


def run_full(options: argparse.Namespace) -> None:
    """Train the whole model."""
    from .trainer import FULL

    _train(FULL, options)


def _train(kind: str, options: argparse.Namespace) -> None:
    import torch

    from .trainer import run_training

    try:
        run_training(kind, read_config(Path(options.config)))
    except torch.cuda.OutOfMemoryError as error:
        raise PusaError(
            f"The device's memory is full ({str(error).partition('.')[0]}). The last checkpoint is kept. What needs less: a lower lora.rank, "
            'model.quantize = "nf4", parallel.sharding = "fsdp2" with cpu_offload = true, train.micro_batch = 1, smaller or shorter '
            "clips; the command plan computes what fits."
        ) from error


def run_stop(options: argparse.Namespace) -> None:
    """Ask a run to save and end after the step under way."""
    from .checks import is_running
    from .loop import STOP

    folder = Path(options.run_folder)
    if not is_running(folder):
        raise PusaError(f"No training runs in {folder}. Name the train.output of one that does.")
    (folder / STOP).touch()
    _say(f"The run in {folder} saves and ends after the step under way.")


def run_export(options: argparse.Namespace) -> None:
    """Write the files of a run's newest checkpoint."""
    from .export import LAYOUTS, export, newest

    layouts = LAYOUTS if options.layout == "both" else (options.layout,)
    for path in export(newest(Path(options.run_folder)), Path(options.run_folder), layouts, options.dtype):
        _say(f"wrote {path}")


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it as 832x480")
    return int(width), int(height)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pusa_core.training",
        description="Teach a Wan text-to-video model per-frame timesteps.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    cache = commands.add_parser("cache", help="check a folder of clips, or of cached clips")
    cache.add_argument("folder", metavar="FOLDER")
    cache.add_argument("--base", choices=BASES, default="wan2.1-14b")
    cache.add_argument("--size", type=_size, default=(832, 480), help="pixels, as 832x480")
    cache.add_argument(
        "--lengths", default="81", help="video frames, 4n + 1; a clip takes the longest that it has"
    )
    cache.add_argument(
        "--keep-proportions", action="store_true", help="sizes of equal area in the clips' own proportions"
    )
    cache.add_argument(
        "--bad-clips", choices=("stop", "skip"), default="stop", help="what a bad clip makes of the exit code"
    )
    cache.set_defaults(run=run_cache)

    plan = commands.add_parser("plan", help="memory and time of a training, computed")
    plan.add_argument("--base", choices=[name for name in BASES if BASES[name].sizes], default="wan2.1-14b")
    kind = plan.add_mutually_exclusive_group()
    kind.add_argument("--rank", type=int, default=512)
    kind.add_argument("--full", action="store_true", help="all parameters")
    plan.add_argument("--size", type=_size, default=(832, 480))
    plan.add_argument("--length", type=int, default=81, help="video frames, 4n + 1")
    plan.add_argument("--devices", type=int, default=1)
    plan.add_argument("--micro-batch", type=int, default=1)
    plan.add_argument("--held-in", choices=("bf16", "nf4"), default="bf16")
    plan.add_argument("--no-checkpointing", action="store_true")
    plan.add_argument("--sharding", choices=("none", "fsdp2"), default="none")
    plan.add_argument("--cpu-offload", action="store_true")
    plan.add_argument(
        "--teraflops",
        type=float,
        default=None,
        help="what one device reaches; default: a published H100 run's",
    )
    plan.add_argument("--table", action="store_true", help="the whole table, for every base and card")
    plan.set_defaults(run=run_plan)

    for name, run, text in (
        (
            "lora",
            run_lora,
            "train a LoRA; `accelerate launch -m pusa_core.training lora CONFIG` for several devices",
        ),
        ("full", run_full, "train all parameters"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("config", metavar="CONFIG.toml")
        command.set_defaults(run=run)

    stop = commands.add_parser("stop", help="let a run save and end after the step under way")
    stop.add_argument("run_folder", metavar="RUN", help="train.output of the run")
    stop.set_defaults(run=run_stop)

    export = commands.add_parser("export", help="write the files of a run's newest checkpoint")
    export.add_argument("run_folder", metavar="RUN", help="train.output of the run")
    export.add_argument("--layout", choices=("both", "official", "comfyui"), default="both")
    export.add_argument("--dtype", choices=("bf16", "fp16", "fp32"), default="bf16")
    export.set_defaults(run=run_export)
    return parser


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
