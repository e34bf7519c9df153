"""What the loop asks of the devices it runs on: one process here, several in distributed.py."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ..errors import PusaError


class Devices(Protocol):
    """The processes that train together, one a device."""

    @property
    def rank(self) -> int: ...

    @property
    def count(self) -> int: ...

    def total(self, value: Tensor) -> Tensor:
        """The sum over all processes, the same on each."""
        ...

    def whole(self, value: Tensor) -> Tensor:
        """A tensor on the CPU, put together where it is shared out. All processes must ask."""
        ...

    def like(self, whole: Tensor, pattern: Tensor) -> Tensor:
        """A whole CPU tensor on the device of `pattern`, shared out as that is."""
        ...

    def agree(self, text: str) -> str:
        """The first process's text, on all."""
        ...

    def gathered(self, text: str) -> list[str]:
        """The texts of all processes, on all."""
        ...

    def wait(self) -> None:
        """Until all processes are here."""
        ...


def refuse_together(devices: Devices, refused: bool, sentence: str) -> None:
    """Raise on all processes where one of them refuses, so that none waits for it. All must ask."""
    if float(devices.total(torch.tensor([float(refused)]))):
        raise PusaError(sentence)


class OneDevice:
    """One process with whole tensors."""

    rank = 0
    count = 1

    def total(self, value: Tensor) -> Tensor:
        return value

    def whole(self, value: Tensor) -> Tensor:
        return value.detach().cpu()

    def like(self, whole: Tensor, pattern: Tensor) -> Tensor:
        return whole.to(pattern.device, copy=True)

    def agree(self, text: str) -> str:
        return text

    def gathered(self, text: str) -> list[str]:
        return [text]

    def wait(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
