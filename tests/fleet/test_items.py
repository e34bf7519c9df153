import pytest

from pusa_core.errors import PusaError
from pusa_core.fleet.items import Item, csv_items, folder_items
from pusa_core.fleet.jobs import Inputs, make_jobs

GRAPH = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}, "_meta": {"title": "First frame"}},
    "2": {"class_type": "Text", "inputs": {"text": "a cat"}, "_meta": {"title": "What to show"}},
    "3": {"class_type": "Sampler", "inputs": {"positive": ["2", 0], "image": ["1", 0], "seed": 0}},
}


def fill(folder, **files):
    for name, content in files.items():
        stem, _, suffix = name.rpartition("_")
        (folder / f"{stem}.{suffix}").write_bytes(content)


def test_a_folder_is_read_in_natural_order_with_prompts_and_settings(tmp_path):
    fill(
        tmp_path,
        cat10_png=b"b",
        cat10_txt=b"ten",
        cat2_jpg=b"a",
        cat2_txt=b" two\n",
        cat2_json=b'{"seed": 7}',
    )
    items = folder_items(tmp_path)
    assert [(item.name, item.prompt, dict(item.values)) for item in items] == [
        ("cat2", "two", {"seed": 7}),
        ("cat10", "ten", {}),
    ]


def test_names_that_begin_with_digits_and_letters_sort_together(tmp_path):
    fill(tmp_path, a_png=b"a", a_txt=b"a", **{"1_png": b"1", "1_txt": b"1"})
    assert [item.name for item in folder_items(tmp_path)] == ["1", "a"]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "has no picture"),
        ({"cat_png": b""}, "cat.png has no prompt"),
        ({"cat_png": b"", "cat_txt": b" "}, "cat.txt is empty"),
        ({"cat_png": b"", "cat_txt": b"\xff\xfe"}, "not UTF-8"),
        ({"cat_png": b"", "cat_txt": b"a", "cat_json": b"[1]"}, "must hold inputs"),
        ({"cat_png": b"", "cat_jpg": b"", "cat_txt": b"a"}, "Two items are named 'cat'"),
    ],
)
def test_a_folder_that_is_not_complete_is_refused_as_a_whole(tmp_path, files, sentence):
    fill(tmp_path, **files)
    with pytest.raises(PusaError, match=sentence):
        folder_items(tmp_path)


def test_hidden_files_of_macos_are_no_pictures(tmp_path):
    for name, content in {
        "cat.png": b"",
        "cat.txt": b"a cat",
        "._cat.png": b"",
        "._cat.txt": b"\xff",
    }.items():
        (tmp_path / name).write_bytes(content)
    assert [item.name for item in folder_items(tmp_path)] == ["cat"]


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(PusaError, match="There is no folder"):
        folder_items(tmp_path / "cats")


def test_rows_set_inputs_and_empty_cells_leave_the_graphs_own(tmp_path):
    (tmp_path / "rows.csv").write_text(
        '\ufeffname,What to show.text,seed\none,"a dog, asleep",5\ntwo,,6\n\n', "utf-8"
    )
    jobs = make_jobs(GRAPH, csv_items(tmp_path / "rows.csv"), Inputs())
    assert [
        (job.name, job.graph["2"]["inputs"]["text"], job.graph["3"]["inputs"]["seed"]) for job in jobs
    ] == [
        ("one", "a dog, asleep", 5),
        ("two", "a cat", 6),
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "needs a first line"),
        ("seed\n1\n", "needs a first line"),
        ("name,seed\n", "no row"),
        ("name,seed,seed\na,1,2\n", "twice"),
        ("name,seed\na/b,1\n", "named 'a/b'"),
        ("name,seed\n,1\n", "named ''"),
        ("name,seed\na,1,2\n", "3 cells for 2 columns"),
        ("name,seed\na,1\nA,2\n", "Two items are named 'A'"),
    ],
)
def test_a_table_with_a_mistake_is_refused_with_its_line(tmp_path, content, sentence):
    (tmp_path / "rows.csv").write_text(content)
    with pytest.raises(PusaError, match=sentence):
        csv_items(tmp_path / "rows.csv")


def test_a_line_break_inside_a_cell_is_no_new_row(tmp_path):
    """Word processors and the web write \\v and U+2028, which are not what ends a line of CSV."""
    table = tmp_path / "items.csv"
    table.write_text("name,text\ncat,a cat\vat night\ndog,a dog\u2028by day\n", encoding="utf-8")
    assert [(item.name, item.values["text"]) for item in csv_items(table)] == [
        ("cat", "a cat\vat night"),
        ("dog", "a dog\u2028by day"),
    ]


def test_a_value_that_does_not_fit_names_its_item(tmp_path):
    with pytest.raises(PusaError, match=r"Item 'one': .*seed is 'many'; write a whole number"):
        make_jobs(GRAPH, [Item("one", tmp_path, {"seed": "many"})], Inputs())


def test_the_pictures_of_a_folder_travel_under_a_name_made_of_their_content(tmp_path):
    fill(tmp_path, a_png=b"same", a_txt=b"x", b_png=b"same", b_txt=b"y", c_png=b"other", c_txt=b"x")
    first, second, third = make_jobs(GRAPH, folder_items(tmp_path), Inputs())
    names = [job.graph["1"]["inputs"]["image"] for job in (first, second, third)]
    assert names[0] == names[1] != names[2]
    assert names[0] == next(iter(first.files)).removeprefix("input/")
    assert len({first.digest, second.digest, third.digest}) == 3, (
        "the prompt counts, and the picture's content"
    )


def test_the_digest_follows_the_pictures_content_not_its_name(tmp_path):
    fill(tmp_path, a_png=b"one", a_txt=b"x")
    before = make_jobs(GRAPH, folder_items(tmp_path), Inputs())[0].digest
    (tmp_path / "a.png").write_bytes(b"two")
    assert make_jobs(GRAPH, folder_items(tmp_path), Inputs())[0].digest != before


def test_a_file_that_the_graph_itself_names_is_sent_where_it_is_known(tmp_path):
    (tmp_path / "example.png").write_bytes(b"picture")
    item = Item("one", tmp_path, {"seed": 1})
    assert make_jobs(GRAPH, [item], Inputs())[0].graph["1"]["inputs"]["image"] == "example.png"
    sent = make_jobs(GRAPH, [item], Inputs(folder=tmp_path))[0]
    assert list(sent.files.values()) == [tmp_path / "example.png"]


def test_a_file_of_a_row_that_is_not_there_is_told(tmp_path):
    with pytest.raises(PusaError, match=r"nowhere\.png cannot be read"):
        make_jobs(GRAPH, [Item("one", tmp_path, {"First frame.image": "nowhere.png"})], Inputs())
