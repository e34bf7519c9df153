"""The project of Long Video: windows of equal length made straight through, with what is given besides text."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..colour import MONGE_KANTOROVICH
from ..errors import PusaError
from ..long_video import Window
from .folder import ProjectFolder
from .plan import Defaults, Plan, Straight, plan_project
from .text import BEFORE, OFF, AnchorUse, Key, Project, WindowText

END, ANCHOR = "end", "anchor"
"""What the pictures of a Guidance are called in its project, which names pictures where others name files."""

TOKEN = re.compile(r"%\w+%")
"""What ComfyUI replaces in a file's prefix: %year%, %month%, %minute% and the like."""

FOLDER = re.compile(r"(.+)\.[0-9a-f]{16}\.parts")


@dataclass(frozen=True)
class Guidance:
    """What is given besides text; pictures are [N, H, W, 3], 0 to 1, at the size of the video."""

    noise_multipliers: str  # of given frames, as typed
    start: Tensor | None = None  # the first frames of the video, 4k + 1
    end: Tensor | None = None  # [1, H, W, 3], the last frame; only the last window sees it
    end_multiplier: float = 0.0
    anchor: Tensor | None = None  # [1, H, W, 3], seen by every window after the first, never shown
    anchor_multiplier: float = 0.0
    colour_match: str | None = None  # a method of colour.METHODS, or None

    def picture(self, name: str) -> Tensor:
        """The picture that a project calls END or ANCHOR."""
        found = {END: self.end, ANCHOR: self.anchor}[name]
        assert found is not None, "only what is given is named"
        return found


def straight_plan(
    windows: Sequence[Window], guidance: Guidance, defaults: Defaults, prompts: Sequence[tuple[str, str]]
) -> Plan:
    """The plan of a video made straight through.

    windows: see long_video.plan_windows; prompts: what the prompt and the negative of each window are called.
    """
    first, last = windows[0], windows[-1]
    _check_anchor(windows, guidance)
    texts = tuple(
        WindowText(
            f"w{window.index + 1}",
            prompt,
            negative,
            length=window.length,
            overlap=window.given if window.index else None,
        )
        for window, (prompt, negative) in zip(windows, prompts, strict=True)
    )
    end = Key(last.start + last.length - 1, END, guidance.end_multiplier)
    project = Project(
        texts,
        first.length,
        noise_multipliers=guidance.noise_multipliers,
        colour=OFF if guidance.colour_match is None else BEFORE,
        keys=() if guidance.end is None else (end,),
        anchor=None if guidance.anchor is None else AnchorUse(ANCHOR, guidance.anchor_multiplier),
    )
    straight = Straight(first.given, last.end, guidance.colour_match or MONGE_KANTOROVICH)
    return plan_project(project, defaults, first.base, straight)


def straight_folder(beside: Path, name: str, identity: str) -> ProjectFolder:
    """The folder of the parts of a video. identity: a name of what all of its windows share."""
    return ProjectFolder(beside / f"{name}.{identity}.parts", precision=torch.float32)


def straight_folder_of(output: Path, prefix: str, identity: str) -> ProjectFolder | None:
    """The newest folder of parts that a prefix with a date or a time in it (%year%, %minute%) gave a video of this identity, or None."""
    texts = TOKEN.split(prefix)
    if len(texts) == 1:
        return None
    pattern = f"{'*'.join(map(glob.escape, texts))}.{identity}.parts"
    found = [path for path in output.glob(pattern.lstrip("/\\")) if path.is_dir()]
    if not found:
        return None
    return ProjectFolder(max(found, key=lambda path: path.stat().st_mtime), precision=torch.float32)


def forget_other_finished(folder: ProjectFolder) -> None:
    """Remove the parts of the finished videos of the same name; those of cancelled ones stay, to go on from."""
    for other in _alike(folder):
        if other.finished_video() is not None:
            other.remove()


def of_earlier_version(folder: ProjectFolder) -> list[str]:
    """Folders of the same name with parts as ComfyUI-Pusa wrote them before they were projects; they are not continued."""
    return [other.folder.name for other in _alike(folder) if any(other.folder.glob("part_*.mp4"))]


def _alike(folder: ProjectFolder) -> Iterator[ProjectFolder]:
    """The other folders of parts that belong to the same name."""
    mine = FOLDER.fullmatch(folder.name)
    assert mine, "made by straight_folder"
    for path in sorted(folder.folder.parent.iterdir()):
        found = FOLDER.fullmatch(path.name)
        if found and found[1] == mine[1] and path != folder.folder and path.is_dir():
            yield ProjectFolder(path)


def _check_anchor(windows: Sequence[Window], guidance: Guidance) -> None:
    if guidance.anchor is not None and any(window.given_latents < 2 for window in windows[1:]):
        base = windows[0].base
        raise PusaError(
            f"overlap is {windows[1].given} frame, and the anchor takes the first latent frame of each window, so nothing would be "
            f"handed over. Use an overlap of {base.video_length(2)} or more ({base.video_length(4)} is usual), or disconnect anchor."
        )
