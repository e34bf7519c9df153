"""Clips in files: opened with PyAV, the right stream found in them, and its pictures decoded as far as they go."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import av
import av.container
import av.error
import av.stream

from ..errors import PusaError
from .converting import Converter, Look, check_size, checked_pixel_shape
from .deinterlacing import deinterlaced
from .file_lengths import missing_bytes
from .notes import Notes
from .stamp_repair import Believable, Stamped, rising
from .time_stamps import WAN_RATE, Audio, Clip, StampedFrame

Source = str | Path | io.BytesIO

DEFAULT, COVER, THUMBNAILS = 0x001, 0x400, 0x800
"""FFmpeg's dispositions of a stream."""

SAMPLE = 240
"""Packets whose time stamps a header's rate is compared with."""
NEAR = Fraction(5, 4)
"""A header's rate that differs by more than this factor from the stamps' is not believed."""
FASTEST = 1000  # frames per second that time_stamps.check_rate allows

MOST_WAITING = 256
"""Packets that a decoder may hold before it gives their pictures."""

TELLS_ITS_LENGTH = ("mov", "matroska", "avi", "flv", "asf", "ogg")
"""Containers whose header says how long they are; of others FFmpeg guesses it."""
CUT_OFF = Fraction(1, 2)
"""Seconds by which a file may be shorter than its header says."""

COMFYUI_KEYS = {"prompt", "workflow"}
"""Metadata of files written by ComfyUI, whose pictures are BT.601 without a tag at any size."""

ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""FFmpeg's own decoders leave the transparency of WebM out."""


def clip_of_file(source: Source, name: str | None = None) -> Clip:
    """The clip in a file of any container and codec that FFmpeg reads.

    source: a path, or the file's bytes; name: how errors call it. Opens the file once to refuse what is no video.
    """
    name = name or (f"the clip {Path(source).name!r}" if isinstance(source, (str, Path)) else "the clip")
    file = ClipFile(source, name, Notes())
    return Clip(name, file.rate, file.stamped_frames, file.sound, file.notes)


