"""Small real video files in the containers people have, made with PyAV.

Every picture carries its own number as its brightness (see level), so that a test can say which frame it got.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

CODECS = {
    "h264.mp4": ("libx264", "yuv420p", {"crf": "10"}),
    "hevc.mp4": ("libx265", "yuv420p", {"crf": "10", "x265-params": "log-level=error:pools=1"}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"crf": "10", "b": "0", "cpu-used": "8", "deadline": "realtime"}),
    "h264.mkv": ("libx264", "yuv420p", {"crf": "10"}),
    "anim.gif": ("gif", "rgb8", {}),
    "odd444.mp4": ("libx264", "yuv444p", {"crf": "10"}),
}
"""File ending -> encoder, pixel format, options."""


def level(number: int) -> int:
    """Brightness of picture `number`, 0 to 255; 30 of them are told apart after any codec here."""
    return 20 + 7 * (number % 30)


def number_of(pixels) -> int:
    """The number of the picture whose pixels [H, W, 3], 0 to 1, these are."""
    return round((float(pixels.float().mean()) * 255 - 20) / 7)


def picture(number: int, width: int, height: int) -> np.ndarray:
    """Picture `number`, uint8 [H, W, 3]."""
    return np.full((height, width, 3), level(number), np.uint8)


def write_video(
    path: Path,
    times: Sequence[Fraction],
    *,
    kind: str = "h264.mp4",
    width: int = 64,
    height: int = 48,
    rate: Fraction = Fraction(16),
    tone: float | None = None,
    channels: int = 2,
) -> Path:
    """A file with one picture at each of `times` (seconds); tone: seconds of 440 Hz sound beside it, None for none."""
    codec, pixel_format, options = CODECS[kind]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.time_base = Fraction(1, 1000)
        sound = (
            container.add_stream("aac" if path.suffix != ".webm" else "libopus", rate=48000) if tone else None
        )
        if sound:
            sound.layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number, width, height), format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound:
            samples = np.sin(2 * np.pi * 440 * np.arange(round(tone * 48000)) / 48000).astype(np.float32)
            block = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(np.tile(samples * 0.5, (channels, 1))),
                format="fltp",
                layout=sound.layout.name,
            )
            block.sample_rate, block.pts = 48000, 0
            fifo = av.AudioFifo()
            fifo.write(block)
            while part := fifo.read(sound.codec_context.frame_size or 1024, partial=True):
                container.mux(sound.encode(part))
            container.mux(sound.encode(None))
    return path


def steady(count: int, rate: Fraction | int = 16) -> list[Fraction]:
    """Times of `count` frames at a steady rate, seconds."""
    return [Fraction(number) / rate for number in range(count)]
