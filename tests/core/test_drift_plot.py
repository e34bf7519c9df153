import torch

from pusa_core.drawing import ticks
from pusa_core.drift_plot import HEIGHT, LEFT, TOP, WIDTH, plot_drift

LINE = torch.tensor((0x1F, 0x5F, 0xBF)) / 255


def line_height(plot: torch.Tensor, x: int) -> float:
    """Mean y of the curve at one x."""
    hits = ((plot[0, TOP : TOP + HEIGHT, x] - LINE).abs() < 1e-3).all(-1).nonzero()
    return hits.float().mean().item()


def test_the_curve_rises_where_delta_e_rises():
    plot = plot_drift(torch.linspace(0, 10, 50), [0, 20])
    heights = [line_height(plot, LEFT + x) for x in (40, WIDTH // 2, WIDTH - 40)]
    assert heights[0] > heights[1] > heights[2]  # y points down


def test_a_curve_that_does_not_differ_stays_at_the_bottom_and_one_frame_is_enough():
    assert line_height(plot_drift(torch.zeros(30), [0]), LEFT + WIDTH // 2) > HEIGHT - 4
    assert plot_drift(torch.tensor([1.0]), [0]).isfinite().all()


def test_ticks_are_round_and_reach_almost_to_the_top():
    assert ticks(8.6) == [0, 2, 4, 6, 8]
    assert ticks(148, 10) == [0, 20, 40, 60, 80, 100, 120, 140]
    assert ticks(0) == [0.0]
