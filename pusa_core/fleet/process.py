"""A ComfyUI process that one worker starts for itself, and that never outlives the worker."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import PusaError
from .client import Client

START_SECONDS = 600  # a cold disk or a very busy machine; usually 10 to 30
STOP_SECONDS = 10
HERE = Path(__file__).resolve().parent
UNTIL_PARENT_ENDS = HERE / "until_parent_ends.py"
OPTIONS = HERE / "server_options.txt"
FOLDERS = ("input", "output", "temp")


@dataclass(frozen=True)
class Installation:
    """The ComfyUI to start, at the same place on every machine."""

    comfyui: str
    python: str = ""  # "" is the worker's own
    cpu: bool = False
    arguments: tuple[str, ...] = ()  # further ones for main.py


class ComfyProcess:
    """A ComfyUI with input, output and temp folders of its own; models and custom nodes are the installation's."""

    def __init__(self, installation: Installation, name: str) -> None:
        """name: no other process has it; a worker that is started again after it was killed finds its folder by it."""
        self.installation = installation
        self.folder = Path(tempfile.gettempdir(), f"pusa-fleet-{name}")
        self.process: Any = None  # asyncio's, or None
        self.lifeline: int | None = (
            None  # the server ends when this end of a pipe closes, as it does with the worker
        )
        self.client: Client | None = None

    @property
    def log_file(self) -> Path:
        """What the server prints."""
        return self.folder / "comfyui.log"

    def has_ended(self) -> bool:
        """Whether there is no process."""
        return self.process is None or self.process.returncode is not None

    async def start(self) -> Client:
        """Starts ComfyUI and returns once it answers."""
        comfyui = Path(self.installation.comfyui)
        if not (comfyui / "main.py").is_file():
            raise PusaError(
                f"There is no ComfyUI in {comfyui} on this machine (no main.py). Give --comfyui its folder, the same on every machine."
            )
        await self.stop()
        for name in FOLDERS:
            (self.folder / name).mkdir(parents=True)
        port = await free_port()
        read_end, self.lifeline = os.pipe()
        try:
            with self.log_file.open("ab") as log:
                self.process = await asyncio.create_subprocess_exec(
                    *self.command(port),
                    cwd=comfyui,
                    stdin=read_end,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl+C in the terminal is for the run, which then stops this
                )
        finally:
            os.close(read_end)
        self.client = Client(f"http://127.0.0.1:{port}")
        await self._wait_until_it_answers()
        return self.client

    def command(self, port: int) -> list[str]:
        """The command line that runs ComfyUI."""
        given = self.installation
        folders = [f"--{name}-directory={self.folder / name}" for name in FOLDERS]
        lines = [line.strip() for line in OPTIONS.read_text("utf-8").splitlines()]
        options = [line for line in lines if line and not line.startswith("#")]
        if given.cpu:  # the CPU's default attention needs four times the memory of PyTorch's
            options += ["--cpu", "--use-pytorch-cross-attention"]
        python = given.python or sys.executable
        start = [python, str(UNTIL_PARENT_ENDS), "main.py", "--port", str(port)]
        return [*start, *folders, *options, *given.arguments]

    async def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.has_ended():
                raise PusaError(f"ComfyUI in {self.installation.comfyui} {self.ending()}")
            with suppress(PusaError):
                # Another program may own the port, when ComfyUI could not take it.
                if self.client and any(
                    str(self.folder) in argument for argument in await self.client.arguments()
                ):
                    return
            await asyncio.sleep(0.2)
        raise PusaError(
            f"ComfyUI in {self.installation.comfyui} did not answer within {START_SECONDS} s. {self.last_words()}"
        )

    def ending(self) -> str:
        """How the process ended, to follow a subject."""
        code = self.process.returncode if self.process else None
        return f"has ended (exit code {code}). {self.last_words()}"

    def last_words(self) -> str:
        """The last line of the server's log, as a sentence."""
        if not self.log_file.is_file():
            return "It printed nothing."
        lines = [
            line for line in self.log_file.read_text("utf-8", errors="replace").splitlines() if line.strip()
        ]
        return f"The last line of its log is: {lines[-1].strip()}" if lines else "It printed nothing."

    async def stop(self) -> None:
        """Ends the server and removes its folders."""
        await self.end_process()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def end_process(self) -> None:
        """Ends the server, by force if it does not listen."""
        if self.client is not None:
            await self.client.close()
            self.client = None
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
            except asyncio.TimeoutError:
                with suppress(ProcessLookupError):
                    self.process.kill()
                await self.process.wait()
        self.process = None
        if self.lifeline is not None:
            os.close(self.lifeline)
            self.lifeline = None


async def free_port() -> int:
    """A loopback port that nothing listens on."""
    listener = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port: int = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    return port
