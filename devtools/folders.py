"""Links folders into one another on every system, and removes them again."""

import os
import shutil
from pathlib import Path

NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "tests", "demo")


def link_folder(source: Path, link: Path) -> None:
    """Makes `link` lead to the folder `source`: a symbolic link, on Windows a junction, else a copy."""
    remove(link)
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(source.resolve(), target_is_directory=True)
    except OSError:  # Windows allows symbolic links to administrators and developers only
        if os.name == "nt" and make_junction(source.resolve(), link):
            return
        shutil.copytree(source, link, ignore=NOT_COPIED)


def make_junction(source: Path, link: Path) -> bool:
    """Makes a Windows junction; False where the drive knows none (network drives, exFAT)."""
    import _winapi

    try:
        _winapi.CreateJunction(str(source), str(link))
    except OSError:
        return False
    return True


def remove(path: Path) -> None:
    """Removes a file, a link (not what it leads to) or a folder, if it is there."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        try:
            path.rmdir()  # an empty folder, or a junction, whose target stays
        except OSError:
            shutil.rmtree(path)
