"""Video files written so that players show the pictures' own colours: H.264 in mp4, tagged and converted alike."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import av.filter
import numpy as np
from av.video.frame import PictureType
from torch import Tensor, uint8

from ..errors import PusaError
from .converting import COUNTING, HD_HEIGHT, HD_WIDTH
from .sound import at_rate
from .time_stamps import Audio

NO_VISIBLE_LOSS = 16
"""H.264's crf."""

AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


@dataclass(frozen=True)
class ColourTags:
    """What a file says about its colours, numbered by ITU-T H.273, and what FFmpeg's scale filter calls the matrix."""

    matrix: int
    name: str
    primaries: int = 1  # BT.709, which are sRGB's
    transfer: int = 1  # BT.709


BT709, BT601 = ColourTags(1, "bt709"), ColourTags(6, "bt601")


def colour_tags(width: int, height: int) -> ColourTags:
    """BT.709 from 1280 or 720 on and BT.601 below: what players take where they do not read tags."""
    return BT709 if height >= HD_HEIGHT or width >= HD_WIDTH else BT601


def write_video(
    target: Path | str | io.BytesIO,
    frames: Tensor,
    fps: Fraction,
    audio: Audio | None = None,
    metadata: Mapping[str, object] | None = None,
    crf: int = NO_VISIBLE_LOSS,
    bframes: bool = True,
) -> None:
    """Write frames [N, H, W, 3], 0 to 1, as H.264 in mp4, with sound as AAC.

    metadata: written as JSON under its keys, where ComfyUI looks for workflow and prompt. bframes: False stores pictures in the
    order they are shown, so that files can be joined packet by packet.
    """
    height, width = frames.shape[1:3]
    check_even(width, height)
    opened = target if isinstance(target, io.BytesIO) else str(target)
    with av.open(opened, mode="w", format="mp4", options={"movflags": "use_metadata_tags"}) as container:
        write_metadata(container, metadata or {})
        stream = _add_pictures(container, width, height, fps, crf, bframes)
        sound = add_sound(container, audio)
        for number, frame in enumerate(encodable(frames, colour_tags(width, height))):
            frame.pts, frame.time_base = number, 1 / fps
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound and audio:
            write_sound(container, sound, audio)


def _add_pictures(
    container: av.container.OutputContainer, width: int, height: int, fps: Fraction, crf: int, bframes: bool
) -> av.VideoStream:
    """A track of H.264 for pictures of this size, with its colours tagged."""
    options = {"crf": str(crf)} if bframes else {"crf": str(crf), "bf": "0"}
    stream = container.add_stream("h264", rate=fps, options=options)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    _tag(stream.codec_context, colour_tags(width, height))
    return stream


def encodable(frames: Tensor, tags: ColourTags) -> Iterable[av.VideoFrame]:
    """Pictures [N, H, W, 3], 0 to 1, as yuv420p frames of the given matrix and limited range, one after the other."""
    height, width = frames.shape[1:3]
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=width, height=height, format=av.VideoFormat("rgb24", width, height), time_base=COUNTING
    )
    scale = graph.add(
        "scale",
        f"out_color_matrix={tags.name}:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp",
    )
    form, sink = graph.add("format", "yuv420p"), graph.add("buffersink")
    source.link_to(scale)
    scale.link_to(form)
    form.link_to(sink)
    graph.configure()
    for picture in frames:
        pixels = (picture[..., :3].float() * 255.0).round().clamp(0, 255).to("cpu", uint8)
        given = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels.numpy()), format="rgb24")
        given.pts, given.time_base = 0, COUNTING
        graph.push(given)
        frame = graph.vpull()
        frame.colorspace, frame.color_range = tags.matrix, 1
        yield frame


def check_even(width: int, height: int) -> None:
    """Refuse sizes that H.264 with half-size colours does not have."""
    if width % 2 or height % 2:
        raise PusaError(
            f"The pictures are {width} x {height}; a video file needs even numbers. Use {width - width % 2} x {height - height % 2}."
        )


def write_metadata(container: av.container.OutputContainer, metadata: Mapping[str, object]) -> None:
    """Metadata as JSON, before anything else is written."""
    for key, value in metadata.items():
        container.metadata[key] = json.dumps(value)


@dataclass(frozen=True)
class JoinedPart:
    """A file that write_video wrote without B-frames and sound, and how much of it is shown."""

    path: Path
    frames: int | None = None  # its first ones; None for all


