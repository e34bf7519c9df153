"""`dev.py bench`: ratios against plain Wan in ComfyUI, measured in one run; a table and JSON in benchmarks/results/.

Every part runs in a process of its own, and every peak of memory in a fresh one. Times are compared by turns (A, B, A, B,
...) and by medians, so that a busy machine slows both alike.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PARTS = ROOT / "devtools" / "bench_parts.py"

CPU_PARTS = (
    "modulation",
    "forward",
    "forward_peak",
    "sampler",
    "profile",
    "prefix_encode",
    "lora_load",
    "merged_loras",
    "expert_switch",
    "expert_memory",
    "frozen_cache",
    "progressive",
    "frozen_zoo",
)
GPU_PARTS = (
    "floors",
    "modulation",
    "forward",
    "forward_peak",
    "sampler",
    "profile",
    "merged_loras",
    "frozen_cache",
    "progressive",
)


def main(arguments: Sequence[str]) -> int:
    """Runs the parts, prints the table, writes both files; 1 if a part failed or a limit was missed."""
    options = parser().parse_args(arguments)
    if options.plan:
        from devtools.bench_plan import PAGE, write_plan  # needs torch; the rest of this file does not

        print(write_plan() + f"\nWritten to {PAGE.relative_to(ROOT)}.")
        return 0
    parts = options.only or (GPU_PARTS if options.profile == "gpu" else CPU_PARTS)
    rows: list[dict[str, Any]] = []
    failed = []
    for part in parts:
        print(f"{part} ...", flush=True)
        found = measure(part, options.profile)
        if isinstance(found, str):
            print(found)
            failed.append(part)
        else:
            rows += found
    result = {"machine": machine(options.profile), "profile": options.profile, "rows": rows, "failed": failed}
    text = table(result)
    print(text)
    RESULTS.mkdir(parents=True, exist_ok=True)
    name = options.profile if not options.only else f"{options.profile}-{'-'.join(options.only)}"
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    return int(bool(failed) or any(row["ok"] is False for row in rows))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(prog="dev.py bench", description=__doc__.splitlines()[0])
    found.add_argument(
        "--profile",
        choices=("cpu", "gpu"),
        default="cpu",
        help="gpu: the 14B shape with random weights, as many layers as fit, beside the device's measured floors",
    )
    found.add_argument(
        "--plan",
        action="store_true",
        help="compute operations and memory of whole runs into docs/PLAN.md; measures nothing",
    )
    found.add_argument(
        "--only",
        action="append",
        choices=sorted({*CPU_PARTS, *GPU_PARTS}),
        help="run this part alone (may be repeated); results go to a file of its own",
    )
    return found


def measure(part: str, profile: str) -> list[dict[str, Any]] | str:
    """Rows of one part, or the end of what it said before it failed."""
    variables = {"OMP_NUM_THREADS": "1", **os.environ} if profile == "cpu" else dict(os.environ)
    variables.setdefault("COMFYUI_PATH", str(ROOT / ".comfyui"))
    done = subprocess.run(
        [sys.executable, str(PARTS), part, profile], capture_output=True, text=True, env=variables, cwd=ROOT
    )
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        return f"{part} failed:\n" + "\n".join(done.stderr.splitlines()[-15:])
    return json.loads(lines[-1])


def machine(profile: str) -> dict[str, Any]:
    """What the figures were taken on."""
    asked = "import json,torch;c=torch.cuda;print(json.dumps([torch.__version__,c.get_device_name() if c.is_available() else None]))"
    torch_version, gpu = json.loads(subprocess.check_output([sys.executable, "-c", asked], text=True))
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": [round(value, 1) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "gpu": gpu if profile == "gpu" else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch_version,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }


def processor() -> str:
    """Name of the CPU as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    facts = result["machine"]
    where = facts["gpu"] or f"{facts['processor']}, {facts['cores']} cores"
    lines = [
        f"Measured on {where} ({facts['system']}, Python {facts['python']}, torch {facts['torch']}), {facts['date']}"
        f"{'' if facts['load'] is None else ', load ' + '/'.join(map(str, facts['load']))}.",
        "",
        "| what | against | value | limit | |",
        "|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        verdict = {True: "ok", False: "**missed**", None: ""}[row["ok"]]
        limit = "" if row["limit"] is None else f"<= {row['limit']:g}"
        lines.append(
            f"| {row['what']} | {row['against']} | {row['value']:.4g}{row['unit']} | {limit} | {verdict} {row['note']} |"
        )
    if result["failed"]:
        lines += ["", f"Failed: {', '.join(result['failed'])}."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
