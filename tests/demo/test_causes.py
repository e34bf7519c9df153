"""Claims: unevenness tells round outlines from dented ones, and velocity errors are those of the noise that was drawn."""

import math

import pytest
import torch

from comfyui_pusa.demo import causes, data, zoo
from comfyui_pusa.demo.data import Scene


def clip_of(shape, radius=10.0):
    scene = Scene(shape, "red", "dark", "right", "slowly", "large", radius, 30.0, 33.0)
    return data.render([scene], 5)[0]


@pytest.mark.parametrize("radius", [7.0, 8.3, 10.0, 11.5])
def test_a_true_circle_is_even(radius):
    assert causes.unevenness(clip_of("circle", radius)) < 0.02


def test_squares_and_triangles_are_not():
    assert 0.05 < causes.unevenness(clip_of("square")) < causes.unevenness(clip_of("triangle"))


def test_a_dented_circle_is_between():
    dented = clip_of("circle")
    background = dented[:, :, :1, :1]
    dented[:, :, 20:26, 28:36] = background  # the top of every frame is cut off
    assert causes.unevenness(clip_of("circle")) + 0.02 < causes.unevenness(dented)


def test_an_empty_clip_has_no_outline():
    assert math.isnan(causes.unevenness(torch.zeros(3, 2, 64, 64)))


def test_a_model_that_says_nothing_errs_by_noise_and_clip():
    class Silent:
        def text_embedding(self, context):
            return context

        def velocity(self, x, timestep, context):
            return torch.zeros_like(x)

    clean = torch.full((2, 16, 3, 4, 4), 2.0)
    error = causes.velocity_error(Silent(), clean, ["a", "a"], 0.5)
    assert error.shape == (2,)
    assert error.mean() == pytest.approx(5.0, abs=0.4)  # 1 of the noise, 4 of the clip


def test_a_clip_finished_from_its_last_step_is_nearly_itself():
    model = zoo.dit(zoo.BASE)
    clean = zoo.encode(zoo.vae(), clip_of("circle")[None])
    made = causes.finished_from(
        model, clean, ["a large red circle moving right slowly on a dark background"], 15
    )
    assert (made - clean).square().mean() < 0.1
