"""`dev.py serve`: ComfyUI with the pack, the demo's models and nodes, and the workflows in place."""

import shutil
import subprocess
import time
from pathlib import Path

from devtools.comfy_server import ComfyServer, ServerError
from devtools.environment import ROOT, Environment, SetupError

BASE = ROOT / ".dev" / "comfyui"
DEMO_PACK = {"ComfyUI-Pusa-Demo": ROOT / "demo" / "nodes"}
DEMO_MODELS = ROOT / "demo" / "models"
WORKFLOW_FOLDERS = (ROOT / "workflows", ROOT / "demo" / "workflows")
HAS_ACCELERATOR = "import torch; print(torch.cuda.is_available() or torch.backends.mps.is_available())"


def development_server(environment: Environment, **options) -> ComfyServer:
    """A server with the pack and everything of the demo, not started yet."""
    return ComfyServer(
        comfyui=environment.comfyui,
        python=environment.python,
        pack=ROOT,
        other_packs=DEMO_PACK,
        model_folders=[DEMO_MODELS],
        **options,
    )


def serve(environment: Environment, port: int | None = None, cpu: bool = False) -> int:
    """Runs ComfyUI in .dev/comfyui until Ctrl+C and shows its log; pictures and settings there are kept."""
    cpu = cpu or not has_accelerator(environment)
    server = development_server(
        environment, base=BASE, port=port, cpu=cpu, arguments=["--preview-method", "auto"]
    )
    offer_workflows(BASE / "user" / "default" / "workflows")
    draw = [str(environment.python), "-m", "demo.inputs", str(BASE / "input")]
    subprocess.run(draw, cwd=ROOT, check=True)
    print(f"ComfyUI is starting on the {'CPU' if cpu else 'GPU'} ...", flush=True)
    try:
        with server:
            print(
                f"\n  {server.url}\n\n"
                "  Workflows: the sidebar's Workflows tab, or Templates > ComfyUI-Pusa.\n"
                "  Those named Demo run on the small models of demo/models. Ctrl+C stops.\n",
                flush=True,
            )
            show_log(server)
    except ServerError as error:
        raise SetupError(str(error)) from error
    except KeyboardInterrupt:
        print("\nComfyUI is stopped.")
    return 0


def has_accelerator(environment: Environment) -> bool:
    """Whether PyTorch sees a GPU."""
    answer = subprocess.run([str(environment.python), "-c", HAS_ACCELERATOR], capture_output=True, text=True)
    return answer.stdout.strip() == "True"


def offer_workflows(folder: Path) -> None:
    """Copies the workflows to where the sidebar lists them; a graph edited there is not overwritten."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in (path for shelf in WORKFLOW_FOLDERS for path in shelf.glob("*.json")):
        copy = folder / source.name
        if not copy.exists() or copy.stat().st_mtime <= source.stat().st_mtime:
            shutil.copy2(source, copy)


def show_log(server: ComfyServer) -> None:
    """Prints the server's log until it ends."""
    with server.log_file.open(encoding="utf-8", errors="replace") as log:
        log.seek(0, 2)
        while server.is_running():
            if line := log.readline():
                print(line, end="", flush=True)
            else:
                time.sleep(0.2)
        raise ServerError(f"ComfyUI ended by itself. The end of its log:\n{server.log_tail()}")
