import json

import numpy as np
import pytest
from PIL import Image

from comfyui_pusa.demo import contact_sheet, data, inputs, run_demo


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The inputs of one scene, whose clips show its head and its tail."""
    folder = tmp_path_factory.mktemp("input")
    inputs.write_inputs(folder, inputs.DEFAULT_SCENE, run_demo.HEAD, run_demo.TAIL)
    return folder


def test_every_demo_workflow_belongs_to_exactly_one_task():
    savers = ("SaveVideo", "PusaFolderSave", "PusaLongVideo", "PusaDirector")
    files = {
        file.stem.removeprefix(run_demo.PREFIX)
        for file in run_demo.GRAPHS.glob("*.json")
        if any(f'"{saver}"' in file.read_text("utf-8") for saver in savers)  # training's caches clips
    }
    names = [demo.name for demo in run_demo.load_demos()]
    assert sorted(names) == sorted(files)


def test_what_the_demo_chooses_by_itself_is_there():
    chosen = run_demo.choose(run_demo.load_demos(), [], every=False)
    assert {demo.name for demo in chosen} == set(run_demo.CHOSEN)


def test_words_choose_the_demos_whose_names_hold_all_of_them():
    chosen = run_demo.choose(run_demo.load_demos(), ["Extension", "lightx2v"], every=False)
    assert [demo.name for demo in chosen] == ["video extension step by step (Wan2.2 + LightX2V)"]


def test_every_file_that_a_demo_workflow_loads_is_written(written):
    names = {path.name for path in written.iterdir()}
    for demo in run_demo.load_demos():
        for node in demo.graph.values():
            if node["class_type"] == "PusaSweep":
                continue  # its folder is one of the output folder's
            for name in ("image", "file", "folder"):
                value = node["inputs"].get(name)
                if isinstance(value, str):
                    assert value in names, (demo.name, value)


def test_the_pictures_are_the_scenes_frames_and_the_clips_its_parts(written):
    frames = inputs.frames_of(inputs.DEFAULT_SCENE)
    first = np.asarray(Image.open(written / inputs.FIRST_FRAME))
    assert np.array_equal(first, frames[0])
    for name, part in ((inputs.CLIP, run_demo.HEAD), (inputs.SECOND_CLIP, run_demo.TAIL)):
        clip = inputs.read_video(written / name)
        assert clip.shape == (13, data.SIZE, data.SIZE, 3)
        assert run_demo.psnr(clip, frames[list(part)]) > 30  # 4:2:0 colour costs more than the compression


def test_the_workflows_own_text_describes_the_scene_that_is_served():
    text = next(
        node["inputs"]["text"]
        for node in run_demo.load_demos()[0].graph.values()
        if node["class_type"] == run_demo.TEXT_NODE and node["_meta"]["title"] == run_demo.PROMPT_TITLE
    )
    assert text == inputs.DEFAULT_SCENE.caption


def test_another_caption_and_seed_change_nothing_else():
    graph = run_demo.load_demos()[0].graph
    before = json.dumps(graph)
    changed = run_demo.with_caption(graph, "a small blue square", 7)
    assert json.dumps(graph) == before
    texts = [node["inputs"]["text"] for node in changed.values() if node["class_type"] == run_demo.TEXT_NODE]
    assert "a small blue square" in texts
    assert [node["inputs"]["seed"] for node in changed.values() if "seed" in node["inputs"]] == [7]
    assert changed.keys() == graph.keys()


def test_a_model_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(run_demo, "DEMO_MODELS", tmp_path)
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "demo_wan_vae.safetensors").write_text("")
    missing = run_demo.load_demos()[0].missing_models()
    assert "demo_wan2.1_t2v.safetensors" in missing
    assert "demo_wan_vae.safetensors" not in missing


def test_equal_frames_are_far_above_any_video_and_opposite_ones_at_zero():
    black, white = np.zeros((2, 4, 4, 3), np.uint8), np.full((2, 4, 4, 3), 255, np.uint8)
    assert run_demo.psnr(black, black) > 100
    assert run_demo.psnr(black, white) == pytest.approx(0.0)


def test_the_contact_sheet_marks_the_given_frames_and_no_others(tmp_path):
    grey = np.full((33, 64, 64, 3), 128, np.uint8)
    rows = [
        contact_sheet.Row("free", ["nothing given"], grey),
        contact_sheet.Row("given", ["a frame"], grey, frozenset([0])),
    ]
    contact_sheet.contact_sheet(rows, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    orange = (sheet[:, contact_sheet.LABEL_WIDTH - contact_sheet.GAP] == (0xF0, 0x80, 0x00)).all(-1)
    edge = 64 * contact_sheet.SCALE + 2 * contact_sheet.GAP
    assert orange.sum() == edge  # one frame's left edge
    assert not orange[:edge].any()
