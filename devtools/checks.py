"""`dev.py test` and `dev.py lint`: the steps of the test suite, one after the other, and their results."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devtools import browser, environment, pyav
from devtools.comfy_server import calm_threads
from devtools.environment import ROOT, Environment, SetupError

PYTHON_SOURCES = ("__init__.py", "nodes", "pusa_core", "dev.py", "devtools", "demo", "tests")
TYPESCRIPT = Path("node_modules", "typescript", "bin", "tsc")
IN_CI = bool(os.environ.get("CI"))
SIDE_BY_SIDE = max(1, min(4, os.cpu_count() or 1))  # test processes: each has a ComfyUI of its own, 1 to 2 GB
THOROUGH = bool(os.environ.get("PUSA_THOROUGH"))
"""Asks for all browser tests in both renderers on the oldest frontend too, 10 minutes more. Nodes 2.0 is young there, and off."""
ON_THE_OLDEST = (
    "boxes",
    "first_steps",
    "small_things",
    "timeline",
    "workflows",
)  # what depends on the frontend most
LONGEST_FIRST = ("workflows", "director", "timeline", "boxes")  # so that no long file is left to run alone


@dataclass(frozen=True)
class Result:
    """How one step went."""

    step: str
    failed: bool
    note: str
    seconds: float


class NotRunError(Exception):
    """A step needs a program that is not on this machine; the message names it."""


def run(steps: Sequence[str], pytest_arguments: Sequence[str] = ()) -> int:
    """Runs the steps in their order, shows a table of the results and returns 1 if one failed.

    A step that cannot run here (no browser, no Node.js) fails in CI and is a line of the table elsewhere.
    """
    found = environment.ensure()
    os.environ.setdefault("OMP_NUM_THREADS", calm_threads())
    os.environ |= {"COMFYUI_PATH": str(found.comfyui), "PUSA_PYTHON": str(found.python)}
    results = [run_step(step, found, pytest_arguments) for step in STEPS if step in steps]
    print("\n" + "\n".join(f"{result.step:8} {result.note:44} {result.seconds:6.0f} s" for result in results))
    return int(any(result.failed for result in results))


def run_step(step: str, found: Environment, pytest_arguments: Sequence[str]) -> Result:
    """Runs one step."""
    print(f"\n=== {step} ===", flush=True)
    started = time.monotonic()
    try:
        failures = [name for name, code in STEPS[step](found, pytest_arguments) if code != 0]
        failed, note = bool(failures), "failed: " + ", ".join(failures) if failures else "passed"
    except NotRunError as reason:
        print(reason)
        failed, note = IN_CI, "not run, see above"
    return Result(step, failed, note, time.monotonic() - started)


Outcomes = Iterator[tuple[str, int]]  # what was run, its exit code


def lint(found: Environment, pytest_arguments: Sequence[str]) -> Outcomes:
    """Form and types of the Python and JavaScript sources."""
    sources = [name for name in PYTHON_SOURCES if (ROOT / name).exists()]
    yield "ruff format", call(found, "-m", "ruff", "format", "--check", "--quiet", "--diff", *sources)
    yield "ruff check", call(found, "-m", "ruff", "check", *sources)
    yield "mypy", call(found, "-m", "mypy")
    if (ROOT / "jsconfig.json").is_file():
        ensure_node()
        yield "tsc", browser.run_node(str(TYPESCRIPT), "-p", "jsconfig.json")


def python_tests(found: Environment, pytest_arguments: Sequence[str]) -> Outcomes:
    """The tests in plain Python and inside a real ComfyUI."""
    shared = ["--numprocesses", str(SIDE_BY_SIDE), "--dist", "worksteal"]
    yield "pytest", call(found, "-m", "pytest", "tests", *shared, "--durations=8", *pytest_arguments)


def pyav_tests(found: Environment, pytest_arguments: Sequence[str]) -> Outcomes:
    """The tests of clips on the oldest and the newest PyAV that ComfyUI allows."""
    for version in pyav.versions(pyav.python_version(found)):
        try:
            folder = pyav.ensure(found, version)
        except SetupError as error:
            raise NotRunError(str(error)) from error
        print(f"PyAV {version}", flush=True)
        variables = {"PYTHONPATH": str(folder)}
        yield f"PyAV {version}", call(found, "-m", "pytest", *pyav.TESTS, "-q", variables=variables)


def script_tests(found: Environment, pytest_arguments: Sequence[str]) -> Outcomes:
    """The pure modules of the browser side, in Node.js."""
    ensure_node()
    yield "node --test", run_node_tests("tests/js")


def browser_tests(found: Environment, pytest_arguments: Sequence[str]) -> Outcomes:
    """The real frontend in a real browser."""
    ensure_node()
    try:
        chosen = browser.ensure_browser()
    except SetupError as error:
        raise NotRunError(str(error)) from error
    # Each file has a server and a browser of its own.
    options = [f"--test-concurrency={SIDE_BY_SIDE}"]
    variables = {"PUSA_BROWSER": str(chosen)}
    if THOROUGH:
        yield "browser tests", run_node_tests("tests/browser", options, variables)
    else:
        oldest = variables | {"PUSA_RENDERERS": "classic"}
        yield "browser tests", run_node_tests("tests/browser", options, oldest, ON_THE_OLDEST)
    try:
        newest = browser.ensure_newest_frontend(found.python)
    except SetupError as error:
        raise NotRunError(str(error)) from error
    variables["PUSA_FRONTEND"] = str(newest)
    yield "browser tests, newest frontend", run_node_tests("tests/browser", options, variables)


STEPS: dict[str, Callable[[Environment, Sequence[str]], Outcomes]] = {
    "lint": lint,
    "python": python_tests,
    "pyav": pyav_tests,
    "js": script_tests,
    "browser": browser_tests,
}


def ensure_node() -> None:
    """Makes sure of Node.js and its packages."""
    try:
        browser.ensure_node_packages()
    except SetupError as error:
        raise NotRunError(str(error)) from error


def run_node_tests(
    folder: str,
    options: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    only: Sequence[str] | None = None,
) -> int:
    """Runs the files *.test.js of a folder, or those named; Node.js 22 no longer takes the folder itself."""
    found = {
        path.name.partition(".")[0]: str(path.relative_to(ROOT))
        for path in (ROOT / folder).rglob("*.test.*js")
    }
    if only is not None:
        found = {name: found[name] for name in only}
    files = [found.pop(name) for name in LONGEST_FIRST if name in found] + sorted(found.values())
    if not files:
        print(f"{folder} holds no *.test.js.")
        return 1
    return browser.run_node("--test", *options, *files, variables=variables)


def call(found: Environment, *arguments: str, variables: Mapping[str, str] | None = None) -> int:
    """Runs the environment's interpreter in the checkout and returns its exit code."""
    return subprocess.call([str(found.python), *arguments], cwd=ROOT, env={**os.environ, **(variables or {})})
