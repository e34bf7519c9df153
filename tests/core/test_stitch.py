"""Claims about joining clips and generated frames, pictures and sound."""

import json
import subprocess
import sys
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pusa_core.clips.sound import SoundPiece, at_rate, lay_under
from pusa_core.clips.stitch import stitch
from pusa_core.clips.time_stamps import Audio, Clip, StampedFrame, clip_of_pictures
from pusa_core.errors import PusaError

SIXTEEN = Fraction(16)


def numbered(start, count):
    return torch.arange(start, start + count).reshape(-1, 1, 1, 1).expand(-1, 2, 2, 3).float()


def footage(start, count, rate=SIXTEEN, audio=None):
    return clip_of_pictures(numbered(start, count), Fraction(rate), audio)


def numbers(stitched):
    return [round(float(value), 3) for value in stitched.frames[:, 0, 0, 0]]


def tone(seconds, sample_rate=48000, value=1.0, channels=2):
    return Audio(torch.full((channels, round(seconds * sample_rate)), value), sample_rate)


@given(
    before=st.integers(13, 40), made=st.integers(14, 40), overlap=st.integers(0, 13), fade=st.integers(0, 5)
)
@settings(max_examples=30, deadline=None)
def test_an_extension_shows_each_moment_once(before, made, overlap, fade):
    # frame n of the world carries n: the generated frames begin with the clip's last `overlap`
    generated = numbered(before - overlap, made)
    result = stitch(
        footage(0, before), generated, None, overlap_frames=overlap, crossfade_frames=min(fade, overlap)
    )
    assert numbers(result) == list(range(before - overlap + made))
    assert result.first_generated == before


@given(
    after=st.integers(13, 40), made=st.integers(14, 40), overlap=st.integers(0, 13), fade=st.integers(0, 5)
)
@settings(max_examples=30, deadline=None)
def test_what_leads_up_to_a_clip_shows_each_moment_once(after, made, overlap, fade):
    result = stitch(
        None,
        numbered(0, made),
        footage(made - overlap, after),
        overlap_frames=overlap,
        crossfade_frames=min(fade, overlap),
    )
    assert numbers(result) == list(range(made - overlap + after))


def test_a_transition_keeps_both_clips_whole():
    result = stitch(footage(0, 20), numbered(7, 81), footage(75, 30))
    assert numbers(result) == list(range(105))


def test_a_loop_is_the_clip_and_the_way_back():
    result = stitch(footage(0, 20), numbered(7, 33), None, loop=True)
    assert numbers(result) == [*range(20), *range(20, 27)]


def test_the_clips_own_frames_win_over_the_generated_ones_of_the_same_moment():
    result = stitch(footage(0, 20), numbered(507, 33), None)
    assert numbers(result) == [*range(20), *range(520, 540)]


def test_a_cross_fade_goes_evenly_from_the_clip_to_the_generated_frames():
    result = stitch(footage(0, 20), numbered(507, 33), None, crossfade_frames=4)
    faded = numbers(result)
    assert faded[:16] == list(range(16))
    assert faded[16:20] == [116, 217, 318, 419]  # 16 + 500 * 1/5, 17 + 500 * 2/5, ...
    assert faded[20:] == list(range(520, 540))
    into = numbers(stitch(None, numbered(500, 33), footage(20, 20), crossfade_frames=4))
    assert into[:20] == list(range(500, 520))
    assert into[20:24] == [420, 321, 222, 123]
    assert into[24:] == list(range(24, 40))


def test_a_loop_fades_at_both_ends_of_its_clip():
    faded = numbers(stitch(footage(0, 20), numbered(507, 33), None, crossfade_frames=4, loop=True))
    # the generated frames repeat the clip's start as 527, 528, ...
    assert faded[:5] == [421.6, 317.2, 212.8, 108.4, 4]
    assert faded[16:20] == [116, 217, 318, 419]
    assert faded[20:] == list(range(520, 527))


