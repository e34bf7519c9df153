"""A skipped test must not look like a passed one."""

import os
import shutil
import subprocess
import sys

import pytest


@pytest.fixture
def run_a_skip(pack_root, tmp_path):
    """run_a_skip(decorator, ci, *options) -> exit code of pytest on one skipping test under our conftest."""

    def run(decorator: str, ci: bool, *options: str) -> int:
        folder = tmp_path / "tests"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in ("conftest.py", "pytest.ini"):
            shutil.copy(pack_root / "tests" / name, folder)
        body = f"import pytest\n{decorator}\ndef test_it():\n    pytest.skip('no reason')\n"
        (folder / "test_skip.py").write_text(body)
        environment = {key: value for key, value in os.environ.items() if key != "CI"} | (
            {"CI": "true"} if ci else {}
        )
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *options,
            str(folder / "test_skip.py"),
        ]
        return subprocess.run(command, env=environment, capture_output=True).returncode

    return run


@pytest.mark.parametrize("decorator", ["", "@pytest.mark.skip(reason='later')"])
def test_a_skip_fails_in_ci_and_passes_elsewhere(run_a_skip, decorator):
    assert run_a_skip(decorator, ci=True) == 1
    assert run_a_skip(decorator, ci=False) == 0


def test_a_skip_fails_in_ci_where_workers_share_the_tests(run_a_skip):
    assert run_a_skip("@pytest.mark.skip(reason='later')", True, "-n", "2") == 1
    assert run_a_skip("@pytest.mark.gpu", True, "-n", "2") == 0
    assert run_a_skip("pytest.skip('all of it', allow_module_level=True)\n", True, "-n", "2") != 0


def test_a_skip_marked_gpu_passes_in_ci(run_a_skip):
    assert run_a_skip("@pytest.mark.gpu", ci=True) == 0
