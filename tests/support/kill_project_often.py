"""A project of six windows, two of them locked, that is killed (kill -9) at ten random moments and started again each time.

Runs in a process of its own that forks, so that the imports are paid once. The same project is made without a kill beside it.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import torch

from support.flat_studio import FlatStudio, run

KILLS = 10


class SlowStudio(FlatStudio):
    """Takes long enough for a kill to fall into every part of a run."""

    def sample(self, *given):
        time.sleep(0.03)
        return super().sample(*given)


def project(**third: object) -> str:
    """Six windows with the third and the fifth locked; three candidates of the sixth."""
    windows = [{"id": f"w{n}", "prompt": f"prompt {n}"} for n in range(1, 7)]
    windows[2] |= {"lock": True}
    windows[4] |= {"lock": True}
    windows[5] |= {"candidates": 3, "chosen": 1}
    windows[1] |= third
    return json.dumps({"version": 1, "window": 17, "overlap": 5, "windows": windows})


def main(folder: Path) -> None:
    """Make both; prints how often the one was killed and how often inside a write."""
    torch.set_num_threads(1)
    straight, killed = folder / "straight" / "film", folder / "killed" / "film"
    run(straight, project(), FlatStudio())
    shutil.copytree(straight, killed)
    changed = project(prompt="another")
    # what the locks leave to be made: the changed window before one, and all that was taken away
    for one in (straight, killed):
        for name in ("w4.0.mp4", "w6.0.mp4", "w6.1.mp4", "w6.2.safetensors", "w1.0.png", "w1.0.mp4"):
            (one / name).unlink()
    chance = random.Random(5)
    kills = inside = 0
    while kills < KILLS:
        child = os.fork()
        if child == 0:
            run(killed, changed, SlowStudio(size=16))
            os._exit(0)
        time.sleep(chance.random() * 0.12)
        if os.waitpid(child, os.WNOHANG)[0]:
            for name in (
                "w4.0.safetensors",
                "w6.1.safetensors",
            ):  # it was quicker: there is something to make again
                (killed / name).unlink()
            continue
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
        inside += bool(list(killed.glob("*.unfinished")))
    run(killed, changed, FlatStudio())
    run(straight, changed, FlatStudio())
    sys.stdout.write(f"{kills} kills, {inside} inside a write\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