def test_a_loop_of_a_clip_as_short_as_its_fades_takes_the_nearer_seam():
    faded = numbers(
        stitch(footage(0, 4), numbered(500, 13), None, overlap_frames=4, crossfade_frames=4, loop=True)
    )
    assert faded[:4] == [round(0.2 * 0 + 0.8 * 509, 3), round(0.4 * 1 + 0.6 * 510, 3), 301 + 1, 403]
    assert faded[4:] == list(range(504, 509))


@pytest.mark.parametrize("made_at", [24, 25, 30])
@pytest.mark.parametrize("rate", [24, 30, 60])
def test_frames_made_at_another_rate_than_wans_keep_their_time(made_at, rate):
    """One second of a clip, then a model that makes `made_at` frames a second and was given the clip's last 13 of them."""
    made_at = Fraction(made_at)
    generated = numbered(1000, 13 + 2 * int(made_at))
    result = stitch(footage(0, rate, rate), generated, None, rate=made_at, generated_rate=made_at)
    assert len(result.frames) == 3 * made_at
    assert result.first_generated == made_at
    assert numbers(result)[int(made_at) :] == list(range(1013, 1013 + 2 * int(made_at)))


@pytest.mark.parametrize("rate", [24, 25, 30, Fraction(30000, 1001), 60])
def test_at_the_clips_own_rate_every_one_of_its_frames_stays(rate):
    first = footage(0, 48, rate)
    result = stitch(first, numbered(500, 81), None, rate=Fraction(rate))
    assert numbers(result)[:48] == list(range(48))
    new = numbers(result)[48:]
    assert new[0] in (513, 514)
    assert new == sorted(new)
    assert set(new) >= set(range(514, 580))
    assert abs(len(new) / Fraction(rate) - Fraction(68, 16)) < Fraction(1, 16)


def test_a_variable_rate_clip_keeps_its_time():
    frames = [
        StampedFrame(Fraction(t, 10), Fraction(1, 10), torch.full((2, 2, 3), float(t))) for t in (0, 5, 6, 9)
    ]
    result = stitch(
        Clip("the clip", SIXTEEN, lambda: iter(frames), lambda: None),
        numbered(100, 17),
        None,
        overlap_frames=0,
    )
    assert len(result.frames) == 16 + 17
    assert numbers(result)[8] == 5


def test_sound_is_kept_and_filled_with_silence_to_the_length():
    result = stitch(footage(0, 16, audio=tone(1.0)), numbered(3, 29), None)
    assert result.audio.waveform.shape == (2, 2 * 48000)
    assert bool((result.audio.waveform[:, :48000] == 1).all())
    assert bool((result.audio.waveform[:, 48000:] == 0).all())


def test_sound_longer_than_its_clip_ends_with_the_clip():
    result = stitch(footage(0, 16, audio=tone(1.7)), numbered(3, 29), None)
    assert int((result.audio.waveform[0] == 1).sum()) == 48000


def test_the_second_clips_sound_begins_with_its_first_frame():
    result = stitch(None, numbered(0, 29), footage(16, 16, audio=tone(1.0)))
    assert bool((result.audio.waveform[:, :48000] == 0).all())
    assert bool((result.audio.waveform[:, 48000:] == 1).all())


def test_both_clips_sounds_meet_at_one_sample_rate():
    result = stitch(
        footage(0, 16, audio=tone(1.0, 44100, channels=1)), numbered(3, 39), footage(29, 16, audio=tone(1.0))
    )
    assert result.audio.sample_rate == 44100
    assert result.audio.waveform.shape[0] == 2
    assert abs(float(result.audio.waveform[0, -20000:].mean()) - 1) < 0.01


def test_a_sound_for_the_whole_video_replaces_the_clips():
    result = stitch(footage(0, 16, audio=tone(1.0)), numbered(3, 29), None, audio=tone(9.0, value=0.5))
    assert result.audio.waveform.shape == (2, 96000)
    assert bool((result.audio.waveform == 0.5).all())


