"""Claims: training resumes exactly, draws the noise levels the papers say, and writes LoRAs that loaders read back."""

import json

import pytest
import torch
from safetensors.torch import save_file

from comfyui_pusa.demo.training import distill, lora, pusa
from comfyui_pusa.demo.training.flow import draw_sigmas
from comfyui_pusa.demo.training.loop import Plan, finished_model, train
from comfyui_pusa.demo.zoo import add_lora
from comfyui_pusa.pusa_core.schedule import flow_sigmas
from comfyui_pusa.pusa_core.wan_dit import WanDiT
from support import tiny_wan

PLAN = Plan("line", steps=40, learning_rate=0.1, seed=5, log_every=5, save_every=10)


def fit_a_line(folder, stop_at=None):
    """Train y = 2x on random points, to PLAN's end or to an interruption; returns the model."""
    torch.manual_seed(0)
    model = torch.nn.Linear(1, 1)

    def loss_of_step(step):
        if step == stop_at:
            raise InterruptedError
        x = torch.randn(16, 1)
        return (model(x) - 2 * x).square().mean()

    train(PLAN, folder, model, [torch.optim.Adam(model.parameters())], loss_of_step)
    return model


def test_a_run_that_was_interrupted_ends_exactly_like_one_that_was_not(tmp_path):
    whole = fit_a_line(tmp_path / "whole")
    with pytest.raises(InterruptedError):
        fit_a_line(tmp_path / "parts", stop_at=27)
    assert torch.equal(fit_a_line(tmp_path / "parts").weight, whole.weight)


def test_a_finished_run_is_not_trained_again(tmp_path):
    fit_a_line(tmp_path)
    history = (tmp_path / "line" / "history.json").read_text()
    fit_a_line(tmp_path, stop_at=0)
    assert (tmp_path / "line" / "history.json").read_text() == history


def test_the_log_holds_the_falling_loss(tmp_path):
    fit_a_line(tmp_path)
    rows = json.loads((tmp_path / "line" / "history.json").read_text())
    assert [row["step"] for row in rows] == list(range(5, 41, 5))
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]


def test_an_unfinished_run_is_not_used(tmp_path):
    with pytest.raises(FileNotFoundError, match="has not been trained"):
        finished_model(PLAN, tmp_path)
    with pytest.raises(InterruptedError):
        fit_a_line(tmp_path, stop_at=27)
    with pytest.raises(RuntimeError, match="step 20 of 40"):
        finished_model(PLAN, tmp_path)


def test_the_learning_rate_warms_up_and_decays():
    rates = [PLAN.learning_rate_at(step) for step in range(PLAN.steps)]
    assert max(rates) <= PLAN.learning_rate
    assert rates[0] < rates[10] < rates[20]
    assert rates[-1] < 0.2 * PLAN.learning_rate


@pytest.mark.parametrize(("least", "most"), [(0.0, 1.0), (0.875, 1.0), (0.0, 0.875)])
def test_drawn_sigmas_fill_their_range(least, most):
    torch.manual_seed(0)
    sigmas = draw_sigmas(20000, least=least, most=most)
    assert least <= sigmas.min() < least + 0.01
    assert most - 0.01 < sigmas.max() <= most


def test_drawn_sigmas_are_moved_towards_noise_by_the_training_shift():
    torch.manual_seed(0)
    assert draw_sigmas(20000).median() == pytest.approx(0.75, abs=0.01)  # shift 3 takes 0.5 to 0.75


def test_pusas_sigmas_differ_between_the_frames_of_a_clip_and_the_controls_do_not():
    torch.manual_seed(0)
    sigmas = pusa.sigmas_for(pusa.PUSA, 4000, 9)
    assert sigmas.shape == (4000, 9)
    assert torch.corrcoef(sigmas.T).fill_diagonal_(0).abs().max() < 0.07
    assert pusa.sigmas_for(pusa.CONTROL, 4000, 9).shape == (4000,)


def test_an_experts_pusa_lora_sees_the_noise_levels_that_expert_meets():
    torch.manual_seed(0)
    assert pusa.sigmas_for(pusa.PUSA_LOW_NOISE, 2000, 9).max() <= 0.875
    high = pusa.sigmas_for(pusa.PUSA_HIGH_NOISE, 2000, 9)
    assert (high >= 0.875).float().mean() > 0.5
    assert high.min() < 0.05


def test_the_references_timestep_weights_average_1_and_peak_in_the_middle():
    table = torch.linspace(1.0, 0.003 / 1.002, 1000)
    weights = pusa.timestep_weights(3 * table / (1 + 2 * table))
    assert weights.mean() == pytest.approx(1.0, abs=1e-3)
    middle = pusa.timestep_weights(torch.tensor([0.4, 0.5, 0.6]))
    assert middle[1] > middle[0]
    assert middle[1] > middle[2]
    torch.testing.assert_close(middle[0], middle[2])


def test_the_students_levels_are_levels_of_its_teacher():
    teacher = flow_sigmas(distill.TEACHER_STEPS, distill.SHIFT)
    stride = distill.TEACHER_STEPS // distill.STUDENT_STEPS
    torch.testing.assert_close(teacher[::stride], distill.LEVELS)


@pytest.fixture
def adapted():
    """A tiny DiT with a LoRA of rank 4 that has been trained on nothing in particular."""
    torch.manual_seed(0)
    model = WanDiT.from_state_dict(tiny_wan.weights(1))
    for parameter in lora.adapt(model, rank=4, with_bias=True):
        parameter.data.normal_(std=0.05)
    return model


@pytest.fixture
def inputs():
    return tiny_wan.latent(2, 3, 8, 8), torch.tensor([[800.0, 0.0, 300.0]]), tiny_wan.context(3)


@torch.no_grad()
def test_a_new_lora_changes_nothing(inputs):
    model = WanDiT.from_state_dict(tiny_wan.weights(1))
    before = model(*inputs)
    lora.adapt(model, rank=4)
    torch.testing.assert_close(model(*inputs), before, atol=0, rtol=0)


def test_only_the_lora_is_trained(adapted):
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert {name.rpartition(".")[2] for name in trained} == {"down", "up", "bias_change"}
    assert len(trained) == 2 * 10 * 3  # blocks, adapted layers, parts


@pytest.mark.parametrize("layout", ["distill", "lightning", "pusa"])
@torch.no_grad()
def test_a_written_lora_merges_to_what_was_trained(adapted, inputs, tmp_path, layout):
    trained = adapted.state_dict()
    if layout != "distill":  # only LightX2V's Wan2.1 layout holds biases
        for key, value in trained.items():
            if key.endswith("bias_change"):
                value.zero_()
    file = {
        "distill": lora.distill_layout,
        "lightning": lambda weights: lora.lightning_layout(weights, alpha=1.0),
        "pusa": lora.pusa_layout,
    }[layout](trained)
    save_file({key: value.contiguous() for key, value in file.items()}, tmp_path / "lora.safetensors")
    merged = tiny_wan.weights(1)
    add_lora(merged, tmp_path / "lora.safetensors", 1.0)
    expected = adapted(*inputs)
    torch.testing.assert_close(WanDiT.from_state_dict(merged)(*inputs), expected, atol=1e-5, rtol=0)
