"""Claims: a warm start keeps what the published files can do, goes on where it says, and the model card names it."""

import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("peft", reason="requirements-train.txt is not installed")

from comfyui_pusa.demo import data, zoo
from comfyui_pusa.demo.training import model_card, pusa, text_to_video, vae
from comfyui_pusa.demo.training.files import VAE_FILE, sha256
from comfyui_pusa.demo.training.muon import Muon
from comfyui_pusa.demo.training.plan import Plan, begin_at, has_begun, train, trained_weights
from comfyui_pusa.demo.training.publish import publish
from comfyui_pusa.demo.training.warm_start import STEPS_LEFT, begin_warm, unmatched, warm_start_of
from comfyui_pusa.demo.wan_vae import load_vae, to_model_space
from comfyui_pusa.pusa_core.training.checkpoints import Checkpoints
from comfyui_pusa.pusa_core.training.progress import Progress

PLAN = Plan("line", steps=40, learning_rate=0.1, seed=5, save_every=10)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A runs folder that begins with the published files."""
    runs = tmp_path_factory.mktemp("runs")
    begin_warm(zoo.MODELS, runs)
    return runs


def test_every_run_that_can_begin_warm_stands_where_its_mark_says(begun):
    for plan, left in STEPS_LEFT.items():
        start = warm_start_of(plan, begun)
        assert start.step == plan.steps - left
        assert start.sha256 == sha256(zoo.MODELS / start.file)
        if left:
            with pytest.raises(RuntimeError, match=f"step {start.step} of {plan.steps}"):
                trained_weights(plan, begun)


def test_the_weights_are_the_files(begun):
    published = load_file(zoo.MODELS / "loras" / f"{zoo.PUSA}.safetensors")
    newest = Checkpoints(begun / pusa.PUSA.name / "checkpoints").newest(print)
    assert {f"weight/{name}" for name in published} == set(newest.keys)
    for name, value in published.items():
        assert torch.equal(newest.read(f"weight/{name}"), value.float())


def test_a_run_that_has_begun_is_left_alone(begun):
    before = sorted(path.stat().st_mtime_ns for path in begun.rglob("*") if path.is_file())
    begin_warm(zoo.MODELS, begun)
    assert before == sorted(path.stat().st_mtime_ns for path in begun.rglob("*") if path.is_file())


@torch.no_grad()
def test_the_vae_reconstructs_as_before_with_latents_of_the_size_its_training_expects():
    published = load_file(zoo.MODELS / VAE_FILE)
    before, after = load_vae(published), unmatched(load_vae(published))
    video = data.render([next(data.scenes(3, held_out=False))], length=9)
    was, now = before.encode(video), after.encode(video)
    torch.testing.assert_close(now, 0.5 * to_model_space(was), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after.decode(now), before.decode(was), atol=1e-4, rtol=1e-4)


def test_the_image_stage_of_the_vae_is_finished_by_the_warm_start(begun):
    assert STEPS_LEFT[vae.IMAGES] == 0
    names = {name for name, value in vae.WanVAE().named_parameters() if value.requires_grad}
    assert set(trained_weights(vae.IMAGES, begun)) == names


def test_training_goes_on_from_the_given_weights_at_the_given_step(tmp_path):
    assert not has_begun(PLAN, tmp_path)
    begin_at(PLAN, tmp_path, 30, {"weight": torch.tensor([[1.5]]), "bias": torch.tensor([0.25])})
    assert has_begun(PLAN, tmp_path)
    model, seen = torch.nn.Linear(1, 1), []

    def loss_of_step(step):
        seen.append((step, model.weight.item(), model.bias.item()))
        x = torch.randn(16, 1)
        return (model(x) - 2 * x).square().mean()

    train(PLAN, tmp_path, model, [torch.optim.Adam(model.parameters())], loss_of_step, progress=Progress())
    assert seen[0] == (30, 1.5, 0.25)
    assert [step for step, _, _ in seen] == list(range(30, 40))


def test_the_card_tells_warm_runs_from_others(begun, tmp_path):
    base = text_to_video.BASE
    begins = base.steps - STEPS_LEFT[base]
    assert model_card._steps(base, tmp_path) == str(base.steps)
    assert model_card._origin(tmp_path) == ("from nothing", "")
    assert model_card._steps(base, begun) == f"{STEPS_LEFT[base]} (warm)"
    origin, paragraph = model_card._origin(begun)
    assert origin == "partly from the files published before"
    assert (
        f"`t2v` at step {begins} of {base.steps} with `diffusion_models/demo_wan2.1_t2v.safetensors`"
        in paragraph
    )


def test_muon_moves_as_torchs_does_in_bfloat16():
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in ((16, 16), (24, 16), (16, 24))]
    theirs = [torch.nn.Parameter(value.detach().clone()) for value in ours]
    optimizers = [
        Muon(ours, lr=0.01, weight_decay=0.01),
        torch.optim.Muon(theirs, lr=0.01, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
    ]
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape)
            b.grad = a.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=0)


def test_nothing_is_published_before_all_is_trained(begun, tmp_path):
    missing = publish(begun, tmp_path)
    assert "diffusion_models/demo_wan2.1_t2v.safetensors" in missing
    assert not list(tmp_path.iterdir())
