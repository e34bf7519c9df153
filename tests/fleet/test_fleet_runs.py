"""Whole runs: the command line, the real Ray and real ComfyUIs on the CPU."""

import csv
import os
import subprocess
import sys
import time

import pytest

from pusa_core.fleet.results import DONE, FAILED, WAITING
from support.fleet_workers import comfyuis, needs_ray

ITEMS = 12


def write_rows(file, columns, rows):
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows([columns, *rows])
    return file


@pytest.fixture(scope="module")
def single(server, graph, pictures, tmp_path_factory):
    """What a single server makes of the twelve pictures, by file name, without Ray: the graphs posted one after the other."""
    from pusa_core.fleet.graphs import read_graph
    from pusa_core.fleet.items import folder_items
    from pusa_core.fleet.jobs import UPLOADS, Inputs, make_jobs

    (server.input_folder / UPLOADS).mkdir(exist_ok=True)
    made = {}
    for job in make_jobs(read_graph(graph), folder_items(pictures), Inputs()):
        for place, file in job.files.items():
            (server.base / place).write_bytes(file.read_bytes())
        (saved,) = server.files(server.run(job.graph))
        made[f"{job.name}.webp"] = saved.read_bytes()
    return made


@needs_ray
def test_a_worker_killed_in_mid_run_costs_no_item_and_changes_no_bit(
    fleet, started, for_comfyui, base, graph, pictures, single, tmp_path
):
    run = fleet(tmp_path / "out", "--graph", graph, "--folder", pictures, *started, 2, *for_comfyui)
    run.until("[ 3/12]")
    servers = comfyuis(base)
    assert len(servers) == 2
    actor = servers[0].parent()
    assert actor.pid not in (os.getpid(), run.process.pid)
    actor.kill()
    assert run.end() == 0, run.printed
    assert "died" in run.printed, "the worker was killed between two items"
    assert {row.status for row in run.report.values()} == {DONE}
    assert run.results() == single
    assert sum(line.startswith("[") for line in run.lines) == ITEMS, "an item has ended twice"
    assert comfyuis(base) == []


@needs_ray
def test_ctrl_c_ends_servers_and_writes_the_report_and_a_second_run_does_what_is_missing(
    fleet, started, for_comfyui, base, server, graph, pictures, single, tmp_path
):
    run = fleet(tmp_path / "out", "--graph", graph, "--folder", pictures, *started, 1, *for_comfyui)
    run.until("[ 2/12]")
    run.stop()
    assert run.end() == 130
    assert comfyuis(base) == []
    finished = {row.name for row in run.report.values() if row.status == DONE}
    assert 2 <= len(finished) < ITEMS
    stopped = [row for row in run.report.values() if row.status == WAITING]
    assert all(row.sentence == "The run was stopped before it ended." for row in stopped)
    assert len(finished) + len(stopped) == ITEMS
    assert {name.rpartition(".")[0] for name in run.results()} == finished, "no half file is left"

    again = fleet(tmp_path / "out", "--graph", graph, "--folder", pictures, "--servers", server.url)
    assert again.end() == 0, again.printed
    assert f"{len(finished)} of 12 items are finished already." in again.printed
    assert sum(line.startswith("[") for line in again.lines) == ITEMS - len(finished)
    assert again.results() == single
    start = time.monotonic()
    third = fleet(tmp_path / "out", "--graph", graph, "--folder", pictures, "--servers", server.url)
    assert third.end() == 0
    assert third.printed == "12 of 12 items are finished already."
    assert time.monotonic() - start < 20, "without work Ray is not started"


@needs_ray
def test_a_hundred_small_items_pass_and_bad_ones_among_them_are_told(fleet, server, tiny_graph, tmp_path):
    rows = [[f"item{number}", number, 16] for number in range(98)] + [["bad", 1, 0], ["odd", 2, 99999]]
    table = write_rows(tmp_path / "rows.csv", ["name", "Colour.color", "Colour.width"], rows)
    run = fleet(
        tmp_path / "out", "--graph", tiny_graph, "--csv", table, "--servers", f"{server.url},{server.url}"
    )
    assert run.end() == 1
    assert len(run.results()) == len(set(run.results().values())) == 98
    assert [row.name for row in run.report.values()] == [row[0] for row in rows]
    assert run.report["bad"].status == FAILED
    assert run.report["bad"].attempts == "2"
    assert (
        run.report["bad"].sentence == "Colour (node 1), input width: Value 0 smaller than min of 1 (width)."
    )
    assert run.report["odd"].sentence.startswith("Colour (node 1), input width: Value 99999 bigger than max")
    assert run.lines[-1].startswith("98 done, 2 failed")


