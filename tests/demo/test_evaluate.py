"""Claims: intervals in the tables are the ones statistics books give, and charts show every point."""

import pytest
import torch

from comfyui_pusa.demo.evaluate import half_width, mean, share, wilson
from comfyui_pusa.pusa_core.charts import Series, line_chart


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [(0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0), (58, 64, 0.810, 0.956), (32, 64, 0.381, 0.619)],
)
def test_shares_have_wilsons_interval(hits, count, low, high):
    values = torch.tensor([1.0] * hits + [0.0] * (count - hits))
    assert wilson(values) == pytest.approx((low, high), abs=1e-3)


def test_the_interval_covers_the_true_share_in_about_95_of_100_samples():
    torch.manual_seed(0)
    samples = (torch.rand(2000, 64) < 0.9).float()
    covered = [low <= 0.9 <= high for low, high in map(wilson, samples)]
    assert 0.93 < sum(covered) / len(covered) < 0.98


def test_a_means_half_width_is_1_96_standard_errors():
    values = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert half_width(values) == pytest.approx(1.96 * 1.29099 / 2, abs=1e-4)
    assert mean(values, " dB") == "2.5 ± 1.3 dB"


def test_a_share_is_written_as_a_percentage_with_its_interval():
    assert share(torch.tensor([1.0] * 58 + [0.0] * 6)) == "91 % (81 to 96)"


def test_a_chart_draws_every_line_in_its_own_colour():
    lines = [Series("one", [(0, 1.0), (1, 2.0)], [0.1, 0.1]), Series("two", [(0, 2.0), (1, 1.0)])]
    colours = {colour for _, colour in line_chart("title", "x", "y", lines).getcolors(10**6)}
    assert {(0x1F, 0x5F, 0xBF), (0xC2, 0x18, 0x5B)} <= colours
