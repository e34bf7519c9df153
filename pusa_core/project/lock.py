"""One run a project: a file that is held locked while a run works, and is free again the moment its process ends."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ..errors import PusaError

logger = logging.getLogger("ComfyUI-Pusa")

LOCK = "project.lock"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The project's folder for this run alone; a second run is refused.

    The system frees the lock when the process ends, however it ends, so a file that is left behind blocks nothing.
    """
    try:
        file = (folder / LOCK).open("a+b")
    except OSError as error:
        raise PusaError(
            f"The project's folder {folder.name} cannot be written ({error}). Check that it may be changed, or use another name."
        ) from error
    with file:
        if not _take(file):
            raise PusaError(
                f"Another run is working on the project {folder.name}. Wait until it is finished or cancel it, or give this one "
                "another name."
            )
        try:
            yield
        finally:
            _free(file)


if sys.platform == "win32":
    import msvcrt

    def _take(file: IO[bytes]) -> bool:
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _free(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _take(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        except OSError as error:  # some network and cloud disks have no locks
            logger.warning(
                "%s: its disk locks no files (%s), so see that no two runs work there at once.",
                file.name,
                error,
            )
        return True

    def _free(file: IO[bytes]) -> None:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)
