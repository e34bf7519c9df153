"""Claims about counting frames and reading positions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pusa_core.bases import WAN
from pusa_core.errors import PusaError
from pusa_core.frames import (
    parse_multipliers,
    parse_positions,
    resolve_position,
)

counts = st.integers(1, 200)


def test_81_frames_are_21_latent_frames():
    assert WAN.latent_frame_count(81) == 21
    assert WAN.video_length(21) == 81


@given(counts)
def test_length_and_latent_frames_invert_each_other(latent_frames):
    assert WAN.latent_frame_count(WAN.video_length(latent_frames)) == latent_frames


@given(st.integers(1, 800))
def test_the_count_of_latent_frames_is_that_of_comfyuis_empty_latent(length):
    assert WAN.latent_frame_count(length) == (length - 1) // 4 + 1


@given(st.integers(0, 800))
def test_a_pixel_frame_lies_in_its_latent_frame(pixel_frame):
    latent_frame = WAN.latent_frame_of(pixel_frame)
    assert WAN.first_pixel_frame(latent_frame) <= pixel_frame <= 4 * latent_frame


@given(counts, st.data())
def test_negative_positions_count_from_the_end(latent_frames, data):
    position = data.draw(st.integers(-latent_frames, -1))
    assert resolve_position(position, latent_frames) == latent_frames + position


@given(counts, st.data())
def test_video_frames_resolve_to_the_latent_frame_that_holds_them(latent_frames, data):
    pixel_frame = data.draw(st.integers(0, WAN.video_length(latent_frames) - 1))
    assert resolve_position(pixel_frame, latent_frames, "video frame") == WAN.latent_frame_of(pixel_frame)


def test_the_last_video_frame_is_in_the_last_latent_frame():
    assert resolve_position(-1, 21, "video frame") == 20


@pytest.mark.parametrize(
    ("position", "unit", "sentence"),
    [
        (
            21,
            "latent frame",
            "Position 21 is outside this latent of 21 latent frames. Use -21 to 20, or set the video length to 85",
        ),
        (-22, "latent frame", "Position -22 is outside.*length to 85"),
        (81, "video frame", "of 81 video frames. Use -81 to 80, or set the video length to 85"),
        (0, "seconds", "position_unit is 'seconds'; use one of latent frame, video frame"),
    ],
)
def test_a_position_out_of_range_says_what_fits(position, unit, sentence):
    with pytest.raises(PusaError, match=sentence):
        resolve_position(position, 21, unit)


@pytest.mark.parametrize(
    ("text", "positions"),
    [("0", [0]), ("0, 10,-1", [0, 10, -1]), (" 3 ;4 ", [3, 4]), ("0,1,", [0, 1]), ("+2", [2])],
)
def test_positions_are_read_as_typed(text, positions):
    assert parse_positions(text) == positions


@pytest.mark.parametrize(
    "text", ["", " ", ",", "0,,1", "a", "1.5", "0 1", "9" * 5000, "0x1", "--1", "\u0661"]
)
def test_other_positions_are_refused(text):
    if text == "\u0661":  # an Arabic digit is a number to Python
        assert parse_positions(text) == [1]
        return
    with pytest.raises(PusaError, match="positions"):
        parse_positions(text)


@pytest.mark.parametrize(
    ("text", "count", "values"),
    [
        ("0.2", 3, [0.2, 0.2, 0.2]),
        ("0.2, 0.5", 2, [0.2, 0.5]),
        ("0..0.2", 3, [0, 0.1, 0.2]),
        ("0.3..0.1", 1, [0.3]),
        ("1", 1, [1]),
        ("0 .. 1", 2, [0, 1]),
    ],
)
def test_multipliers_are_read_as_typed(text, count, values):
    assert parse_multipliers(text, count) == pytest.approx(values)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0.2, 0.3", "2 noise_multipliers for 3 positions"),
        ("1.5", "noise_multiplier is 1.5; use 0"),
        ("-0.1", "noise_multiplier is -0.1"),
        ("nan", "noise_multiplier is nan"),
        ("inf", "noise_multiplier is inf"),
        ("0..2", "noise_multiplier is 2.0"),
        ("much", "'much' in noise_multipliers is not a number"),
        ("", "empty entry"),
        ("..", "not a number"),
    ],
)
def test_other_multipliers_are_refused(text, sentence):
    with pytest.raises(PusaError, match=sentence):
        parse_multipliers(text, 3)
