"""The pack's command lines by the path of this file: `python .../pusa_core/run.py training lora CONFIG.toml`, `... fleet run ...`.

From any folder, and for a Python that looks for modules in none, as ComfyUI's portable one does; there `python -m` finds nothing.
"""

import runpy
import sys
from pathlib import Path

PROGRAMS = {"fleet": "fleet", "lora": "lora", "mochi_vae": "bases.mochi_vae", "training": "training"}
"""Name -> module below pusa_core."""

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in PROGRAMS:
        sys.exit(f"usage: python {sys.argv[0]} {{{','.join(PROGRAMS)}}} ...")
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    runpy.run_module(f"pusa_core.{PROGRAMS[sys.argv.pop(1)]}", run_name="__main__", alter_sys=True)
