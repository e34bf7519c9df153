"""Results of a run in their folder, named after the items, and report.csv with a row for each item."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from itertools import chain, count
from pathlib import Path

from ..errors import PusaError
from .client import ResultFile
from .jobs import Job
from .refusals import FULL, is_full

REPORT = "report.csv"
DONE, FAILED, WAITING = "done", "failed", "not run"
BETWEEN = "; "  # files in one cell


@dataclass(frozen=True)
class Row:
    """What the report says about an item."""

    name: str
    status: str = WAITING
    worker: str = ""
    attempts: str = "0"
    seconds: str = ""  # of the attempt that counts
    files: str = ""  # in the report's folder
    sentence: str = ""  # why it failed or was not run
    digest: str = ""  # of graph and inputs: another one is run again


class ResultsFolder:
    """Writes results and keeps the report up to date; what an earlier run finished is known from the report."""

    next_step = ""  # a sentence for who has all results

    def __init__(self, folder: Path, jobs: Sequence[Job]) -> None:
        self.folder = folder
        self.jobs = jobs
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.earlier = {row.name: row for row in read_report(folder / REPORT)}
        except OSError as error:
            raise self._refusal(error) from error
        self.rows = dict(self.earlier)

    def missing(self) -> list[Job]:
        """The jobs without a result: never finished, changed since, or with a file that is gone; and all that need one of these."""
        found = {job.name for job in self.jobs if not self._is_finished(job)}
        while more := {job.name for job in self.jobs if job.name not in found and found & set(job.needs)}:
            found |= more
        return [job for job in self.jobs if job.name in found]

    def prepare(self, job: Job) -> Job | None:
        """A job as a worker gets it, once all that it needs is done; None where its result is there and still holds."""
        return job

    def begin(self) -> None:
        """Marks what is to be run; the report exists from the beginning."""
        for job in self.missing():
            files = self.rows[job.name].files if job.name in self.rows else ""
            self.rows[job.name] = Row(job.name, files=files, digest=job.digest)
        self.write_report()

    def save(self, job: Job, produced: Sequence[ResultFile], row: Row) -> Row:
        """Writes the files of an item, each complete or not at all, and its row; returns the row."""
        others = {*self.rows, *(other.name for other in self.jobs)} - {job.name}
        taken = [file for other in others for file in self._files(other)]
        names = result_names(job.name, produced, others, taken)
        try:
            for name, file in zip(names, produced, strict=True):
                write_whole(self.folder / name, file.content)
            for name in set(self._files(job.name)) - set(names):  # of an earlier graph
                (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise self._refusal(error) from error
        finished = replace(row, status=DONE, files=BETWEEN.join(names), digest=job.digest)
        self.note(finished)
        return finished

    def keep(self, job: Job) -> None:
        """Puts the earlier row of a result that still holds back into the report."""
        self.note(self.earlier[job.name])

    def note(self, row: Row) -> None:
        """Puts a row into the report."""
        self.rows[row.name] = row
        self.write_report()

    def write_report(self, is_last: bool = False) -> None:
        """Writes the report; one that a spreadsheet program holds open waits for the next time, but not for ever."""
        order = [job.name for job in self.jobs]
        others = [name for name in self.rows if name not in set(order)]
        try:
            write_table(
                self.folder / REPORT, [self.rows[name] for name in [*order, *others] if name in self.rows]
            )
        except PermissionError as error:
            if is_last:
                raise self._refusal(error) from error
        except OSError as error:
            raise self._refusal(error) from error

    def _is_finished(self, job: Job) -> bool:
        row = self.earlier.get(job.name)
        if row is None or row.status != DONE or row.digest != job.digest:
            return False
        files = self._files(job.name)
        return bool(files) and all((self.folder / name).is_file() for name in files)

    def _files(self, name: str) -> list[str]:
        row = self.rows.get(name)
        return files_of(name, row.files) if row else []

    def _refusal(self, error: OSError) -> PusaError:
        if is_full(str(error)):
            return PusaError(
                f"The disk of the results folder {self.folder} is full ({FULL}). Free some space and run the same command again; "
                "it goes on where it stopped."
            )
        return PusaError(
            f"The results folder {self.folder} cannot be written ({error.strerror}: {error.filename}). Close programs that have "
            "its files open, or choose another with --output."
        )


def result_names(
    item: str, produced: Sequence[ResultFile], others: Collection[str] = (), taken: Iterable[str] = ()
) -> list[str]:
    """Names of an item's files: cat.mp4; cat_1.png, cat_2.png where several end alike; none that another item's file has or gets.

    others: the names of the other items; taken: their files.
    """
    suffixes = [file.suffix for file in produced]
    theirs = [*taken, *(f"{other}{suffix}" for other in others for suffix in set(suffixes))]
    avoided = {name.casefold() for name in theirs}  # as file systems compare
    names: list[str] = []
    for suffix in suffixes:
        alone = [f"{item}{suffix}"] if suffixes.count(suffix) == 1 else []
        numbered = (f"{item}_{number}{suffix}" for number in count(1))
        names.append(next(name for name in chain(alone, numbered) if name.casefold() not in avoided))
        avoided.add(names[-1].casefold())
    return names


def files_of(item: str, cell: str) -> list[str]:
    """The files that a row of the report names. All begin with the item's name, which may itself have what is between them."""
    return [file for file in re.split(f"{re.escape(BETWEEN)}(?={re.escape(item)})", cell) if file]


def write_whole(file: Path, content: bytes) -> None:
    """Writes a file under another name first, so that the name never stands for half of it."""
    unfinished = file.with_name(f".{file.name}.unfinished")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, file)
    except OSError:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def read_report(file: Path) -> list[Row]:
    """The rows of a report; none where there is no report yet."""
    if not file.is_file():
        return []
    known = {field.name for field in fields(Row)}
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            return [_row(found, known) for found in csv.DictReader(opened) if found.get("name")]
    except (UnicodeDecodeError, csv.Error) as error:
        raise PusaError(
            f"{file} cannot be read ({error}). It says what is finished already; remove it to run everything again."
        ) from error


def _row(found: Mapping[str, str | None], known: set[str]) -> Row:
    return Row(**{key: value or "" for key, value in found.items() if key in known})


def write_table(file: Path, rows: Iterable[Row]) -> None:
    """Writes rows as CSV, complete or not at all; the mark at its beginning lets spreadsheet programs see that it is UTF-8."""
    unfinished = file.with_name(f".{file.name}.unfinished")
    try:
        with unfinished.open("w", encoding="utf-8-sig", newline="") as opened:
            table = csv.DictWriter(opened, [field.name for field in fields(Row)])
            table.writeheader()
            table.writerows(asdict(row) for row in rows)
        os.replace(unfinished, file)
    except OSError:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
