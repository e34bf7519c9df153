"""Runs a ComfyUI with the pack and the demo's models in a folder of its own, says where, and ends when its input closes."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from devtools import environment
from devtools.comfy_server import ComfyServer


def demo_pack(folder: Path) -> Path:
    """The demo's nodes as a pack that offers the demo's workflows as templates, for a walk from Templates to a video."""
    shutil.copytree(ROOT / "demo" / "nodes", folder / "demo")
    workflows = shutil.copytree(ROOT / "demo" / "workflows", folder / "demo" / "workflows")
    for demo in workflows.glob("*.json"):
        picture = demo.with_suffix(".jpg").name
        shutil.copy(ROOT / "workflows" / picture.replace("Demo - ", "Pusa ", 1), workflows / picture)
    return folder / "demo"


found = environment.ensure()
os.environ.setdefault("OMP_NUM_THREADS", "1")
# a folder of pages, instead of those that this ComfyUI brings
frontend = os.environ.get("PUSA_FRONTEND")
with (
    tempfile.TemporaryDirectory() as folder,
    ComfyServer(
        comfyui=found.comfyui,
        python=found.python,
        pack=ROOT,
        other_packs={"ComfyUI-Pusa-Demo": demo_pack(Path(folder))},
        model_folders=[ROOT / "demo" / "models"],
        arguments=["--front-end-root", frontend] if frontend else [],
    ) as server,
):
    subprocess.run([found.python, "-m", "demo.inputs", server.input_folder], cwd=ROOT, check=True)
    print(json.dumps({"url": server.url, "base": str(server.base), "frontend": frontend}), flush=True)
    sys.stdin.read()
