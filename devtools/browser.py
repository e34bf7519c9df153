"""The browser and the Node.js packages that the browser tests use."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from devtools.environment import ROOT, SetupError, fingerprint, is_current, run_quietly, write_stamp
from devtools.folders import remove

NODE_MODULES = ROOT / "node_modules"
NEWEST_FRONTEND = "comfyui-frontend-package==1.58.1"
"""What users of today's ComfyUI see; the pinned ComfyUI brings an older one, which is tested too."""
FRONTEND = ROOT / ".dev" / "frontend-1.58.1"
STATIC = FRONTEND / "comfyui_frontend_package" / "static"
COMMANDS = (
    "google-chrome",
    "google-chrome-stable",
    "chromium",
    "chromium-browser",
    "microsoft-edge",
    "msedge",
    "chrome",
)
MAC_APPLICATIONS = (
    "Google Chrome.app/Contents/MacOS/Google Chrome",
    "Chromium.app/Contents/MacOS/Chromium",
    "Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
WINDOWS_PROGRAMS = (
    "Google/Chrome/Application/chrome.exe",
    "Chromium/Application/chrome.exe",
    "Microsoft/Edge/Application/msedge.exe",
)
WINDOWS_ROOTS = ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")


def find_browser() -> Path | None:
    """An installed Chrome, Chromium or Edge; the environment variable PUSA_BROWSER names another one."""
    if chosen := os.environ.get("PUSA_BROWSER"):
        if not Path(chosen).is_file():
            raise SetupError(f"PUSA_BROWSER is {chosen}, which is no file. Name a Chrome, Chromium or Edge.")
        return Path(chosen)
    if sys.platform == "darwin":
        candidates = [
            base / app
            for base in (Path("/Applications"), Path.home() / "Applications")
            for app in MAC_APPLICATIONS
        ]
    elif os.name == "nt":
        roots = [Path(os.environ[name]) for name in WINDOWS_ROOTS if name in os.environ]
        candidates = [root / program for root in roots for program in WINDOWS_PROGRAMS]
    else:
        candidates = [Path(found) for name in COMMANDS if (found := shutil.which(name))]
    return next((path for path in candidates if path.is_file()), None)


def ensure_browser() -> Path:
    """The browser to test with; on Debian as root it is installed when there is none."""
    if found := find_browser():
        return found
    if not can_install_packages():
        raise SetupError(
            "No Chrome, Chromium or Edge was found for the browser tests. Install one of them, "
            "or name one in the environment variable PUSA_BROWSER."
        )
    run_quietly(["apt-get", "update"], "read Debian's list of packages")
    install = ["apt-get", "install", "--yes", "--no-install-recommends", "chromium"]
    run_quietly(install, "install Debian's Chromium", {"DEBIAN_FRONTEND": "noninteractive"})
    if found := find_browser():
        return found
    raise SetupError("apt-get installed the package chromium, but no program of that name is on the PATH.")


def can_install_packages() -> bool:
    """Whether this is Debian (or its kin) and we may install packages on it."""
    return shutil.which("apt-get") is not None and hasattr(os, "geteuid") and os.geteuid() == 0


def find_node() -> Path | None:
    """Node.js, which runs the tests of the browser side."""
    found = shutil.which("node")
    return Path(found) if found else None


def ensure_node_packages() -> Path:
    """Installs what package.json pins into node_modules/ and returns that folder; quick when it is there."""
    npm = shutil.which("npm")
    if npm is None or find_node() is None:
        raise SetupError(
            "Node.js and npm were not found; the browser side is checked with them. Install Node.js 20 or newer."
        )
    stamp = fingerprint((ROOT / "package.json").read_text("utf-8"))
    if not is_current(NODE_MODULES, stamp):
        options = ["--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
        run_quietly([npm, "install", *options], "install the Node.js packages of package.json", cwd=ROOT)
        write_stamp(NODE_MODULES, stamp)
    return NODE_MODULES


def ensure_newest_frontend(python: Path) -> Path:
    """Unpacks NEWEST_FRONTEND beside the environment, not into it, and returns the folder of its pages."""
    stamp = fingerprint(NEWEST_FRONTEND)
    if not is_current(FRONTEND, stamp):
        remove(FRONTEND)
        install = [str(python), "-m", "pip", "install", "--no-input", "--no-deps", "--target", str(FRONTEND)]
        run_quietly([*install, NEWEST_FRONTEND], f"download the newest frontend ({NEWEST_FRONTEND})")
        write_stamp(FRONTEND, stamp)
    return STATIC


def run_node(*arguments: str, variables: Mapping[str, str] | None = None) -> int:
    """Runs Node.js in the checkout with these arguments and returns its exit code."""
    return subprocess.call([str(find_node()), *arguments], cwd=ROOT, env={**os.environ, **(variables or {})})
