"""Claim: a few hundred steps of the trainer on the zoo's base lower the loss of frames that differ in noise."""

import itertools

import pytest
import torch

pytest.importorskip("accelerate", reason="requirements-train.txt is not installed")
pytest.importorskip("peft", reason="requirements-train.txt is not installed")

from comfyui_pusa.demo import data, zoo
from pusa_core.lora.contents import read_contents
from pusa_core.lora.weight_files import open_weights
from pusa_core.training import timestep_table, vta_loss
from pusa_core.training.cache_files import TrainingClip, write_clip
from pusa_core.training.config import config_of
from pusa_core.training.trainer import LORA, run_training

STEPS, CLIPS = 200, 16


@pytest.fixture(scope="module")
def scenes():
    """Training captions, and as many that no clip of training has."""
    return (
        list(itertools.islice(data.scenes(data.TRAINING_SEED, held_out=False), CLIPS)),
        list(itertools.islice(data.scenes(data.HELD_OUT_SEED, held_out=True), 8)),
    )


def encoded(scenes):
    return zoo.encode(zoo.vae(), data.render(scenes, length=17)), torch.cat(
        [zoo.text_embedding(scene.caption) for scene in scenes]
    )


def held_out_loss(model, scenes):
    clean, context = encoded(scenes)
    generator = torch.Generator().manual_seed(4)
    sigmas = timestep_table()[0][torch.randint(1000, (len(clean), clean.shape[2]), generator=generator)]
    with torch.no_grad():
        return float(vta_loss(model, clean, context, torch.randn(clean.shape, generator=generator), sigmas))


def test_the_loss_of_per_frame_timesteps_falls(tmp_path, scenes):
    training, held_out = scenes
    latents, contexts = encoded(training)
    empty = zoo.text_embedding("")[0]
    for number, (latent, context) in enumerate(zip(latents, contexts, strict=True)):
        clip = TrainingClip(latent, context, empty, training[number].caption)
        write_clip(tmp_path / "clips" / f"{number}.safetensors", clip, base="any", source="zoo")
    weights = zoo.MODELS / "diffusion_models" / f"{zoo.BASE}.safetensors"
    table = {
        "model": {"base": "any", "weights": str(weights), "held_in": "fp32"},
        "data": {"folders": ["clips"], "caption_dropout": 0.0},
        "lora": {"rank": 8},
        "optimizer": {"learning_rate": 2e-3, "schedule": "cosine", "warm_up": 10},
        "train": {"output": "run", "steps": STEPS, "batch": 4, "micro_batch": 4, "checkpointing": False, "precision": "fp32"},
    }  # fmt: skip
    outcome = run_training(LORA, config_of(table, tmp_path))
    assert outcome.finished
    early, late = ([row["loss"] for row in rows] for rows in (outcome.history[:20], outcome.history[-20:]))
    base = zoo.dit(zoo.BASE)
    before = held_out_loss(base, held_out)
    base_weights = {key: value.float() for key, value in base.state_dict().items()}
    zoo.add_lora(base_weights, tmp_path / "run" / "run_pusa.safetensors", 1.0)
    after = held_out_loss(zoo.WanDiT.from_state_dict(base_weights), held_out)
    assert len(read_contents(open_weights(str(tmp_path / "run" / "run_pusa.safetensors"))).changes) == 40
    assert after < 0.75 * before, (before, after)
    assert sum(late) / len(late) < 0.9 * sum(early) / len(early)
