"""The client against a double of ComfyUI's routes, for what a real server does seldom."""

import asyncio

import pytest
from aiohttp import web

from pusa_core.errors import PusaError
from pusa_core.fleet import client as client_module
from pusa_core.fleet.client import Client, ServerGoneError
from pusa_core.fleet.worker import Worker

GRAPH = {"2": {"class_type": "SaveVideo", "inputs": {}, "_meta": {"title": "Save"}}}
REFUSED = {
    "2": {
        "errors": [{"type": "required_input_missing", "extra_info": {"input_name": "video"}, "message": ""}]
    }
}


class Double:
    """Answers as ComfyUI does; `told` is what it was asked to do."""

    def __init__(self, prompt=None, history=None, queue=None):
        self.prompt = prompt or {"prompt_id": "p", "node_errors": {}}
        self.history, self.queue = history or {}, queue or {"queue_running": [], "queue_pending": []}
        self.told = []

    async def serve(self, use):
        """use(url) with the routes behind it."""
        application = web.Application(client_max_size=2**30)
        for path in ("/queue", "/interrupt", "/prompt", "/upload/image"):
            application.router.add_post(path, self.post)
        for path in ("/queue", "/history/p", "/system_stats", "/view"):
            application.router.add_get(path, self.get)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            return await use(f"http://127.0.0.1:{runner.addresses[0][1]}")
        finally:
            await runner.cleanup()

    async def post(self, request):
        body = await request.json() if request.path != "/upload/image" else {}
        self.told.append((request.path, {key: body[key] for key in ("delete", "prompt_id") if key in body}))
        return web.json_response(self.prompt if request.path == "/prompt" else {})

    async def get(self, request):
        answers = {"/queue": self.queue, "/history/p": self.history}
        return web.json_response(answers.get(request.path, {"system": {"argv": []}}))


def run(double, use):
    async def with_client(url):
        client = Client(url)
        try:
            return await use(client)
        finally:
            await client.close()

    return asyncio.run(double.serve(with_client))


def test_a_graph_of_which_the_server_would_run_only_a_part_is_taken_back_and_refused():
    """ComfyUI takes a graph when one of its outputs is valid, and leaves the others out."""
    double = Double(prompt={"prompt_id": "p", "node_errors": REFUSED})
    with pytest.raises(PusaError, match=r"Save \(node 2\): its input video is missing"):
        run(double, lambda client: client.run(GRAPH))
    assert ("/queue", {"delete": ["p"]}) in double.told


def test_a_run_that_the_server_has_forgotten_is_lost(monkeypatch):
    monkeypatch.setattr(client_module, "LAST_LOOK", 0.05)
    monkeypatch.setattr(client_module, "LOST_SECONDS", 0.2)
    with pytest.raises(ServerGoneError, match="has forgotten the run"):
        run(Double(), lambda client: client.run(GRAPH))


def test_a_cancelled_run_is_an_end_not_a_wait():
    record = {"p": {"status": {"messages": [["execution_interrupted", {}]]}, "outputs": {}}}
    with pytest.raises(PusaError, match="was cancelled at"):
        run(Double(history=record), lambda client: client.run(GRAPH))


def test_only_our_own_run_is_interrupted():
    async def cancel(client):
        client.running = "p"
        await client.cancel()

    ours = Double(queue={"queue_running": [[0, "p"]], "queue_pending": []})
    run(ours, cancel)
    assert ("/interrupt", {"prompt_id": "p"}) in ours.told
    others = Double(queue={"queue_running": [[0, "q"]], "queue_pending": []})
    run(others, cancel)
    assert not any(path == "/interrupt" for path, _ in others.told)


def test_a_file_goes_up_once():
    async def twice(client):
        await client.upload({"input/a/a.png": b"1"})
        await client.upload({"input/a/a.png": b"1", "output/a/b/a.png": b"2"})

    double = Double()
    run(double, twice)
    assert [path for path, _ in double.told] == ["/upload/image"] * 2


def test_an_item_that_takes_too_long_is_cancelled_and_told():
    double = Double(queue={"queue_running": [[0, "p"]], "queue_pending": []})

    async def use(url):
        worker = Worker(url, "one", timeout=0.3)
        assert await worker.ready() == ""
        outcome = await worker.run(GRAPH, {})
        await worker.stop()
        return outcome

    outcome = asyncio.run(double.serve(use))
    assert outcome.sentence == "It did not finish within 0.3 s (--timeout) and was cancelled."
    assert not outcome.server_is_gone
    assert ("/interrupt", {"prompt_id": "p"}) in double.told


def test_files_that_travel_slowly_arrive(monkeypatch):
    """A finished run must not be lost because its video takes longer than an answer may."""
    monkeypatch.setattr(client_module, "ANSWER_SECONDS", 1.0)

    class Slow(Double):
        async def get(self, request):
            if request.path != "/view":
                return await super().get(request)
            answer = web.StreamResponse()
            await answer.prepare(request)
            for _ in range(8):
                await answer.write(b"12345")
                await asyncio.sleep(0.2)
            return answer

        async def post(self, request):
            while request.path == "/upload/image" and await request.content.read(2**20):
                await asyncio.sleep(0.006)
            return await super().post(request)

    async def travel(client):
        await client.upload({"input/fleet/long.mp4": bytes(4 * 10**7)})
        return await client._download({"filename": "video.mp4", "subfolder": "", "type": "output"})

    assert run(Slow(), travel).content == b"12345" * 8


def test_a_server_that_is_not_there_is_a_sentence(monkeypatch):
    monkeypatch.setattr("pusa_core.fleet.worker.REACH_SECONDS", 0)

    async def ready():
        worker = Worker("http://127.0.0.1:9", "one")
        sentence = await worker.ready()
        await worker.stop()
        return sentence

    assert "127.0.0.1:9 cannot be reached" in asyncio.run(ready())