@needs_ray
def test_a_missing_model_and_a_server_that_is_not_there_are_told_and_the_rest_goes_on(
    fleet, server, graph, pictures, tmp_path
):
    columns = ["name", "UNETLoader.unet_name", "First frame.image", "steps"]
    picture = pictures / "scene1.png"
    rows = [["good", "demo_wan2.1_t2v.safetensors", picture, 1], ["lost", "wan14b.safetensors", picture, 1]]
    table = write_rows(tmp_path / "rows.csv", columns, rows)
    run = fleet(tmp_path / "out", "--graph", graph, "--csv", table, "--servers", f"{server.url},127.0.0.1:9")
    assert run.end() == 1
    assert run.report["good"].status == DONE
    lost = run.report["lost"]
    assert lost.status == FAILED
    assert (
        "unet_name is 'wan14b.safetensors', which this server does not have. It has: demo_wan2.1"
        in lost.sentence
    )
    assert "Put the file into models/diffusion_models there" in lost.sentence


@needs_ray
def test_without_any_server_every_item_says_why_it_was_not_run(fleet, tiny_graph, tmp_path):
    table = write_rows(tmp_path / "rows.csv", ["name", "color"], [["one", 1]])
    run = fleet(
        tmp_path / "out",
        "--graph",
        tiny_graph,
        "--csv",
        table,
        "--comfyui",
        tmp_path,
        "--cpu",
        "--workers",
        1,
    )
    assert run.end() == 1
    assert run.report["one"].status == WAITING
    assert "There is no ComfyUI in" in run.report["one"].sentence


def test_a_missing_ray_is_a_sentence(tiny_graph, tmp_path):
    table = write_rows(tmp_path / "rows.csv", ["name", "color"], [["one", 1]])
    script = (
        "import sys; sys.modules['ray'] = None; from pusa_core.fleet.__main__ import main; "
        f"sys.exit(main(['run', '--graph', {str(tiny_graph)!r}, '--csv', {str(table)!r}, '--servers', 'localhost:1']))"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=root)
    assert done.returncode == 1
    assert done.stderr.startswith("A fleet runs on Ray, which this Python cannot import")
    assert "pip install -r requirements-fleet.txt" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--project", "p"], "has no Pusa Director"),
        (["--folder", "nowhere"], "There is no folder nowhere"),
        (["--csv", "nowhere.csv"], "There is no file nowhere.csv"),
    ],
)
def test_items_that_are_not_there_are_told(arguments, sentence, tiny_graph, capsys):
    from pusa_core.fleet.__main__ import main

    assert main(["run", "--graph", str(tiny_graph), *arguments, "--servers", "localhost:1"]) == 1
    assert sentence in capsys.readouterr().err


def test_options_that_do_not_go_together_are_told(tiny_graph, tmp_path, capsys):
    from pusa_core.fleet.__main__ import main

    table = write_rows(tmp_path / "rows.csv", ["name", "color"], [["one", 1]])
    given = ["run", "--graph", str(tiny_graph), "--csv", str(table)]
    for more, sentence in (
        (["--servers", "a:1", "--cpu"], "--servers names ComfyUIs that run already"),
        (["--comfyui", "x", "--cpu"], "With --cpu give --workers"),
        (["--comfyui", "x", "--workers", "0"], "--workers is 0"),
        (["--comfyui", "x", "--timeout", "0"], "--timeout is 0"),
    ):
        assert main([*given, *more]) == 1
        assert sentence in capsys.readouterr().err


def test_the_module_is_found_without_torch_or_ray():
    """Ray's workers import it in every process that they start."""
    script = "import sys, pusa_core.fleet.worker, pusa_core.fleet.run; print(*({'torch', 'ray'} & set(sys.modules)))"
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=root, check=True
    )
    assert done.stdout.strip() == ""
