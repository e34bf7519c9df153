import pytest
import torch

from pusa_core.colour import (
    MEAN_AND_STD,
    METHODS,
    MONGE_KANTOROVICH,
    colour_drift,
    colour_statistics,
    delta_e,
    lab_to_rgb,
    match_colours,
    rgb_to_lab,
    window_starts,
)
from pusa_core.errors import PusaError

# Bruce Lindbloom's calculator, sRGB, D65
KNOWN_LAB = [
    ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    ((1.0, 1.0, 1.0), (100.0, 0.0, 0.0)),
    ((1.0, 0.0, 0.0), (53.24, 80.09, 67.20)),
    ((0.0, 1.0, 0.0), (87.73, -86.18, 83.18)),
    ((0.0, 0.0, 1.0), (32.30, 79.19, -107.86)),
    ((0.5, 0.5, 0.5), (53.39, 0.0, 0.0)),
]

# Sharma, Wu and Dalal 2005, table 1: each pair probes one branch of the formula
SHARMA = [
    ((50.0000, 2.6772, -79.7751), (50.0000, 0.0000, -82.7485), 2.0425),
    ((50.0000, 3.1571, -77.2803), (50.0000, 0.0000, -82.7485), 2.8615),
    ((50.0000, -1.3802, -84.2814), (50.0000, 0.0000, -82.7485), 1.0000),
    ((50.0000, 0.0000, 0.0000), (50.0000, -1.0000, 2.0000), 2.3669),
    ((50.0000, 2.4900, -0.0010), (50.0000, -2.4900, 0.0009), 7.1792),
    ((50.0000, 2.4900, -0.0010), (50.0000, -2.4900, 0.0011), 7.2195),
    ((50.0000, 2.5000, 0.0000), (50.0000, 0.0000, -2.5000), 4.3065),
    ((50.0000, 2.5000, 0.0000), (73.0000, 25.0000, -18.0000), 27.1492),
    ((50.0000, 2.5000, 0.0000), (56.0000, -27.0000, -3.0000), 31.9030),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ((90.8027, -2.0831, 1.4410), (91.1528, -1.6435, 0.0447), 1.4441),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


def scene(seed: int, frames: int = 3) -> torch.Tensor:
    """Smooth coloured pictures [frames, 24, 32, 3] that keep away from 0 and 1, so that nothing is clipped."""
    noise = torch.randn(frames, 3, 6, 8, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(noise, (24, 32), mode="bilinear")
    return (0.5 + 0.1 * smooth).clamp(0.2, 0.8).movedim(1, -1)


@pytest.mark.parametrize(("rgb", "lab"), KNOWN_LAB)
def test_lab_has_the_published_values(rgb, lab):
    torch.testing.assert_close(rgb_to_lab(torch.tensor(rgb)), torch.tensor(lab), atol=0.02, rtol=0)


def test_lab_and_back_is_the_same_colour():
    rgb = torch.rand(1000, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(rgb)), rgb, atol=2e-5, rtol=0)


@pytest.mark.parametrize(("first", "second", "expected"), SHARMA)
def test_delta_e_has_sharmas_values_both_ways(first, second, expected):
    first, second = torch.tensor(first, dtype=torch.float64), torch.tensor(second, dtype=torch.float64)
    assert delta_e(first, second).item() == pytest.approx(expected, abs=1e-4)
    assert delta_e(second, first).item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_a_matched_picture_has_the_references_mean_and_spread(method):
    goal = colour_statistics(scene(2), method)
    matched = colour_statistics(match_colours(scene(1), scene(2), method), method)
    torch.testing.assert_close(matched.mean, goal.mean, atol=1e-3 * goal.mean.abs().max().item(), rtol=0)
    torch.testing.assert_close(matched.covariance.diagonal(), goal.covariance.diagonal(), atol=0, rtol=0.02)


def test_monge_kantorovich_matches_the_whole_covariance():
    goal = colour_statistics(scene(2), MONGE_KANTOROVICH)
    matched = colour_statistics(match_colours(scene(1), scene(2)), MONGE_KANTOROVICH)
    torch.testing.assert_close(matched.covariance, goal.covariance, atol=1e-4, rtol=0)


def test_monge_kantorovich_undoes_a_tint_of_the_same_picture():
    picture = scene(3)
    tint = torch.tensor([[0.8, 0.1, 0.0], [0.1, 0.9, 0.05], [0.0, 0.05, 0.7]])
    tinted = picture @ tint.T + torch.tensor([0.02, -0.03, 0.05])
    torch.testing.assert_close(match_colours(tinted, picture), picture, atol=2e-3, rtol=0)


def test_mean_and_std_undoes_a_change_of_light_and_saturation():
    lab = rgb_to_lab(scene(3))
    changed = lab_to_rgb(lab * torch.tensor([0.9, 1.2, 1.2]) + torch.tensor([6.0, 1.0, -2.0]))
    torch.testing.assert_close(match_colours(changed, scene(3), MEAN_AND_STD), scene(3), atol=3e-3, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_matching_a_picture_to_itself_changes_nothing(method):
    torch.testing.assert_close(match_colours(scene(4), scene(4), method), scene(4), atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_a_flat_picture_takes_the_mean_and_stays_finite(method):
    matched = match_colours(torch.full((1, 8, 8, 3), 0.3), scene(5), method)
    assert matched.isfinite().all()
    assert matched.std(dim=(0, 1, 2)).max() < 1e-5


def test_strength_goes_from_no_change_to_the_full_match():
    images, reference = scene(1), scene(2)
    full = match_colours(images, reference)
    assert torch.equal(match_colours(images, reference, strength=0.0), images)
    half = match_colours(images, reference, strength=0.5)
    torch.testing.assert_close(half, (images + full) / 2, atol=1e-6, rtol=0)


def test_the_change_found_in_the_shared_frames_is_applied_to_all():
    clip = scene(6, frames=8)
    darker = 0.8 * clip
    matched = match_colours(darker, clip[:3], matched_frames=3)
    torch.testing.assert_close(matched, clip, atol=3e-3, rtol=0)


def test_the_protected_first_frame_is_untouched_and_the_input_too():
    images = scene(1)
    before = images.clone()
    matched = match_colours(images, scene(2), protect_first_frame=True)
    assert torch.equal(matched[0], before[0])
    assert not torch.allclose(matched[1], before[1])
    assert torch.equal(images, before)


def test_the_drift_of_a_steady_video_is_zero_and_of_a_darkening_one_grows():
    steady = scene(7, frames=1).expand(20, -1, -1, -1)
    differences, windows = colour_drift(steady, steady[:1], [0, 8, 14])
    assert differences.max() < 1e-6
    assert [(w.first, w.last) for w in windows] == [(0, 7), (8, 13), (14, 19)]
    fading = steady * torch.linspace(1, 0.7, 20)[:, None, None, None]
    differences, windows = colour_drift(fading, steady[:1], [0, 8, 14])
    assert windows[0].delta_e < windows[1].delta_e < windows[2].delta_e
    assert windows[2].lightness < -5
    assert (differences.diff() > 0).all()


def test_the_drift_of_grey_is_the_difference_in_lightness():
    grey, lighter = torch.full((1, 4, 4, 3), 0.5), torch.full((3, 4, 4, 3), 0.6)
    differences, (window,) = colour_drift(lighter, grey, [0])
    lab = rgb_to_lab(torch.tensor([[0.5] * 3, [0.6] * 3], dtype=torch.float64))
    assert window.lightness == pytest.approx((lab[1, 0] - lab[0, 0]).item(), abs=1e-5)
    assert differences[0].item() == pytest.approx(delta_e(lab[0], lab[1]).item(), abs=1e-4)


def test_windows_begin_where_their_new_frames_begin():
    assert window_starts(149, 81, 13) == [0, 81]
    assert window_starts(150, 81, 13) == [0, 81, 149]
    assert window_starts(10, 81, 13) == [0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "histogram"}, "mean and std"),
        ({"strength": 1.5}, "strength is 1.5"),
        ({"matched_frames": 4}, "matched_frames is 4 of 3"),
        ({"reference": torch.zeros(2, 3)}, "pictures, height, width"),
    ],
)
def test_bad_input_gets_a_sentence(arguments, words):
    with pytest.raises(PusaError, match=words):
        match_colours(**{"images": scene(1), "reference": scene(2)} | arguments)