def test_generated_frames_alone_take_a_sound_too():
    result = stitch(None, numbered(0, 16), None, audio=tone(0.5))
    assert numbers(result) == list(range(16))
    assert result.audio.waveform.shape[1] == 48000


def test_resampling_keeps_pitch_and_length():
    seconds = torch.arange(44100) / 44100
    found = at_rate(Audio(torch.sin(2 * torch.pi * 440 * seconds)[None], 44100), 48000)
    assert abs(found.waveform.shape[1] - 48000) <= 64
    assert torch.fft.rfft(found.waveform[0, 4000:44000]).abs().argmax() == 440 * 40000 // 48000 + 1


def test_no_pieces_are_no_sound():
    assert lay_under([], Fraction(1)) is None
    assert lay_under([SoundPiece(tone(1.0), Fraction(-1, 2))], Fraction(1)).waveform[0].sum() == 24000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"overlap_frames": 29}, "overlap_frames is 29 at 1 end, the generated video has 29 frames"),
        ({"overlap_frames": -1}, "overlap_frames is -1"),
        ({"overlap_frames": 20}, "the first clip has only 16 frames"),
        ({"crossfade_frames": 14}, "crossfade_frames is 14; .* use 0 to 13"),
        ({"overlap_frames": 15, "loop": True}, "at 2 ends"),
    ],
)
def test_what_cannot_be_joined_is_said(arguments, sentence):
    with pytest.raises(PusaError, match=sentence):
        stitch(footage(0, 16), numbered(0, 29), None, **arguments)


@pytest.mark.parametrize("frames", [1, 5, 12])
def test_a_second_clip_that_is_shorter_than_the_overlap_is_refused_and_no_generated_frame_lost(frames):
    with pytest.raises(
        PusaError, match=f"overlap_frames is 13, the second clip has only {frames} frames at 16"
    ):
        stitch(None, numbered(0, 29), footage(0, frames), overlap_frames=13)


def test_a_loop_without_its_clip_and_empty_footage_are_refused():
    with pytest.raises(PusaError, match="A loop closes the clip in first"):
        stitch(None, numbered(0, 29), None, loop=True)
    with pytest.raises(PusaError, match="has no frames"):
        stitch(Clip("the clip", SIXTEEN, lambda: iter(()), lambda: None), numbered(0, 29), None)


MEASURE = """
import json, pathlib, sys
sys.path[:0] = sys.argv[1:3]
import torch
from pusa_core.clips.reading import clip_of_file
from pusa_core.clips.stitch import stitch
from pusa_core.images import fit_images
from support.video_files import steady, write_video
from fractions import Fraction
from pathlib import Path

def kilobytes(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])

path = write_video(Path(sys.argv[3]), steady(1200, 60), rate=Fraction(60), width=128, height=128)
clip, generated, size = clip_of_file(path), torch.rand(33, 128, 128, 3), int(sys.argv[4])
fit = lambda pictures: fit_images(pictures, size, size)
for _ in clip.stamped(): pass
Path("/proc/self/clear_refs").write_text("5")
before = kilobytes("VmRSS")
made = stitch(clip, generated, None, fit=fit)
print(json.dumps([kilobytes("VmHWM") - before, made.frames.nbytes // 1024, len(made.frames)]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures by /proc")
@pytest.mark.parametrize("size", [128, 192])
def test_the_memory_is_that_of_the_result(pack_root, tmp_path, size):
    command = [
        sys.executable,
        "-c",
        MEASURE,
        str(pack_root),
        str(pack_root / "tests"),
        str(tmp_path / "a.mp4"),
        str(size),
    ]
    peak, result, frames = json.loads(
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    )
    print(f"peak {peak / 1024:.0f} MB, result {result / 1024:.0f} MB")
    assert frames == 320 + 20
    assert peak < 1.25 * result + 16 * 1024
