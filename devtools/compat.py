"""`dev.py compat`: what of the pack works on the ComfyUI of COMFYUI_PATH, as one row of docs/COMPATIBILITY.md."""

import argparse
import datetime
import fnmatch
import json
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from devtools import environment
from devtools.comfy_server import calm_threads
from devtools.dynamic_vram import simulated
from devtools.environment import ROOT, SetupError

DOCUMENT = ROOT / "docs" / "COMPATIBILITY.md"
ROWS = ROOT / "docs" / "compatibility.json"
COPY = ROOT / ".dev" / "dynamic_vram"
FRONTEND = "comfyui_frontend_package"
DYNAMIC = "dynamic VRAM simulated"
PARITY = ("test_golden_latents", "test_wan_dit_against_comfy")
"""Files of tests/in_comfy that compare with the reference's latents and with our own model."""

READS_THE_WIDTH = 'decoder.head.0.gamma"].shape'
"""In comfy/sd.py of versions that load a Wan VAE of another width than the published one."""


@dataclass(frozen=True)
class CoreFault:
    """A fault of ComfyUI itself, by which tests fail."""

    before: str  # the version that no longer has it
    tests: tuple[str, ...]  # patterns of `file::test[parameters]`, in which a bracket is no pattern
    text: str


BECAUSE_OF_CORE = (
    CoreFault(
        "0.3.75",
        ("test_pairs::test_pair[*EasyCache*]", "test_composition::*[EasyCache]"),
        "EasyCache there adds the kept change of each prompt to the latents of both where one call has both (apply_cache_diff), with any nodes",
    ),
)

INTRODUCTION = """# On which ComfyUI it works

Made by `python dev.py compat`, never by hand: each run with `COMFYUI_PATH` set replaces one row (the figures lie in compatibility.json).

* **Nodes**: how many of the pack's nodes ComfyUI's own loader registers.
* **Parity**: the largest difference from the reference's latents over all golden cases and both routes, in a real server; beside it how many parity tests passed.
* **Tests**: all of tests/in_comfy on that core. *Not for it*: tests that name another range of versions.
* **Demo**: the demo's workflows through a server of that core, on the trained small models.
* **Steps aside**: what the pack leaves to ComfyUI there, in the words of its own log.
* *dynamic VRAM simulated*: ComfyUI's own code for dynamic VRAM, which needs an NVIDIA card, made to run on the CPU by a stand-in for comfy-aimdo. It judges results, not time or memory.

All on the CPU under Linux.
"""


@dataclass
class Row:
    """What one run of `dev.py compat` found on one core."""

    core: str  # version, with what was simulated
    frontend: str
    date: str
    nodes: str = ""
    difference: float | None = None  # largest of the golden cases; None where none was measured
    parity: str = ""
    passed: int = 0
    not_for_it: int = 0
    failed: dict[str, str] = field(default_factory=dict)  # reason -> the tests, "" where it is not known
    steps_aside: list[str] = field(default_factory=list)
    demo: str = "not run"


def main(arguments: Sequence[str]) -> int:
    """Judges the core, writes its row, and returns 1 when something failed that is not ComfyUI's own fault."""
    parser = argparse.ArgumentParser(prog="dev.py compat", description=__doc__)
    parser.add_argument("--dynamic-vram", type=Path, metavar="FILE", help="stand-in for comfy-aimdo: run "
                        "ComfyUI's dynamic VRAM on the CPU")  # fmt: skip
    parser.add_argument("--no-demo", action="store_true", help="leave out the demo, which takes minutes")
    parser.add_argument("--only-demo", action="store_true", help="fill in the demo of a row that is there")
    parser.add_argument("--table", action="store_true", help="only write the document anew from its figures")
    options = parser.parse_args(arguments)
    if options.table:
        write_document(read_rows())
        return 0
    found = environment.current()
    comfyui = found.comfyui
    if options.dynamic_vram is not None:
        comfyui = simulated(comfyui, options.dynamic_vram, COPY)
    variables = {**os.environ, "COMFYUI_PATH": str(comfyui)}
    variables.setdefault("OMP_NUM_THREADS", calm_threads())
    core = core_version(comfyui) + (f", {DYNAMIC}" if options.dynamic_vram else "")
    rows = read_rows()
    if options.only_demo:
        if core not in rows:
            raise SetupError(
                f"There is no row for ComfyUI {core} yet. Run dev.py compat without --only-demo."
            )
        row = rows[core]
    else:
        row = Row(core, frontend_version(), datetime.date.today().isoformat())
        run_tests(row, variables)
    if READS_THE_WIDTH not in (comfyui / "comfy" / "sd.py").read_text("utf-8"):
        row.demo = "cannot: this ComfyUI loads no VAE as narrow as the demo's"
    elif not options.no_demo:
        demo = subprocess.call([sys.executable, "-m", "demo.run_demo"], cwd=ROOT, env=variables)
        row.demo = "failed" if demo else "runs"
    rows = read_rows()  # again: another core may have been judged meanwhile
    rows[row.core] = row
    write_rows(rows)
    write_document(rows)
    print(f"\n{heading()}\n{table_line(row)}\n\n{DOCUMENT} is written.")
    return int(bool(row.failed.get("")) or row.demo == "failed")


