"""Peak memory of loading a LoRA against its file size: python -m devtools.bench_lora_memory. Linux only."""

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
COMFYUI = Path(os.environ.get("COMFYUI_PATH") or ROOT / ".comfyui")

WIDTH, HIDDEN, LAYERS, RANK = 1024, 4096, 8, 512
"""A model of 0.5 GB with a LoRA of 0.4 GB: the file is 40 times the largest layer, as with the real ones."""

OURS, COMFYUIS = "Pusa LoRA Loader", "ComfyUI's LoraLoaderModelOnly"


@dataclass(frozen=True)
class LoraMemory:
    """Memory that one LoRA took, beyond the model and its patched weights; MiB, from the kernel's VmHWM."""

    loader: str
    file: float
    largest_pair: float
    taken: float  # peak while loading and patching, less the peak of the same with a LoRA of rank 1
    seconds: float  # loading and patching


def measure(loader: str = OURS) -> LoraMemory:
    """Loads a rank-512 float32 LoRA on a 0.5 GB Wan model in a fresh process, and one of rank 1 in another."""
    with tempfile.TemporaryDirectory() as folder:
        big, reference = (_in_fresh_process(loader, rank, folder) for rank in (RANK, 1))
    return LoraMemory(
        loader,
        big["file"],
        big["largest_pair"],
        big["peak"] - big["before"] - (reference["peak"] - reference["before"]),
        big["seconds"],
    )


def main() -> None:
    """Prints ours beside ComfyUI's own loader."""
    for loader in (OURS, COMFYUIS):
        found = measure(loader)
        print(json.dumps(asdict(found)))
        if loader == OURS:
            print(
                f"  {found.taken / found.largest_pair:.2f} times the largest layer pair, file {found.file:.0f} MiB"
            )


def _in_fresh_process(loader: str, rank: int, folder: str) -> dict:
    command = [sys.executable, "-m", "devtools.bench_lora_memory", "--child", loader, str(rank), folder]
    environment = {
        **os.environ,
        "MALLOC_MMAP_THRESHOLD_": str(2**20),
    }  # glibc else keeps freed blocks by chance
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _child(loader: str, rank: int, folder: str) -> None:
    """The measured process: makes the files, loads the model, resets the peak, loads the LoRA, patches."""
    sys.path[:] = [str(COMFYUI), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT)]
    import comfy.cli_args

    comfy.cli_args.args.cpu = True
    importlib.import_module(
        "utils.extra_config"
    )  # first, as in main.py: nodes.py puts a second `utils` on the path
    import comfy.model_management
    import comfy.model_patcher
    import comfy.supported_models
    import folder_paths
    import torch

    comfy_nodes = importlib.import_module("nodes")
    path = Path(folder) / f"pusa_rank{rank}.safetensors"
    largest = _write_lora(path, rank)
    folder_paths.add_model_folder_path("loras", folder)
    pack = _load_pack()
    config = {
        "image_model": "wan2.1", "model_type": "t2v", "dim": WIDTH, "ffn_dim": HIDDEN, "num_heads": WIDTH // 128,
        "num_layers": LAYERS, "in_dim": 16, "out_dim": 16, "text_dim": 64, "freq_dim": 256, "patch_size": (1, 2, 2),
        "window_size": (-1, -1), "qk_norm": True, "cross_attn_norm": True, "eps": 1e-6,
    }  # fmt: skip
    model_config = comfy.supported_models.WAN21_T2V(config)
    model_config.set_inference_dtype(torch.float32, None)
    base = model_config.get_model({}, "", device="cpu")
    for parameter in base.parameters():
        torch.nn.init.constant_(parameter, 0.01)
    model = comfy.model_patcher.ModelPatcher(base, torch.device("cpu"), torch.device("cpu"))
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from here
    before, begun = _status("VmRSS"), time.perf_counter()
    if loader == OURS:
        patched = pack.PusaLoraLoader.execute(model, path.name, 1.4).args[0]
    else:
        patched = comfy_nodes.LoraLoaderModelOnly().load_lora_model_only(model, path.name, 1.4)[0]
    comfy.model_management.load_models_gpu([patched])
    seconds = time.perf_counter() - begun
    found = {
        "before": before, "peak": _status("VmHWM"), "seconds": seconds,
        "file": path.stat().st_size / 2**20, "largest_pair": largest / 2**20,
    }  # fmt: skip
    print(json.dumps(found))


def _write_lora(path: Path, rank: int) -> int:
    """Writes a float32 LoRA for every attention and feed-forward layer; returns the bytes of its largest pair."""
    import torch
    from safetensors.torch import save_file

    shapes = {
        f"blocks.{block}.{attention}.{part}": (WIDTH, WIDTH)
        for block in range(LAYERS)
        for attention in ("self_attn", "cross_attn")
        for part in "qkvo"
    }
    for block in range(LAYERS):
        shapes |= {f"blocks.{block}.ffn.0": (HIDDEN, WIDTH), f"blocks.{block}.ffn.2": (WIDTH, HIDDEN)}
    weights = {}
    for layer, (rows, columns) in shapes.items():
        weights[f"diffusion_model.{layer}.lora_A.weight"] = torch.full((rank, columns), 1e-3)
        weights[f"diffusion_model.{layer}.lora_B.weight"] = torch.full((rows, rank), 1e-3)
    save_file(weights, path)
    return max(rows + columns for rows, columns in shapes.values()) * rank * 4


def _load_pack():
    """The module of our loaders, without the rest of the pack."""
    for name, folder in (("bench_pack", ROOT), ("bench_pack.nodes", ROOT / "nodes")):
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    return importlib.import_module("bench_pack.nodes.loras")


def _status(field: str) -> float:
    """MiB of one line of /proc/self/status."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--child", nargs=3, metavar=("LOADER", "RANK", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _child(options.child[0], int(options.child[1]), options.child[2])
    else:
        main()
