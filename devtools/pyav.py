"""The oldest and the newest PyAV that ComfyUI runs with, each in a folder of its own beside the environment's."""

import subprocess
import sys
from pathlib import Path

from devtools import environment
from devtools.environment import ROOT, Environment
from devtools.folders import remove

OLDEST = "14.2.0"
"""ComfyUI's requirements.txt: av>=14.2.0."""
NEWEST = "18.1.0"
"""Released when this was last looked at; raise it by hand, so that a run can be repeated."""
NEWEST_ON = {(3, 10): "16.1.0"}
"""Where the newest has no wheel for a version of Python."""

TESTS = (
    "tests/core/test_awkward_media.py",
    "tests/core/test_clip_files.py",
    "tests/core/test_clip_writing.py",
)


def versions(python: tuple[int, int] = sys.version_info[:2]) -> tuple[str, str]:
    """The oldest and the newest for an interpreter."""
    return OLDEST, NEWEST_ON.get(python, NEWEST)


def ensure(found: Environment, version: str) -> Path:
    """The folder with this version, to be put on PYTHONPATH; downloaded once, without anything it requires."""
    folder = ROOT / ".dev" / f"pyav-{version}"
    if environment.is_current(folder, environment.fingerprint(version, str(found.python))):
        return folder
    partial = environment.partial(folder)
    try:
        remove(partial)
        environment.run_quietly(
            [
                *(
                    str(found.python),
                    "-m",
                    "pip",
                    "install",
                    "--no-input",
                    "--only-binary=:all:",
                    "--no-deps",
                ),
                *("--target", str(partial), f"av=={version}"),
            ],
            f"download PyAV {version}",
        )
        environment.write_stamp(partial, environment.fingerprint(version, str(found.python)))
        remove(folder)
        partial.rename(folder)
    finally:
        remove(partial)
    return folder


def python_version(found: Environment) -> tuple[int, int]:
    """Major and minor version of the environment's interpreter."""
    script = "import sys; print(*sys.version_info[:2])"
    shown = subprocess.run([str(found.python), "-c", script], capture_output=True, text=True, check=True)
    major, minor = shown.stdout.split()
    return int(major), int(minor)