def run_tests(row: Row, variables: Mapping[str, str]) -> None:
    """Runs tests/in_comfy and fills the row; a file that cannot be read is one failure of many tests."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "tests/in_comfy", "-q", "--tb=short"]
        command += ["--continue-on-collection-errors", f"--junitxml={report}"]
        subprocess.call(command, cwd=ROOT, env=variables)
        if not report.is_file():
            raise SetupError(f"The tests did not start on ComfyUI {row.core}; pytest's words stand above.")
        read_report(ElementTree.parse(report).getroot(), row)


def core_version(comfyui: Path) -> str:
    """The version of a ComfyUI."""
    found = re.search(r'__version__ = "(.+)"', (comfyui / "comfyui_version.py").read_text("utf-8"))
    if found is None:
        raise SetupError(f"{comfyui / 'comfyui_version.py'} names no version.")
    return found[1]


def frontend_version() -> str:
    """The version of the frontend that this interpreter's ComfyUI serves."""
    try:
        return version(FRONTEND)
    except PackageNotFoundError:
        return "none"


def read_report(report: ElementTree.Element, row: Row) -> None:
    """Fills a row from pytest's report."""
    parity = {True: 0, False: 0}
    for suite in report.iter("testsuite"):
        for setting in suite.findall("properties/property"):
            if setting.get("name") == "not_for_this_core":
                row.not_for_it = int(setting.get("value", "0"))
    for case in report.iter("testcase"):
        file = case.get("classname", "").rpartition(".")[2]
        name = f"{file}::{case.get('name')}"
        measured = {each.get("name"): each.get("value", "") for each in case.findall("properties/property")}
        if "difference" in measured:
            row.difference = max(row.difference or 0.0, float(measured["difference"]))
        row.nodes = measured.get("nodes", row.nodes)
        if reason := measured.get("steps_aside"):
            row.steps_aside.append(reason)
        failed = case.find("failure") is not None or case.find("error") is not None
        if file in PARITY:
            parity[not failed] += 1
        if failed:
            reason = reason_of(name, row.core)
            row.failed[reason] = "\n".join(filter(None, [row.failed.get(reason), name]))
        elif case.find("skipped") is None:
            row.passed += 1
    row.parity = f"{parity[True]} of {sum(parity.values())}"


def reason_of(test: str, core: str) -> str:
    """What this version of ComfyUI does that makes the test fail, "" where the pack must be at fault."""
    for fault in BECAUSE_OF_CORE:
        if order(core) < order(fault.before) and any(
            fnmatch.fnmatch(test, pattern.replace("[", "[[]")) for pattern in fault.tests
        ):
            return fault.text
    return ""


# The document


def read_rows() -> dict[str, Row]:
    """The rows by core."""
    if not ROWS.is_file():
        return {}
    return {core: Row(**row) for core, row in json.loads(ROWS.read_text("utf-8")).items()}


def write_rows(rows: dict[str, Row]) -> None:
    """Keeps the figures."""
    ordered = {core: asdict(rows[core]) for core in sorted(rows, key=order)}
    ROWS.write_text(json.dumps(ordered, indent=1) + "\n", "utf-8", newline="\n")


def order(core: str) -> tuple[list[int], str]:
    """Versions by their numbers."""
    number, _, rest = core.partition(",")
    return [int(part) for part in re.findall(r"\d+", number)], rest


def heading() -> str:
    """The first two lines of the table."""
    columns = ("ComfyUI", "frontend", "date", "nodes", "parity", "tests", "demo", "steps aside")
    return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"


def table_line(row: Row) -> str:
    """One line of the table."""
    count = sum(len(tests.splitlines()) for tests in row.failed.values())
    tests = f"{row.passed} passed, {f'**{count} failed**' if count else 'none failed'}"
    if row.not_for_it:
        tests += f", {row.not_for_it} not for it"
    difference = "" if row.difference is None else f"{row.difference:.1e}, "
    aside = "; ".join(row.steps_aside) or "nothing"
    cells = (row.core, row.frontend, row.date, row.nodes, difference + row.parity, tests, row.demo, aside)
    return f"| {' | '.join(cells)} |"


def write_document(rows: dict[str, Row]) -> None:
    """Writes docs/COMPATIBILITY.md from the rows."""
    ordered = [rows[core] for core in sorted(rows, key=order)]
    lines = [INTRODUCTION, heading(), *map(table_line, ordered)]
    for row in ordered:
        for reason, tests in row.failed.items():
            names = tests.splitlines()
            lines += ["", f"**{row.core}**: {reason or 'not explained yet'} ({len(names)})", ""]
            lines += [
                f"* `{name}` ({count})" if count > 1 else f"* `{name}`" for name, count in counted(names)
            ]
    DOCUMENT.write_text("\n".join(lines) + "\n", "utf-8", newline="\n")


def counted(names: Sequence[str]) -> list[tuple[str, int]]:
    """Tests with how often each failed, their parameters left out."""
    plain = [name.partition("[")[0] for name in names]
    return [(name, plain.count(name)) for name in dict.fromkeys(plain)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
