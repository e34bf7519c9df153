"""Clips as people really have them: each row makes a small file, says what is wrong with it, and what is right to read.

All files are made with PyAV when a test runs; none is stored. A picture's brightness is its number (video_files.level), so that a test
can say which frame it got. Deterministic: no clock, no unseeded random numbers.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from support.video_files import level, picture, steady, write_video

WIDTH, HEIGHT = 64, 48
SIXTEEN = Fraction(16)
Make = Callable[[Path], Path]


@dataclass(frozen=True)
class Right:
    """What reading a file at 16 frames a second must give."""

    numbers: Sequence[int] | None = None  # of the pictures, None where they are not numbered
    count: int | None = None  # pictures, where they are not numbered
    size: tuple[int, int] = (WIDTH, HEIGHT)  # width, height
    rate: float | None = None  # frames per second that "of the clip" means, within a hundredth
    colour: tuple[int, int, int] | None = None  # of the middle of the first picture, 0 to 255
    within: int = 3  # of 255
    sound: Sequence[int] | None = None  # Hz in each quarter second, 0 for silence; None for no sound
    said: str = ""  # what the notes say, a pattern; "" for nothing
    refused: str = ""  # the sentence it is refused with, a pattern
    looks: Callable[[np.ndarray], bool] = field(
        default=lambda pixels: True
    )  # of the first picture, [H, W, 3] 0 to 1


@dataclass(frozen=True)
class Row:
    """One awkward file."""

    name: str
    suffix: str
    wrong: str  # what is wrong with it
    make: Make
    right: Right


def rows() -> list[Row]:
    """All of them."""
    return [*STREAMS, *STAMPS, *SOUNDS, *COLOURS, *SHAPES, *KINDS, *BROKEN]


# Making


@contextmanager
def same_scheduling() -> Iterator[None]:
    """Puts this thread's scheduling back: run by root, SVT-AV1 makes the one that opens it a real-time thread, and other processes starve."""
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, priority)


def write(
    path: Path,
    pictures: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rate: Fraction | int = 16,
    times: Sequence[Fraction] | None = None,
    form: str | None = None,
    options: dict[str, str] | None = None,
    matrix: int | None = None,
    full_range: bool = False,
    transfer: int | None = None,
    pixel_shape: Fraction | None = None,
    metadata: dict[str, str] | None = None,
    tracks: Sequence[Track] = (),
    container_options: dict[str, str] | None = None,
) -> Path:
    """A file of uint8 pictures [H, W, 3 or 4] or of ready frames, with sound tracks beside it."""
    rate = Fraction(rate)
    default = {"crf": "6", "bf": "0", "preset": "veryfast"} if codec == "libx264" else {}
    if codec == "libx265":
        default = {"crf": "6", "x265-params": "log-level=error:pools=1"}
    opened = av.open(str(path), "w", format=form, options=container_options or {})
    with same_scheduling(), opened as container:
        for key, value in (metadata or {}).items():
            container.metadata[key] = value
        stream = container.add_stream(codec, rate=rate, options=default | (options or {}))
        first = pictures[0]
        shape = (first.height, first.width) if isinstance(first, av.VideoFrame) else first.shape[:2]
        stream.height, stream.width, stream.pix_fmt = *shape, pixels
        encoder = stream.codec_context
        if times is not None:
            encoder.time_base = Fraction(1, 1000)
        if matrix is not None:
            encoder.colorspace, encoder.color_range = matrix, 2 if full_range else 1
        if transfer is not None:
            encoder.color_trc, encoder.color_primaries = transfer, 9
        if pixel_shape is not None:
            encoder.sample_aspect_ratio = pixel_shape
        heard = [track.open(container) for track in tracks]
        for number, given in enumerate(pictures):
            frame = given
            if not isinstance(given, av.VideoFrame):
                frame = av.VideoFrame.from_ndarray(
                    np.ascontiguousarray(given), format="rgba" if given.shape[2] == 4 else "rgb24"
                )
                if pixels not in ("rgb24", "rgba"):
                    frame = frame.reformat(format=pixels)
            if times is not None:
                frame.pts, frame.time_base = round(times[number] * 1000), Fraction(1, 1000)
            else:
                frame.pts, frame.time_base = number, 1 / rate
            if matrix is not None:
                frame.colorspace, frame.color_range = matrix, 2 if full_range else 1
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for track, stream_of in zip(tracks, heard, strict=True):
            track.write(container, stream_of)
    return path


