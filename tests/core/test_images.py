"""Claims about fitting pictures."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pusa_core.errors import PusaError
from pusa_core.images import RESIZES, as_pictures, fit_images

sizes = st.integers(1, 70)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, st.integers(1, 9), st.integers(1, 9), st.sampled_from(RESIZES))
def test_every_picture_comes_out_at_the_asked_size_in_range(height, width, rows, columns, resize):
    fitted = fit_images(torch.rand(2, height, width, 3), 8 * columns, 8 * rows, resize)
    assert fitted.shape == (2, 8 * rows, 8 * columns, 3)
    assert fitted.min() >= 0
    assert fitted.max() <= 1


@pytest.mark.parametrize("resize", RESIZES)
def test_a_picture_of_the_right_size_is_not_touched(resize):
    images = torch.rand(1, 16, 24, 3)
    assert torch.equal(fit_images(images, 24, 16, resize), images)


def quarters():
    """A square picture: red, green, blue and white quarters."""
    image = torch.zeros(1, 64, 64, 3)
    image[:, :32, :32, 0] = image[:, :32, 32:, 1] = image[:, 32:, :32, 2] = 1
    image[:, 32:, 32:] = 1
    return image


def test_crop_cuts_both_sides_evenly_and_keeps_the_proportions():
    fitted = fit_images(quarters(), 32, 64, "crop")
    assert torch.equal(fitted, quarters()[:, :, 16:48])


def test_letterbox_shows_all_of_it_between_black_bars():
    fitted = fit_images(quarters(), 128, 64, "letterbox")
    assert torch.equal(fitted[:, :, 32:96], quarters())
    assert fitted[:, :, :32].eq(0).all()
    assert fitted[:, :, 96:].eq(0).all()


def test_stretch_fills_the_frame_from_corner_to_corner():
    fitted = fit_images(quarters(), 128, 32, "stretch")
    corners = fitted[0, [0, 0, -1, -1], [0, -1, 0, -1]]
    torch.testing.assert_close(corners, torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]))


def test_alpha_is_dropped():
    assert fit_images(torch.rand(1, 8, 8, 4), 8, 8).shape[-1] == 3


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (torch.zeros(0, 8, 8, 3), "holds no picture"),
        (torch.zeros(1, 0, 8, 3), "holds no picture"),
        (torch.zeros(8, 8, 3), "a batch of pictures is"),
        (torch.zeros(1, 8, 8, 1), "a batch of pictures is"),
        (torch.full((1, 8, 8, 3), math.nan), "NaN or infinite"),
    ],
)
def test_what_is_not_a_batch_of_pictures_is_refused(images, sentence):
    with pytest.raises(PusaError, match=sentence):
        fit_images(images, 8, 8)


def test_an_unknown_way_to_resize_is_refused():
    with pytest.raises(PusaError, match="resize is 'zoom'; use one of crop, letterbox, stretch"):
        fit_images(torch.zeros(1, 8, 8, 3), 8, 8, "zoom")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(16, 16), (24, 16)])
def test_values_beyond_the_range_become_black_and_white_with_and_without_resizing(dtype, size):
    images = torch.full((1, 16, 16, 3), 0.5, dtype=dtype)
    images[:, :4], images[:, -4:] = 1.5, -0.25
    fitted = fit_images(images, *size, "stretch")
    assert fitted.dtype == torch.float32
    assert (fitted.min(), fitted.max()) == (0, 1)
    assert float(fitted[0, 0, 0, 0]) == 1
    assert float(fitted[0, -1, 0, 0]) == 0


def test_whole_numbers_are_pictures_of_their_own_range():
    assert as_pictures(torch.full((1, 8, 8, 3), 255, dtype=torch.uint8)).eq(1).all()
    torch.testing.assert_close(
        fit_images(torch.full((1, 8, 8, 3), 51, dtype=torch.uint8), 4, 4), torch.full((1, 4, 4, 3), 0.2)
    )


@pytest.mark.parametrize("scale", [255.0, -1.0, 3.0])
@pytest.mark.parametrize("size", [8, 4])
def test_pictures_of_another_range_are_refused(scale, size):
    with pytest.raises(PusaError, match=r"pictures are 0 .black. to 1 .white."):
        fit_images(torch.rand(2, 8, 8, 3) * scale, size, size)
