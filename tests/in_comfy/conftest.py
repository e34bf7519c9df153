"""A real ComfyUI on the CPU, in this process and as a server, with small real files for its own loaders."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from support import narrow_vae, tiny_wan

ROOT = Path(__file__).resolve().parents[2]
COMFYUI = Path(os.environ.get("COMFYUI_PATH") or ROOT / ".comfyui").resolve()
if not (COMFYUI / "nodes.py").is_file():
    raise pytest.UsageError(
        f"No ComfyUI in {COMFYUI}. Run `python dev.py setup`, or set COMFYUI_PATH to one."
    )

# ComfyUI reads its options and picks its devices while it is imported, so this comes before any import of it.
sys.path.insert(0, str(COMFYUI))
import comfy.cli_args

comfy.cli_args.args.cpu = True
comfy.cli_args.args.use_pytorch_cross_attention = True  # the default on the CPU needs four times the memory

import utils.extra_config  # noqa: F401, I001  (first, as in main.py: nodes.py puts a second `utils` on the path)
import comfyui_version
import folder_paths
import nodes as comfy_nodes

narrow_vae.teach()
NOT_FOR_THIS_CORE = pytest.StashKey[int]()


def pytest_collection_modifyitems(config, items):
    """Takes out the tests that hold on other versions of ComfyUI only (marker `core`), and says how many."""
    others = [
        item
        for item in items
        if (marker := item.get_closest_marker("core")) and not is_for_this_core(*marker.args, **marker.kwargs)
    ]
    config.stash[NOT_FOR_THIS_CORE] = len(others)
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


@pytest.fixture(autouse=True, scope="session")
def tests_of_other_cores(record_testsuite_property, pytestconfig) -> None:
    """Their number goes into the report that `dev.py compat` reads."""
    record_testsuite_property("not_for_this_core", pytestconfig.stash[NOT_FOR_THIS_CORE])


def is_for_this_core(first: str = "0", before: str = "9999", dynamic_vram: bool | None = None) -> bool:
    """Whether this ComfyUI is in the range of versions; dynamic_vram: and has it switched on, or off."""
    here = comfyui_version.__version__
    if not version_numbers(first) <= version_numbers(here) < version_numbers(before):
        return False
    memory_management = sys.modules.get("comfy.memory_management")  # older versions have none
    return dynamic_vram in (None, getattr(memory_management, "aimdo_enabled", False))


def version_numbers(version: str) -> list[int]:
    """ "0.21.1" as numbers that can be compared."""
    return [int(part) for part in version.split(".")]


@pytest.fixture(autouse=True)
def inference_mode() -> Iterator[None]:
    """Tests run as ComfyUI's executor runs nodes: without autograd."""
    with torch.inference_mode():
        yield


@pytest.fixture(scope="session")
def pack(alias_pack) -> dict[str, type]:
    """Our node classes by id, loaded by ComfyUI's own loader beside all of its built-in nodes."""

    async def load() -> bool:
        await comfy_nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False)
        return await comfy_nodes.load_custom_node(str(ROOT))

    alias_pack(str(ROOT).replace(".", "_x_"))  # the module name that load_custom_node makes of a folder
    assert asyncio.run(load()), "ComfyUI could not load the pack; its log above says why"
    return {name: node for name, node in comfy_nodes.NODE_CLASS_MAPPINGS.items() if name.startswith("Pusa")}


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """A models folder of ComfyUI's layout, known to ComfyUI's loaders; tests save their small files in it."""
    folder = tmp_path_factory.mktemp("models")
    for kind in ("diffusion_models", "loras", "vae"):
        (folder / kind).mkdir()
        folder_paths.add_model_folder_path(kind, str(folder / kind), is_default=True)
    return folder


@pytest.fixture(scope="session")
def tiny_wan_file(models) -> Callable[..., str]:
    """tiny_wan_file(seed) -> name of a tiny random Wan T2V model for UNETLoader."""

    def save(seed: int = 10) -> str:
        name = f"tiny_wan_{seed}.safetensors"
        if not (models / "diffusion_models" / name).exists():
            save_file(tiny_wan.weights(seed), models / "diffusion_models" / name)
        return name

    return save


@pytest.fixture(scope="session")
def tiny_lora_file(models) -> Callable[..., str]:
    """tiny_lora_file(seed) -> name of a small random LoRA in the Pusa authors' key layout."""

    def save(seed: int = 101, rank: int = 8) -> str:
        name = f"tiny_pusa_lora_{seed}_rank{rank}.safetensors"
        if not (models / "loras" / name).exists():
            save_file(tiny_wan.lora(seed, rank), models / "loras" / name)
        return name

    return save


@pytest.fixture(scope="session")
def tiny_vae_file(models) -> str:
    """Name of a random Wan 2.1 VAE of width 8 for VAELoader; it decodes to noise but has the real layout."""
    from comfy.ldm.wan.vae import WanVAE

    name = "tiny_wan_vae.safetensors"
    vae = WanVAE(dim=8, z_dim=16, temperal_downsample=[False, True, True])
    generator = torch.Generator().manual_seed(7)
    weights = {
        key: 1 + 0.1 * torch.randn(value.shape, generator=generator)
        if key.endswith("gamma")
        else torch.randn(value.shape, generator=generator) / max(value[0].numel(), 1) ** 0.5
        for key, value in vae.state_dict().items()
    }
    save_file(weights, models / "vae" / name)
    return name


@pytest.fixture
def load_tiny_wan(tiny_wan_file):
    """load_tiny_wan(seed) -> a fresh MODEL from ComfyUI's own UNETLoader."""
    return lambda seed=10: comfy_nodes.UNETLoader().load_unet(tiny_wan_file(seed), "default")[0]


@pytest.fixture
def load_tiny_vae(tiny_vae_file):
    """load_tiny_vae() -> a fresh VAE from ComfyUI's own VAELoader."""
    return lambda: comfy_nodes.VAELoader().load_vae(tiny_vae_file)[0]


@pytest.fixture(scope="session")
def server(models, tiny_wan_file, tiny_lora_file, tiny_vae_file) -> Iterator:
    """A running headless ComfyUI server with the pack, the demo's nodes and the tiny files in place."""
    from devtools.comfy_server import ComfyServer

    tiny_wan_file(10), tiny_wan_file(11), tiny_lora_file(101)
    with ComfyServer(
        comfyui=COMFYUI,
        pack=ROOT,
        other_packs={
            "ComfyUI-Pusa-Demo": ROOT / "demo" / "nodes",
            "seeded_nodes": ROOT / "tests" / "support" / "seeded_nodes",
        },
        model_folders=[models, ROOT / "demo" / "models"],
    ) as running:
        yield running
