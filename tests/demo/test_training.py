"""Claims: training resumes exactly, draws the noise levels the papers say, and writes LoRAs that loaders read back."""

import json
from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import save_file

pytest.importorskip("peft", reason="requirements-train.txt is not installed")

from comfyui_pusa.demo.training import distill, flow, lora
from comfyui_pusa.demo.training.flow import SCALAR, VECTORIZED
from comfyui_pusa.demo.training.plan import Plan, train, trained_weights
from comfyui_pusa.demo.zoo import add_lora
from comfyui_pusa.pusa_core.schedule import flow_sigmas
from comfyui_pusa.pusa_core.training import vta_loss
from comfyui_pusa.pusa_core.training.progress import Progress
from comfyui_pusa.pusa_core.wan_dit import WanDiT
from support import tiny_wan

PLAN = Plan("line", steps=40, learning_rate=0.1, seed=5, save_every=10)


def fit_a_line(folder, stop_at=None):
    """Train y = 2x on random points, to PLAN's end or to an interruption; returns the model."""
    torch.manual_seed(0)
    model = torch.nn.Linear(1, 1)

    def loss_of_step(step):
        if step == stop_at:
            raise InterruptedError
        x = torch.randn(16, 1)
        return (model(x) - 2 * x).square().mean()

    train(PLAN, folder, model, [torch.optim.Adam(model.parameters())], loss_of_step, progress=Progress())
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
    assert [row["step"] for row in rows] == list(range(1, 41))
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]


def test_an_unfinished_run_is_not_used(tmp_path):
    with pytest.raises(FileNotFoundError, match="has not been trained"):
        trained_weights(PLAN, tmp_path)
    with pytest.raises(InterruptedError):
        fit_a_line(tmp_path, stop_at=27)
    with pytest.raises(RuntimeError, match="step 20 of 40"):
        trained_weights(PLAN, tmp_path)


def test_the_learning_rate_warms_up_and_decays():
    rates = [PLAN.schedule.learning_rate_at(step, PLAN.steps) for step in range(PLAN.steps)]
    assert max(rates) <= PLAN.learning_rate
    assert rates[0] < rates[10] < rates[20]
    assert rates[-1] < 0.2 * PLAN.learning_rate


def test_the_zoo_is_trained_with_the_authors_shift_and_draws():
    """The Pusa LoRAs draw half of the clips' frames on their own, over the full range; the other models one level a clip."""
    assert (VECTORIZED.shift, VECTORIZED.sigma_min, VECTORIZED.sigma_max) == (5.0, 0.0, 1.0)
    assert VECTORIZED.equal_share + VECTORIZED.given_share <= 0.5
    levels = SCALAR.draw(9, 0, 0, 0)[0]
    assert (levels == levels[0]).all()


class Clips(NamedTuple):
    """A training set of random latents, in the shape that TrainingClips has."""

    latents: torch.Tensor
    captions: torch.Tensor
    vocabulary: torch.Tensor
    end_of_text: int = 0
    filler: int = 1

    def draw(self, count, frames):
        chosen = torch.randint(len(self.latents), (count,))
        return self.latents[chosen, :, :frames], self.captions[chosen]


@pytest.mark.parametrize("draw", [VECTORIZED, SCALAR])
def test_a_step_of_the_zoos_lora_is_the_trainers_loss_and_repeats_to_the_bit(draw):
    clips = Clips(torch.randn(6, 16, 9, 4, 4), torch.randint(5, (6, 3)), torch.randn(5, 4096))
    model = WanDiT.from_state_dict(tiny_wan.weights(1))
    trained = lora.adapt(model, rank=2, seed=1)
    gradients = []
    for _ in range(2):
        torch.manual_seed(4)
        batch = flow.Batch(replace(PLAN, batch=4), 7, clips, draw)
        call = flow.velocity_of(model, model.velocity, clips, batch.captions)
        loss = vta_loss(call, batch.clean, batch.captions, batch.noise, batch.sigmas)
        gradients.append(torch.autograd.grad(loss, trained))
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    if draw is SCALAR:
        assert torch.isfinite(flow.plain_loss(call, batch))


def test_the_students_levels_are_levels_of_its_teacher():
    teacher = flow_sigmas(distill.TEACHER_STEPS, distill.SHIFT)
    stride = distill.TEACHER_STEPS // distill.STUDENT_STEPS
    torch.testing.assert_close(teacher[::stride], distill.LEVELS)


@pytest.fixture
def adapted():
    """A tiny DiT with a LoRA of rank 4 that has been trained on nothing in particular."""
    torch.manual_seed(0)
    model = WanDiT.from_state_dict(tiny_wan.weights(1))
    for parameter in lora.adapt(model, rank=4, seed=0, with_bias=True):
        parameter.data.add_(0.05 * torch.randn(parameter.shape))
    return model


@pytest.fixture
def inputs():
    return tiny_wan.latent(2, 3, 8, 8), torch.tensor([[800.0, 0.0, 300.0]]), tiny_wan.context(3)


@torch.no_grad()
def test_a_new_lora_changes_nothing(inputs):
    model = WanDiT.from_state_dict(tiny_wan.weights(1))
    before = model(*inputs)
    lora.adapt(model, rank=4, seed=0)
    torch.testing.assert_close(model(*inputs), before, atol=0, rtol=0)


def test_only_the_lora_is_trained(adapted):
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert all(
        name.endswith((".lora_A.default.weight", ".lora_B.default.weight", lora.BIAS)) for name in trained
    )
    assert len(trained) == 2 * 10 * 3  # blocks, adapted layers, parts


@pytest.mark.parametrize("layout", ["distill", "lightning", "pusa"])
@torch.no_grad()
def test_a_written_lora_merges_to_what_was_trained(adapted, inputs, tmp_path, layout):
    base = tiny_wan.weights(1)
    trained = adapted.state_dict()
    if layout != "distill":  # only LightX2V's Wan2.1 layout holds biases
        for key, value in trained.items():
            if key.endswith(lora.BIAS):
                value.copy_(base[key.replace(".base_layer.", ".")])
    file = {
        "distill": lambda weights: lora.distill_layout(weights, base),
        "lightning": lambda weights: lora.lightning_layout(weights, alpha=1.0),
        "pusa": lambda weights: {key: value for key, value in weights.items() if ".lora_" in key},
    }[layout](trained)
    save_file({key: value.contiguous() for key, value in file.items()}, tmp_path / "lora.safetensors")
    merged = tiny_wan.weights(1)
    add_lora(merged, tmp_path / "lora.safetensors", 1.0)
    expected = adapted(*inputs)
    torch.testing.assert_close(WanDiT.from_state_dict(merged)(*inputs), expected, atol=1e-5, rtol=0)
