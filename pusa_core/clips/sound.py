"""Sound laid under a video: pieces at their times, cut or filled with silence to its length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import torch
from torch import Tensor

from .time_stamps import Audio


@dataclass(frozen=True)
class SoundPiece:
    """A sound and when it is heard."""

    audio: Audio
    start: Fraction  # seconds in the video
    end: Fraction | None = None  # seconds in the video where it is cut, None to let it run out


def lay_under(pieces: Sequence[SoundPiece], length: Fraction) -> Audio | None:
    """One sound of exactly `length` seconds with each piece at its time and silence elsewhere; None without pieces.

    The first piece's sample rate is kept and the others are brought to it; a mono piece becomes stereo beside a stereo one.
    Pieces that overlap are added.
    """
    if not pieces:
        return None
    rate = pieces[0].audio.sample_rate
    channels = max(piece.audio.waveform.shape[0] for piece in pieces)
    waveform = torch.zeros(channels, round(length * rate))
    for piece in pieces:
        start = round(piece.start * rate)
        end = min(waveform.shape[1], waveform.shape[1] if piece.end is None else round(piece.end * rate))
        part = at_rate(piece.audio, rate).waveform[:, max(0, -start) : max(0, end - start)]
        waveform[:, max(0, start) : max(0, start) + part.shape[1]] += part
    return Audio(waveform, rate)


def at_rate(audio: Audio, sample_rate: int) -> Audio:
    """The sound at another sample rate (FFmpeg's resampler)."""
    if sample_rate == audio.sample_rate:
        return audio
    layout = "mono" if audio.waveform.shape[0] == 1 else "stereo"
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=sample_rate)
    given = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(audio.waveform.numpy()), format="fltp", layout=layout
    )
    given.sample_rate = audio.sample_rate
    blocks = [block.to_ndarray() for frame in (given, None) for block in resampler.resample(frame)]
    return Audio(torch.from_numpy(np.concatenate(blocks, axis=1)), sample_rate)


def mono_or_stereo(waveform: Tensor, sample_rate: int) -> Audio:
    """ComfyUI's AUDIO waveform [B, C, samples] as a sound: its first item, more than two channels mixed into two."""
    sound = waveform[0].float().cpu()
    if sound.shape[0] > 2:
        sound = sound.mean(0, keepdim=True).expand(2, -1)
    return Audio(sound, sample_rate)