@dataclass
class ClipFile:
    """A file that is read from its start as often as it is needed."""

    source: Source
    name: str
    notes: Notes
    damage_said: bool = False

    @cached_property
    def rate(self) -> Fraction:
        """Frames per second: the header's where the time stamps agree with it, else as they are."""
        with opened(self.source, self.name) as container:
            stream = picture_stream(container, self.name)
            given = Fraction(stream.average_rate or 0)
            unit = Fraction(stream.time_base or 1)
            sample = _rate_of(islice(_stamps(container, stream), SAMPLE), unit)
            if _agree(given, sample):
                return given
        with opened(self.source, self.name) as container:
            found = _rate_of(_stamps(container, picture_stream(container, self.name)), unit)
        if _agree(given, found):
            return given
        return found or (given if 0 < given <= FASTEST else WAN_RATE)

    def stamped_frames(self) -> Iterator[StampedFrame]:
        """Every picture with its own time stamp, so that a variable frame rate is kept; see rising for faulty ones.

        The pixels, uint8 [H, W, 3], are made when they are asked for: see Converter.
        """
        found = False
        with opened(self.source, self.name) as container:
            stream = picture_stream(container, self.name)
            converter = Converter(_look(container, stream), self._spoken, self.notes)
            usual = 1 / self.rate
            frames = deinterlaced(self._decoded(container, stream), self._spoken, self.notes)
            for stamped in rising(frames, usual, believable(container)):
                converter.watch(stamped.item)
                found = True
                yield StampedFrame(
                    stamped.time or Fraction(0), stamped.duration, _Picture(converter, stamped.item)
                )
        if not found:
            raise PusaError(
                f"No frame of {self.name} can be decoded. The file is empty, cut off or damaged: export it again, e.g. as mp4."
            )

    def sound(self) -> Audio | None:
        """The sound from the first picture on; None where there is none that can be decoded. See read_sound."""
        from .sound_reading import read_sound

        return read_sound(self)

    def first_stamp(self) -> Fraction:
        """What the file says is the time of its first picture, seconds."""
        with opened(self.source, self.name) as container:
            stream = picture_stream(container, self.name)
            for stamped in self._decoded(container, stream):
                return stamped.time or Fraction(0)
        return Fraction(0)

    @property
    def _spoken(self) -> str:
        return self.name[0].upper() + self.name[1:]

    def _decoded(
        self, container: av.container.InputContainer, stream: av.VideoStream
    ) -> Iterator[Stamped[av.VideoFrame]]:
        """The pictures as the file has them, as far as it can be read; what is missing is said."""
        check_size(stream.codec_context.width, stream.codec_context.height, self.name)
        decoder = _decoder(stream)
        tells_lasting = Fraction(stream.average_rate or 0) == self.rate  # else the header's rate is behind it
        lasting: dict[int | None, int] = {}  # stamp -> how long its packet says that it lasts
        unit = Fraction(stream.time_base or 1)
        reached = _Reached(container)
        for packet in self._packets(container, reached):
            if packet is not None and packet.stream_index != stream.index:
                continue
            if packet is not None:
                lasting[packet.pts] = packet.duration or 0
            try:
                frames = decoder.decode(packet)
            except av.error.FFmpegError:
                self._say_damage(reached.seconds)
                continue
            for frame in frames:
                check_size(frame.width, frame.height, self.name)
                if frame.is_corrupt:
                    self._say_damage(reached.seconds)
                pts = frame.pts if frame.pts is not None else frame.dts
                lasts = (
                    lasting.pop(frame.pts, 0) if tells_lasting else 0
                )  # PyAV 14 does not know it of a frame
                yield Stamped(None if pts is None else pts * unit, lasts * unit, frame)
            if len(lasting) > MOST_WAITING:
                lasting.clear()
        if missing := missing_bytes(self.source):
            self.notes.add(
                f"{self._spoken} breaks off: at least {missing} bytes at its end are missing; what is there was used."
            )
        if reached.ends_early:
            self.notes.add(
                f"{self._spoken} breaks off after {float(reached.seconds):.1f} of {float(reached.length or 0):.1f} seconds; what is there was used."
            )

    def _packets(
        self, container: av.container.InputContainer, reached: _Reached
    ) -> Iterator[av.Packet[Any] | None]:
        """The packets of all streams in the file's order, then None once, which makes decoders give what they hold."""
        packets = container.demux()
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except (av.error.FFmpegError, OSError) as reason:
                self.notes.add(
                    f"{self._spoken} breaks off after {float(reached.seconds):.1f} seconds ({reason_of(reason)}); what is there was used."
                )
                break
            if packet.size:  # an empty one only says that a stream is at its end
                reached.pass_by(packet)
                yield packet
        yield None

    def _say_damage(self, seconds: Fraction) -> None:
        if self.damage_said:
            return
        self.damage_said = True
        self.notes.add(
            f"{self._spoken} is damaged, first at about {float(seconds):.1f} seconds; pictures there are missing or spoilt."
        )


@dataclass(frozen=True)
class _Picture:
    """The pixels of a decoded frame, made when they are wanted."""

    converter: Converter
    frame: av.VideoFrame

    def __call__(self) -> Any:
        return self.converter.picture(self.frame)


class _Reached:
    """How far a file has been read, against how long it says it is."""

    def __init__(self, container: av.container.InputContainer):
        self.length = told_length(container)  # seconds, None where the file does not say
        self._begin: Fraction | None = None
        self._lasted: dict[
            int, Fraction
        ] = {}  # seconds of the packets of each stream: stamps may stand still
        self.seconds = Fraction(0)  # from its first time stamp

    def pass_by(self, packet: av.Packet[Any]) -> None:
        """One more packet, of any stream, was read."""
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None or packet.time_base is None:
            return
        begin, lasts = stamp * packet.time_base, (packet.duration or 0) * packet.time_base
        self._begin = begin if self._begin is None else min(begin, self._begin)
        lasted = self._lasted[packet.stream_index] = (
            self._lasted.get(packet.stream_index, Fraction(0)) + lasts
        )
        self.seconds = max(self.seconds, begin + lasts - self._begin, lasted)

    @property
    def ends_early(self) -> bool:
        return self.length is not None and self.seconds < self.length - CUT_OFF


