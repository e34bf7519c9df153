"""What comes back of a project: parts into its folder, and a report that says what each of them was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .client import ResultFile
from .jobs import Job
from .project import ProjectJobs
from .results import BETWEEN, DONE, ResultsFolder, Row


class ProjectResults(ResultsFolder):
    """The parts of a project that a fleet makes; which of them hold is known from the report and from the parts themselves."""

    next_step = "Run the graph in ComfyUI: Pusa Director finds these parts and joins the video."

    def __init__(self, project: ProjectJobs) -> None:
        super().__init__(project.folder.folder, project.all())
        self.project = project

    def prepare(self, job: Job) -> Job | None:
        """A job with the parts that it is made from; None where these are the ones that its own part was made from."""
        complete = self.project.complete(job)
        assert complete is not None, "all that it needs is done"
        return None if self._is_finished(complete) else complete

    def save(self, job: Job, produced: Sequence[ResultFile], row: Row) -> Row:
        """Puts a part into the project's folder and writes its row; returns the row."""
        one = self.project.candidates[job.name]
        window = self.project.director.project.windows[one.index].id
        contents = {file.suffix: file.content for file in produced}
        part = self.project.folder.take_over(window, one.number, contents)
        names = BETWEEN.join(file.name for file in part.files)
        finished = replace(row, status=DONE, files=names, digest=f"{job.digest} {part.facts.identity}")
        self.note(finished)
        return finished

    def _is_finished(self, job: Job) -> bool:
        """Whether the part is there, the report knows it, and it was made from what would be sent along now."""
        row, part = self.earlier.get(job.name), self.project.part(job.name)
        if row is None or part is None or row.status != DONE:
            return False
        complete = job if job.digest else self.project.complete(job)
        return complete is not None and row.digest == f"{complete.digest} {part.facts.identity}"
