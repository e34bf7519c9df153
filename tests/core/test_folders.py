import csv
import os
import unicodedata

import numpy as np
import pytest
import torch
from PIL import Image

from pusa_core.errors import PusaError
from pusa_core.folders import (
    Attempts,
    ItemSettings,
    Tries,
    add_to_report,
    check_names,
    folder_inside,
    load_picture,
    natural_order,
    next_items,
    pending,
    read_folder,
    report_row,
    unfinished_result,
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
        (
            "cat2.json",
            '{"seed": 18446744073709551616}',
            r"seed in cat2\.json is 18446744073709551616; .* up to 2\^64 - 1",
        ),
        ("cat2.json", '{"seed": -1}', "seed in cat2.json is -1; use 0 or more"),
        ("cat2.json", '{"cfg": 1e999}', "cfg in cat2.json is inf; use 0 or more, up to 100"),
        ("cat2.json", '{"cfg": NaN}', "cfg in cat2.json is nan"),
        ("cat2.json", '{"cfg": 1' + "0" * 400 + "}", r"cfg in cat2\.json is 10+\.\.\."),
        ("cat2.json", '{"seed": 1' + "0" * 5000 + "}", r"cat2\.json cannot be read"),
        ("cat2.json", "[" * 100000, r"cat2\.json cannot be read"),
        ("cat2.json", '{"steps": 1001}', "steps in cat2.json is 1001; use 1 or more, up to 1000"),
        ("cat2.json", '{"length": 10002}', "length in cat2.json is 10002"),
        ("cat2.json", '{"noise_multipliers": "a lot"}', r"noise_multipliers in cat2\.json: 'a lot'"),
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


def test_the_largest_seed_is_taken(cats):
    (cats / "cat2.json").write_text('{"seed": 18446744073709551615, "noise_multipliers": "0..0.4"}')
    assert read(cats)[0].settings.seed == 2**64 - 1


def test_settings_that_come_by_a_wire_are_checked_too(cats):
    with pytest.raises(PusaError, match="seed in the node is 18446744073709551616"):
        read(cats, seed=2**64)
    with pytest.raises(PusaError, match="cfg in the node is nan"):
        read(cats, cfg=float("nan"))


DEPTHS = {
    "grey, 16 bits.png": np.full((8, 8), 32768, np.uint16),
    "whole numbers, 32 bits.tif": np.full((8, 8), 32768, np.int32),
    "floating point.tif": np.full((8, 8), 0.5, np.float32),
    "grey.png": np.full((8, 8), 128, np.uint8),
    "colour.webp": np.full((8, 8, 3), 128, np.uint8),
}


@pytest.mark.parametrize("name", DEPTHS)
def test_mid_grey_stays_mid_grey_at_any_depth(tmp_path, name):
    Image.fromarray(DEPTHS[name]).save(tmp_path / name)
    picture = load_picture(tmp_path / name)
    assert picture.shape == (1, 8, 8, 3)
    torch.testing.assert_close(picture, torch.full_like(picture, 0.5), atol=1 / 255, rtol=0)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "PA"])
def test_every_mode_of_eight_bits_is_what_pillow_makes_of_it(tmp_path, mode):
    picture = Image.linear_gradient("L").resize((16, 16)).convert("RGB")
    path = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr", "LAB") else "a.png")
    try:
        picture.convert(mode).save(path)
    except (OSError, ValueError):  # no file holds this mode: it reaches the folder as another
        picture.save(path)
    with Image.open(path) as opened:
        expected = np.asarray(opened.convert("RGB"), np.float32) / 255
    assert np.array_equal(load_picture(path)[0].numpy(), expected)


