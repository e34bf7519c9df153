"""Whether a file is as long as its own structure says: FFmpeg passes over most of what is cut off without a word."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

HOLD_THE_CLIP = (b"mdat", b"moov", b"moof")
SEGMENT = bytes.fromhex("18538067")
TS_PACKET, TS_SYNC = 188, 0x47
UNTOLD = 0xFFFFFFF0
"""From here on a RIFF size is a placeholder."""


def missing_bytes(source: str | Path | io.BytesIO) -> int:
    """Bytes that a file's boxes (mp4, mov), RIFF (AVI), segment (Matroska) or last packet (MPEG-TS) tell of and that are not there."""
    with _reader(source) as (file, size):
        head = file.read(4096)
        if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            told = int.from_bytes(head[4:8], "little") + 8
            return max(0, told - size) if told < UNTOLD else 0
        if head[:4] == bytes.fromhex("1a45dfa3"):
            return _missing_of_segment(head, size)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return _missing_of_boxes(file, size)
        if head[:1] == head[TS_PACKET : TS_PACKET + 1] == head[2 * TS_PACKET : 2 * TS_PACKET + 1] == b"\x47":
            return -size % TS_PACKET
    return 0


def _missing_of_boxes(file: BinaryIO, size: int) -> int:
    at = 0
    while at + 8 <= size:
        file.seek(at)
        header = file.read(16)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8:  # 0 is "to the end"; the rest is nothing that mp4 knows
            return 0
        if at + length > size:
            return at + length - size if kind in HOLD_THE_CLIP else 0
        at += length
    return 0


def _missing_of_segment(head: bytes, size: int) -> int:
    at = head.find(SEGMENT)
    if at < 0 or at + 12 > len(head):
        return 0
    width = 9 - head[at + 4].bit_length()
    if width > 8:
        return 0
    told = int.from_bytes(head[at + 4 : at + 4 + width], "big") & ((1 << 7 * width) - 1)
    if told == (1 << 7 * width) - 1:  # a recording of unknown length
        return 0
    return max(0, at + 4 + width + told - size)


@contextmanager
def _reader(source: str | Path | io.BytesIO) -> Iterator[tuple[BinaryIO, int]]:
    if isinstance(source, io.BytesIO):
        yield io.BytesIO(source.getbuffer()), source.getbuffer().nbytes
        return
    with open(source, "rb") as file:
        yield file, os.fstat(file.fileno()).st_size
