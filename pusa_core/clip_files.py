"""Video files read with PyAV: pictures with their time stamps, and the sound beside them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch

from .errors import PusaError
from .time_stamps import Audio, Clip, StampedFrame

Source = str | Path | io.BytesIO


def clip_of_file(source: Source, name: str | None = None) -> Clip:
    """The clip in a file of any container and codec that FFmpeg reads.

    source: a path, or the file's bytes; name: how errors call it. Opens the file once to refuse what is no video.
    """
    name = name or (f"the clip {Path(source).name!r}" if isinstance(source, (str, Path)) else "the clip")
    with _opened(source, name) as container:
        rate = Fraction(_video_stream(container, name).average_rate or 1)
    return Clip(name, rate, lambda: stamped_frames(source, name), lambda: sound(source, name))


def stamped_frames(source: Source, name: str = "the clip") -> Iterator[StampedFrame]:
    """Every picture of a file with its own time stamp, so that a variable frame rate is kept.

    Pixels are uint8 [H, W, 3], turned upright where the file says so (phones). A frame without a stamp follows the one
    before it by the average frame duration.
    """
    found = False
    with _opened(source, name) as container:
        stream = _video_stream(container, name)
        usual = 1 / Fraction(stream.average_rate or 1)
        due = Fraction(0)
        for frame in container.decode(stream):
            unit = frame.time_base or Fraction(0)  # seconds per count of pts
            time = Fraction(frame.pts * unit) if frame.pts is not None and unit else due
            duration = Fraction((frame.duration or 0) * unit) or usual
            due = time + duration
            found = True
            yield StampedFrame(time, duration, torch.from_numpy(_upright(frame)))
    if not found:
        raise PusaError(
            f"No frame of {name} can be decoded. The file is empty or cut off: export it again, e.g. as mp4."
        )


def sound(source: Source, name: str = "the clip") -> Audio | None:
    """The first audio stream, starting with the first picture; None if there is none.

    More than two channels are mixed down to stereo, which is what ComfyUI's video writer takes. Sound that starts before
    the pictures is cut, sound that starts after them gets silence in front.
    """
    with _opened(source, name) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        layout = "mono" if stream.channels == 1 else "stereo"
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=stream.sample_rate)
        blocks, starts = [], None
        for frame in container.decode(stream):
            if starts is None:
                starts = (
                    frame.pts * frame.time_base if frame.pts is not None and frame.time_base else Fraction(0)
                )
            blocks += [block.to_ndarray() for block in resampler.resample(frame)]
        blocks += [block.to_ndarray() for block in resampler.resample(None)]
        rate = int(stream.sample_rate)
    if starts is None or not blocks:
        return None
    waveform = torch.from_numpy(np.concatenate(blocks, axis=1)).float()
    late = round((starts - _first_time(source, name)) * rate)
    if late > 0:
        waveform = torch.nn.functional.pad(waveform, (late, 0))
    return Audio(waveform[:, max(0, -late) :], rate)


def _first_time(source: Source, name: str) -> Fraction:
    return next(stamped_frames(source, name)).time


def _upright(frame: av.VideoFrame) -> np.ndarray:
    """The frame as uint8 [H, W, 3], turned by its display matrix in quarter turns."""
    pixels = frame.to_ndarray(format="rgb24")
    quarters = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, quarters)) if quarters else pixels


def _video_stream(container: av.container.InputContainer, name: str) -> av.VideoStream:
    if not container.streams.video:
        raise PusaError(f"There are no pictures in {name}, only sound or data. Choose a video file.")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    return stream


@contextmanager
def _opened(source: Source, name: str) -> Iterator[av.container.InputContainer]:
    """The file opened for reading; FFmpeg's own errors come out as a sentence."""
    if isinstance(source, io.BytesIO):
        source = io.BytesIO(source.getbuffer())  # a reader of its own: clips are read more than once
    try:
        with av.open(str(source) if isinstance(source, Path) else source, mode="r") as container:
            yield container
    except (av.error.FFmpegError, OSError) as reason:
        raise PusaError(
            f"{name[0].upper()}{name[1:]} cannot be read as a video ({getattr(reason, 'strerror', None) or reason}). "
            "The file is broken, cut off or of a kind FFmpeg does not know: export it again, e.g. as mp4 with h264."
        ) from reason
