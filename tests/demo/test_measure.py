"""Claims: the measuring program sees what is in a clip, and does not see what is not."""

from dataclasses import replace
from itertools import islice

import pytest
import torch

from comfyui_pusa.demo import data
from comfyui_pusa.demo.measure import jump, observe

SCENE = data.Scene("circle", "red", "dark", "right", "quickly", "large", radius=10.5, x=15.0, y=32.0)


def clip_of(scene, length=17):
    return data.render([scene], length)[0]


def test_it_sees_every_attribute_of_real_clips():
    for scene in islice(data.scenes(data.HELD_OUT_SEED, held_out=True), 48):
        assert observe(clip_of(scene)).matches(scene)["all"], scene.caption


@pytest.mark.parametrize(
    ("attribute", "other"),
    [("colour", "blue"), ("background", "teal"), ("shape", "square"), ("direction", "left")],
)
def test_a_wrong_attribute_is_seen_and_only_that_one(attribute, other):
    asked = replace(SCENE, **{attribute: other})
    wrong = {name for name, right in observe(clip_of(SCENE)).matches(asked).items() if not right}
    assert wrong == {attribute, "all"}


def test_a_still_picture_has_no_direction():
    still = clip_of(SCENE)[:, :1].expand(-1, 17, -1, -1)
    assert observe(still).direction is None


def test_an_empty_picture_has_no_shape():
    empty = clip_of(SCENE)[:, :, :, -1:].expand(-1, -1, -1, data.SIZE)
    seen = observe(empty)
    assert (seen.shape, seen.colour, seen.is_whole) == (None, None, False)
    assert seen.background == "dark"


def test_a_shape_in_two_pieces_is_not_whole():
    two = torch.maximum(clip_of(SCENE), clip_of(replace(SCENE, x=45.0, direction="left")))
    assert not observe(two).is_whole


def test_a_shape_that_vanishes_is_not_whole():
    clip = clip_of(SCENE).clone()
    clip[:, 8:] = clip_of(replace(SCENE, radius=0.1))[:, 8:]
    assert not observe(clip).is_whole


def test_speed_is_measured_in_pixels_per_frame():
    for speed, pixels in data.SPEEDS.items():
        assert observe(clip_of(replace(SCENE, speed=speed))).speed == pytest.approx(pixels, abs=0.05)


def test_a_cut_after_the_frame_is_a_large_jump():
    clip = clip_of(SCENE)[None]
    cut = torch.cat([clip[:, :, :5], clip_of(replace(SCENE, x=45.0))[None, :, 5:]], dim=2)
    assert jump(cut, 4) > 5 * jump(clip, 4)
    torch.testing.assert_close(jump(cut, 0), jump(clip, 0))