@dataclass(frozen=True)
class Track:
    """Sound: one tone after the other, each a second long and 0 for silence that is stored."""

    tones: Sequence[int] = (440, 440)
    codec: str = "aac"
    rate: int = 48000
    channels: int = 2
    start: Fraction = Fraction(0)  # seconds
    hole: tuple[int, Fraction] | None = (
        None  # (after so many seconds, so many seconds without sound or stamps)
    )
    language: str = ""

    def open(self, container):
        stream = container.add_stream(self.codec, rate=self.rate)
        stream.layout = {1: "mono", 2: "stereo", 6: "5.1"}[self.channels]
        return stream

    def write(self, container, stream) -> None:
        form = stream.codec_context.format.name
        seconds = np.arange(self.rate) / self.rate
        wave = np.concatenate([0.5 * np.sin(2 * np.pi * hertz * seconds) for hertz in self.tones])
        size = stream.codec_context.frame_size or 1024
        for begin in range(0, len(wave), size):
            part = np.tile(wave[begin : begin + size], (self.channels, 1))
            part = (part * 32767).astype(np.int16) if form.startswith("s16") else part.astype(np.float32)
            if not form.endswith("p"):
                part = part.T.reshape(1, -1)
            block = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(part), format=form, layout=stream.layout.name
            )
            late = self.start
            if self.hole and begin >= self.hole[0] * self.rate:
                late += self.hole[1]
            block.sample_rate, block.pts, block.time_base = (
                self.rate,
                begin + round(late * self.rate),
                Fraction(1, self.rate),
            )
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))


def numbered(count: int, start: int = 0, width: int = WIDTH, height: int = HEIGHT) -> list[np.ndarray]:
    return [picture(start + number, width, height) for number in range(count)]


def plain(
    colour: Sequence[int], count: int = 5, width: int = WIDTH, height: int = HEIGHT
) -> list[np.ndarray]:
    return [np.full((height, width, len(colour)), colour, np.uint8)] * count


def coded(
    colour: Sequence[int], weights: tuple[float, float], full_range: bool, count: int, width: int, height: int
) -> list[av.VideoFrame]:
    """yuv444p frames of one colour by the closed form of a matrix (its weights of red and blue), no converter in between."""
    red, green, blue = (part / 255 for part in colour)
    of_red, of_blue = weights
    bright = of_red * red + (1 - of_red - of_blue) * green + of_blue * blue
    parts = (bright, (blue - bright) / (2 * (1 - of_blue)), (red - bright) / (2 * (1 - of_red)))
    scales, zeros = ((255, 255, 255), (0, 128, 128)) if full_range else ((219, 224, 224), (16, 128, 128))
    values = [round(zero + scale * part) for zero, scale, part in zip(zeros, scales, parts, strict=True)]
    frames = []
    for _ in range(count):
        frame = av.VideoFrame(width, height, "yuv444p")
        for plane, value in zip(frame.planes, values, strict=True):
            plane.update(bytes([min(255, value)]) * plane.buffer_size)
        frames.append(frame)
    return frames


def sixteen(times: Sequence[Fraction], lasts: Fraction) -> list[int]:
    """Numbers of the pictures nearest to each sixteenth of a second; lasts: seconds of the last one."""
    length = times[-1] + lasts - times[0]
    places = range(max(1, int(length * 16 + Fraction(1, 2))))
    return [
        min(range(len(times)), key=lambda n: (abs(times[n] - times[0] - Fraction(p, 16)), n)) for p in places
    ]


def boxes(data: bytes, begin: int = 0, end: int | None = None) -> Iterator[tuple[int, int, bytes]]:
    """(begin, end, type) of an mp4's boxes."""
    end = len(data) if end is None else end
    while begin + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, begin)
        size = struct.unpack_from(">Q", data, begin + 8)[0] if size == 1 else size
        yield begin, begin + size, kind
        begin += size


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + kind + body


def with_cover(path: Path) -> Path:
    """The mp4 with a cover as music players write it, which FFmpeg makes a video stream of its own, the first one."""
    data = path.read_bytes()
    begin, end = next((b, e) for b, e, kind in boxes(data) if kind == b"moov")
    jpeg = io.BytesIO()
    Image.new("RGB", (300, 300), (0, 200, 0)).save(jpeg, "JPEG")
    cover = box(b"covr", box(b"data", struct.pack(">II", 13, 0) + jpeg.getvalue()))
    handler = box(b"hdlr", b"\0" * 8 + b"mdirappl" + b"\0" * 9)
    udta = box(b"udta", box(b"meta", b"\0" * 4 + handler + box(b"ilst", cover)))
    body = data[begin + 8 : end]
    split = next(e for _, e, _ in boxes(body))
    path.write_bytes(data[:begin] + box(b"moov", body[:split] + udta + body[split:]) + data[end:])
    return path


