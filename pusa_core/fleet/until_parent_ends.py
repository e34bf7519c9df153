"""Runs a Python program that ends with whatever started it, even when that is killed: its standard input closes then."""

import os
import runpy
import sys
import threading


def end_with_standard_input() -> None:
    """Waits for the end of standard input and ends this process."""
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    sys.path[0] = os.getcwd()  # as if the program had been started by its own name
    threading.Thread(target=end_with_standard_input, daemon=True).start()
    runpy.run_path(sys.argv[0], run_name="__main__")
