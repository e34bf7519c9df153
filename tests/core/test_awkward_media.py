"""Claims about clips as people really have them: every kind of support/awkward_media is read right, or refused in a sentence."""

import os
import re
from fractions import Fraction

import numpy as np
import pytest

from pusa_core.clips.reading import clip_of_file
from pusa_core.errors import PusaError
from support.awkward_media import rows
from support.video_files import number_of

SIXTEEN = Fraction(16)


def pitches(audio):
    """Hz of the loudest tone in each quarter second, 0 where it is silent."""
    if audio is None:
        return None
    quarter = audio.sample_rate // 4
    found = []
    for begin in range(0, audio.waveform.shape[1] - quarter * 3 // 4, quarter):
        part = audio.waveform[0, begin : begin + quarter].numpy()
        inner = part[len(part) // 8 : -len(part) // 8]  # blocks of sound reach over the edges
        spectrum = np.abs(np.fft.rfft(inner))
        spectrum[0] = 0
        loud = np.abs(inner).max() > 0.05
        found.append(round(spectrum.argmax() * audio.sample_rate / len(inner)) if loud else 0)
    return found


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.name}{row.suffix}")
def test_awkward_files_are_read_right_or_refused_in_a_sentence(row, tmp_path):
    path = row.make(tmp_path / f"clip{row.suffix}")
    right = row.right
    if right.refused:
        with pytest.raises(PusaError, match=right.refused):
            clip_of_file(path).all(SIXTEEN)
        return
    clip = clip_of_file(path)
    pictures = clip.all(SIXTEEN)
    assert tuple(pictures.shape[1:]) == (right.size[1], right.size[0], 3)
    assert 0 <= pictures.min() <= pictures.max() <= 1
    if right.numbers is not None:
        assert [number_of(pixels) for pixels in pictures] == list(right.numbers)
    elif right.count == -1:  # as far as it goes
        found = [number_of(pixels) for pixels in pictures]
        assert 4 < len(found) < 48
        assert found == sorted(found)
    else:
        assert len(pictures) == right.count
    if right.rate is not None:
        assert float(clip.rate) == pytest.approx(right.rate, rel=0.01)
    if right.colour is not None:
        middle = pictures[0, pictures.shape[1] // 2, pictures.shape[2] // 2] * 255
        assert np.abs(middle.numpy() - right.colour).max() <= right.within, middle
    assert right.looks(pictures[len(pictures) // 2].numpy())
    heard = pitches(clip.sound())
    if right.sound is None:
        assert heard is None
    else:
        assert len(heard) == len(right.sound)
        assert all(abs(a - b) <= 6 for a, b in zip(heard, right.sound, strict=True)), heard
    said = "\n".join(clip.notes.sentences)
    if right.said:
        assert re.search(right.said, said), said
    else:
        assert not said


def test_there_are_as_many_kinds_as_the_documentation_says(pack_root):
    text = (pack_root / "docs" / "CLIPS.md").read_text("utf-8")
    assert f"**{len(rows())} kinds**" in text
    missing = [row.name for row in rows() if f"| {row.name} |" not in text]
    assert not missing


def test_making_them_leaves_other_processes_their_turns(tmp_path):
    """SVT-AV1 would make this thread a real-time one, as root."""
    scheduling = getattr(os, "sched_getscheduler", lambda _: None)
    before = scheduling(0)
    for row in rows():
        if "av1" in row.name:
            row.make(tmp_path / f"clip{row.suffix}")
            assert scheduling(0) == before
