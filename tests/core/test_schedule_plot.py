import itertools

import pytest
import torch

from pusa_core.errors import PusaError
from pusa_core.schedule import flow_sigmas
from pusa_core.schedule_plot import LEFT, TOP, noise_colour, plot_schedule

ACCENT = torch.tensor((0xC2, 0x18, 0x5B)) / 255


def columns_with(plot: torch.Tensor, colour: torch.Tensor, row: slice) -> list[int]:
    """x of the pixels of one colour in the given rows."""
    hits = ((plot[0, row] - colour).abs() < 1e-3).all(-1).any(0)
    return hits.nonzero().flatten().tolist()


def test_each_cell_has_the_colour_of_its_frames_noise_level():
    sigmas, multipliers = flow_sigmas(4), torch.tensor([0.0, 0.2, 1.0])
    plot = plot_schedule(sigmas, multipliers)
    for step in range(4):
        for frame in range(3):
            seen = plot[0, TOP + frame * 34 + 2, LEFT + step * 72 + 2] * 255
            assert seen.round().int().tolist() == list(noise_colour(float(sigmas[step] * multipliers[frame])))


def test_noise_is_brighter_than_clean_at_every_level():
    brightness = [sum(noise_colour(level / 20)) for level in range(21)]
    assert all(lower < higher for lower, higher in itertools.pairwise(brightness))


@pytest.mark.parametrize(("boundary", "high_steps"), [(0.875, 2), (0.9, 2), (0.5, 4), (1.0, 1)])
def test_the_boundary_stands_where_the_experts_change(boundary, high_steps):
    plot = plot_schedule(flow_sigmas(4), torch.ones(5), boundary)  # sigmas 1, 0.9375, 0.8333, 0.625
    drawn = columns_with(plot, ACCENT, slice(TOP + 2, TOP + 5 * 34))
    assert drawn
    assert all(abs(x - (LEFT + high_steps * 72)) <= 2 for x in drawn)


def test_without_a_boundary_none_is_drawn():
    assert not columns_with(plot_schedule(flow_sigmas(4), torch.ones(5)), ACCENT, slice(None))


@pytest.mark.parametrize(("steps", "frames"), [(1, 1), (4, 21), (50, 21), (100, 41), (1000, 81)])
def test_any_size_gives_a_picture_that_can_be_shown(steps, frames):
    plot = plot_schedule(flow_sigmas(steps), torch.ones(frames), 0.875)
    assert plot.shape[0] == 1
    assert plot.shape[-1] == 3
    assert 300 <= plot.shape[1] <= 1200
    assert 760 <= plot.shape[2] <= 12 * 1000 + 300
    assert plot.min() >= 0
    assert plot.max() <= 1


def test_a_schedule_without_steps_is_refused():
    with pytest.raises(PusaError, match="no step"):
        plot_schedule(torch.zeros(1), torch.ones(5))


def test_a_boundary_outside_zero_to_one_is_refused():
    with pytest.raises(PusaError, match="boundary is 875"):
        plot_schedule(flow_sigmas(4), torch.ones(5), 875.0)
