"""What tests of whole fleets share: whether Ray is there, and the servers that workers have started."""

import importlib.util

import psutil
import pytest

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs Ray: pip install -r requirements-fleet.txt"
)


def comfyuis(base) -> list[psutil.Process]:
    """The servers that workers started from this base directory."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "main.py" in line and str(base) in line and any("pusa-fleet-" in part for part in line):
            found.append(process)
    return found
