"""A headless ComfyUI server that is always stopped again: for tests, the demo, benchmarks and `dev.py serve`."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devtools.folders import link_folder
from devtools.node_ids import node_ids

START_SECONDS = 600  # a cold disk or a very busy machine; usually about 10
ANSWER_SECONDS = 120  # one HTTP answer while the server's interpreter is busy sampling
LOG_LINES = 40  # the part of the log that an error shows
MODEL_KINDS = ("diffusion_models", "loras", "vae", "text_encoders", "clip_vision", "upscale_models")
UNTIL_PARENT_ENDS = Path(__file__).resolve().parent.parent / "pusa_core" / "fleet" / "until_parent_ends.py"
PREVIEW_EVENTS = (1, 4)  # binary messages of ComfyUI's protocol.py: a preview image, one with metadata

Graph = Mapping[str, Any]
EventHandler = Callable[[str, dict[str, Any]], None]


class ServerError(RuntimeError):
    """The server could not be started, or stopped answering; the message shows the end of its log."""


class GraphRefusedError(ServerError):
    """The server's validation refused a graph before running it.

    node_errors: ComfyUI's own, by node id.
    """

    def __init__(self, message: str, node_errors: dict[str, Any]) -> None:
        super().__init__(message)
        self.node_errors = node_errors


class NodeFailedError(ServerError):
    """A node raised an exception; `message` is what ComfyUI shows beside it."""

    def __init__(self, event: dict[str, Any]) -> None:
        self.node_type: str = event["node_type"]
        self.message: str = event["exception_message"].strip()
        self.exception_type: str = event["exception_type"]
        self.traceback = "".join(event["traceback"])
        super().__init__(f"{self.node_type}: {self.message}\n{self.traceback}")


class RunCancelledError(ServerError):
    """The run was cancelled."""


@dataclass
class Run:
    """A finished run of a graph."""

    prompt_id: str
    seconds: float  # from posting the graph to its last node
    outputs: dict[str, Any] = field(default_factory=dict)  # node id -> what the node shows in the browser
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)  # websocket messages in order
    previews: list[bytes] = field(default_factory=list)  # JPEG or PNG files, in order


def calm_threads() -> str:
    """OMP_NUM_THREADS for the CPU: threads that wait for a busy core can make PyTorch ten times slower."""
    return str(max(1, (os.cpu_count() or 2) // 2))


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class ComfyServer:
    """Runs ComfyUI with the pack in a base directory of its own.

    with ComfyServer(comfyui=..., pack=...) as server:
        run = server.run(graph)

    Without `base` the directory is a temporary one and is deleted afterwards. `model_folders` have the layout
    of ComfyUI's models folder; `other_packs` are folders of further nodes by the name they get in custom_nodes.
    """

    def __init__(
        self,
        *,
        comfyui: Path,
        pack: Path,
        model_folders: Iterable[Path] = (),
        other_packs: Mapping[str, Path] | None = None,
        base: Path | None = None,
        python: Path | str = sys.executable,
        port: int | None = None,
        cpu: bool = True,
        arguments: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.comfyui = Path(comfyui)
        self.packs = {"ComfyUI-Pusa": Path(pack), **(other_packs or {})}
        self.model_folders = [Path(path) for path in model_folders]
        self.is_temporary = base is None
        self.base = Path(base or tempfile.mkdtemp(prefix="pusa-comfyui-"))
        self.python = str(python)
        self.port = port or free_port()
        self.cpu = cpu
        self.arguments = [str(argument) for argument in arguments]
        self.environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
        if cpu:
            self.environment.setdefault("OMP_NUM_THREADS", calm_threads())
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_file(self) -> Path:
        """What the server prints."""
        return self.base / "comfyui.log"

    @property
    def input_folder(self) -> Path:
        """Where image and video loaders look."""
        return self.base / "input"

    @property
    def output_folder(self) -> Path:
        """Where savers write."""
        return self.base / "output"

    # Life

    def __enter__(self) -> "ComfyServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the server and returns once it answers and has every node of the packs."""
        try:
            self._prepare_base()
            with self.log_file.open("wb") as log:
                self.process = subprocess.Popen(
                    self.command(),
                    cwd=self.comfyui,
                    env=self.environment,
                    stdin=subprocess.PIPE,  # closes when this process ends, see until_parent_ends.py
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            self._wait_until_it_answers()
            self._check_nodes()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops the server; a temporary base directory goes with it."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process.stdin.close()
            self.process = None
        if self.is_temporary:
            shutil.rmtree(self.base, ignore_errors=True)

    def is_running(self) -> bool:
        """Whether the server's process is there."""
        return self.process is not None and self.process.poll() is None

    def command(self) -> list[str]:
        """The command line that runs ComfyUI."""
        command = [
            self.python,
            str(UNTIL_PARENT_ENDS),
            "main.py",
            "--base-directory",
            str(self.base),
            "--port",
            str(self.port),
        ]
        command += ["--database-url", "sqlite:///:memory:", "--disable-api-nodes", "--disable-auto-launch"]
        command += ["--extra-model-paths-config", str(self.base / "model_folders.yaml")]
        if self.cpu:  # the CPU's default attention needs four times the memory of PyTorch's
            command += ["--cpu", "--use-pytorch-cross-attention"]
        return command + self.arguments

    def _prepare_base(self) -> None:
        for name in ("custom_nodes", "models", "input", "output", "temp", "user"):
            (self.base / name).mkdir(parents=True, exist_ok=True)
        for name, folder in self.packs.items():
            link_folder(folder, self.base / "custom_nodes" / name)
        folders = {
            f"folder_{number}": {"base_path": str(folder.resolve()), **{kind: kind for kind in MODEL_KINDS}}
            for number, folder in enumerate(self.model_folders)
        }
        (self.base / "model_folders.yaml").write_text(json.dumps(folders, indent=1), "utf-8")  # JSON is YAML

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self._check_alive("ended while starting")
            with contextlib.suppress(OSError):
                # Another program may own the port, when ComfyUI could not bind it.
                if str(self.base) in self.get("/system_stats")["system"]["argv"]:
                    return
            time.sleep(0.2)
        raise ServerError(self._with_log(f"ComfyUI did not answer at {self.url} within {START_SECONDS} s."))

    def _check_nodes(self) -> None:
        """Fails when a pack did not register all its nodes: ComfyUI itself only logs that."""
        known = self.object_info()
        for name, folder in self.packs.items():
            if missing := node_ids(folder) - set(known):
                raise ServerError(self._with_log(f"{name} did not register {', '.join(sorted(missing))}."))

    def _check_alive(self, what: str) -> None:
        if self.process is None:
            raise ServerError("The server is not running; use it as `with ComfyServer(...) as server:`.")
        if (code := self.process.poll()) is not None:
            raise ServerError(self._with_log(f"ComfyUI {what} (exit code {code})."))

    def log_tail(self, lines: int = LOG_LINES) -> str:
        """The end of what the server printed."""
        if not self.log_file.is_file():
            return ""
        return "\n".join(self.log_file.read_text("utf-8", errors="replace").splitlines()[-lines:])

    def _with_log(self, sentence: str) -> str:
        return (
            f"The end of ComfyUI's log:\n{self.log_tail()}\n\n{sentence}"  # what one reads first stands last
        )

    # Requests

    def get(self, path: str) -> Any:
        """The JSON answer to GET `path`."""
        return self._request(urllib.request.Request(self.url + path))

    def post(self, path: str, content: Any = None) -> Any:
        """The JSON answer to POST `path` with JSON content; None where the answer is empty."""
        body = json.dumps(content if content is not None else {}).encode()
        headers = {"Content-Type": "application/json"}
        return self._request(urllib.request.Request(self.url + path, body, headers))

    def _request(self, request: urllib.request.Request) -> Any:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def object_info(self, node_id: str | None = None) -> dict[str, Any]:
        """What the server knows of all nodes, or of one ({} when it is unknown)."""
        return self.get("/object_info" + (f"/{node_id}" if node_id else ""))

    def upload_image(self, file: Path, name: str | None = None) -> str:
        """Puts a picture or video into the input folder as a browser does; returns its name for LoadImage."""
        boundary = uuid.uuid4().hex
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n--{boundary}\r\n'
            f'Content-Disposition: form-data; name="image"; filename="{name or file.name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = head.encode() + file.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return self._request(urllib.request.Request(self.url + "/upload/image", body, headers))["name"]

    def interrupt(self) -> None:
        """Cancels what is running."""
        self.post("/interrupt")

    def free(self) -> None:
        """Unloads the models and forgets cached results, once the server is idle."""
        self.post("/free", {"unload_models": True, "free_memory": True})

    def history(self, prompt_id: str) -> dict[str, Any]:
        """The record of a finished run; {} while it is not finished."""
        return self.get(f"/history/{prompt_id}").get(prompt_id, {})

    def queue(self, graph: Graph, client_id: str = "") -> str:
        """Posts a graph in API format and returns its prompt id without waiting."""
        try:
            return self.post("/prompt", {"prompt": graph, "client_id": client_id})["prompt_id"]
        except urllib.error.HTTPError as refusal:
            answer = json.loads(refusal.read() or b"{}")
            raise GraphRefusedError(refusal_text(graph, answer), answer.get("node_errors", {})) from None

    def run(self, graph: Graph, on_event: EventHandler | None = None, timeout: float = 600) -> Run:
        """Runs a graph to its end.

        on_event(name, data) sees each websocket message of the run as it comes ("progress", "executing",
        "preview" with the picture's bytes under "image"). Raises GraphRefusedError, NodeFailedError or RunCancelledError.
        """
        self._check_alive("has ended")
        try:
            return asyncio.run(asyncio.wait_for(self._run(graph, on_event), timeout))
        except asyncio.TimeoutError:
            self.interrupt()
            raise ServerError(self._with_log(f"The graph did not finish within {timeout:g} s.")) from None

    async def _run(self, graph: Graph, on_event: EventHandler | None) -> Run:
        import aiohttp  # ComfyUI requires it

        client_id = uuid.uuid4().hex
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{self.url}/ws?clientId={client_id}", max_msg_size=0) as messages,
        ):
            started = time.monotonic()
            run = Run(await asyncio.to_thread(self.queue, graph, client_id), 0.0)
            async for message in messages:
                name, data = read_message(message.data)
                if data.get("prompt_id", run.prompt_id) != run.prompt_id:
                    continue
                run.seconds = time.monotonic() - started
                if name == "preview":
                    run.previews.append(data["image"])
                else:
                    run.events.append((name, data))
                if on_event:
                    # In a thread, so that the handler may call the server, for example to interrupt.
                    await asyncio.to_thread(on_event, name, data)
                if name == "execution_error":
                    raise NodeFailedError(data)
                if name == "execution_interrupted":
                    raise RunCancelledError(f"The run was cancelled in {data['node_type']}.")
                if name == "execution_success":
                    run.outputs = await self._outputs(run.prompt_id)
                    return run
        self._check_alive("ended during a run")
        raise ServerError(self._with_log("ComfyUI closed the connection during a run."))

    async def _outputs(self, prompt_id: str) -> dict[str, Any]:
        """Outputs from the history, which is written a moment after the last message."""
        while not (record := await asyncio.to_thread(self.history, prompt_id)):
            await asyncio.sleep(0.05)
        return record["outputs"]

    def files(self, run: Run) -> list[Path]:
        """The files that a run's nodes wrote, in the order of their nodes."""
        roots = {"output": self.output_folder, "temp": self.base / "temp", "input": self.input_folder}
        shown = [item for output in run.outputs.values() for items in output.values() for item in items]
        return [
            roots[item["type"]] / item["subfolder"] / item["filename"]
            for item in shown
            if isinstance(item, dict) and "filename" in item
        ]


def read_message(message: str | bytes) -> tuple[str, dict[str, Any]]:
    """Name and data of a websocket message; previews come as ("preview", {"image": bytes})."""
    if isinstance(message, str):
        content = json.loads(message)
        return content["type"], content.get("data") or {}
    if isinstance(message, bytes) and (kind := int.from_bytes(message[:4], "big")) in PREVIEW_EVENTS:
        start = 8  # 4 bytes kind, 4 bytes picture format or length of the metadata
        if kind == 4:
            start += int.from_bytes(message[4:8], "big")
        return "preview", {"image": message[start:]}
    return "other", {}


def refusal_text(graph: Graph, answer: Mapping[str, Any]) -> str:
    """ComfyUI's reasons for refusing a graph, one line a node."""
    lines = [answer.get("error", {}).get("message", "ComfyUI refused the graph.")]
    for node_id, entry in answer.get("node_errors", {}).items():
        reasons = "; ".join(f"{error['message']}: {error['details']}" for error in entry["errors"])
        lines.append(f"node {node_id} ({graph[node_id]['class_type']}): {reasons}")
    return "\n".join(lines)
