"""The command line of training by the path of this file: from any folder, and for a Python that looks for modules in none, as ComfyUI's portable one."""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    runpy.run_module("pusa_core.training", run_name="__main__", alter_sys=True)
