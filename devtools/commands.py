"""The commands of dev.py: each makes sure of its surroundings, then hands over to the program that does the work."""

import argparse
import os
import signal
import subprocess
from collections.abc import Sequence

from devtools import browser, checks, environment, serve
from devtools.environment import ROOT, SetupError


def main(arguments: Sequence[str]) -> int:
    """Runs one command and returns the exit code; what cannot be set up is one sentence."""
    stop_like_ctrl_c()
    options, rest = parser().parse_known_args(arguments)
    if rest and not options.passes_arguments_on:
        parser().error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return options.command(options, rest)
    except SetupError as error:
        print(f"\n{error}")
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
        return 130


def stop_like_ctrl_c() -> None:
    """Lets a plain `kill` end a command as Ctrl+C does, so that no server is left running."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="dev.py", description="Develop ComfyUI-Pusa.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command, text: str, passes_arguments_on: bool = False) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=command, passes_arguments_on=passes_arguments_on)
        return added

    add("setup", set_up, "make .venv and .comfyui, and what the browser tests need")
    add(
        "demo", run_demo, "make small videos through a real ComfyUI, in demo/output", passes_arguments_on=True
    )
    serving = add("serve", run_server, "open ComfyUI with the pack, the demo models and the workflows")
    serving.add_argument("--port", type=int, help="default: a free one")
    serving.add_argument("--cpu", action="store_true", help="use the CPU even where there is a GPU")
    testing = add("test", run_tests, "check everything: " + ", ".join(checks.STEPS), passes_arguments_on=True)
    testing.add_argument(
        "--only",
        action="append",
        choices=checks.STEPS,
        help="run this step alone (may be repeated); pytest gets other arguments",
    )
    add("lint", run_lint, "check form and types: ruff, mypy, tsc")
    add(
        "bench",
        run_benchmarks,
        "measure ratios against plain Wan, in benchmarks/results",
        passes_arguments_on=True,
    )
    add(
        "compat",
        run_compatibility,
        "judge the ComfyUI of COMFYUI_PATH, in docs/COMPATIBILITY.md",
        passes_arguments_on=True,
    )
    add("train", run_training, "train the demo's small models from nothing", passes_arguments_on=True)
    add("eval", run_evaluation, "measure the demo's claims, in docs/RESULTS.md", passes_arguments_on=True)
    return top


def set_up(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Makes what is missing; without a browser or Node.js only their tests cannot run, which is said."""
    made = environment.ensure()
    print(f"Python:  {made.python}\nComfyUI: {made.comfyui}")
    for name, ensure in (
        ("Browser", browser.ensure_browser),
        ("Node.js packages", browser.ensure_node_packages),
        ("Newest frontend", lambda: browser.ensure_newest_frontend(made.python)),
    ):
        try:
            print(f"{name}: {ensure()}")
        except SetupError as error:
            print(f"{name}: {error}")
    return 0


def run_demo(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Runs demo/run_demo.py."""
    return run_module("demo.run_demo", rest)


def run_server(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Opens ComfyUI until it is stopped."""
    return serve.serve(environment.ensure(), port=options.port, cpu=options.cpu)


def run_tests(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Runs the steps of the test suite."""
    return checks.run(options.only or checks.STEPS, rest)


def run_lint(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Runs the checks of form and types."""
    return checks.run(["lint"])


def run_benchmarks(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Runs the benchmarks."""
    return run_module("devtools.bench", rest)


def run_compatibility(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Judges one ComfyUI."""
    return run_module("devtools.compat", rest)


def run_training(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Runs the zoo's training."""
    return run_python("demo", "train", *rest)


def run_evaluation(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Runs the zoo's measurements."""
    return run_python("demo", "evaluate", *rest)


def run_module(module: str, arguments: Sequence[str]) -> int:
    """Runs a module of the checkout with the environment's interpreter."""
    return run_python("-m", module, *arguments)


def run_python(*arguments: str) -> int:
    """Runs the environment's interpreter in the checkout."""
    found = environment.ensure()
    variables = {**os.environ, "COMFYUI_PATH": str(found.comfyui)}
    return subprocess.call([str(found.python), *arguments], cwd=ROOT, env=variables)
