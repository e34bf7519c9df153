"""Preparing a training with what a graph holds: clips into cache files, settings into a TOML file."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from ...pusa_core.choices import check_choice
from ...pusa_core.errors import PusaError
from ...pusa_core.folders import folder_inside, load_picture
from ...pusa_core.images import CROP
from ...pusa_core.picture_files import PICTURES
from ...pusa_core.training.bases import BASES
from ...pusa_core.training.caching import FOLDER, Skipped, cache_clip, check_name
from ...pusa_core.training.config import EXPERTS, SECTIONS, config_of, config_text, read_table
from ...pusa_core.training.sources import Fit, Source, find_sources, parse_lengths
from .folders import input_folder, model_path, output_folder
from .video import clip_of, video_of_file, video_of_frames

BASE_NAMES = [name for name in BASES if name != "any"]
NO_EXPERT = "none"
EXPERT_NAMES = [NO_EXPERT, *filter(None, EXPERTS)]
KINDS = ["lora", "full"]
STOP, SKIP = BAD_CLIPS = ("stop", "skip")
PACK = Path(__file__).resolve().parents[2]


def waiting_clips(folder: str, dataset: str, at_most: int, skip_bad: bool) -> tuple[list[Source], str]:
    """The next clips of an input folder without a cache file, and what the node says of them; at_most: 0 takes all."""
    sources, bad = find_sources(folder_inside(input_folder(), folder, "folder"))
    if bad and not skip_bad:
        raise PusaError(" ".join(bad) + ' Or set bad_clips to "skip".')
    missing = [source for source in sources if not cache_path(dataset, source.name).is_file()]
    skipped = skipped_of(dataset)
    unfit = skipped.of(missing) if skip_bad else {}
    waiting = [source for source in missing if source.name not in unfit]
    taken = waiting[: at_most or len(waiting)]
    told = f"{len(taken)} of {len(sources)} clips are taken, {len(waiting) - len(taken)} are left for later runs."
    if len(unfit) == len(sources):
        told = "No clip of the folder can be used."
    elif not taken:
        usable = f"{len(sources) - len(unfit)} clips" + (" that can be used" if unfit else "")
        told = f"All {usable} are cached in output/{FOLDER}/{dataset}."
    again = [f"Delete {_below_output(skipped.file)} to try the skipped ones again."] if unfit else []
    return taken, "\n".join(
        [told, *bad, *(f"skipped {name}: {reason}" for name, reason in unfit.items()), *again]
    )


@dataclass(frozen=True)
class ClipRequest:
    """A clip to cache; the fields are the inputs of Pusa Training Clip, in their order."""

    vae: Any
    positive: Any  # CONDITIONING, the encoded caption
    video: Any  # VIDEO or IMAGE
    name: str
    prompt: str = ""
    dataset: str = "my_clips"
    base: str = "wan2.1-14b"
    width: int = 832
    height: int = 480
    lengths: str = "81"
    keep_proportions: bool = False
    resize: str = CROP
    bad_clips: str = STOP
    empty: Any = None
    frame_rate: float = 16.0


def cache_one(request: ClipRequest) -> str:
    """Write the cache file of a clip. Returns what the node says: the file, or why there is none."""
    check_choice("bad_clips", request.bad_clips, BAD_CLIPS)
    check_choice("base", request.base, BASE_NAMES)
    path, skipped = cache_path(request.dataset, request.name), skipped_of(request.dataset)
    try:
        shape = _cache(request, path)
    except PusaError as error:
        if request.bad_clips == STOP:
            raise
        skipped.add(request.name, str(error))
        return f"skipped {request.name}: {error}"
    skipped.remove(request.name)
    return f"{_below_output(path)}: latent {' x '.join(map(str, shape))}"


def _cache(request: ClipRequest, path: Path) -> tuple[int, ...]:
    clip = replace(clip_of(request.video, request.frame_rate), name=request.name)
    fit = Fit(
        request.width, request.height, parse_lengths(request.lengths), request.keep_proportions,
        BASES[request.base].pixel_multiple, request.resize,
    )  # fmt: skip
    if _is_picture(clip):
        fit = replace(fit, lengths=(1,))
    empty = request.empty and _embedding(request.empty)
    context = _embedding(request.positive)
    return cache_clip(
        path, clip, request.prompt.strip(), context, empty, request.vae.encode, request.base, fit
    )


@dataclass(frozen=True)
class ConfigRequest:
    """Settings of a training; the fields are the inputs of Pusa Training Config, in their order."""

    name: str
    datasets: str
    model_name: str
    base: str
    expert: str
    kind: str
    rank: int
    steps: int
    batch: int
    learning_rate: float
    caption_dropout: float
    given_share: float
    cpu_offload: bool
    seed: int

    def table(self) -> dict[str, Any]:
        """The settings as tables of the TOML file."""
        return {
            "model": {
                "base": self.base,
                "weights": model_path(self.model_name),
                "expert": "" if self.expert == NO_EXPERT else self.expert,
            },
            "data": {
                "folders": [check_name(each.strip()) for each in self.datasets.split(",") if each.strip()],
                "caption_dropout": self.caption_dropout,
            },
            "lora": {"rank": self.rank},
            "draw": {"given_share": self.given_share},
            "optimizer": {"learning_rate": self.learning_rate},
            "train": {
                "output": f"run_{check_name(self.name)}", "steps": self.steps, "batch": self.batch, "seed": self.seed,
            },
            "parallel": {"cpu_offload": self.cpu_offload} | ({"sharding": "fsdp2"} if self.cpu_offload else {}),
        }  # fmt: skip


def write_config(request: ConfigRequest) -> tuple[str, str, str]:
    """Write the TOML file of a training. Returns (command, file below the output folder, what the node says)."""
    check_choice("kind", request.kind, KINDS)
    check_choice("base", request.base, BASE_NAMES)
    root = output_folder().resolve() / FOLDER
    path = root / f"{check_name(request.name)}.toml"
    table = request.table()
    kept = kept_by_hand(read_table(path), table) if path.is_file() else {}
    merged: dict[str, Any] = dict(kept)
    for section, part in table.items():
        edited = kept.get(section, {})
        merged[section] = edited | part if isinstance(edited, dict) else edited
    text = config_text(config_of(merged, root, path.name))
    root.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    python, run, config = map(_word, (sys.executable, PACK / "pusa_core" / "run.py", path))
    command = f"{python} {run} training {request.kind} {config}"
    power_shell = " In PowerShell put & before it." if python.startswith('"') and os.name == "nt" else ""
    said = (
        f"{command}\n\nOnce before it: {python} -m pip install -r {_word(PACK / 'requirements-train.txt')}.{power_shell} "
        f"On several devices: accelerate launch {run} training {request.kind} {config}."
    )
    edits = [
        f"{section}.{name} = {value!r}" for section, part in kept.items() for name, value in part.items()
    ]
    if edits:
        said += f"\n\nKept from the file as it was: {', '.join(edits)}."
    return command, _below_output(path), said


def kept_by_hand(before: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """What somebody wrote into a file: settings that the node does not set and that differ from their defaults, and unknown ones."""
    kept: dict[str, Any] = {}
    for section, part in before.items():
        if not isinstance(part, Mapping) or section not in SECTIONS:
            kept[section] = part  # is refused by its name
            continue
        ours = {*table.get(section, {}), *(("sharding",) if part.get("cpu_offload") else ())}
        plain = {item.name: _as_toml(item.default) for item in fields(SECTIONS[section])}
        edits = {name: value for name, value in part.items() if name not in ours and plain.get(name) != value}
        if edits:
            kept[section] = edits
    return kept


def _as_toml(default: Any) -> Any:
    return list(default) if isinstance(default, tuple) else default


def cache_path(dataset: str, name: str) -> Path:
    """The cache file of a clip."""
    return _dataset(dataset) / f"{check_name(name)}.safetensors"


def skipped_of(dataset: str) -> Skipped:
    """The clips of a data set that were passed over."""
    return Skipped(_dataset(dataset))


def _dataset(name: str) -> Path:
    return folder_inside(output_folder().resolve(), f"{FOLDER}/{name}", "dataset")


def video_of(source: Source) -> Any:
    """A video file as VIDEO, read when it is needed; a picture as a VIDEO of one frame."""
    if source.path.suffix.lower() in PICTURES:
        return video_of_frames(load_picture(source.path), None, Fraction(16))
    return video_of_file(source.path)


def _word(value: object) -> str:
    """As a terminal takes it for one word; quoted only where it must be, since PowerShell prints a quoted first word."""
    text = str(value)
    return text if re.fullmatch(r"[\w./\\:~+-]+", text) else f'"{text}"'


def _below_output(path: Path) -> str:
    return path.relative_to(output_folder().resolve()).as_posix()


def _is_picture(clip: Any) -> bool:
    frames = clip.stamped()
    return next(frames, None) is not None and next(frames, None) is None


def _embedding(conditioning: Any) -> Any:
    """The text embedding [L, D] of a CONDITIONING."""
    if not conditioning or len(conditioning) != 1:
        raise PusaError(
            f"The caption has {len(conditioning or ())} parts; training needs a single one. Connect CLIP Text Encode itself, without combining."
        )
    return conditioning[0][0][0]
