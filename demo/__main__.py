"""`python demo train [STAGE ...]`, `python demo evaluate`, `python demo lift` and `python demo progressive`: run the zoo's programs under the pack's package name.

The checkout is a ComfyUI custom node, not an installed package, so it is given the same bare package name that the
tests use; its root stays off sys.path, where `nodes` would hide ComfyUI's own.
"""

import importlib
import sys
import types
from pathlib import Path

PROGRAMS = {"train": "train", "evaluate": "evaluate", "lift": "lift", "progressive": "progressive_eval"}


def main() -> None:
    """Run the program named first with the other arguments."""
    if len(sys.argv) < 2 or sys.argv[1] not in PROGRAMS:
        sys.exit(f"usage: python demo {{{','.join(PROGRAMS)}}} [options]")
    here = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    pack = types.ModuleType("comfyui_pusa")
    pack.__path__ = [str(here.parent)]
    sys.modules[pack.__name__] = pack
    program = importlib.import_module(f"comfyui_pusa.demo.{PROGRAMS[sys.argv[1]]}")
    program.main(sys.argv[2:])


if __name__ == "__main__":
    main()