def join_videos(
    path: Path,
    parts: Sequence[JoinedPart],
    metadata: Mapping[str, object],
    audio: Audio | None = None,
    crf: int = NO_VISIBLE_LOSS,
) -> None:
    """One mp4 of several, with sound as AAC: packet by packet where one header fits all of them, else encoded anew at crf.

    A file has one header of its codec. x264's depends on crf among others, and under another one the pictures fall to pieces.
    """
    alike = len({_header(part.path) for part in parts}) == 1
    options = {"movflags": "use_metadata_tags"}
    with (
        av.open(str(path), mode="w", format="mp4", options=options) as joined,
        av.open(str(parts[0].path)) as first,
    ):
        write_metadata(joined, metadata)
        like = first.streams.video[0]
        if alike:
            target = joined.add_stream_from_template(like, opaque=True)  # packets pass as they are
        else:
            target = _add_pictures(joined, like.width, like.height, _rate(like), crf, bframes=False)
        sound = add_sound(joined, audio)
        (_pass_packets if alike else _encode_anew)(joined, target, parts)
        if sound and audio:
            write_sound(joined, sound, audio)


def _header(path: Path) -> tuple[str, bytes]:
    """What a decoder must know before the first packet of a file's pictures: the codec and its header."""
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        return codec.name, bytes(codec.extradata or b"")


def _rate(stream: av.VideoStream) -> Fraction:
    return Fraction(stream.average_rate or 1)


def _pass_packets(
    joined: av.container.OutputContainer, target: av.VideoStream, parts: Sequence[JoinedPart]
) -> None:
    """The parts' packets as they are, one part after the other."""
    shown = Fraction(0)  # seconds so far
    for part in parts:
        with av.open(str(part.path)) as container:
            source = container.streams.video[0]
            frame_time = 1 / _rate(source)
            pictures = (
                packet for packet in container.demux(source) if packet.pts is not None
            )  # the last is empty
            for packet in islice(pictures, part.frames):
                time_base = Fraction(source.time_base or 1)
                packet.pts = packet.dts = round(shown / time_base)
                packet.time_base, packet.duration = time_base, round(frame_time / time_base)
                packet.stream = target
                joined.mux(packet)
                shown += frame_time


def _encode_anew(
    joined: av.container.OutputContainer, target: av.VideoStream, parts: Sequence[JoinedPart]
) -> None:
    """The parts' pictures in one stream of its own; all have one rate."""
    shown = 0  # frames so far
    for part in parts:
        with av.open(str(part.path)) as container:
            rate = _rate(container.streams.video[0])
            for frame in islice(container.decode(video=0), part.frames):
                frame.pts, frame.time_base = shown, 1 / rate
                frame.pict_type = PictureType.NONE  # the encoder chooses, whatever the part had there
                joined.mux(target.encode(frame))
                shown += 1
    joined.mux(target.encode(None))


def add_sound(container: av.container.OutputContainer, audio: Audio | None) -> av.AudioStream | None:
    """A track of AAC for this sound; every track is added before anything is written."""
    if audio is None:
        return None
    sound = container.add_stream("aac", rate=_written_rate(audio))
    sound.layout = "mono" if audio.waveform.shape[0] == 1 else "stereo"
    return sound


def write_sound(container: av.container.OutputContainer, sound: av.AudioStream, audio: Audio) -> None:
    """The whole sound into its track."""
    heard = at_rate(audio, _written_rate(audio))
    block = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(heard.waveform.float().numpy()), format="fltp", layout=sound.layout.name
    )
    block.sample_rate, block.pts = heard.sample_rate, 0
    container.mux(sound.encode(block))
    container.mux(sound.encode(None))


def _written_rate(audio: Audio) -> int:
    return audio.sample_rate if audio.sample_rate in AAC_RATES else 48000


def count_frames(path: Path) -> tuple[int, Fraction]:
    """Frames of a video file and how many of them are shown in a second, without decoding it where the file tells."""
    with av.open(str(path), metadata_errors="replace") as container:
        stream = container.streams.video[0]
        frames = stream.frames or sum(packet.pts is not None for packet in container.demux(stream))
        return frames, Fraction(stream.average_rate or 1)


def _tag(encoder: av.VideoCodecContext, tags: ColourTags) -> None:
    encoder.colorspace, encoder.color_range = tags.matrix, 1
    encoder.color_primaries, encoder.color_trc = tags.primaries, tags.transfer
