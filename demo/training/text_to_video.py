"""The base text-to-video DiT, trained from nothing with one timestep a clip."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from ...pusa_core.wan_dit import WanDiT
from .flow import DIT, SCALAR, Batch, compiled, plain_loss, velocity_of
from .latents import TrainingClips
from .muon import Muon
from .plan import Plan, train

BASE = Plan("t2v", steps=6500, learning_rate=2e-3, seed=21)
WEIGHT_DECAY = 0.01


def train_base(runs: Path) -> WanDiT:
    """Scalar timesteps only: what the model knows about frames with different noise comes from the Pusa LoRA alone."""
    torch.manual_seed(BASE.seed)
    model = WanDiT(DIT)
    initialise(model)
    clips = TrainingClips.read(runs)
    velocity = compiled(model)

    def loss_of_step(step: int) -> Tensor:
        batch = Batch(BASE, step, clips, SCALAR)
        return plain_loss(velocity_of(model, velocity, clips, batch.captions), batch)

    train(BASE, runs, model, optimizers(model, BASE.learning_rate), loss_of_step)
    return model


def optimizers(model: WanDiT, learning_rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for everything else."""
    in_blocks = {name: p for name, p in model.named_parameters() if name.startswith("blocks.")}
    matrices = [p for p in in_blocks.values() if p.ndim == 2]
    matrix_ids = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in matrix_ids]
    return [
        torch.optim.AdamW(others, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
        Muon(matrices, lr=learning_rate, weight_decay=WEIGHT_DECAY),
    ]


@torch.no_grad()
def initialise(model: WanDiT) -> None:
    """Xavier weights, weak outputs of every branch, open gates, a silent head. Uses torch's global generator."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
            if name.endswith((".o", "ffn.2")) or name == "time_projection.1":
                nn.init.normal_(module.weight, std=0.02)
            elif name == "text_embedding.0":
                nn.init.normal_(module.weight, std=1 / math.sqrt(module.in_features))
            elif name == "head.head":
                nn.init.zeros_(module.weight)
            else:
                nn.init.xavier_uniform_(module.weight)
    nn.init.xavier_uniform_(model.patch_embedding.weight.flatten(1))
    nn.init.zeros_(model.patch_embedding.bias)
    for block in model.blocks:
        block.modulation[:, [2, 5]] = 1.0
