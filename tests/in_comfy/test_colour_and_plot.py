import pytest
import torch

from pusa_core.errors import PusaError
from pusa_core.schedule import flow_sigmas


def scene(seed: int, frames: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(frames, 3, 5, 5, generator=generator).repeat_interleave(4, 2).movedim(1, -1) * 0.6 + 0.2


def test_color_match_gives_generated_frames_the_colours_of_the_given_ones(pack):
    clip = scene(1, 8)
    tinted = clip * torch.tensor([0.9, 1.0, 0.8]) + 0.03
    matched = pack["PusaColorMatch"].execute(tinted, clip[:3], matched_frames=3).result[0]
    torch.testing.assert_close(matched, clip, atol=3e-3, rtol=0)


def test_the_drift_report_has_a_line_per_window_and_a_plot(pack):
    clip = scene(1, 1).expand(30, -1, -1, -1) * torch.linspace(1, 0.8, 30)[:, None, None, None]
    result = pack["PusaColorDrift"].execute(clip, window=10, overlap=2)
    report, plot = result.result
    lines = report.splitlines()
    assert [line.split(":")[0] for line in lines] == ["window 1", "window 2", "window 3", "window 4"]
    assert "frames 10 to 17" in lines[1]
    assert plot.ndim == 4
    assert plot.shape[-1] == 3
    assert result.ui.as_dict()["text"] == (report,)


def test_the_drift_report_compares_with_a_reference_if_there_is_one(pack):
    clip = scene(1, 1)
    with_itself = pack["PusaColorDrift"].execute(clip, 81, 13, clip).result[0]
    with_darker = pack["PusaColorDrift"].execute(clip, 81, 13, clip * 0.5).result[0]
    assert "Delta E 0.00 (largest 0.00), lightness +0.00, saturation x1.000" in with_itself
    assert "lightness +2" in with_darker


def test_the_schedule_plot_takes_any_schedule_and_the_latents_multipliers(pack):
    latent = {"samples": torch.zeros(1, 16, 5, 4, 4)}
    plot = pack["PusaSchedulePlot"].execute
    free = plot(flow_sigmas(4), latent, 0.875).result[0]
    given = plot(
        flow_sigmas(4), {**latent, "noise_multipliers": torch.tensor([0, 1, 1, 1, 1.0])}, 0.875
    ).result[0]
    assert free.shape == given.shape
    assert not torch.equal(free, given)
    with pytest.raises(PusaError, match="noise_multipliers describe 3 latent frames"):
        plot(flow_sigmas(4), {**latent, "noise_multipliers": torch.ones(3)}, 0.875)
    with pytest.raises(PusaError, match="4 dimensions"):
        plot(flow_sigmas(4), {"samples": torch.zeros(1, 4, 8, 8)}, 0.875)
