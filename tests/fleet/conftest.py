"""The command line run as a user runs it, on a real ComfyUI on the CPU with the demo's small models."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image, ImageDraw

from devtools.comfy_server import ComfyServer
from devtools.folders import link_folder
from pusa_core.fleet.results import REPORT, Row, read_report

ROOT = Path(__file__).resolve().parents[2]
COMFYUI = Path(os.environ.get("COMFYUI_PATH") or ROOT / ".comfyui").resolve()
MODELS = ROOT / "demo" / "models"
COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 80, 220)}
SECONDS = 300  # of one command, on a very busy machine


class Command:
    """One `python -m pusa_core.fleet run`, whose servers take turns with other tests on an equal footing (Ray's niceness is 15)."""

    def __init__(self, output: Path | None, *arguments: object) -> None:
        """output: folder of the results, None where the items say it themselves."""
        self.output = output
        where = ["--output", output] if output else []
        command = [sys.executable, "-m", "pusa_core.fleet", "run", *where, *arguments]
        self.process = subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "RAY_worker_niceness": "0"},
        )
        self.lines: list[str] = []

    def until(self, text: str) -> None:
        """Reads what it prints up to a line that holds `text`."""
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if text in line:
                return
        pytest.fail(f"It ended without {text!r}:\n" + "\n".join(self.lines))

    def stop(self) -> None:
        """Ctrl+C."""
        self.process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Its exit code."""
        self.lines += self.process.communicate(timeout=SECONDS)[0].splitlines()
        return self.process.returncode

    @property
    def printed(self) -> str:
        return "\n".join(self.lines)

    @property
    def report(self) -> dict[str, Row]:
        return self.report_of(self.output)

    @staticmethod
    def report_of(folder: Path) -> dict[str, Row]:
        """The rows of the report in a folder, by item."""
        return {row.name: row for row in read_report(folder / REPORT)}

    def results(self) -> dict[str, bytes]:
        """What was made, by file name."""
        return {path.name: path.read_bytes() for path in self.output.iterdir() if path.name != REPORT}


@pytest.fixture
def one_ray(tmp_path_factory) -> Iterator[None]:
    """Waits until no other test process runs Ray: it starts several processes at once and gives them half a minute."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if os.environ.get("PYTEST_XDIST_WORKER") else folder
    with FileLock(shared / "ray.lock"):
        yield


@pytest.fixture
def fleet(one_ray) -> Iterator[Callable[..., Command]]:
    """fleet(output, *arguments) -> a running command; none outlives its test."""
    started: list[Command] = []

    def start(output: Path | None, *arguments: object) -> Command:
        started.append(Command(output, *arguments))
        return started[-1]

    yield start
    for command in started:
        if command.process.poll() is None:
            command.stop()
            try:
                command.process.wait(60)
            except subprocess.TimeoutExpired:
                command.process.kill()
        command.process.stdout.close()


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> Path:
    """A base directory for ComfyUI with the pack, the demo's nodes and its models."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "custom_nodes").mkdir()
    link_folder(ROOT, folder / "custom_nodes" / "ComfyUI-Pusa")
    link_folder(ROOT / "demo" / "nodes", folder / "custom_nodes" / "ComfyUI-Pusa-Demo")
    kinds = {kind: kind for kind in ("diffusion_models", "loras", "vae")}
    (folder / "models.yaml").write_text(json.dumps({"demo": {"base_path": str(MODELS), **kinds}}))
    return folder


@pytest.fixture(scope="session")
def started(base) -> list[object]:
    """started + [workers] ...: options with which workers start their own ComfyUI on the CPU."""
    return ["--comfyui", COMFYUI, "--cpu", "--workers"]


@pytest.fixture(scope="session")
def for_comfyui(base) -> list[object]:
    """The end of a command line: where ComfyUI finds packs and models."""
    models = base / "models.yaml"
    return ["--", "--base-directory", base, "--extra-model-paths-config", models, "--disable-api-nodes"]


@pytest.fixture(scope="session")
def server() -> Iterator[ComfyServer]:
    """A server that runs already, as a single user has it."""
    with ComfyServer(
        comfyui=COMFYUI,
        pack=ROOT,
        other_packs={"ComfyUI-Pusa-Demo": ROOT / "demo" / "nodes"},
        model_folders=[MODELS],
        environment={"OMP_NUM_THREADS": "1"},  # as a worker on the CPU: the bits depend on it
    ) as running:
        yield running


@pytest.fixture(scope="session")
def graph(tmp_path_factory) -> Path:
    """Image-to-video on the demo's Wan2.1, short, saved without loss (the H.264 encoder's bits change from run to run)."""
    name = "Demo - image-to-video (Wan2.1).json"
    found = json.loads((ROOT / "demo" / "workflows" / "api" / name).read_text("utf-8"))
    decode = next(node_id for node_id, node in found.items() if node["class_type"] == "VAEDecode")
    found = {
        key: node for key, node in found.items() if node["class_type"] not in ("CreateVideo", "SaveVideo")
    }
    save = {"images": [decode, 0], "filename_prefix": "fleet", "fps": 16.0}
    found["99"] = {
        "class_type": "SaveAnimatedWEBP",
        "inputs": {**save, "lossless": True, "quality": 80, "method": "default"},
    }
    for node in found.values():
        node["inputs"] |= {
            key: value for key, value in {"steps": 2, "length": 9}.items() if key in node["inputs"]
        }
    file = tmp_path_factory.mktemp("graph") / "image_to_video.json"
    file.write_text(json.dumps(found))
    return file


@pytest.fixture(scope="session")
def tiny_graph(tmp_path_factory) -> Path:
    """One picture of one colour."""
    image = {"width": 16, "height": 16, "batch_size": 1, "color": 0}
    nodes = {
        "1": {"class_type": "EmptyImage", "inputs": image, "_meta": {"title": "Colour"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "tiny"}},
    }
    file = tmp_path_factory.mktemp("graph") / "tiny.json"
    file.write_text(json.dumps(nodes))
    return file


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """Twelve pictures with prompts and seeds."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(1, 13):
        colour = list(COLOURS)[number % len(COLOURS)]
        picture = Image.new("RGB", (64, 64), (20, 20, 30))
        left = 8 + 2 * number
        ImageDraw.Draw(picture).ellipse((left, 20, left + 20, 40), fill=COLOURS[colour])
        picture.save(folder / f"scene{number}.png")
        prompt = f"a large {colour} circle moving right slowly on a dark background"
        (folder / f"scene{number}.txt").write_text(prompt)
        (folder / f"scene{number}.json").write_text(json.dumps({"seed": number}))
    return folder
