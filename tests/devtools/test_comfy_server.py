import json
import socket
import subprocess
import sys

import pytest

from devtools.comfy_server import (
    UNTIL_PARENT_ENDS,
    ComfyServer,
    ServerError,
    free_port,
    read_message,
    refusal_text,
)
from devtools.node_ids import node_ids


def test_a_progress_message_is_read_as_name_and_data():
    message = json.dumps({"type": "progress", "data": {"value": 1, "max": 4}})
    assert read_message(message) == ("progress", {"value": 1, "max": 4})


def test_both_kinds_of_preview_give_the_pictures_bytes():
    picture, note = b"\xff\xd8 jpeg", b'{"node": "3"}'
    plain = (1).to_bytes(4, "big") + (1).to_bytes(4, "big") + picture
    with_note = (4).to_bytes(4, "big") + len(note).to_bytes(4, "big") + note + picture
    assert read_message(plain) == ("preview", {"image": picture})
    assert read_message(with_note) == ("preview", {"image": picture})


def test_a_refused_graph_is_told_node_by_node():
    graph = {"3": {"class_type": "PusaSampler", "inputs": {"steps": 0}}}
    answer = {
        "error": {"message": "Prompt outputs failed validation"},
        "node_errors": {"3": {"errors": [{"message": "Value 0 smaller than min of 1", "details": "steps"}]}},
    }
    assert refusal_text(graph, answer).splitlines()[1] == (
        "node 3 (PusaSampler): Value 0 smaller than min of 1: steps"
    )


def test_node_ids_are_read_without_importing_the_pack(tmp_path):
    (tmp_path / "nodes").mkdir()
    (tmp_path / "nodes" / "one.py").write_text('import nothing_at_all\nio.Schema(node_id="PusaOne")')
    assert node_ids(tmp_path) == {"PusaOne"}


def test_a_free_port_can_be_listened_on():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))


def test_a_server_that_dies_at_once_is_told_with_its_log_and_leaves_nothing(tmp_path):
    (tmp_path / "main.py").write_text("raise SystemExit('no such option: --port')")
    server = ComfyServer(comfyui=tmp_path, pack=tmp_path)
    with pytest.raises(ServerError, match=r"no such option(.|\n)*exit code 1"):
        server.start()
    assert not server.base.exists()


def test_a_server_that_is_not_started_says_how_to_start_it(tmp_path):
    server = ComfyServer(comfyui=tmp_path, pack=tmp_path, base=tmp_path)
    with pytest.raises(ServerError, match="with ComfyServer"):
        server.run({})


def test_a_server_does_not_outlive_what_started_it(tmp_path):
    (tmp_path / "main.py").write_text("import sys, time; print(sys.argv, flush=True); time.sleep(600)")
    command = [sys.executable, str(UNTIL_PARENT_ENDS), "main.py", "--port", "1"]
    server = subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout.readline().strip() == "['main.py', '--port', '1']"
    server.stdin.close()
    assert server.wait(timeout=60) == 1
    server.stdout.close()
