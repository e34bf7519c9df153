import csv
import os

import pytest
import torch
from PIL import Image

from pusa_core.errors import PusaError
from pusa_core.folders import (
    ItemSettings,
    add_to_report,
    folder_inside,
    load_picture,
    pending,
    read_folder,
    report_row,
)

RED = (255, 0, 0)


@pytest.fixture
def cats(tmp_path):
    """An input folder with cats/cat2, cats/cat10 and cats/Dog; beside it a folder that is not ComfyUI's."""
    folder = tmp_path / "input" / "cats"
    folder.mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    for name in ("cat10.png", "cat2.png", "Dog.jpg"):
        Image.new("RGB", (8, 6), RED).save(folder / name)
        (folder / name).with_suffix(".txt").write_text(f"a prompt for {name}\n", encoding="utf-8")
    return folder


def read(cats, **settings):
    return read_folder(cats.parent, "cats", "video/cats", ItemSettings(**settings))


def test_items_come_in_natural_order_with_their_prompts(cats):
    items = read(cats, seed=5)
    assert [item.name for item in items] == ["cat2", "cat10", "Dog"]
    assert items[0].prompt == "a prompt for cat2.png"
    assert {item.settings for item in items} == {ItemSettings(seed=5)}


def test_a_json_sets_what_it_names_and_leaves_the_rest(cats):
    (cats / "cat2.json").write_text('{"seed": 7, "cfg": 1, "noise_multipliers": 0.4, "negative": "blur"}')
    first, second, _ = read(cats, seed=5, steps=9)
    assert first.settings == ItemSettings("blur", "0.4", 7, 81, 9, 1.0)
    assert isinstance(first.settings.cfg, float)
    assert second.settings == ItemSettings(seed=5, steps=9)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("cat2.txt", None, r"cat2\.png has no prompt. Put a text file cat2\.txt"),
        ("cat2.txt", "  \n", r"cat2\.txt is empty"),
        ("cat2.txt", b"\xff\xfe\x00caf\xe9", r"cat2\.txt is not UTF-8"),
        ("cat2.json", "{seed: 7}", r"cat2\.json is not JSON.* line 1"),
        ("cat2.json", "[1]", r"cat2\.json has list"),
        ("cat2.json", '{"sed": 7}', r"cat2\.json has sed; it can set negative"),
        ("cat2.json", '{"seed": "7"}', r"seed in cat2\.json is '7'; it must be a whole number"),
        ("cat2.json", '{"seed": true}', "must be a whole number"),
        ("cat2.json", '{"length": 0}', "length in cat2.json is 0; use 1 or more"),
        ("cat2.json", '{"noise_multipliers": 3}', "noise_multiplier is 3"),
        ("cat2.jpg", b"", "cat2.jpg and cat2.png have the same name"),
    ],
)
def test_one_incomplete_item_refuses_the_folder_and_is_named(cats, name, content, words):
    if content is None:
        (cats / name).unlink()
    else:
        (cats / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(PusaError, match=words):
        read(cats)


def test_a_byte_order_mark_is_no_part_of_the_prompt(cats):
    (cats / "cat2.txt").write_bytes("a caf\u00e9".encode("utf-8-sig"))
    assert read(cats)[0].prompt == "a caf\u00e9"


def test_a_folder_that_is_not_there_names_those_that_are(cats):
    with pytest.raises(PusaError, match="It has: cats"):
        read_folder(cats.parent, "dogs", "out", ItemSettings())
    (cats.parent / "empty").mkdir()
    with pytest.raises(PusaError, match="has no picture"):
        read_folder(cats.parent, "empty", "out", ItemSettings())


@pytest.mark.parametrize(
    "relative", ["../secret", "cats/../../secret", "/", "..", os.path.abspath(os.sep) + "etc"]
)
def test_a_folder_outside_is_refused(cats, relative):
    with pytest.raises(PusaError, match="outside ComfyUI's input folder"):
        folder_inside(cats.parent, relative, "folder")


def test_a_link_that_leads_outside_is_refused(cats):
    (cats.parent / "link").symlink_to(cats.parent.parent / "secret")
    with pytest.raises(PusaError, match="outside"):
        folder_inside(cats.parent, "link", "folder")


def test_inside_is_inside(cats):
    assert folder_inside(cats.parent, "cats", "folder") == cats.resolve()
    assert folder_inside(cats.parent, "", "folder") == cats.parent.resolve()


def test_items_with_a_video_are_finished(cats, tmp_path):
    output = tmp_path / "output"
    items = read(cats)
    assert pending(items, output) == items
    result = items[1].result(output)
    result.parent.mkdir(parents=True)
    result.write_bytes(b"video")
    assert result == (output / "video" / "cats" / "cat10.mp4").resolve()
    assert [item.name for item in pending(items, output)] == ["cat2", "Dog"]


def test_a_picture_is_read_upright_in_colour(tmp_path):
    picture = Image.new("RGB", (4, 2), RED)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees, as phones write
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert load_picture(tmp_path / "turned.jpg").shape == (1, 4, 2, 3)
    Image.new("RGBA", (4, 2), (*RED, 100)).save(tmp_path / "clear.png")
    torch.testing.assert_close(load_picture(tmp_path / "clear.png")[0, 0, 0], torch.tensor([1.0, 0.0, 0.0]))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(PusaError, match=r"broken\.png cannot be read"):
        load_picture(tmp_path / "broken.png")


def test_the_report_has_one_row_per_item_and_survives_commas_quotes_and_lines(cats, tmp_path):
    report = tmp_path / "report.csv"
    (cats / "cat2.txt").write_text('a "cat", sitting\nin two lines', encoding="utf-8")
    items = read(cats)
    for item in items:
        add_to_report(report, report_row(item, 81, 81 / 16))
    add_to_report(report, report_row(items[0], 17, 17 / 16))
    with report.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["cat10", "Dog", "cat2"]
    assert rows[-1]["prompt"] == 'a "cat", sitting\nin two lines'
    assert rows[-1]["frames"] == "17"
    assert rows[0]["seconds"] == "5.062"
    assert not list(tmp_path.glob("*.unfinished"))


def test_a_column_someone_added_to_the_report_is_kept(cats, tmp_path):
    report = tmp_path / "report.csv"
    report.write_text("name,rating\nold,5\n", encoding="utf-8")
    add_to_report(report, report_row(read(cats)[0], 81, 5.0))
    with report.open(encoding="utf-8-sig", newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert rows["old"]["rating"] == "5"
    assert rows["cat2"]["video"] == "cat2.mp4"
