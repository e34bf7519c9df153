"""A training that is killed (kill -9) at ten random moments and started again each time, then brought to its end.

Runs in a process of its own that forks, so that the imports are paid once.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from pusa_core.training.checkpoints import Checkpoints
from pusa_core.training.config import LoraSettings, read_config
from pusa_core.training.model import adapt
from pusa_core.training.trainer import LORA, run_training
from pusa_core.wan_dit import WanConfig, WanDiT

KILLS = 10


def main(path: Path, steps_between: int) -> None:
    """Train the configuration at `path`; prints how many times it was killed and how often inside a save."""
    torch.set_num_threads(1)
    adapt(
        WanDiT(WanConfig(128, 128, 1)), LoraSettings(rank=1)
    )  # what peft imports late, once for all children
    config = read_config(path)
    folder = Path(config.train.output) / "checkpoints"
    chance = random.Random(5)
    kills = in_save = 0
    for number in range(KILLS):
        child = os.fork()
        if child == 0:
            run_training(LORA, config)
            os._exit(0)
        target = steps_between * (number + 1)
        while not Checkpoints(folder).steps()[:1] or Checkpoints(folder).steps()[0] < target:
            if os.waitpid(child, os.WNOHANG)[0]:
                sys.exit("the training ended before it could be killed")
            time.sleep(0.001)
        time.sleep(chance.random() * 0.05)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
        in_save += bool(list(folder.glob("*.part")))
    run_training(LORA, config)
    sys.stdout.write(f"{kills} kills, {in_save} inside a save\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
