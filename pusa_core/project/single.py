"""One candidate of one window, made from what lies in the project's folder: a share of a project that many machines make."""

from __future__ import annotations

from ..errors import PusaError
from .engine import LOCKED, ProjectRun
from .folder import Part
from .plan import PlannedWindow


class SingleRun(ProjectRun):
    """A run that makes one window; those around it are taken as they lie there, whatever they were made from."""

    def make_one(self, window: PlannedWindow) -> Part:
        """The chosen candidate of a window, made where it is missing. The folder must be taken."""
        locked = self.locked(window)
        if locked is None:
            return self.candidate(window, window.text.chosen)
        self._note(window, window.text.chosen, LOCKED, locked)
        return locked

    def ensure(self, index: int) -> Part:
        """The chosen part of another window, which must be there."""
        window = self.plan.windows[index]
        part = self.locked(window) or self.folder.part(window.id, window.text.chosen)
        if part is None or part.facts.shape != self.shape(window):
            stem = self.folder.stem(window.id, window.text.chosen)
            raise PusaError(
                f"This run makes one window only, and that is made from {stem}, which is not in the folder {self.folder.name} in the size, length "
                "and rate of the project. Make that window first, or take only out of the project."
            )
        return part
