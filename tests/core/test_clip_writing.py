"""Claims about the files that are written: their colours as players show them, their tags, sound and joins."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from pusa_core.clips.reading import clip_of_file
from pusa_core.clips.time_stamps import Audio
from pusa_core.clips.writing import JoinedPart, join_videos, write_video
from pusa_core.errors import PusaError

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 120, 60), (18, 52, 86), (255, 255, 255), (0, 0, 0)]
HD, SD = (1280, 720), (128, 96)
BT709, BT601 = (0.2126, 0.0722), (0.299, 0.114)


def stored(path):
    """(Y, Cb, Cr) in the middle of each picture, and the tags: matrix, range, primaries, transfer."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        encoder = container.streams.video[0].codec_context
        tags = [
            int(tag)
            for tag in (
                encoder.colorspace,
                encoder.color_range,
                encoder.color_primaries,
                encoder.color_trc,
            )
        ]
    found = []
    for frame in frames:
        planes = frame.to_ndarray(format="yuv420p")
        height, width = frame.height, frame.width
        blue = planes[height : height + height // 4].reshape(height // 2, width // 2)
        red = planes[height + height // 4 :].reshape(height // 2, width // 2)
        found.append(
            (planes[height // 2, width // 2], blue[height // 4, width // 4], red[height // 4, width // 4])
        )
    return found, tags


def shown(sample, weights):
    """What a player of a matrix (its weights of red and blue) shows for limited-range Y, Cb, Cr: the closed form, 0 to 255."""
    of_red, of_blue = weights
    bright, blue, red = (
        (int(sample[0]) - 16) / 219,
        (int(sample[1]) - 128) / 224,
        (int(sample[2]) - 128) / 224,
    )
    r, b = bright + 2 * (1 - of_red) * red, bright + 2 * (1 - of_blue) * blue
    g = (bright - of_red * r - of_blue * b) / (1 - of_red - of_blue)
    return np.clip(np.array([r, g, b]) * 255, 0, 255)


@pytest.mark.parametrize(("size", "matrix", "tag"), [(HD, BT709, 1), (SD, BT601, 6)])
def test_players_show_the_pictures_own_colours(tmp_path, size, matrix, tag):
    width, height = size
    parts = [JoinedPart(tmp_path / f"{number}.mp4") for number in range(len(COLOURS))]
    for part, colour in zip(parts, COLOURS, strict=True):
        frames = (torch.tensor(colour) / 255).expand(1, height, width, 3)
        write_video(part.path, frames, Fraction(16), crf=8, bframes=False)
    join_videos(tmp_path / "a.mp4", parts, {})
    samples, tags = stored(tmp_path / "a.mp4")
    assert tags == [tag, 1, 1, 1]
    assert len(samples) == len(COLOURS)
    for colour, sample in zip(COLOURS, samples, strict=True):
        assert np.abs(shown(sample, matrix) - colour).max() <= 3


def test_what_is_written_is_read_back(tmp_path):
    frames = torch.tensor(COLOURS[:4])[:, None, None].expand(-1, 96, 128, -1) / 255
    write_video(tmp_path / "a.mp4", frames, Fraction(16), crf=4)
    again = clip_of_file(tmp_path / "a.mp4").all(None)[:, 10:-10, 10:-10]
    assert (again - frames[:, 10:-10, 10:-10]).abs().max() <= 4 / 255


def test_parts_of_unlike_encoders_are_joined_with_every_picture_in_its_place(tmp_path):
    frames = torch.rand(3, 7, 12, 16, 3, generator=torch.Generator().manual_seed(1)).repeat_interleave(8, 2)
    frames = frames.repeat_interleave(8, 3)
    parts = [JoinedPart(tmp_path / f"{number}.mp4", shown) for number, shown in enumerate((7, 5, None))]
    for part, shot, crf in zip(parts, frames, (16, 0, 40), strict=True):
        write_video(part.path, shot, Fraction(16), crf=crf, bframes=False)
    audio = Audio(0.5 * torch.sin(torch.arange(48000) / 20)[None], 48000)
    join_videos(tmp_path / "a.mp4", parts, {"prompt": {"a": 1}}, audio, crf=10)
    clip = clip_of_file(tmp_path / "a.mp4")
    expected = torch.cat([clip_of_file(part.path).all(None)[: part.frames] for part in parts])
    found = clip.all(None)
    assert found.shape == expected.shape
    assert (found - expected).abs().mean(dim=(1, 2, 3)).max() < 0.02
    assert clip.sound().waveform.abs().max() > 0.3
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.metadata["prompt"] == '{"a": 1}'
        stamps = [packet.pts * packet.time_base for packet in container.demux(video=0) if packet.size]
    assert stamps == [Fraction(number, 16) for number in range(19)]


@pytest.mark.parametrize("sample_rate", [44100, 48000, 96000, 192000, 12345])
def test_sound_of_any_rate_is_written_with_its_pitch(sample_rate):
    seconds = torch.arange(sample_rate) / sample_rate
    audio = Audio(0.5 * torch.sin(2 * torch.pi * 440 * seconds)[None], sample_rate)
    memory = io.BytesIO()
    write_video(memory, torch.rand(16, 32, 32, 3), Fraction(16), audio, {"prompt": {"a": 1}})
    clip = clip_of_file(memory)
    sound = clip.sound()
    spectrum = torch.fft.rfft(sound.waveform[0, sound.sample_rate // 4 : sound.sample_rate * 3 // 4])
    assert abs(int(spectrum.abs().argmax()) * 2 - 440) <= 2
    assert len(clip.all(None)) == 16
    memory.seek(0)
    with av.open(memory) as container:
        assert container.metadata["prompt"] == '{"a": 1}'


def test_odd_sizes_are_refused_with_the_nearest_even_ones(tmp_path):
    with pytest.raises(PusaError, match=r"63 x 47; a video file needs even numbers. Use 62 x 46"):
        write_video(tmp_path / "a.mp4", torch.rand(2, 47, 63, 3), Fraction(16))
