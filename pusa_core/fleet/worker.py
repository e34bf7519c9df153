"""A worker: one ComfyUI server and the items it runs. Ray makes an actor of it on the machine it chooses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from ..errors import PusaError
from .client import Client, ResultFile, ServerGoneError
from .graphs import Graph
from .process import ComfyProcess, Installation

REACH_SECONDS = 20  # how long a server that runs already may take to answer


@dataclass(frozen=True)
class Outcome:
    """What became of an item on a worker."""

    seconds: float
    files: tuple[ResultFile, ...] = ()
    sentence: str = ""  # why it failed; "" when it did not
    server_is_gone: bool = False  # the worker must be made ready again before the next item


class Worker:
    """Runs items on its ComfyUI, which it starts itself from an installation, or finds at an address.

    All methods are coroutines, so that `stop` is heard while an item runs.
    """

    def __init__(self, source: Installation | str, name: str, timeout: float | None = None) -> None:
        """name: of the worker, its like nowhere; timeout: seconds an item, None for any time."""
        self.own = None if isinstance(source, str) else ComfyProcess(source, name)
        self.client: Client | None = Client(source) if isinstance(source, str) else None
        self.timeout = timeout
        self.is_lost = True  # its server must be started or looked for

    async def ready(self) -> str:
        """Makes sure of the server; returns "", or why there is none."""
        try:
            if self.own is None:
                await self._reach()
            elif self.is_lost or self.own.has_ended():
                self.client = await self.own.start()
        except (PusaError, OSError) as error:
            return str(error)
        self.is_lost = False
        return ""

    async def run(self, graph: Graph, files: Mapping[str, bytes]) -> Outcome:
        """Runs one item. files: by the names that the graph has for them."""
        started = time.monotonic()
        client = self.client
        assert client is not None, "ready() comes first"
        try:
            saved = await asyncio.wait_for(self._run(client, graph, files), self.timeout)
        except asyncio.TimeoutError:
            with suppress(PusaError):
                await client.cancel()
            return Outcome(
                time.monotonic() - started,
                sentence=f"It did not finish within {self.timeout:g} s (--timeout) and was cancelled.",
            )
        except ServerGoneError as error:
            client.known.clear()
            self.is_lost = True
            sentence = str(error)
            if self.own is not None:
                await asyncio.sleep(0.5)  # for its exit code
                if self.own.has_ended():
                    sentence = f"ComfyUI {self.own.ending()}"
            return Outcome(time.monotonic() - started, sentence=sentence, server_is_gone=True)
        except PusaError as error:
            return Outcome(time.monotonic() - started, sentence=str(error))
        return Outcome(time.monotonic() - started, tuple(saved))

    async def stop(self) -> None:
        """Cancels what runs; a server that this worker started ends."""
        if self.client is not None:
            with suppress(PusaError):
                await self.client.cancel()
            await self.client.close()
        if self.own is not None:
            await self.own.stop()

    @staticmethod
    async def _run(client: Client, graph: Graph, files: Mapping[str, bytes]) -> list[ResultFile]:
        await client.upload(files)
        return await client.run(graph)

    async def _reach(self) -> None:
        assert self.client is not None
        deadline = time.monotonic() + REACH_SECONDS
        while True:
            try:
                await self.client.arguments()
                return
            except PusaError as error:
                if time.monotonic() > deadline:
                    raise PusaError(
                        f"{error} Start ComfyUI there (with --listen where it is another machine), or take it out of --servers."
                    ) from error
            await asyncio.sleep(0.5)
