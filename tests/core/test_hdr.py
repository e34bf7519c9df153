"""Claims about HDR pictures on an ordinary screen, against the closed forms of the ITU."""

import math

import numpy as np
import pytest
import torch

from pusa_core.clips.hdr import HLG, PQ, hlg_scene_light, pq_light, to_sdr, tone_curve


def grey(signal, transfer):
    """What a grey of this signal becomes, 0 to 255."""
    pixels = np.full((2, 2, 3), round(signal * 65535), np.uint16)
    return to_sdr(pixels, transfer)[0, 0].tolist()


def expected(luminance):
    """The same by hand: BT.2446-1's method C, then BT.1886's gamma."""
    knee = 58.535046 / 0.83802
    made = (
        0.83802 * luminance
        if luminance < knee
        else 15.09968 * math.log(luminance / knee - 0.74204) + 78.99439
    )
    return round(255 * min(1.0, made / 100) ** (1 / 2.4))


def test_the_transfer_functions_pass_through_the_points_that_the_itu_names():
    assert hlg_scene_light(np.array([0.0, 0.5, 1.0])) == pytest.approx([0, 1 / 12, 1], abs=1e-6)
    assert pq_light(np.array([0.0, 1.0])) == pytest.approx([0, 10000])
    assert pq_light(np.array([0.5081])) == pytest.approx(100, rel=2e-3)  # BT.2100: 100 cd/m2 is 0.508
    assert pq_light(np.array([0.5807])) == pytest.approx(203, rel=5e-3)  # BT.2408: reference white is 58 %
    assert 1000 * hlg_scene_light(np.array([0.75])) ** 1.2 == pytest.approx(203, rel=5e-3)  # BT.2408: 75 %


@pytest.mark.parametrize("signal", [0.0, 0.1, 0.25, 0.38, 0.5, 0.58, 0.75, 0.9, 1.0])
def test_greys_follow_the_closed_form(signal):
    assert grey(signal, HLG) == pytest.approx(
        [expected(1000 * float(hlg_scene_light(np.array(signal))) ** 1.2)] * 3, abs=1
    )
    assert grey(signal, PQ) == pytest.approx([expected(float(pq_light(np.array(signal))))] * 3, abs=1)


def test_reference_white_is_near_white_and_highlights_are_white():
    assert grey(0.75, HLG) == [245, 245, 245]
    assert grey(1.0, HLG) == [255, 255, 255]
    assert grey(0.58, PQ)[0] >= 244


def test_the_curve_rises_without_a_step():
    luminance = torch.linspace(0, 1000, 100001)
    steps = tone_curve(luminance).diff()
    assert steps.min() > 0
    assert steps.max() < 0.0085 + 0.83802 * 0.01


def test_a_colour_keeps_its_hue_and_one_beyond_the_screen_is_cut():
    orange = to_sdr(np.array([[[30000, 20000, 10000]]], np.uint16), HLG)[0, 0].tolist()
    assert orange[0] > orange[1] > orange[2]
    pure = to_sdr(np.array([[[0, 45000, 0]]], np.uint16), HLG)[0, 0].tolist()
    assert pure[1] > 150
    assert pure[0] == pure[2] == 0