def test_values_of_another_range_are_refused_with_the_range(tmp_path):
    Image.fromarray(np.full((4, 4), 128.0, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(PusaError, match=r"a\.tif has values of 128 to 128, .* 0 to 1"):
        load_picture(tmp_path / "a.tif")
    Image.fromarray(np.full((4, 4), 2**31 - 1, np.int32)).save(tmp_path / "b.tif")
    with pytest.raises(PusaError, match=r"b\.tif has values of .* 0 to 65535"):
        load_picture(tmp_path / "b.tif")


def test_names_of_any_script_find_their_prompts(tmp_path):
    folder = tmp_path / "input" / "all"
    folder.mkdir(parents=True)
    decomposed = unicodedata.normalize("NFD", "caf\u00e9")
    names = [decomposed, "\u732b" * 81, "\u0643\u0644\u0628", "CAT", "cat\u00b2", "\u0663 cats", "a.b.c"]
    for name in names:
        Image.new("RGB", (4, 4)).save(folder / f"{name}.png")
    for name in [unicodedata.normalize("NFC", decomposed), *names[1:3], *names[4:]]:
        (folder / f"{name}.txt").write_text("a prompt", encoding="utf-8")
    (folder / "cat.TXT").write_text("large and small letters", encoding="utf-8")
    (folder / "._CAT.png").write_bytes(b"what macOS puts beside pictures")
    items = read_folder(folder.parent, "all", "out", ItemSettings())
    assert sorted(item.name for item in items) == sorted(names)
    results = tmp_path / "out"
    results.mkdir()
    for item in items:
        result = item.result(tmp_path)
        unfinished_result(result).write_bytes(b"video")
        os.replace(unfinished_result(result), result)
    assert pending(items, tmp_path) == []


def test_natural_order_holds_in_every_script():
    names = ["cat10", "cat2", "cat\u00b2", "10", "9", "\u0663", "a"]
    assert sorted(names, key=natural_order) == ["\u0663", "9", "10", "a", "cat2", "cat10", "cat\u00b2"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("video/con", "'con' is the name of a device"),
        ("video/LPT1.old", "'LPT1.old' is the name of a device"),
        ("video\\aux", "'aux' is the name of a device"),
        ("a:b", "has the sign ':'"),
        ("what?", r"has the sign '\?'"),
        ("cats.", "ends in a dot or a space"),
        ("cats /x", "ends in a dot or a space"),
        ("\u732b" * 256, "256 characters long"),
    ],
)
def test_windows_rules_for_names_are_told_on_windows(path, words):
    with pytest.raises(PusaError, match=words):
        check_names(path, "The output folder", windows=True)


def test_names_are_as_long_as_the_file_system_takes(tmp_path):
    check_names("video/console/../aux_", "The output folder", windows=True)
    check_names("a:b?", "The output folder", windows=False)
    check_names("\u732b" * 85, "x", windows=False)
    with pytest.raises(PusaError, match="258 bytes long"):
        check_names("\u732b" * 86, "x", windows=False)
    with pytest.raises(PusaError, match="is no text"):
        check_names("\udcff.mp4", "x")


def test_a_locked_report_is_waited_for(cats, tmp_path, monkeypatch):
    report, item = tmp_path / "report.csv", read(cats)[0]
    tries = []

    def replace(source, target, real=os.replace):
        tries.append(target)
        if len(tries) < 3:
            raise PermissionError("open elsewhere")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr("pusa_core.folders.time.sleep", lambda seconds: None)
    assert add_to_report(report, report_row(item, 81, 5.0)) == ""
    assert len(tries) == 3
    assert report.is_file()


def test_a_report_that_stays_locked_loses_no_line_and_says_so(cats, tmp_path, monkeypatch):
    report, items = tmp_path / "report.csv", read(cats)
    real, locked = os.replace, [True]

    def replace(source, target):
        if locked[0] and str(target).endswith(".csv"):
            raise PermissionError("open elsewhere")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    for item in items[:2]:
        said = add_to_report(report, report_row(item, 81, 5.0), patience=0.0)
        assert "open in another program" in said
        assert f"The line of {item.name} waits in report.csv.waiting" in said
    locked[0] = False
    assert add_to_report(report, report_row(items[2], 81, 5.0)) == ""
    with report.open(encoding="utf-8-sig", newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["cat2", "cat10", "Dog"]
    assert not (tmp_path / "report.csv.waiting").exists()


def test_a_report_that_a_spreadsheet_saved_with_semicolons_loses_no_line(cats, tmp_path):
    report, items = tmp_path / "report.csv", read(cats)
    report.write_text("name;seed\ncat1;1\nowl;2\n", encoding="utf-8")
    for item in items[:2]:
        assert "report.csv is no CSV file any more (it has no column name): rename it" in add_to_report(
            report, report_row(item, 81, 5.0)
        )
    assert report.read_text(encoding="utf-8") == "name;seed\ncat1;1\nowl;2\n"
    report.rename(tmp_path / "old.csv")
    assert add_to_report(report, report_row(items[2], 81, 5.0)) == ""
    with report.open(encoding="utf-8-sig", newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["cat2", "cat10", "Dog"]


def test_rows_without_a_name_are_all_kept(cats, tmp_path):
    report, item = tmp_path / "report.csv", read(cats)[0]
    report.write_text("name,notes\n,one\n,two\ncat2,old\n", encoding="utf-8")
    add_to_report(report, report_row(item, 81, 5.0))
    with report.open(encoding="utf-8-sig", newline="") as file:
        assert [(row["name"], row["notes"]) for row in csv.DictReader(file)] == [
            ("", "one"),
            ("", "two"),
            ("cat2", ""),
        ]


def test_a_report_that_is_no_table_stops_no_item(cats, tmp_path):
    report = tmp_path / "report.csv"
    report.write_bytes(b"PK\x03\x04\xff\xfe a workbook saved under this name")
    assert "is no CSV file any more" in add_to_report(report, report_row(read(cats)[0], 81, 5.0))
    assert report.read_bytes().startswith(b"PK")


def test_an_item_that_fails_is_taken_last_alone_and_not_for_ever(cats, tmp_path):
    items, output = read(cats), tmp_path / "output"
    attempts = Attempts(output / "video" / "cats")

    def run(at_most, fails=()):
        waiting = pending(items, output)
        taken = next_items(waiting, attempts.of(waiting), at_most)
        attempts.begin(taken, waiting)
        for item in taken:
            if item.name in fails:
                return [item.name for item in taken]
            item.result(output).parent.mkdir(parents=True, exist_ok=True)
            item.result(output).write_bytes(b"video")
            attempts.finish(item.name)
        return [item.name for item in taken]

    assert run(0, fails=("cat10",)) == ["cat2", "cat10", "Dog"]
    assert run(0, fails=("cat10",)) == ["cat10"]
    assert run(0) == ["Dog"]
    with pytest.raises(
        PusaError,
        match=r"1 items were begun 2 times and have no video: cat10\. Each failed, or is still .*attempts\.json",
    ):
        run(0)
    (cats / "cat10.txt").write_text("another prompt")
    items = read(cats)
    assert run(0) == ["cat10"]
    assert not (output / "video" / "cats" / "attempts.json").exists()


def test_a_cancelled_item_is_taken_last_but_as_often_as_it_is_asked_for(cats, tmp_path):
    items, cancelled = read(cats), set()
    attempts = Attempts(tmp_path, cancelled.__contains__)

    def run(name, cancel):
        (taken,) = next_items(items, attempts.of(items), 1)
        attempts.begin([taken], items, name)
        if cancel:
            cancelled.add(name)
        return taken.name

    assert [run("a", True), run("b", False), run("c", False)] == ["cat2", "cat10", "Dog"]
    assert [run("d", True), run("e", False), run("f", False)] == ["cat2", "cat10", "Dog"]
    assert [run("g", True), run("h", True), run("i", False), run("j", False)] == ["cat2"] * 4
    assert attempts.of(items)["cat2"] == Tries(6, 4, "j")
    with pytest.raises(PusaError, match="3 items were begun 2 times"):
        run("k", False)


@pytest.mark.parametrize(
    "text", ['{"cat2": ["an earlier version", 2]}', '{"cat2": {"begun": "x"}}', "[]", "{"]
)
def test_a_file_of_attempts_that_is_not_as_written_begins_to_count(cats, tmp_path, text):
    attempts = Attempts(tmp_path)
    attempts.file.write_text(text, "utf-8")
    assert set(attempts.of(read(cats)).values()) == {Tries()}