def turned(path: Path, matrix: Sequence[int]) -> Path:
    """The mp4 with another display matrix (a, b, c, d) in its track's header."""
    data = path.read_bytes()
    stored = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    a, b, c, d = (part << 16 if part >= 0 else -(1 << 16) for part in matrix)
    asked = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    at = data.index(stored, data.index(b"tkhd"))
    path.write_bytes(data[:at] + asked + data[at + len(stored) :])
    return path


def block_times(data: bytes) -> list[int]:
    """Where in a Matroska file the two bytes of each block's time stand, in the file's order."""
    found, at = [], data.index(bytes.fromhex("1f43b675"))  # the first cluster
    while at < len(data):
        length = 8 - data[at].bit_length() + 1
        kind = data[at : at + length]
        at += length
        width = 8 - data[at].bit_length() + 1
        size = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
        unknown = size == (1 << 7 * width) - 1
        at += width
        if kind in (bytes.fromhex("1f43b675"), b"\xa0"):  # cluster, block group: look inside
            continue
        if kind in (b"\xa3", b"\xa1"):
            found.append(at + 1)
        if unknown:
            break
        at += size
    return found


def restamped(path: Path, milliseconds: Callable[[int, int], int]) -> Path:
    """The Matroska file with each block's time, relative to its cluster, replaced: (number, time) -> time."""
    data = bytearray(path.read_bytes())
    for number, at in enumerate(block_times(bytes(data))):
        time = struct.unpack_from(">h", data, at)[0]
        struct.pack_into(">h", data, at, milliseconds(number, time))
    path.write_bytes(data)
    return path


def joined(path: Path, *parts: Callable[[Path], Path]) -> Path:
    """The bytes of several files one after the other, as `cat` or `copy /b` joins them."""
    made = [part(path.with_name(f"part{number}{path.suffix}")) for number, part in enumerate(parts)]
    path.write_bytes(b"".join(one.read_bytes() for one in made))
    return path


def changed(path: Path, old: bytes, new: bytes, last: bool = False) -> Path:
    """The file with one occurrence of some bytes replaced by as many."""
    assert len(old) == len(new)
    data = path.read_bytes()
    at = data.rindex(old) if last else data.index(old)
    path.write_bytes(data[:at] + new + data[at + len(old) :])
    return path


