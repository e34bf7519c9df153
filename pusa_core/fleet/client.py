"""One ComfyUI server as a client sees it: files go up, a graph is queued and awaited, its results come down."""

from __future__ import annotations

import asyncio
import io
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import aiohttp  # ComfyUI requires it

from ..errors import PusaError
from .graphs import Graph
from .refusals import failure, is_full, refusal

FIRST_LOOK, LAST_LOOK = 0.05, 1.0  # seconds between looks at a run
LOOK_SHARE = 0.05  # of the time that the run has taken so far, between these two
ANSWER_SECONDS = 120  # until an answer begins or goes on, while the server's interpreter is busy sampling
LOST_SECONDS = 5  # how long a run may be unknown to its server: it is between queue and history for a moment


class ServerGoneError(PusaError):
    """The server does not answer, or has forgotten the run."""


@dataclass(frozen=True)
class ResultFile:
    """A file that a node saved."""

    suffix: str  # ".mp4"
    content: bytes


class Client:
    """Talks to the server at `url`; every failure is a PusaError, and a ServerGoneError where the server is to blame."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.session: aiohttp.ClientSession | None = None
        self.known: set[str] = set()  # files that are there already
        self.running: str | None = None  # prompt id

    async def close(self) -> None:
        """Lets go of the connections."""
        if self.session is not None:
            await self.session.close()
            self.session = None

    async def arguments(self) -> list[str]:
        """The command line that the server was started with."""
        async with self._request("GET", "/system_stats") as answer:
            found: list[str] = (await answer.json())["system"]["argv"]
            return found

    async def upload(self, files: Mapping[str, bytes]) -> None:
        """Puts files into folders of the server, those that it has not got from us before. files: by "input/folder/name"."""
        for place, content in files.items():
            if place in self.known:
                continue
            kind, *folders, name = place.split("/")
            form = aiohttp.FormData()
            # in pieces: the time for the answer counts from the last of them on
            form.add_field(
                "image", io.BytesIO(content), filename=name, content_type="application/octet-stream"
            )
            form.add_field("subfolder", "/".join(folders))
            form.add_field("type", kind)
            form.add_field("overwrite", "true")
            async with self._request("POST", "/upload/image", data=form) as answer:
                if answer.status == 413:
                    raise PusaError(
                        f"A file of {len(content) / 1e6:.0f} MB is more than {self.url} takes. Start that server with a larger "
                        "--max-upload-size."
                    )
                if answer.status != 200:
                    raise PusaError(
                        f"{self.url} could not store a file of {len(content) / 1e6:.1f} MB in its {kind} folder (HTTP "
                        f"{answer.status}). Look whether its disk is full, and at its log."
                    )
            self.known.add(place)

    async def run(self, graph: Graph) -> list[ResultFile]:
        """Runs a graph to its end and returns what it saved, in the order of its nodes."""
        self.running = await self._queue(graph)
        record = await self._finished(self.running)
        self.running = None
        for name, event in record.get("status", {}).get("messages", []):
            if name == "execution_error":
                raise PusaError(failure(graph, event))
            if name == "execution_interrupted":
                raise PusaError(f"The run was cancelled at {self.url}.")
        return [await self._download(entry) for entry in saved_files(record.get("outputs", {}))]

    async def cancel(self) -> None:
        """Takes the present run out of the server's queue, or ends it; other people's runs go on."""
        if self.running is None:
            return
        prompt_id, self.running = self.running, None
        async with self._request("POST", "/queue", json={"delete": [prompt_id]}):
            pass
        if await self._place(prompt_id) == "running":
            async with self._request("POST", "/interrupt", json={"prompt_id": prompt_id}):
                pass

    async def _queue(self, graph: Graph) -> str:
        body = {"prompt": graph, "client_id": uuid.uuid4().hex}
        async with self._request("POST", "/prompt", json=body) as answer:
            if answer.status not in (200, 400):
                raise PusaError(f"{self.url} answered a graph with HTTP {answer.status}. Look at its log.")
            found = await answer.json()
        if answer.status == 400:
            raise PusaError(refusal(graph, found))
        prompt_id = str(found["prompt_id"])
        if found.get("node_errors"):  # the other outputs of the graph would run without the refused ones
            self.running = prompt_id
            await self.cancel()
            raise PusaError(refusal(graph, found))
        return prompt_id

    async def _finished(self, prompt_id: str) -> dict[str, Any]:
        started = seen = time.monotonic()
        while True:
            wait = min(LAST_LOOK, max(FIRST_LOOK, LOOK_SHARE * (time.monotonic() - started)))
            async with self._request("GET", f"/history/{prompt_id}") as answer:
                record: dict[str, Any] | None = (await answer.json()).get(prompt_id)
            if record is not None:
                return record
            if wait >= LAST_LOOK:  # a short run needs no second question
                if await self._place(prompt_id) is not None:
                    seen = time.monotonic()
                elif time.monotonic() - seen > LOST_SECONDS:
                    raise ServerGoneError(f"{self.url} has forgotten the run; it was started anew meanwhile.")
            await asyncio.sleep(wait)

    async def _place(self, prompt_id: str) -> str | None:
        async with self._request("GET", "/queue") as answer:
            queue = await answer.json()
        for name, place in (("queue_running", "running"), ("queue_pending", "waiting")):
            if any(entry[1] == prompt_id for entry in queue.get(name, [])):
                return place
        return None

    async def _download(self, entry: Mapping[str, str]) -> ResultFile:
        query = {key: entry.get(key, "") for key in ("filename", "subfolder", "type")}
        async with self._request("GET", "/view", params=query) as answer:
            if answer.status != 200:
                raise PusaError(
                    f"{self.url} says it saved {entry['filename']} but does not give it (HTTP {answer.status}). "
                    "Was the file removed there meanwhile?"
                )
            content = await answer.read()
        return ResultFile(PurePosixPath(entry["filename"]).suffix, content)

    @asynccontextmanager
    async def _request(self, method: str, path: str, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        if self.session is None:
            # no limit for the whole: a large file takes its time over a slow network
            limits = aiohttp.ClientTimeout(total=None, sock_connect=ANSWER_SECONDS, sock_read=ANSWER_SECONDS)
            self.session = aiohttp.ClientSession(timeout=limits)
        try:
            async with self.session.request(method, self.url + path, **options) as answer:
                yield answer
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
            if is_full(str(error)):
                raise
            reason = str(error) or type(error).__name__
            raise ServerGoneError(f"The server {self.url} cannot be reached ({reason}).") from error


def saved_files(outputs: Mapping[str, Any]) -> list[Mapping[str, str]]:
    """The files of a history's outputs that were saved, not only previewed, by node number."""
    ordered = sorted(outputs.items(), key=lambda entry: (len(entry[0]), entry[0]))
    shown = [
        item
        for _, output in ordered
        for items in output.values()
        if isinstance(items, list)
        for item in items
    ]
    found: list[Mapping[str, str]] = [
        item
        for item in shown
        if isinstance(item, dict) and item.get("filename") and item.get("type") == "output"
    ]
    if not found:
        raise PusaError(
            "The graph ended without a saved file. Add a node that saves one, such as Save Video; previews do not count."
        )
    return found
