"""A copy of a newer ComfyUI in which dynamic VRAM runs on the CPU, so that its code can be judged without a GPU."""

import shutil
from pathlib import Path

from devtools.environment import SetupError
from devtools.folders import remove

# Dynamic VRAM steps aside on the CPU in these places of ComfyUI 0.33; each text stands once in its file.
REROUTES = {
    "comfy/model_patcher.py": (
        ("if load_device is not None and comfy.model_management.is_device_cpu(load_device):", "if False:"),
        ('if self.load_device == torch.device("cpu"):', "if False:"),
        ('assert self.load_device != torch.device("cpu")', "pass"),
    ),
    "comfy/ops.py": (
        ('if hasattr(s, "_v") and comfy.model_management.is_device_cpu(device):', "if False:"),
        ('elif hasattr(s, "_v") and s.weight.device != device:', 'elif hasattr(s, "_v"):'),
    ),
}
# What main.py does where comfy-aimdo works, for whoever imports ComfyUI. The stand-in is a module that can be found by its
# name, since torch.compile looks up what its functions read; it traces into none of them, as into comfy-aimdo's native ones.
SWITCHED_ON = """
import importlib.util
import sys
_spec = importlib.util.spec_from_file_location("dynamic_vram_double", {double!r})
sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules[_spec.name])
for _name in ("vbar_fault", "vbar_unpin", "vbar_signature_compare"):
    setattr(comfy_aimdo.model_vbar, _name, torch.compiler.disable(getattr(comfy_aimdo.model_vbar, _name)))
import comfy.memory_management
comfy.memory_management.aimdo_enabled = True
CoreModelPatcher = ModelPatcherDynamic
"""


def simulated(comfyui: Path, double: Path, target: Path) -> Path:
    """Copies `comfyui` to `target` with dynamic VRAM switched on, and returns `target`.

    double: a Python file that puts CPU stand-ins in the place of comfy-aimdo's parts.
    """
    if not double.is_file():
        raise SetupError(f"--dynamic-vram is {double}, which is no file. Name the stand-in for comfy-aimdo.")
    remove(target)
    shutil.copytree(comfyui, target, ignore=shutil.ignore_patterns(".git", "__pycache__"))
    for name, changes in REROUTES.items():
        file = target / name
        text = file.read_text("utf-8")
        for old, new in changes:
            if text.count(old) != 1:
                raise SetupError(
                    f"{comfyui} has {text.count(old)} places {old!r} in {name}, not one: its dynamic VRAM is not "
                    "that of ComfyUI 0.33. Mend REROUTES in devtools/dynamic_vram.py for it."
                )
            text = text.replace(old, new)
        if name == "comfy/model_patcher.py":
            text += SWITCHED_ON.format(double=str(double.resolve()))
        file.write_text(text, "utf-8")
    return target
