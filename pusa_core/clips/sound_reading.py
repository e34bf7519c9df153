"""The sound of a file at its time stamps: the first track that can be decoded, beside the pictures it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import av.error
import numpy as np
import torch

from .notes import Notes
from .stamp_repair import Believable, Clock
from .time_stamps import Audio

if TYPE_CHECKING:
    from .reading import ClipFile

IN_STEP = Fraction(45, 1000)
"""Seconds that sound may lead before it is noticed (ITU-R BT.1359-1): smaller faults of the stamps are rounding."""
RESTARTS = Fraction(1)
"""Seconds that stamps must go back by for a part of its own; less is sound that overlaps."""
LEADS = Fraction(3, 4)
"""Seconds of sound before the first picture that are nothing to speak of."""
LONGEST = Fraction(24 * 3600)
"""Seconds of sound that memory is taken for."""


@dataclass
class _Placed:
    """Blocks of sound in the order of the file, each with its stamp; the part of the file that they belong to."""

    rate: int
    channels: int
    blocks: list[tuple[int, Fraction | None, np.ndarray]] = field(
        default_factory=list
    )  # part, seconds, [C, n]


def read_sound(file: ClipFile) -> Audio | None:
    """The sound of a clip, starting with its first picture where it has one; None where there is none that can be decoded.

    More than two channels are mixed down to stereo, which is what ComfyUI's video writer takes. Sound from before the
    pictures is cut, where the stamps leave a hole there is silence, and a clock that starts again goes on in step with the
    pictures. A track that cannot be decoded is passed over, and said.
    """
    from .reading import COVER, DEFAULT, disposition, opened

    with opened(file.source, file.name) as container:
        has_pictures = any(not disposition(stream) & COVER for stream in container.streams.video)
        tracks = sorted(container.streams.audio, key=lambda one: (-(disposition(one) & DEFAULT), one.index))
        known = [(track.index, track.codec_context is not None) for track in tracks]
    for index, decodable in known:
        found = _decode(file, index, has_pictures) if decodable else None
        if found is not None and found[0].blocks:
            if passed := sum(1 for other, _ in known[: known.index((index, decodable))] if other != index):
                file.notes.add(
                    f"{_spoken(file)} has {passed} sound track{'s' * (passed > 1)} that cannot be decoded; the next one was used."
                )
            first = file.first_stamp() if has_pictures else Fraction(0)
            _say_what_is_cut(file, found[0], first)
            return _laid_out(*found, first)
    if known:
        file.notes.add(
            f"The sound of {file.name} is of a kind that FFmpeg cannot decode here: it is left out. Export the clip again with AAC sound."
        )
    return None


def sound_of_file(path: Path, name: str) -> Audio | None:
    """The sound of a file of sound, or of a clip from its first picture on; None where there is none that can be decoded."""
    from .reading import ClipFile

    return read_sound(ClipFile(path, name, Notes()))


def _say_what_is_cut(file: ClipFile, placed: _Placed, begin: Fraction) -> None:
    """A long sound before the first picture is a fault of the file, or of how it was cut."""
    heard = next((stamp for _, stamp, _ in placed.blocks if stamp is not None), begin)
    if begin - heard > LEADS:
        file.notes.add(
            f"The pictures of {file.name} begin {float(begin - heard):.1f} seconds after its sound; the sound before them is left out."
        )


def _spoken(file: ClipFile) -> str:
    return file.name[0].upper() + file.name[1:]


def _decode(file: ClipFile, index: int, has_pictures: bool) -> tuple[_Placed, list[Fraction]]:
    """The blocks of one track, and seconds to add to the stamps of each part of the file, by its pictures."""
    from .reading import believable, opened, picture_stream

    with opened(file.source, file.name) as container:
        track = cast(av.AudioStream, container.streams[index])
        pictures = picture_stream(container, file.name).index if has_pictures else None
        plausible = believable(container)
        shown, heard = _Parts(plausible), _Parts(plausible)
        placed = _Placed(int(track.codec_context.sample_rate or 0), 0)
        resampler: av.AudioResampler | None = None
        for packet in _packets(container):
            if packet is not None and packet.stream_index == pictures:
                shown.pass_by(packet)
            if packet is not None and packet.stream_index != index:
                continue
            if packet is not None:
                heard.pass_by(packet)
            try:
                frames = track.codec_context.decode(packet)
            except av.error.FFmpegError:
                file.notes.add(f"The sound of {file.name} is damaged; it is silent there.")
                continue  # the stamps of what follows show how long
            for frame in frames:
                if resampler is None:
                    placed.rate = placed.rate or int(frame.sample_rate)
                    placed.channels = 1 if frame.layout.nb_channels == 1 else 2
                    layout = "mono" if placed.channels == 1 else "stereo"
                    resampler = av.AudioResampler(format="fltp", layout=layout, rate=placed.rate)
                unit = frame.time_base or track.time_base
                stamp = None if frame.pts is None or not unit else frame.pts * Fraction(unit)
                frame.pts = None  # the resampler would fill holes by itself
                for block in resampler.resample(frame):
                    placed.blocks.append((heard.number, stamp, block.to_ndarray()))
                    stamp = None
        if resampler is not None:
            placed.blocks += [(heard.number, None, block.to_ndarray()) for block in resampler.resample(None)]
    in_step = shown.clock.offsets if len(shown.clock.offsets) == len(heard.clock.offsets) else []
    return placed, in_step or heard.clock.offsets


def _packets(container: av.container.InputContainer) -> Iterator[av.Packet[Any] | None]:
    """All packets, as far as the file goes, then None once, which makes a decoder give what it holds."""
    try:
        for packet in container.demux():
            if packet.size:
                yield packet
    except (av.error.FFmpegError, OSError):
        pass  # the pictures' reader says so
    yield None


class _Parts:
    """The parts of a stream whose clock starts again, found by its packets."""

    def __init__(self, believable: Believable):
        self.clock = Clock(believable)
        self.number = 0  # of the current part

    def pass_by(self, packet: av.Packet[Any]) -> None:
        """One more packet of the stream, in the order of decoding."""
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None or packet.time_base is None:
            return
        unit, clock = Fraction(packet.time_base), self.clock
        time = stamp * unit + clock.offset
        goes_back = clock.last is not None and time < clock.last - RESTARTS
        if goes_back or (clock.breaks(time) and time >= (clock.last or time)):
            clock.restart(stamp * unit)
            time = clock.due
            self.number += 1
        if clock.last is None or time >= clock.last:
            clock.pass_to(time, (packet.duration or 0) * unit)


def _laid_out(placed: _Placed, offsets: list[Fraction], begin: Fraction) -> Audio | None:
    """All blocks at their times after `begin`, the stamp of the first picture, in seconds."""
    rate = placed.rate
    places: list[tuple[int, np.ndarray]] = []
    due = 0  # sample at which the next block is expected
    for part, stamp, samples in placed.blocks:
        if stamp is not None:
            at = round((stamp + offsets[min(part, len(offsets) - 1)] - begin) * rate)
            if not places or abs(at - due) > IN_STEP * rate:
                due = at
        if due > LONGEST * rate:
            break
        places.append((due, samples))
        due += samples.shape[1]
    end = max((at + samples.shape[1] for at, samples in places), default=0)
    if end <= 0:
        return None
    waveform = np.zeros((placed.channels, end), np.float32)
    for at, samples in places:
        kept = samples[:, max(0, -at) :]
        waveform[:, max(0, at) : max(0, at) + kept.shape[1]] = kept
    return Audio(torch.from_numpy(waveform), rate)
