"""The command line of a fleet: python -m pusa_core.fleet run --graph GRAPH --folder FOLDER --comfyui COMFYUI."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import PusaError
from .graphs import Graph, read_graph
from .items import csv_items, folder_items
from .jobs import Inputs, make_jobs
from .process import Installation
from .results import ResultsFolder
from .run import STOPPED, Plan, run

RESULTS = "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when every item has its result, 1 with a sentence when one has not, 130 after Ctrl+C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    cut = given.index("--") if "--" in given else len(given)
    options = _parser().parse_args(given[:cut])
    try:
        return run_fleet(options, tuple(given[cut + 1 :]))
    except PusaError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return STOPPED


def run_fleet(options: argparse.Namespace, comfyui_arguments: tuple[str, ...]) -> int:
    """Reads the graph and the items, and runs what is missing."""
    graph = read_graph(options.graph)
    plan = _plan(options, comfyui_arguments)
    files = options.inputs or (options.comfyui / "input" if options.comfyui else None)
    if options.inputs and not options.inputs.is_dir():
        raise PusaError(
            f"There is no folder {options.inputs}. Give --inputs one with the files that the graph names."
        )
    if options.project:
        return _run_project(options, graph, files, plan)
    items = folder_items(options.folder) if options.folder else csv_items(options.csv)
    output = options.output or (
        options.folder / RESULTS if options.folder else options.csv.with_name(f"{options.csv.stem}_{RESULTS}")
    )
    jobs = make_jobs(graph, items, Inputs(options.picture, options.prompt, files))
    return run(ResultsFolder(output, jobs), plan)


def _run_project(options: argparse.Namespace, graph: Graph, files: Path | None, plan: Plan) -> int:
    from .project import director_of, open_project  # imports torch, which other items need not wait for
    from .project_results import ProjectResults

    if options.output or options.picture or options.prompt:
        raise PusaError(
            "--output, --picture and --prompt do not go with --project: what is made is the project's, and lies in its folder. Leave them out."
        )
    with open_project(director_of(graph), options.project, files) as project:
        return run(ProjectResults(project), plan)


def _plan(options: argparse.Namespace, comfyui_arguments: tuple[str, ...]) -> Plan:
    counts = {"--workers": options.workers, "--attempts": options.attempts, "--threads": options.threads}
    for name, value in counts.items():
        if value is not None and value < 1:
            raise PusaError(f"{name} is {value}; give 1 or more.")
    if options.timeout is not None and options.timeout <= 0:
        raise PusaError(f"--timeout is {options.timeout:g}; give seconds, or leave it out for any time.")
    plan = Plan(attempts=options.attempts, timeout=options.timeout, address=options.address)
    if options.servers:
        if options.cpu or options.workers or options.threads or options.python or comfyui_arguments:
            raise PusaError(
                "--servers names ComfyUIs that run already: each is one worker, so --workers, --cpu, --threads, --python and "
                "options after -- do not go with it. Leave them out, or give --comfyui instead."
            )
        found = [_address(part) for part in options.servers.split(",") if part.strip()]
        return replace(plan, servers=tuple(found))
    if options.cpu and not options.workers:
        raise PusaError("With --cpu give --workers: how many ComfyUIs to start, such as 1.")
    installation = Installation(
        str(options.comfyui.expanduser().absolute()), options.python or "", options.cpu, comfyui_arguments
    )
    return replace(plan, installation=installation, workers=options.workers, threads=options.threads)


def _address(text: str) -> str:
    text = text.strip().rstrip("/")
    return text if text.startswith(("http://", "https://")) else f"http://{text}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pusa_core.fleet", description="Run one graph for many items on many ComfyUIs, by Ray."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "run",
        help="run the items that have no result yet",
        usage="%(prog)s --graph GRAPH (--folder FOLDER | --csv FILE | --project FOLDER) (--comfyui PATH | --servers URL,...) [options] [-- OPTIONS OF COMFYUI]",
    )
    command.add_argument("--graph", type=Path, required=True, help="a graph in API format")
    items = command.add_mutually_exclusive_group(required=True)
    items.add_argument(
        "--folder",
        type=Path,
        help="pictures, each with a .txt prompt and, if wanted, a .json of graph inputs",
    )
    items.add_argument(
        "--csv",
        type=Path,
        help="a row an item: name, and columns named after inputs ('node title or id.input')",
    )
    items.add_argument(
        "--project",
        type=Path,
        help="the folder of a long-video project, whose text is in the graph's Pusa Director: its windows' candidates are the items",
    )
    command.add_argument(
        "--output",
        type=Path,
        help=f"folder of the results; default: {RESULTS} in the folder, or beside the CSV; a project's go into its folder",
    )
    command.add_argument(
        "--picture", help="input that takes the folder's pictures, where the graph loads several"
    )
    command.add_argument("--prompt", help="input that takes the folder's prompts, where that is not clear")
    command.add_argument(
        "--inputs",
        type=Path,
        help="folder of files that the graph itself, or its project, names; default: the input folder of --comfyui; with --servers none",
    )
    where = command.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--comfyui",
        type=Path,
        help="the installation of which each worker starts a server; the same on every machine",
    )
    where.add_argument(
        "--servers", help="ComfyUIs that run already, with commas between: http://one:8188,two:8188"
    )
    command.add_argument("--workers", type=int, help="how many; default: one for each GPU that Ray sees")
    command.add_argument("--cpu", action="store_true", help="without GPUs")
    command.add_argument(
        "--threads",
        type=int,
        help="CPU threads of a worker; default: 1 with --cpu, else a GPU's share of the cores. On the CPU the bits depend on it",
    )
    command.add_argument("--python", help="Python that runs ComfyUI; default: the one that runs this")
    command.add_argument("--attempts", type=int, default=2, help="how often an item may fail; default 2")
    command.add_argument(
        "--timeout", type=float, help="seconds after which an item is cancelled; default: never"
    )
    command.add_argument(
        "--address", help="a Ray cluster, such as auto; default: RAY_ADDRESS, or this machine alone"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
