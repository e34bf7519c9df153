"""The command line for LoRA files: python -m pusa_core.lora inspect FILE, and resize IN OUT."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import torch

from ..errors import PusaError
from .contents import read_contents, require_finite_contents
from .experts import SPOKEN, guess_expert, name_in_folder
from .report import contents_report, rank_text
from .resize import DTYPES, Target, resize
from .weight_files import open_weights

BAR_WIDTH = 40


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it worked, 1 with a sentence on stderr when it did not."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except PusaError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def run_inspect(options: argparse.Namespace) -> None:
    """Print what a file holds, and read all of it once to find damaged values."""
    contents = read_contents(open_weights(options.file))
    guess = guess_expert(name_in_folder(options.file), contents.file.metadata)
    expert = f"{SPOKEN[guess.expert]} (from the {guess.source})" if guess.expert else "not named by the file"
    _say(contents_report(contents, os.path.getsize(options.file), expert))
    require_finite_contents(contents)
    _say("All values are finite.")


def run_resize(options: argparse.Namespace) -> None:
    """Write the smaller file and print how far it is from the source."""
    target = Target(options.rank, options.energy)
    if os.path.exists(options.out):
        raise PusaError(f"{options.out} is there already. Choose another name, or remove it first.")
    if not options.out.lower().endswith(".safetensors"):
        raise PusaError(f"{options.out} must end in .safetensors, the format that is written.")
    contents = read_contents(open_weights(options.source))
    require_finite_contents(contents)
    result = resize(contents, options.out, target, DTYPES.get(options.dtype), options.device, show_progress)
    _say(
        f"{options.out}: {result.layers} layers, rank {rank_text(result.rank_min, result.rank_max)}, "
        f"{result.bytes_after / 1e6:.1f} MB (was {result.bytes_before / 1e6:.1f} MB), "
        f"relative error {result.relative_error:.4f}"
    )


def show_progress(done: int, total: int) -> None:
    """A bar on stderr, redrawn in place."""
    filled = BAR_WIDTH * done // max(1, total)
    end = "\n" if done == total else ""
    sys.stderr.write(f"\r[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {done}/{total} layers{end}")
    sys.stderr.flush()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pusa_core.lora", description="Look into LoRA files for Wan, or make them smaller."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    inspect = commands.add_parser("inspect", help="print layout, layers, ranks, scale and expert")
    inspect.add_argument("file", metavar="FILE")
    inspect.set_defaults(run=run_inspect)
    smaller = commands.add_parser("resize", help="write a file of lower rank and print the relative error")
    smaller.add_argument("source", metavar="IN")
    smaller.add_argument("out", metavar="OUT")
    size = smaller.add_mutually_exclusive_group(required=True)
    size.add_argument("--rank", type=int, help="rank of every layer")
    size.add_argument("--energy", type=float, help="share of each layer's squared norm to keep, such as 0.98")
    smaller.add_argument(
        "--dtype", choices=["same", *DTYPES], default="same", help="type of the written matrices"
    )
    smaller.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="where to compute; default: cuda where there is one",
    )
    smaller.set_defaults(run=run_resize)
    return parser


if __name__ == "__main__":
    sys.exit(main())
