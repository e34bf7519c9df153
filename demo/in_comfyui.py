"""`python demo/in_comfyui.py tasks_eval|long_video_eval|director_eval [options]`: a measuring program with ComfyUI and the pack in one process.

The pack gets the bare package name that the tests use; its root stays off sys.path, where `nodes` would hide ComfyUI's own.
"""

import importlib
import os
import sys
import types
from pathlib import Path

PROGRAMS = ("tasks_eval", "long_video_eval", "director_eval", "prompts_eval")
HERE = Path(__file__).resolve().parent


def main() -> None:
    """Runs the program named first with the other arguments."""
    if len(sys.argv) < 2 or sys.argv[1] not in PROGRAMS:
        sys.exit(f"usage: python demo/in_comfyui.py {{{','.join(PROGRAMS)}}} [options]")
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]
    sys.path.insert(0, os.environ.get("COMFYUI_PATH") or str(HERE.parent / ".comfyui"))
    comfy_options = importlib.import_module(
        "comfy.cli_args"
    ).args  # read while the rest of ComfyUI is imported
    comfy_options.cpu = True
    comfy_options.use_pytorch_cross_attention = True
    pack = types.ModuleType("comfyui_pusa")
    pack.__path__ = [str(HERE.parent)]
    sys.modules[pack.__name__] = pack
    program = importlib.import_module(f"{pack.__name__}.demo.{sys.argv[1]}")
    sys.exit(program.main(sys.argv[2:]))


if __name__ == "__main__":
    main()
