"""Claims about reading real video files."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from pusa_core.clips.reading import clip_of_file
from pusa_core.errors import PusaError
from support.video_files import CODECS, number_of, steady, write_video

SIXTEEN = Fraction(16)


def numbers(pictures):
    return [number_of(pixels) for pixels in pictures]


@pytest.mark.parametrize("kind", CODECS)
def test_every_container_gives_its_frames_in_order(tmp_path, kind):
    width, height = (63, 47) if "odd" in kind else (64, 48)
    clip = clip_of_file(write_video(tmp_path / kind, steady(20), kind=kind, width=width, height=height))
    pictures = clip.all(SIXTEEN)
    assert pictures.shape == (20, height, width, 3)
    assert 0 <= pictures.min() <= pictures.max() <= 1
    assert numbers(pictures) == list(range(20))


@pytest.mark.parametrize("kind", ["h264.mp4", "vp9.webm", "anim.gif"])
def test_thirty_frames_a_second_keep_their_speed_at_sixteen(tmp_path, kind):
    rate = Fraction(25) if kind == "anim.gif" else Fraction(30)  # a GIF counts hundredths of a second
    clip = clip_of_file(write_video(tmp_path / kind, steady(30, rate), kind=kind, rate=rate))
    found = numbers(clip.all(SIXTEEN))
    assert len(found) == round(30 / rate * 16)
    assert all(
        abs(number / rate - place / 16) <= Fraction(6, 10) / rate for place, number in enumerate(found)
    )


@pytest.mark.parametrize("kind", ["h264.mp4", "h264.mkv", "vp9.webm"])
def test_a_variable_frame_rate_is_read_by_its_time_stamps(tmp_path, kind):
    times = [Fraction(i, 30) for i in range(15)] + [Fraction(1, 2) + Fraction(i, 10) for i in range(6)]
    clip = clip_of_file(write_video(tmp_path / kind, times, kind=kind, rate=Fraction(30)))
    for place, number in enumerate(numbers(clip.all(SIXTEEN))):
        nearest = min(abs(time - Fraction(place, 16)) for time in times)
        assert abs(times[number] - Fraction(place, 16)) <= nearest + Fraction(1, 500)


def test_rate_zero_keeps_every_frame(tmp_path):
    clip = clip_of_file(write_video(tmp_path / "h264.mp4", steady(30, 30), rate=Fraction(30)))
    assert numbers(clip.all(None)) == list(range(30))


def test_one_frame_is_a_clip(tmp_path):
    assert len(clip_of_file(write_video(tmp_path / "h264.mp4", steady(1))).all(SIXTEEN)) == 1


def test_a_file_in_memory_can_be_read_twice(tmp_path):
    data = io.BytesIO(write_video(tmp_path / "h264.mp4", steady(5), tone=0.3).read_bytes())
    clip = clip_of_file(data)
    assert len(clip.all(SIXTEEN)) == len(clip.all(SIXTEEN)) == 5
    assert clip.sound() is not None


@pytest.mark.parametrize("kind", ["h264.mp4", "vp9.webm"])
def test_sound_is_read_with_its_pitch_from_the_first_picture_on(tmp_path, kind):
    clip = clip_of_file(write_video(tmp_path / kind, steady(16), kind=kind, tone=1.0))
    sound = clip.sound()
    assert sound.sample_rate == 48000
    assert sound.waveform.shape[0] == 2
    assert abs(sound.waveform.shape[1] - 48000) < 2048
    spectrum = np.abs(np.fft.rfft(sound.waveform[0, 4000:44000].numpy()))
    assert abs(spectrum.argmax() * 48000 / 40000 - 440) < 2


def test_late_pictures_cut_the_sound_before_them(tmp_path):
    late = [Fraction(1, 2) + time for time in steady(8)]
    sound = clip_of_file(write_video(tmp_path / "h264.mkv", late, kind="h264.mkv", tone=1.0)).sound()
    assert abs(sound.waveform.shape[1] - 24000) < 2048


def test_six_channels_become_two_and_one_stays_one(tmp_path):
    for channels, expected in ((6, 2), (1, 1)):
        path = write_video(tmp_path / f"{channels}.mp4", steady(8), tone=0.5, channels=channels)
        assert clip_of_file(path).sound().waveform.shape[0] == expected


def test_no_sound_is_none(tmp_path):
    assert clip_of_file(write_video(tmp_path / "h264.mp4", steady(3))).sound() is None


def test_a_phone_clip_stands_upright(tmp_path):
    path = tmp_path / "phone.mp4"
    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:24, :32] = 255  # a white corner at the top left, which belongs at the top right
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=16)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(stored, format="rgb24")))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    as_stored = np.array([0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000], ">i4").tobytes()
    clockwise = np.array([0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000], ">i4").tobytes()
    at = data.index(as_stored, data.index(b"tkhd"))  # the display matrix in the track header
    path.write_bytes(data[:at] + clockwise + data[at + len(as_stored) :])
    shown = clip_of_file(path).all(SIXTEEN)[0]
    assert shown.shape == (64, 48, 3)
    assert shown[:32, 24:].mean() > 0.9 > 0.1 > shown[:32, :24].mean()


def test_a_text_file_is_refused_in_a_sentence(tmp_path):
    path = tmp_path / "holiday.mp4"
    path.write_text("this is no video " * 50)
    with pytest.raises(
        PusaError, match=r"The clip 'holiday.mp4' cannot be read as a video .*export it again"
    ):
        clip_of_file(path)


def test_a_cut_off_file_is_refused_in_a_sentence(tmp_path):
    path = write_video(tmp_path / "h264.mp4", steady(10))
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(PusaError, match="cannot be read as a video"):
        clip_of_file(path)


def test_a_file_damaged_inside_gives_frames_or_a_sentence(tmp_path):
    path = write_video(tmp_path / "h264.mkv", steady(20), kind="h264.mkv")
    data = bytearray(path.read_bytes())
    middle = slice(len(data) // 2, len(data) // 2 + 60)
    data[middle] = bytes(60)
    path.write_bytes(data)
    try:
        assert len(clip_of_file(path).all(SIXTEEN)) > 0
    except PusaError as refusal:
        assert "export it again" in str(refusal)  # noqa: PT017


def test_a_missing_file_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(PusaError, match=r"'gone.mp4' cannot be read"):
        clip_of_file(tmp_path / "gone.mp4")


def test_sound_without_pictures_is_refused_in_a_sentence(tmp_path):
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(PusaError, match=r"no pictures in the clip 'song.m4a'"):
        clip_of_file(path)


def test_pictures_larger_than_any_camera_makes_are_refused_before_memory_is_taken():
    from pusa_core.clips.converting import check_size

    check_size(8192, 8192, "the clip")
    with pytest.raises(
        PusaError, match=r"The clip says that its pictures are 65535 x 65535 pixels\. Up to 64 million"
    ):
        check_size(65535, 65535, "the clip")


@pytest.mark.parametrize("kind", ["h264.mp4", "h264.mkv", "vp9.webm", "mpeg4.avi", "h264.ts"])
def test_every_byte_that_is_cut_off_is_missed_and_a_whole_file_misses_none(tmp_path, kind):
    from pusa_core.clips.file_lengths import missing_bytes
    from support.awkward_media import numbered, write

    path = tmp_path / kind
    codec = {"vp9": "libvpx-vp9", "mpeg4": "mpeg4"}.get(kind.split(".")[0], "libx264")
    options = {"movflags": "faststart"} if kind.endswith("mp4") else None
    write(
        path,
        numbered(12),
        codec=codec,
        form="mpegts" if kind.endswith("ts") else None,
        container_options=options,
    )
    whole = path.read_bytes()
    assert missing_bytes(path) == missing_bytes(io.BytesIO(whole)) == 0
    assert not clip_of_file(path).notes.sentences
    for missing in (1, 20):
        assert missing_bytes(io.BytesIO(whole[:-missing])) == missing