def cut(path: Path, share: float) -> Path:
    """The first part of a file, as an interrupted download leaves it."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def nothing_about_rate(path: Path) -> Path:
    """The WebM without DefaultDuration, as browsers record it."""
    data = bytearray(path.read_bytes())
    at = data.index(bytes.fromhex("23e383"))
    length = 4 + (data[at + 3] & 0x7F)
    data[at : at + length] = bytes([0xEC, 0x80 | (length - 2)]) + b"\0" * (length - 2)
    path.write_bytes(data)
    return path


def recorded(path: Path) -> Path:
    """What a browser records: uneven milliseconds, and a header that claims 1000 pictures a second."""
    return write(
        path, numbered(len(RECORDED)), codec="libvpx", rate=1000, times=RECORDED, options={"b": "2000000"}
    )


STEPS = (16, 33, 34, 50)
RECORDED = [Fraction(sum(STEPS[i % 4] for i in range(n)), 1000) for n in range(28)]


def noise(count: int, width: int = 96, height: int = 64, seed: int = 5) -> list[np.ndarray]:
    """Pictures that need many bytes, so that cuts fall into them."""
    random = np.random.default_rng(seed)
    return [
        np.clip(picture(number, width, height).astype(int) + random.integers(-20, 20, (height, width, 1)), 0, 255)
        .astype(np.uint8)
        for number in range(count)
    ]  # fmt: skip


def corner(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A black picture whose upper left quarter is white."""
    made = np.zeros((height, width, 3), np.uint8)
    made[: height // 2, : width // 2] = 255
    return made


def bright_quarter(rows: int, columns: int) -> Callable[[np.ndarray], bool]:
    """Whether a picture is white in one quarter (0 or 1 down, 0 or 1 across) and black in the others."""

    def looks(pixels: np.ndarray) -> bool:
        height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
        quarters = {
            (y, x): pixels[y * height : (y + 1) * height, x * width : (x + 1) * width].mean()
            for y in (0, 1)
            for x in (0, 1)
        }
        return all((value > 0.9) == (place == (rows, columns)) for place, value in quarters.items())

    return looks


def combed(count: int = 16) -> list[np.ndarray]:
    """A white bar that moves from field to field: odd rows are later."""
    made = []
    for number in range(count):
        frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        for parity in (0, 1):
            left = 3 * (2 * number + parity) % 48
            frame[parity::2, left : left + 16] = 255
        made.append(frame)
    return made


def is_whole(pixels: np.ndarray) -> bool:
    """Whether neighbouring rows belong to one moment: in a combed picture every second row differs."""
    grey = pixels.mean(axis=2)
    inner = grey[4:-4]
    return float(np.abs(inner[2:] - 2 * inner[1:-1] + inner[:-2]).mean()) < 0.12


RED = (200, 60, 30)
BT709, BT601, BT2020 = (0.2126, 0.0722), (0.299, 0.114), (0.2627, 0.0593)


def colour_row(
    name: str,
    wrong: str,
    weights: tuple[float, float],
    tag: int | None,
    full: bool = False,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    metadata: dict[str, str] | None = None,
) -> Row:
    def make(path: Path) -> Path:
        return write(
            path,
            coded(RED, weights, full, 3, *size),
            pixels="yuv444p",
            matrix=tag,
            full_range=full,
            metadata=metadata,
            container_options={"movflags": "use_metadata_tags"} if metadata else None,
        )

    return Row(name, ".mp4", wrong, make, Right(count=3, size=size, colour=RED))


def hdr_row(name: str, transfer: int, signal: float, right: int) -> Row:
    """A grey of one signal in BT.2020 at ten bits; right: what it is on an ordinary screen, 0 to 255."""

    def make(path: Path) -> Path:
        frames = []
        for _ in range(3):
            frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p10le")
            for plane, value in zip(frame.planes, (64 + round(signal * 876), 512, 512), strict=True):
                plane.update(np.full(plane.buffer_size // 2, value, np.uint16).tobytes())
            frames.append(frame)
        return write(
            path,
            frames,
            codec="libx265",
            pixels="yuv420p10le",
            matrix=9,
            transfer=transfer,
        )

    wrong = f"HDR, {'HLG' if transfer == 18 else 'PQ'}: read as if it were ordinary it is too dark"
    return Row(name, ".mp4", wrong, make, Right(count=3, colour=(right,) * 3, said=r"is HDR"))


UNEVEN_STEPS = [40, 40, 120, 20, 20, 200, 60, 100, 33, 33, 34, 100]
UNEVEN = [Fraction(sum(UNEVEN_STEPS[:n]), 1000) for n in range(len(UNEVEN_STEPS) + 1)]
GIF_STEPS = (5, 5, 20, 5, 30, 10, 20)
GIF_TIMES = [Fraction(sum(GIF_STEPS[:n]), 100) for n in range(7)]

# Streams

STREAMS = [
    Row(
        "cover",
        ".mp4",
        "the first video stream is a cover",
        lambda path: with_cover(write(path, numbered(24), rate=24, tracks=[Track()])),
        Right(sixteen(steady(24, 24), Fraction(1, 24)), rate=24, sound=[440] * 8),
    ),
    Row(
        "song with a cover",
        ".m4a",
        "only sound and a cover",
        lambda path: with_cover(_song(path)),
        Right(refused="There are no pictures in .* only sound"),
    ),
    Row("song", ".m4a", "only sound", lambda path: _song(path), Right(refused="There are no pictures in .*")),
    Row("two sizes of track", ".mkv", "two video tracks", lambda path: _two_tracks(path), Right(range(8))),
    Row(
        "names of old cameras",
        ".avi",
        "metadata that is not UTF-8",
        lambda path: changed(
            write(path, numbered(8), codec="mjpeg", pixels="yuvj420p", metadata={"title": "Cafe 1234"}),
            b"Cafe 1234",
            "Caf\xe9 1234".encode("latin-1"),
        ),
        Right(range(8)),
    ),
]


def _song(path: Path) -> Path:
    with av.open(str(path), "w", format="mp4") as container:
        track = Track()
        track.write(container, track.open(container))
    return path


def _two_tracks(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        streams = []
        for width, height in ((32, 24), (WIDTH, HEIGHT)):
            stream = container.add_stream("libx264", rate=16, options={"crf": "6"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            streams.append(stream)
        for number in range(8):
            for stream in streams:
                shown = number if stream.width == WIDTH else 29 - number
                frame = av.VideoFrame.from_ndarray(
                    picture(shown, stream.width, stream.height), format="rgb24"
                )
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    # Matroska marks both as default where nothing is said
    return path


# Time stamps

STAMPS = [
    Row(
        "header says 1000 a second",
        ".webm",
        "the header's rate is absurd",
        recorded,
        Right(sixteen(RECORDED, Fraction(34, 1000)), rate=float(27 / RECORDED[-1])),
    ),
    Row(
        "header says no rate",
        ".webm",
        "the header has no rate",
        lambda path: nothing_about_rate(recorded(path)),
        Right(sixteen(RECORDED, Fraction(34, 1000)), rate=float(27 / RECORDED[-1])),
    ),
    Row(
        "joined",
        ".ts",
        "the clock starts again where two files were joined",
        lambda path: joined(
            path,
            lambda part: write(part, numbered(16), form="mpegts", tracks=[Track((440,))]),
            lambda part: write(part, numbered(16, 14), form="mpegts", tracks=[Track((880,))]),
        ),
        Right([*range(16), *range(14, 30)], rate=16, sound=[440] * 4 + [880] * 4),
    ),
    Row(
        "joined, far apart",
        ".ts",
        "the clock jumps by hours where two files were joined",
        lambda path: joined(
            path,
            lambda part: write(part, numbered(16), form="mpegts", tracks=[Track((440,))]),
            lambda part: write(
                part,
                numbered(16, 14),
                form="mpegts",
                times=[20000 + time for time in steady(16)],
                tracks=[Track((880,), start=Fraction(20000))],
            ),
        ),
        Right([*range(16), *range(14, 30)], sound=[440] * 4 + [880] * 4),
    ),
    Row(
        "clock starts again",
        ".mkv",
        "the clock starts again in the middle",
        lambda path: restamped(
            _one_cluster(path, 20), lambda n, time: time if n < 10 else round((n - 10) * 62.5)
        ),
        Right(range(20)),
    ),
    Row(
        "every stamp twice",
        ".mkv",
        "stamps repeat",
        lambda path: restamped(_one_cluster(path, 20), lambda n, time: round(n // 2 * 125)),
        Right(range(20)),
    ),
    Row(
        "all stamps alike",
        ".mkv",
        "stamps stand still",
        lambda path: restamped(_one_cluster(path, 20), lambda n, time: 0),
        Right(range(20)),
    ),
    Row(
        "one stamp back",
        ".mkv",
        "one stamp stands out of its row, backward",
        lambda path: restamped(_one_cluster(path, 20), lambda n, time: 100 if n == 9 else time),
        Right(range(20)),
    ),
    Row(
        "one stamp ahead",
        ".mkv",
        "one stamp stands out of its row, forward",
        lambda path: restamped(_one_cluster(path, 20), lambda n, time: 30000 if n == 9 else time),
        Right(range(20)),
    ),
    Row(
        "pause",
        ".mkv",
        "a picture stands for a second",
        lambda path: restamped(_one_cluster(path, 20), lambda n, time: time + (1000 if n >= 10 else 0)),
        Right(sixteen([t + (1 if n >= 10 else 0) for n, t in enumerate(steady(20))], Fraction(1, 16))),
    ),
    Row(
        "starts late",
        ".mkv",
        "pictures begin half a second after the sound",
        lambda path: write(
            path,
            numbered(16),
            times=[Fraction(1, 2) + time for time in steady(16)],
            tracks=[Track((440, 880))],
        ),
        Right(range(16), sound=[440] * 2 + [880] * 4),
    ),
    Row(
        "uneven",
        ".mp4",
        "variable frame rate",
        lambda path: write(path, numbered(len(UNEVEN)), times=UNEVEN),
        Right(sixteen(UNEVEN, Fraction(1, 10))),
    ),
    Row(
        "no stamps",
        ".h264",
        "a bare stream without time stamps",
        lambda path: write(path, numbered(25), rate=25, form="h264"),
        Right(sixteen(steady(25, 25), Fraction(1, 25)), rate=25),
    ),
    Row(
        "packed",
        ".avi",
        "B-frames in a container without presentation stamps",
        lambda path: write(
            path, numbered(20), codec="mpeg4", options={"qscale": "2", "bf": "2", "flags": "+qscale"}
        ),
        Right(range(20), rate=16),
    ),
    Row(
        "one picture",
        ".mp4",
        "a single frame",
        lambda path: write(path, numbered(1)),
        Right([0]),
    ),
    Row(
        "film rate",
        ".mov",
        "24000/1001 a second",
        lambda path: write(path, numbered(24), rate=Fraction(24000, 1001)),
        Right(
            sixteen(steady(24, Fraction(24000, 1001)), Fraction(1001, 24000)),
            rate=23.976,
        ),
    ),
]


def _one_cluster(path: Path, count: int) -> Path:
    """Matroska with one block for each picture, all in one cluster."""
    return write(path, numbered(count), container_options={"cluster_time_limit": "30000"})


# Sound

SOUNDS = [
    Row(
        "hole in the sound",
        ".mkv",
        "a second without sound and without stamps",
        lambda path: write(
            path, numbered(30), rate=10, tracks=[Track((440, 880), "pcm_s16le", hole=(1, Fraction(1)))]
        ),
        Right(sixteen(steady(30, 10), Fraction(1, 10)), sound=[440] * 4 + [0] * 4 + [880] * 4),
    ),
    Row(
        "hole in the sound",
        ".mp4",
        "a second without sound and without stamps",
        lambda path: write(path, numbered(30), rate=10, tracks=[Track((440, 880), hole=(1, Fraction(1)))]),
        Right(sixteen(steady(30, 10), Fraction(1, 10)), sound=[440] * 4 + [0] * 4 + [880] * 4),
    ),
    Row(
        "sound starts late",
        ".mp4",
        "the sound begins half a second after the pictures",
        lambda path: write(path, numbered(24), tracks=[Track((440,), start=Fraction(1, 2))]),
        Right(range(24), sound=[0, 0, 440, 440, 440, 440]),
    ),
    Row(
        "sound of no decoder",
        ".mov",
        "a track that FFmpeg cannot decode",
        lambda path: _unknown_sound(write(path, numbered(16), tracks=[Track((440,), "pcm_s16le")])),
        Right(range(16), sound=None, said="sound of .* cannot decode here: it is left out"),
    ),
    Row(
        "first sound of no decoder",
        ".mov",
        "the first of two tracks cannot be decoded",
        lambda path: _unknown_sound(
            write(path, numbered(16), tracks=[Track((440,), "pcm_s16le"), Track((880,), "aac")])
        ),
        Right(range(16), sound=[880] * 4, said="1 sound track that cannot be decoded; the next one was used"),
    ),
    Row(
        "six channels",
        ".mp4",
        "5.1 sound",
        lambda path: write(path, numbered(16), tracks=[Track((440,), channels=6)]),
        Right(range(16), sound=[440] * 4),
    ),
    Row(
        "telephone sound",
        ".mkv",
        "8000 samples a second, one channel",
        lambda path: write(path, numbered(16), tracks=[Track((440,), "pcm_s16le", rate=8000, channels=1)]),
        Right(range(16), sound=[440] * 4),
    ),
    Row(
        "sound longer than the pictures",
        ".mp4",
        "a second of pictures, two of sound",
        lambda path: write(path, numbered(16), tracks=[Track((440, 880))]),
        Right(range(16), sound=[440] * 4 + [880] * 4),
    ),
]


def _unknown_sound(path: Path) -> Path:
    """The mov whose first track claims a codec that has no decoder (Apple's spatial sound)."""
    return changed(path, b"sowt", b"apac", last=True)


# Colours

COLOURS = [
    colour_row("BT.709", "HD's matrix", BT709, 1),
    colour_row("BT.709, full range", "HD's matrix, black is 0", BT709, 1, full=True),
    colour_row("BT.601", "SD's matrix", BT601, 6),
    colour_row("BT.601, full range", "SD's matrix, black is 0", BT601, 5, full=True),
    colour_row("BT.2020", "UHD's matrix without HDR", BT2020, 9),
    colour_row("untagged, small", "no colour tags: BT.601 for players", BT601, None),
    colour_row("untagged, HD", "no colour tags: BT.709 for players", BT709, None, size=(1280, 720)),
    colour_row(
        "ComfyUI's, HD",
        "no colour tags: BT.601, as ComfyUI writes at any size",
        BT601,
        None,
        size=(1280, 720),
        metadata={"prompt": "{}"},
    ),
    hdr_row("HLG white", 18, 0.75, 244),  # 203 cd/m2 on a display of 1000: 90.6 of 100 by BT.2446 C
    hdr_row("HLG grey", 18, 0.38, 133),
    hdr_row("PQ white", 16, 0.58, 245),
    hdr_row("PQ grey", 16, 0.38, 135),
    Row(
        "RGB",
        ".mkv",
        "stored as RGB, no matrix",
        lambda path: write(path, plain(RED, 3), codec="libx264rgb", pixels="rgb24", options={"crf": "0"}),
        Right(count=3, colour=RED),
    ),
    Row(
        "ten bits",
        ".mp4",
        "more than eight bits",
        lambda path: write(path, numbered(8), codec="libx265", pixels="yuv420p10le"),
        Right(range(8)),
    ),
    Row(
        "grey",
        ".mkv",
        "brightness only",
        lambda path: write(path, numbered(8), codec="ffv1", pixels="gray", options={}),
        Right(range(8)),
    ),
    Row(
        "motion JPEG",
        ".mov",
        "JPEG's full range",
        lambda path: write(path, numbered(8), codec="mjpeg", pixels="yuvj420p", options={"qscale": "2"}),
        Right(range(8)),
    ),
    Row(
        "half transparent",
        ".mov",
        "an alpha channel of 128",
        lambda path: write(path, plain((*RED, 128), 3), codec="qtrle", pixels="argb"),
        Right(count=3, colour=(100, 30, 15), said="transparent parts; they are black"),
    ),
    Row(
        "opaque alpha",
        ".mov",
        "an alpha channel of 255",
        lambda path: write(path, plain((*RED, 255), 3), codec="qtrle", pixels="argb"),
        Right(count=3, colour=RED),
    ),
    Row(
        "transparent",
        ".webm",
        "an alpha channel beside the pictures",
        lambda path: _webm_alpha(path),
        Right(count=3, colour=(0, 0, 0), said="transparent parts; they are black"),
    ),
]


def _webm_alpha(path: Path) -> Path:
    return write(
        path,
        plain((*RED, 0), 3),
        codec="libvpx-vp9",
        pixels="yuva420p",
        options={"b": "0", "crf": "10", "deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "0"},
    )


# Shapes

SHAPES = [
    Row(
        "wide pixels",
        ".mp4",
        "pixels twice as wide as high",
        lambda path: write(path, [corner(32, 64)] * 3, pixel_shape=Fraction(2)),
        Right(count=3, size=(64, 64), looks=bright_quarter(0, 0)),
    ),
    Row(
        "high pixels",
        ".mkv",
        "pixels twice as high as wide",
        lambda path: write(path, [corner(64, 32)] * 3, pixel_shape=Fraction(1, 2)),
        Right(count=3, size=(64, 64), looks=bright_quarter(0, 0)),
    ),
    Row(
        "needles",
        ".mp4",
        "pixels 200 times as wide as high, which cannot be",
        lambda path: write(path, [corner()] * 3, pixel_shape=Fraction(200)),
        Right(count=3, looks=bright_quarter(0, 0)),
    ),
    *(
        Row(
            f"turned {name}",
            ".mp4",
            "a display matrix",
            lambda path, matrix=matrix: turned(write(path, [corner()] * 3), matrix),
            Right(
                count=3,
                size=(HEIGHT, WIDTH) if matrix[0] == 0 else (WIDTH, HEIGHT),
                looks=bright_quarter(*bright),
            ),
        )
        for name, matrix, bright in (
            ("right", (0, 1, -1, 0), (0, 1)),
            ("upside down", (-1, 0, 0, -1), (1, 1)),
            ("left", (0, -1, 1, 0), (1, 0)),
            ("into a mirror", (-1, 0, 0, 1), (0, 1)),
            ("right in a mirror", (0, 1, 1, 0), (0, 0)),
        )
    ),
    Row(
        "another size on the way",
        ".ts",
        "the size changes in the middle",
        lambda path: joined(
            path,
            lambda part: write(part, numbered(16), form="mpegts"),
            lambda part: write(part, numbered(8, 16, 128, 96), form="mpegts"),
        ),
        Right([*range(16), *range(16, 24)], said="changes its size on the way, from 64 x 48 to 128 x 96"),
    ),
    Row(
        "another shape on the way",
        ".ts",
        "upright in the middle",
        lambda path: joined(
            path,
            lambda part: write(part, numbered(16), form="mpegts"),
            lambda part: write(part, numbered(8, 16, 48, 64), form="mpegts"),
        ),
        Right(count=24, said="changes its size on the way, from 64 x 48 to 48 x 64"),
    ),
    Row(
        "odd size",
        ".mp4",
        "63 x 47 pixels",
        lambda path: write(path, numbered(8, 0, 63, 47), pixels="yuv444p"),
        Right(range(8), size=(63, 47)),
    ),
    Row(
        "interlaced",
        ".mp4",
        "fields of two moments in each picture",
        lambda path: write(
            path, combed(), options={"flags": "+ilme+ildct", "x264-params": "tff=1", "crf": "4"}
        ),
        Right(count=16, looks=is_whole, said="is interlaced"),
    ),
    Row(
        "interlaced, old",
        ".mpg",
        "fields of two moments in each picture",
        lambda path: write(
            path,
            combed(25),
            rate=25,
            codec="mpeg2video",
            options={"flags": "+ilme+ildct", "b": "4000000", "field_order": "tt"},
        ),
        Right(count=16, looks=is_whole, said="is interlaced"),
    ),
]

# Kinds

KINDS = [
    Row(
        "GIF of uneven steps",
        ".gif",
        "hundredths of a second, some long",
        lambda path: _gif(path),
        Right(sixteen(GIF_TIMES, Fraction(20, 100))),
    ),
    *(
        Row(
            f"{codec} in {suffix[1:]}",
            suffix,
            "another codec or container",
            lambda path, codec=codec, pixels=pixels, options=options: write(
                path, numbered(10, height=64), codec=codec, pixels=pixels, options=options
            ),
            Right(range(10), size=(WIDTH, 64)),
        )
        for codec, suffix, pixels, options in (
            ("prores_ks", ".mov", "yuv422p10le", {"profile": "2"}),
            ("ffv1", ".mkv", "yuv444p", {}),
            ("huffyuv", ".avi", "yuv422p", {}),
            ("libsvtav1", ".mp4", "yuv420p", {"crf": "10", "preset": "12"}),
            ("libtheora", ".ogv", "yuv420p", {"qscale": "10", "flags": "+qscale"}),
            ("flv", ".flv", "yuv420p", {"qscale": "2", "flags": "+qscale"}),
            ("libvpx", ".webm", "yuv420p", {"b": "2000000"}),
        )
        if codec in av.codecs_available
    ),
]


def _gif(path: Path) -> Path:
    images = [Image.fromarray(one) for one in numbered(7)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=[step * 10 for step in GIF_STEPS])
    return path


# Broken files

BREAKS = "breaks off"

BROKEN = [
    Row(
        "half an mp4",
        ".mp4",
        "cut off in the middle, its index at the front",
        lambda path: cut(write(path, noise(30), rate=10, container_options={"movflags": "faststart"}), 0.6),
        Right(said=BREAKS, count=-1, size=(96, 64)),
    ),
    Row(
        "half an mp4 without its index",
        ".mp4",
        "cut off in the middle, its index was at the end",
        lambda path: cut(write(path, noise(30)), 0.6),
        Right(refused="cannot be read as a video"),
    ),
    Row(
        "half an mkv",
        ".mkv",
        "cut off in the middle",
        lambda path: cut(write(path, noise(30), rate=10), 0.6),
        Right(said=BREAKS, count=-1, size=(96, 64)),
    ),
    Row(
        "half an avi",
        ".avi",
        "cut off in the middle",
        lambda path: cut(write(path, noise(30), rate=10, codec="mpeg4", options={"qscale": "2"}), 0.6),
        Right(said=BREAKS, count=-1, size=(96, 64)),
    ),
    Row(
        "half a ts",
        ".ts",
        "cut off in the middle; only its last packet tells",
        lambda path: cut(write(path, noise(30), form="mpegts"), 0.6),
        Right(said=BREAKS, count=-1, size=(96, 64)),
    ),
    Row("empty", ".mp4", "no byte in it", lambda path: _bytes(path, b""), Right(refused="cannot be read")),
    Row(
        "a text",
        ".mp4",
        "no video at all",
        lambda path: _bytes(path, b"this is no video " * 50),
        Right(refused="cannot be read as a video"),
    ),
    Row(
        "larger than any screen",
        ".gif",
        "a header that claims 65535 x 65535 pixels",
        lambda path: _huge(path),
        Right(refused="No frame of .* can be decoded"),
    ),
]


def _bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _huge(path: Path) -> Path:
    data = bytearray(_gif(path).read_bytes())
    data[6:10] = b"\xff" * 4
    path.write_bytes(data)
    return path


__all__ = ["Right", "Row", "level", "numbered", "replace", "rows", "sixteen", "write", "write_video"]