@contextmanager
def opened(source: Source, name: str) -> Iterator[av.container.InputContainer]:
    """The file opened for reading; FFmpeg's own errors come out as a sentence."""
    if isinstance(source, io.BytesIO):
        source = io.BytesIO(source.getbuffer())  # a reader of its own: clips are read more than once
    try:
        # old cameras write names in alphabets of their own: they are no reason to refuse a clip
        with av.open(
            str(source) if isinstance(source, Path) else source, mode="r", metadata_errors="replace"
        ) as container:
            yield container
    except (av.error.FFmpegError, OSError) as reason:
        raise PusaError(
            f"{name[0].upper()}{name[1:]} cannot be read as a video ({reason_of(reason)}). "
            "The file is broken, cut off or of a kind FFmpeg does not know: export it again, e.g. as mp4 with h264."
        ) from reason


def picture_stream(container: av.container.InputContainer, name: str) -> av.VideoStream:
    """The stream that players show: not a cover, one that can be decoded, the one marked as default, the largest."""
    moving = [stream for stream in container.streams.video if not disposition(stream) & (COVER | THUMBNAILS)]
    if not moving:
        raise PusaError(
            f"There are no pictures in {name}, only sound (perhaps with a cover) or data. Choose a video file."
        )
    known = [stream for stream in moving if stream.codec_context is not None]
    if not known:
        raise PusaError(
            f"The pictures in {name} are of a kind that FFmpeg cannot decode here. Export it again, e.g. as mp4 with h264."
        )
    stream = max(
        known,
        key=lambda one: (
            disposition(one) & DEFAULT,
            one.codec_context.width * one.codec_context.height,
            -one.index,
        ),
    )
    stream.thread_type = "AUTO"
    return stream


def disposition(stream: av.stream.Stream) -> int:
    """What a stream is for, as FFmpeg's bits."""
    given = stream.disposition
    return int(getattr(given, "value", given))


def believable(container: av.container.InputContainer) -> Believable:
    """Which pauses the clock of this file can have."""
    return Believable(container.format.name, told_length(container))


def told_length(container: av.container.InputContainer) -> Fraction | None:
    """Seconds that the file's header says it lasts, None where it says nothing."""
    names = container.format.name.split(",")
    if container.duration is None or not any(name in TELLS_ITS_LENGTH for name in names):
        return None
    return Fraction(container.duration, av.time_base)


def reason_of(reason: BaseException) -> str:
    """FFmpeg's words for what went wrong."""
    return str(getattr(reason, "strerror", None) or reason)


def _decoder(stream: av.VideoStream) -> av.VideoCodecContext:
    name = ALPHA_DECODERS.get(stream.codec_context.name)
    with_alpha = {key.casefold(): value for key, value in stream.metadata.items()}.get("alpha_mode") == "1"
    if name and with_alpha and name in av.codecs_available:
        decoder = av.CodecContext.create(name, "r")
        assert isinstance(decoder, av.VideoCodecContext)
        return decoder
    return stream.codec_context


def _look(container: av.container.InputContainer, stream: av.VideoStream) -> Look:
    keys = {key.casefold() for key in container.metadata}
    return Look(
        transfer=int(stream.codec_context.color_trc or 2),
        pixel_shape=checked_pixel_shape(stream.sample_aspect_ratio),
        untagged="bt601" if keys & COMFYUI_KEYS else "",
    )


def _stamps(
    container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[tuple[int | None, int | None]]:
    """When the stream's packets are shown and decoded, in its time base, in the file's order; ends where the file breaks."""
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet.pts, packet.dts
    except av.error.FFmpegError:
        return


def _rate_of(stamps: Iterable[tuple[int | None, int | None]], unit: Fraction) -> Fraction | None:
    """Frames per second by time stamps (shown, decoded) of `unit` seconds; None where they tell nothing.

    The mean of the steps, without those that are ten times as long as the one in the middle or go back: pauses, and clocks
    that start again.
    """
    stamps = list(stamps)
    decoded = [dts for _, dts in stamps if dts is not None]
    shown = sorted(pts for pts, _ in stamps if pts is not None)
    row = decoded if 2 * len(decoded) > len(stamps) else shown
    steps = [after - before for before, after in pairwise(row) if after >= before]
    forward = sorted(step for step in steps if step > 0)
    if not forward:
        return None
    usual = [step for step in steps if step <= 10 * forward[len(forward) // 2]]
    return (len(usual) / (sum(usual) * unit)).limit_denominator(1001)


def _agree(given: Fraction, found: Fraction | None) -> bool:
    """Whether a header's rate can be that of the time stamps."""
    return found is not None and 0 < given <= FASTEST and given <= found * NEAR and found <= given * NEAR
