"""Items of a folder of pictures with prompts, as a graph takes them: which come next, and what each output gets of them."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

from ...pusa_core.folders import (
    REPORT,
    Attempts,
    FolderItem,
    ItemSettings,
    folder_inside,
    load_picture,
    next_items,
    pending,
    read_folder,
)
from .folders import input_folder, output_folder
from .running_prompt import running_prompt_id, was_cancelled

SAVER = "PusaFolderSave"


def take_items(
    folder: str, results: str, defaults: ItemSettings, at_most: int, hidden: Any
) -> tuple[list[FolderItem], str]:
    """The next items without a video, none where all are finished, and what the node says; at_most: 0 takes all.

    folder: inside ComfyUI's input folder; results: inside its output folder; hidden: the node's hidden inputs.
    """
    items = read_folder(input_folder(), folder, results, defaults)
    waiting = pending(items, output_folder())
    if not waiting:
        return [], f"All {len(items)} items of {folder!r} are finished; the report is {results}/{REPORT}."
    attempts = attempts_of(results)
    taken = next_items(waiting, attempts.of(waiting), at_most)
    if _saves(hidden):
        attempts.begin(taken, waiting, running_prompt_id())
    names = ", ".join(item.name for item in taken)
    return taken, f"{names}: then {len(waiting) - len(taken)} of {len(items)} items are left."


def columns(items: list[FolderItem]) -> list[list[Any]]:
    """The items' parts, one list for each output of Folder of Prompts."""
    chosen = [item.settings for item in items]
    return [
        [load_picture(item.picture) for item in items],
        [item.prompt for item in items],
        [settings.negative for settings in chosen],
        [settings.noise_multipliers for settings in chosen],
        [settings.seed for settings in chosen],
        [settings.length for settings in chosen],
        [settings.steps for settings in chosen],
        [settings.cfg for settings in chosen],
        items,
    ]


def what_waits(folder: str, results: str) -> list[Any]:
    """What changes when another item is next, or an item's files change."""
    items = pending(read_folder(input_folder(), folder, results, ItemSettings()), output_folder())
    tried = attempts_of(results).of(items)
    return [
        (item.name, item.prompt, str(item.settings), item.picture.stat().st_mtime, astuple(tried[item.name]))
        for item in items
    ]


def attempts_of(results: str) -> Attempts:
    """The tries of each item of a folder of results."""
    return Attempts(folder_inside(output_folder(), results, "output_folder"), was_cancelled)


def _saves(hidden: Any) -> bool:
    """Whether the running graph saves what it makes: without it no item is ever finished, and none has failed."""
    prompt = getattr(hidden, "prompt", None) or {}
    return any(node.get("class_type") == SAVER for node in prompt.values())
