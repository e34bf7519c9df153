"""Makes the pack importable as a package, and lets no test be skipped in silence."""

import importlib
import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "comfyui_pusa"


class OtherNames(MetaPathFinder, Loader):
    """Imports further names of the pack's modules as the one module `comfyui_pusa.<name>`.

    `pusa_core.errors` in a test, `..pusa_core.errors` in nodes/ and `<folder>.pusa_core.errors` under the
    name that ComfyUI gives the pack are then one object, so a PusaError raised by one is caught by all.
    """

    def __init__(self) -> None:
        self.prefixes: dict[str, str] = {}

    def add(self, name: str, target: str) -> None:
        """Imports `name` and everything below it as `target` and everything below that."""
        self.prefixes[name] = target

    def target(self, fullname: str) -> str | None:
        """The module that `fullname` is another name of, if it is one."""
        for name, target in self.prefixes.items():
            if fullname == name or fullname.startswith(name + "."):
                return target + fullname[len(name) :]
        return None

    def find_spec(self, fullname, path=None, target=None):
        return ModuleSpec(fullname, self) if self.target(fullname) else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        # What stands in sys.modules afterwards is what the import statement returns.
        sys.modules[module.__name__] = importlib.import_module(self.target(module.__name__))


def bare_package(name: str, folder: Path) -> None:
    """Registers a package whose modules are found in `folder`, without running its __init__.py.

    The folder itself never goes on sys.path: our nodes/ would hide ComfyUI's nodes.py.
    """
    package = ModuleType(name)
    package.__path__ = [str(folder)]
    sys.modules[name] = package


# `python -m pytest` puts the working directory there.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
bare_package(PACKAGE, ROOT)
other_names = OtherNames()
other_names.add("pusa_core", f"{PACKAGE}.pusa_core")
sys.meta_path.insert(0, other_names)

bare_package("devtools", ROOT / "devtools")
bare_package("support", ROOT / "tests" / "support")


def shared_folder() -> Path | None:
    """The folder `shared` with the golden latents, which lies beside the checkout or in it."""
    return next((path for path in (ROOT.parent / "shared", ROOT / "shared") if path.is_dir()), None)


@pytest.fixture(scope="session")
def pack_root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def alias_pack():
    """alias_pack(module name that ComfyUI gives the pack): its modules are ours, not second copies."""

    def alias(module_name: str) -> None:
        for folder in ("pusa_core", "nodes"):
            other_names.add(f"{module_name}.{folder}", f"{PACKAGE}.{folder}")

    return alias


@pytest.fixture(scope="session")
def goldens() -> Path:
    """The folder with the reference's latents (goldens/README.md there explains them)."""
    shared = shared_folder()
    if shared is None:
        pytest.skip(f"no folder 'shared' beside {ROOT.name} or in it: the golden latents are not here")
    return shared / "goldens"


def pytest_collection_modifyitems(items):
    """Skips tests marked `gpu` where there is no CUDA device, and puts those first that wait for one another's Ray.

    pytest-xdist then gives them to one process; another takes from the end of what that one still has to do.
    """
    items.sort(key=lambda item: "one_ray" not in getattr(item, "fixturenames", ()))
    needing_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not needing_gpu:
        return
    import torch

    if not torch.cuda.is_available():
        for item in needing_gpu:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


unexplained_skips: list[str] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and not item.get_closest_marker("gpu"):
        unexplained_skips.append(item.nodeid)
    return report


def pytest_collectreport(report):
    if report.skipped:
        unexplained_skips.append(report.nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Under pytest-xdist the workers see the skips."""
    unexplained_skips.extend(getattr(node, "workeroutput", {}).get("unexplained_skips", ()))


def pytest_sessionfinish(session, exitstatus):
    """In CI a skipped test is a failure, unless it is marked `gpu`."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["unexplained_skips"] = unexplained_skips
    if os.environ.get("CI") and unexplained_skips and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    if os.environ.get("CI") and unexplained_skips:
        terminalreporter.section("skipped in CI without the marker gpu", red=True)
        for nodeid in unexplained_skips:
            terminalreporter.line(nodeid)
