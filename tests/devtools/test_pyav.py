"""Claims about the versions of PyAV that clips are tested with."""

import re

import pytest

from devtools import checks, environment, pyav
from devtools.environment import SetupError


def test_the_oldest_is_what_comfyui_asks_for(pack_root):
    requirements = (environment.current().comfyui / "requirements.txt").read_text("utf-8")
    assert re.search(rf"^av>={re.escape(pyav.OLDEST)}$", requirements, re.MULTILINE)


def test_every_test_of_clips_is_there(pack_root):
    assert [name for name in pyav.TESTS if not (pack_root / name).is_file()] == []


def test_an_interpreter_gets_versions_it_has_wheels_for():
    assert pyav.versions((3, 12)) == ("14.2.0", "18.1.0")
    assert pyav.versions((3, 10)) == ("14.2.0", "16.1.0")


def test_a_version_is_downloaded_once(tmp_path, monkeypatch):
    calls = []

    def download(command, what):
        calls.append(what)
        folder = command[command.index("--target") + 1]
        (tmp_path / folder).mkdir(parents=True)

    monkeypatch.setattr(pyav, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "run_quietly", download)
    found = environment.current()
    assert pyav.ensure(found, "14.2.0") == pyav.ensure(found, "14.2.0") == tmp_path / ".dev" / "pyav-14.2.0"
    assert calls == ["download PyAV 14.2.0"]


def test_a_download_that_fails_is_a_step_not_run(tmp_path, monkeypatch):
    def refuse(found, version):
        raise SetupError("Tried to download PyAV, which failed.")

    monkeypatch.setattr(pyav, "ensure", refuse)
    with pytest.raises(checks.NotRunError, match="download PyAV"):
        list(checks.pyav_tests(environment.current(), ()))
