import errno
import os
from pathlib import Path

import pytest

from pusa_core.errors import PusaError
from pusa_core.fleet import results
from pusa_core.fleet.client import ResultFile, saved_files
from pusa_core.fleet.jobs import Job
from pusa_core.fleet.results import DONE, REPORT, ResultsFolder, Row, read_report, result_names, write_whole

VIDEO, PICTURE = ResultFile(".mp4", b"video"), ResultFile(".png", b"picture")


def job(name: str, digest: str = "d") -> Job:
    return Job(name, {}, {}, digest)


def test_results_are_named_after_their_item_and_numbered_where_several_end_alike():
    assert result_names("cat", [VIDEO]) == ["cat.mp4"]
    assert result_names("cat", [PICTURE, VIDEO, PICTURE]) == ["cat_1.png", "cat.mp4", "cat_2.png"]


def test_no_item_writes_over_the_file_of_another_that_is_named_like_its_number(tmp_path):
    jobs = [job("cat"), job("Cat_1"), job("cat_1_1")]
    folder = ResultsFolder(tmp_path, jobs)
    folder.begin()
    for each in jobs:
        content = f"of {each.name}".encode()
        folder.save(
            each, [ResultFile(".png", content + b" 1"), ResultFile(".png", content + b" 2")], Row(each.name)
        )
    folder = ResultsFolder(tmp_path, [job("cat_2")])  # asked for later: its name is that of a file of cat
    folder.save(job("cat_2"), [ResultFile(".png", b"of cat_2")], Row("cat_2"))
    found = {row.name: results.files_of(row.name, row.files) for row in read_report(tmp_path / REPORT)}
    assert found == {
        "cat": ["cat_2.png", "cat_3.png"],
        "Cat_1": ["Cat_1_2.png", "Cat_1_3.png"],
        "cat_1_1": ["cat_1_1_1.png", "cat_1_1_2.png"],
        "cat_2": ["cat_2_1.png"],
    }
    for name, files in found.items():
        assert all((tmp_path / file).read_bytes().startswith(f"of {name}".encode()) for file in files)
    assert not ResultsFolder(tmp_path, [*jobs, job("cat_2")]).missing()


def test_an_item_is_missing_until_its_file_is_there_and_again_when_file_or_digest_are_not(tmp_path):
    folder = ResultsFolder(tmp_path, [job("one"), job("two")])
    folder.begin()
    folder.save(job("one"), [VIDEO], Row("one"))
    assert [job.name for job in ResultsFolder(tmp_path, [job("one"), job("two")]).missing()] == ["two"]
    assert ResultsFolder(tmp_path, [job("one", "another")]).missing()
    (tmp_path / "one.mp4").unlink()
    assert [job.name for job in ResultsFolder(tmp_path, [job("one"), job("two")]).missing()] == ["one", "two"]


def test_rows_of_items_that_are_not_of_this_run_stay_in_the_report(tmp_path):
    folder = ResultsFolder(tmp_path, [job("one")])
    folder.save(job("one"), [VIDEO], Row("one"))
    ResultsFolder(tmp_path, [job("two")]).begin()
    assert [row.name for row in read_report(tmp_path / REPORT)] == ["two", "one"]


def test_files_of_an_earlier_graph_go_when_the_item_is_made_again(tmp_path):
    ResultsFolder(tmp_path, [job("one")]).save(job("one"), [PICTURE, PICTURE], Row("one"))
    again = ResultsFolder(tmp_path, [job("one", "new")])
    again.begin()
    again.save(job("one", "new"), [VIDEO], Row("one"))
    assert {path.name for path in tmp_path.iterdir()} == {"one.mp4", REPORT}


def test_a_name_with_what_stands_between_files_never_costs_another_item_its_result(tmp_path):
    jobs = [job("cat; dog"), job("dog"), job("one")]
    folder = ResultsFolder(tmp_path, jobs)
    folder.begin()
    folder.save(jobs[0], [PICTURE, PICTURE], Row("cat; dog"))
    folder.save(jobs[1], [PICTURE, PICTURE, VIDEO], Row("dog"))
    folder.save(jobs[2], [PICTURE, PICTURE], Row("one"))
    assert not ResultsFolder(tmp_path, jobs).missing()
    again = ResultsFolder(tmp_path, [job("cat; dog", "new"), *jobs[1:]])
    again.begin()
    again.save(job("cat; dog", "new"), [VIDEO], Row("cat; dog"))
    assert {path.name for path in tmp_path.iterdir()} == {
        "cat; dog.mp4", "dog_1.png", "dog_2.png", "dog.mp4", "one_1.png", "one_2.png", REPORT,
    }  # fmt: skip


def test_a_full_disk_leaves_no_half_file_and_says_what_to_do(tmp_path, monkeypatch):
    def full(path: Path, content: bytes) -> None:
        path.open("wb").write(content[:2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    folder = ResultsFolder(tmp_path, [job("one")])
    folder.begin()
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(PusaError, match=r"is full .*run the same command again"):
        folder.save(job("one"), [VIDEO], Row("one"))
    monkeypatch.undo()
    assert {path.name for path in tmp_path.iterdir()} == {REPORT}
    assert ResultsFolder(tmp_path, [job("one")]).missing()


def test_a_disk_that_is_really_full_is_known_by_what_the_system_says():
    with pytest.raises(OSError, match=results.FULL) as caught, open("/dev/full", "wb", buffering=0) as device:
        device.write(b"x")
    assert results.is_full(str(caught.value))


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PusaError, match="cannot be written"):
        ResultsFolder(tmp_path / "file", [job("one")])


def test_a_report_that_another_program_holds_open_does_not_stop_the_run(tmp_path, monkeypatch):
    folder = ResultsFolder(tmp_path, [job("one")])

    def held(*arguments: object) -> None:
        raise PermissionError(errno.EACCES, "held open", REPORT)

    monkeypatch.setattr(results, "write_table", held)
    assert folder.save(job("one"), [VIDEO], Row("one")).status == DONE
    with pytest.raises(PusaError, match="Close programs"):
        folder.write_report(is_last=True)


def test_a_name_never_stands_for_half_a_file(tmp_path):
    write_whole(tmp_path / "a.mp4", b"1")
    write_whole(tmp_path / "a.mp4", b"22")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.mp4", b"22")]


def test_previews_do_not_count_as_results():
    shown = {"10": {"images": [{"filename": "b.png", "subfolder": "", "type": "output"}], "animated": [True]}}
    shown["9"] = {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}]}
    shown["3"] = {"images": [{"filename": "p.png", "subfolder": "", "type": "temp"}], "text": ["hello"]}
    assert [entry["filename"] for entry in saved_files(shown)] == ["a.png", "b.png"]
    with pytest.raises(PusaError, match="without a saved file"):
        saved_files({"3": shown["3"]})
