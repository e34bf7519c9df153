"""Claims: table, loss and gradients are the authors' own (three optimizer steps: test_training_runs.py)."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from pusa_core.errors import PusaError
from pusa_core.training import timestep_table, vta_loss
from pusa_core.training.loss import loss_weights
from pusa_core.wan_dit import WanDiT
from support import tiny_wan


class Case:
    """One golden training step: the tiny model with the case's LoRA as trainable matrices."""

    def __init__(self, path):
        with safe_open(path, framework="pt") as file:
            self.facts = json.loads(file.metadata()["case"])
        self.expected = load_file(path)
        facts = self.facts
        self.base = tiny_wan.weights(facts["weights"])
        self.lora = {key: value.requires_grad_() for key, value in tiny_wan.lora(facts["lora"]).items()}
        self.clean = tiny_wan.latent(facts["latent"], facts["F"], facts["h"], facts["w"])
        self.context = tiny_wan.context(facts["context"])
        self.noise = torch.randn(self.clean.shape, generator=torch.Generator().manual_seed(facts["noise"]))
        self.sigmas = timestep_table()[0][facts["timestep_ids"]][None]
        self.model = WanDiT.from_state_dict(self.base)

    def loss(self):
        merged = dict(self.base)
        for key in self.lora:
            if ".lora_A." in key:
                name = key.replace(".lora_A.default", "")
                merged[name] = merged[name] + self.lora[key.replace("lora_A", "lora_B")] @ self.lora[key]
        return vta_loss(
            lambda *inputs: torch.func.functional_call(self.model, merged, inputs),
            self.clean,
            self.context,
            self.noise,
            self.sigmas,
        )


@pytest.fixture(params=["independent", "equal", "three_steps"])
def case(request, goldens):
    return Case(goldens / "training" / f"{request.param}.safetensors")


def test_the_table_is_the_one_the_authors_train_with(goldens):
    expected = load_file(goldens / "training" / "table.safetensors")
    sigmas, weights = timestep_table()
    torch.testing.assert_close(sigmas, expected["sigmas"], atol=1e-6, rtol=0)
    torch.testing.assert_close(weights, expected["weights"], atol=2e-5, rtol=0)


def test_loss_and_gradients_are_those_of_the_authors_code(case):
    torch.testing.assert_close(1000 * case.sigmas, case.expected["timesteps"], atol=1e-3, rtol=0)
    loss = case.loss()
    assert abs(loss.item() - case.expected["loss"].item()) < 1e-5
    loss.backward()
    for key, value in case.lora.items():
        torch.testing.assert_close(value.grad, case.expected[f"grad.{key}"], atol=2e-4, rtol=0)


def test_the_loss_of_a_batch_is_the_mean_over_its_clips():
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 3, 16, 2, 4, 4, generator=generator)
    sigmas = torch.tensor([[0.1, 0.9], [0.5, 0.5], [1.0, 0.2]])
    model = lambda x, timesteps, context: x * timesteps[:, None, :, None, None] / 1000  # noqa: E731
    whole = vta_loss(model, clean, None, noise, sigmas)
    parts = [vta_loss(model, clean[[i]], None, noise[[i]], sigmas[[i]]) for i in range(3)]
    torch.testing.assert_close(whole, torch.stack(parts).mean())


def test_a_model_that_knows_the_velocity_has_no_loss():
    clean, noise = torch.randn(2, 1, 16, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    sigmas = torch.tensor([[0.3, 0.0, 0.7]])
    assert vta_loss(lambda *_: noise - clean, clean, None, noise, sigmas) == 0


def test_frames_that_are_not_learned_do_not_count():
    clean, noise = torch.randn(2, 1, 16, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    sigmas, learned = torch.tensor([[0.0, 0.5, 0.5]]), torch.tensor([[False, True, True]])
    wrong = (noise - clean).clone()
    wrong[:, :, 0] = 100
    assert vta_loss(lambda *_: wrong, clean, None, noise, sigmas, learned=learned) == 0


def test_the_weights_peak_at_half_noise_and_average_1():
    sigmas, weights = timestep_table()
    assert weights.mean() == pytest.approx(1.0, abs=1e-4)
    assert abs(sigmas[weights.argmax()] - 0.5) < 0.005
    assert loss_weights(torch.tensor([1.0])) == 0


def test_a_wrong_number_of_levels_is_said():
    with pytest.raises(PusaError, match="one noise level a latent frame"):
        vta_loss(
            lambda *_: None, torch.zeros(1, 16, 3, 4, 4), None, torch.zeros(1, 16, 3, 4, 4), torch.zeros(1)
        )
