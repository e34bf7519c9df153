"""Claims: a sweep's grid is what was typed, its measures say what they are called, its sheet shows every tile where it says."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pusa_core.errors import PusaError
from pusa_core.sweep import (
    MOST_TILES,
    Measures,
    Tile,
    best_of,
    draw_sheet,
    draw_video,
    measure,
    plan_tiles,
    tile_text,
)

STILL = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(1)).repeat(9, 1, 1, 1)


def moving(speed: int, frames: int = 9):
    """A bright square that moves over a dark picture. Returns [N, 64, 64, 3]."""
    video = torch.full((frames, 64, 64, 3), 0.2)
    for frame in range(frames):
        left = 4 + speed * frame
        video[frame, 20:36, left : left + 16] = 0.9
    return video


def test_a_grid_has_a_row_for_every_alpha_steps_and_seed():
    rows = plan_tiles("0, 0.2", "1.0, 1.4", "8", "1, 2")
    assert [len(row) for row in rows] == [2, 2, 2, 2]
    assert rows[0] == [Tile(0.0, 1.0, 8, 1), Tile(0.2, 1.0, 8, 1)]
    assert [(row[0].alpha, row[0].seed) for row in rows] == [(1.0, 1), (1.0, 2), (1.4, 1), (1.4, 2)]


def test_no_alphas_leave_the_loras_as_they_were_loaded():
    assert plan_tiles("0.2", " ", "30", "0") == [[Tile(0.2, None, 30, 0)]]


@pytest.mark.parametrize(
    ("lists", "sentence"),
    [
        (("0, 1.5", "", "8", "0"), r"'1\.5' in multipliers is not a number from 0\.0 to 1\.0; write them with commas"),
        (("0, nan", "", "8", "0"), r"'nan' in multipliers"),
        (("0,, 1", "", "8", "0"), r"multipliers is '0,, 1', which has an empty entry; write it like 0, 0\.2, 0\.4"),
        (("", "", "8", "0"), r"multipliers is '', which has an empty entry"),
        (("0", "x", "8", "0"), r"'x' in alphas is not a number from -20"),
        (("0", "", "8.5", "0"), r"'8\.5' in steps is not a number from 1 to 1000"),
        (("0", "", "0", "0"), r"'0' in steps"),
        (("0", "", "8", "-1"), r"'-1' in seeds is not a number from 0"),
        (("0", "", "8", "1, 1"), r"seeds has 1 twice"),
        (("0, .1, .2, .3", "1, 2, 3, 4", "8", "1, 2, 3"), r"The grid has 4 x 4 x 1 x 3 = 48 tiles .*36 are the most"),
    ],
)  # fmt: skip
def test_what_makes_no_grid_is_refused_in_a_sentence(lists, sentence):
    with pytest.raises(PusaError, match=sentence):
        plan_tiles(*lists)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=MOST_TILES, unique=True))
def test_typed_multipliers_are_read_back(values):
    (row,) = plan_tiles(", ".join(map(repr, values)), "", "1", "0")
    assert [tile.multiplier for tile in row] == values


def test_the_picture_itself_is_as_alike_as_can_be_and_noise_is_less():
    picture = STILL[0]
    assert measure(STILL, picture).likeness == 99.0
    near, far = (
        measure((STILL + noise * torch.randn(STILL.shape)).clamp(0, 1), picture) for noise in (0.02, 0.2)
    )
    assert 99 > near.likeness > far.likeness


def test_a_still_video_has_no_motion_and_no_flicker():
    found = measure(STILL, STILL[0])
    assert (found.motion, found.flicker) == (0.0, 0.0)


def test_faster_motion_is_more_motion_and_flicker_is_flicker():
    slow, fast = (measure(moving(speed), moving(speed)[0]) for speed in (1, 4))
    assert 0 < slow.motion < fast.motion
    blinking = moving(1)
    blinking[::2] += 0.08
    assert measure(blinking, blinking[0]).flicker > 3 * slow.flicker


@pytest.mark.parametrize("frames", [1, 2])
def test_short_videos_are_measured_too(frames):
    assert measure(moving(1, frames), moving(1)[0]).flicker == 0.0


def test_of_equal_motion_and_flicker_the_more_alike_is_best():
    found = [Measures(30.0, 10.0, 1.0), Measures(34.0, 10.0, 1.0), Measures(32.0, 10.0, 1.0)]
    assert best_of(found).number == 1


def test_of_equal_likeness_and_motion_the_calmer_is_best():
    found = [Measures(30.0, 10.0, 2.0), Measures(30.0, 10.0, 1.0)]
    assert best_of(found).number == 1


def test_a_video_that_stands_still_is_not_best_where_others_move():
    found = [Measures(40.0, 0.5, 0.01), Measures(30.0, 10.0, 1.0), Measures(29.0, 10.0, 1.0)]
    choice = best_of(found)
    assert choice.number == 1
    assert "stand" in choice.reason


def test_a_tile_with_broken_numbers_is_never_best():
    nan = float("nan")
    assert best_of([Measures(nan, nan, nan), Measures(20.0, 1.0, 1.0)]).number == 1


def test_a_setting_is_judged_by_all_its_seeds():
    lucky, unlucky, steady = Measures(30.0, 10.0, 0.5), Measures(30.0, 10.0, 4.0), Measures(30.0, 10.0, 1.0)
    assert best_of([lucky, steady, unlucky, steady], ["a", "b", "a", "b"]).number == 1
    assert best_of([lucky, steady, unlucky, steady]).number == 0


def test_settings_of_one_seed_are_said_to_be_much_luck():
    one = Measures(30.0, 10.0, 1.0)
    assert "With one seed" in best_of([one, one]).reason
    assert "luck" not in best_of([one] * 4, [*"abab"]).reason
    assert "luck" not in best_of([one]).reason


def test_one_tile_is_the_best_and_says_so():
    assert best_of([Measures(30.0, 1.0, 1.0)]).number == 0


@pytest.mark.parametrize("columns", [1, 3])
def test_the_sheet_has_every_tile_where_it_says(columns):
    rows = plan_tiles(", ".join(str(0.1 * n) for n in range(columns)), "", "8", "0, 1")
    tiles = [tile for row in rows for tile in row]
    videos = [(moving(1 + n % 3) * 255).round().byte() for n in range(len(tiles))]
    found = [measure(video / 255, videos[0][0] / 255) for video in videos]
    sheet = draw_sheet(rows, videos, found, best_of(found))
    _, height, width, _ = sheet.image.shape
    assert len(sheet.places) == len(tiles)
    boxes = []
    for left, top, wide, tall in sheet.places:
        assert 0 <= left < left + wide <= 1
        assert 0 <= top < top + tall <= 1
        boxes.append(
            sheet.image[
                0,
                int(top * height) : int((top + tall) * height),
                int(left * width) : int((left + wide) * width),
            ]
        )
    assert all(float(box.std()) > 0.1 for box in boxes)  # pictures and words, not empty paper
    overlapping = [
        (a, b)
        for n, a in enumerate(sheet.places)
        for b in sheet.places[:n]
        if a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]
    ]
    assert not overlapping


@pytest.mark.parametrize("size", [(64, 64), (240, 416), (33, 47)])
def test_the_video_has_even_sides_and_every_frame(size):
    rows = plan_tiles("0, 0.2, 0.4", "", "8", "0")
    videos = [torch.zeros(5, *size, 3, dtype=torch.uint8) for _ in rows[0]]
    found = [Measures(30.0, 1.0, 1.0)] * 3
    video = draw_video(rows, videos, best_of(found))
    assert len(video) == 5
    assert all(side % 2 == 0 for side in video.shape[1:3])
    assert video.shape[2] <= 1920
    assert 0 <= float(video.min()) <= float(video.max()) <= 1


def test_a_tile_is_named_by_its_settings():
    assert tile_text(Tile(0.2, 1.4, 8, 3)) == "multiplier 0.2, alpha 1.4, 8 steps, seed 3"
    assert tile_text(Tile(0.0, None, 1, 0)) == "multiplier 0, 1 step, seed 0"
