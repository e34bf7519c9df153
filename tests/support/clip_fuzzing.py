"""Files that break in many places, each read in a process of its own with limits: what comes of them.

As a command: `python tests/support/clip_fuzzing.py SEED COUNT` reads a list of cases in this process and prints one line of JSON for each;
run_cases starts it with limits of time and memory. A longer run: PUSA_FUZZ=2000 python -m pytest tests/core/test_clip_fuzz.py.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("mp4", "mkv", "webm", "avi", "ts")
CODECS = {"mp4": "libx264", "mkv": "libx264", "webm": "libvpx", "avi": "mpeg4", "ts": "libx264"}
PICTURES, WIDTH, HEIGHT = 24, 96, 64

CUT, FLIP, HOLE, SHUFFLE = "cut", "flip", "hole", "shuffle"
WAYS = (CUT, FLIP, FLIP, HOLE, SHUFFLE)

REFUSED, SAID, RIGHT, AS_PLAYERS = "refused", "said", "right", "as players"
"""A sentence instead of a clip; a clip and a sentence about it; the clip as it was; a clip of which pictures or
sound are spoilt or gone where neither container nor codec tells of it: every frame that FFmpeg decodes is there."""


@dataclass(frozen=True)
class Outcome:
    """What came of one case."""

    case: int
    kind: str
    way: str
    outcome: str
    told: str  # the sentence, or what is wrong
    seconds: float


def spoilt(data: bytes, case: int) -> tuple[bytes, str]:
    """The file with one fault, by the number of the case, and the fault's name."""
    chance = random.Random(case)
    way = chance.choice(WAYS)
    made = bytearray(data)
    if way == CUT:
        return bytes(made[: chance.randrange(len(made))]), way
    # headers are small and break the most: one fault in three goes there
    end = len(made) if chance.random() < 0.67 else min(len(made), 1200)
    if way == FLIP:
        for _ in range(chance.choice((1, 1, 3, 20))):
            made[chance.randrange(end)] ^= 1 << chance.randrange(8)
    else:
        begin = chance.randrange(end)
        part = slice(begin, min(len(made), begin + chance.choice((4, 40, 400))))
        if way == HOLE:
            made[part] = bytes(len(made[part]))
        else:
            mixed = list(made[part])
            chance.shuffle(mixed)
            made[part] = bytes(mixed)
    return bytes(made), way


def originals(folder: Path) -> dict[str, bytes]:
    """One clip with sound of each kind, every picture hard to compress."""
    from support.awkward_media import Track, noise, write

    sources = {}
    for kind in KINDS:
        path = folder / f"original.{kind}"
        sound = "libopus" if kind == "webm" else "aac"
        options = {"b": "400000"} if kind == "webm" else {}
        write(
            path,
            noise(PICTURES, WIDTH, HEIGHT),
            codec=CODECS[kind],
            options=options,
            tracks=[Track((440, 880), sound)],
            container_options={"movflags": "faststart"} if kind == "mp4" else None,
        )
        sources[kind] = path.read_bytes()
    return sources


def read(path: Path) -> tuple[object, object, list[str]]:
    """(pictures, sound, notes) of a file at 16 a second."""
    from pusa_core.clips.reading import clip_of_file

    clip = clip_of_file(path)
    pictures, sound = clip.all(Fraction(16)), clip.sound()
    return pictures, sound, clip.notes.sentences


def judged(path: Path, whole: tuple[object, object]) -> tuple[str, str]:
    """(outcome, what was told) of one spoilt file; raises on whatever is wrong."""
    from pusa_core.errors import PusaError

    try:
        pictures, sound, notes = read(path)
    except PusaError as sentence:
        assert str(sentence).rstrip().endswith("."), f"no sentence: {sentence}"  # noqa: PT017
        return REFUSED, str(sentence)
    assert pictures.isfinite().all()
    assert 0 <= pictures.min() <= pictures.max() <= 1
    assert len(pictures) <= 16 * 660, f"{len(pictures)} pictures"
    if notes:
        return SAID, " ".join(notes)
    right_pictures, right_sound = whole
    if pictures.shape != right_pictures.shape:
        from pusa_core.clips.reading import clip_of_file

        read_frames, decodable = sum(1 for _ in clip_of_file(path).stamped()), decoded(path)
        assert read_frames == decodable, f"{read_frames} frames in silence, FFmpeg decodes {decodable}"
        return AS_PLAYERS, f"{tuple(pictures.shape)} instead of {tuple(right_pictures.shape)}"
    same_sound = (
        sound is not None
        and sound.waveform.shape == right_sound.waveform.shape
        and (sound.waveform - right_sound.waveform).abs().max() < 1e-3
    )
    if (pictures - right_pictures).abs().max() <= 1 / 255 and same_sound:
        return RIGHT, ""
    return AS_PLAYERS, "pictures or sound differ"


def decoded(path: Path) -> int:
    """Frames that plain FFmpeg decodes without an error; -1 where it meets one."""
    import av

    from pusa_core.clips.reading import picture_stream

    try:
        with av.open(str(path), metadata_errors="replace") as container:
            return sum(1 for _ in container.decode(picture_stream(container, "it")))
    except av.error.FFmpegError:
        return -1


def outcomes(seed: int, count: int) -> Iterator[Outcome]:
    """The outcomes of `count` cases, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        sources = originals(Path(folder))
        whole = {}
        for kind, data in sources.items():
            path = Path(folder) / f"whole.{kind}"
            path.write_bytes(data)
            pictures, sound, notes = read(path)
            assert not notes, notes
            whole[kind] = (pictures, sound)
        for case in range(seed, seed + count):
            kind = KINDS[case % len(KINDS)]
            path = Path(folder) / f"case.{kind}"
            data, way = spoilt(sources[kind], case)
            path.write_bytes(data)
            print(f"case {case}", file=sys.stderr, flush=True)  # which one, if the process dies
            begin = time.monotonic()
            outcome, told = judged(path, whole[kind])
            yield Outcome(case, kind, way, outcome, told, time.monotonic() - begin)


def run_cases(seed: int, count: int, seconds: float, megabytes: int) -> list[Outcome]:
    """The outcomes of cases in a child process; fails with the number of the case that hung, crashed or took too much memory.

    seconds: for all of them; megabytes: of memory beyond what the libraries take.
    """
    command = [sys.executable, str(Path(__file__)), str(seed), str(count), str(megabytes)]
    try:
        # one thread: several wait for each other where other work keeps the processor busy
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"not finished after {seconds} s, at {last_line(late.stderr)}") from late
    if done.returncode:
        raise AssertionError(f"exit code {done.returncode} at {done.stderr[-1500:]}")
    return [Outcome(**json.loads(line)) for line in done.stdout.splitlines()]


def last_line(text: str | bytes | None) -> str:
    shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text or ""
    return (shown.splitlines() or ["the start"])[-1]


def main() -> None:
    """Reads cases and prints their outcomes."""
    import logging

    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    logging.disable()
    import pusa_core.clips.reading  # noqa: F401 (before memory is limited)

    seed, count, megabytes = map(int, sys.argv[1:4])
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    if pages:
        import resource

        limit = pages * resource.getpagesize() + megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for outcome in outcomes(seed, count):
        print(json.dumps(asdict(outcome)), flush=True)


if __name__ == "__main__":
    main()
