"""Claims: our WanDiT and ComfyUI's WanModel give the same velocity for the same weights."""

import pytest
import torch

from comfyui_pusa.pusa_core.wan_dit import WanDiT
from support import tiny_wan

BATCH, FRAMES = 2, 5


@pytest.fixture(params=["scalar", "per frame", "a clean first frame"])
def timestep(request):
    """[B] or [B, F], 0 to 1000."""
    if request.param == "scalar":
        return torch.tensor([937.5, 20.0])
    values = torch.rand(BATCH, FRAMES, generator=torch.Generator().manual_seed(4)) * 1000
    if request.param == "a clean first frame":
        values[:, 0] = 0.0
    return values


@pytest.mark.parametrize(("rows", "columns"), [(8, 8), (6, 10)])
def test_the_velocity_is_comfyuis(load_tiny_wan, timestep, rows, columns):
    theirs = load_tiny_wan(10).model.diffusion_model.float()
    ours = WanDiT.from_state_dict(tiny_wan.weights(10))
    latent = torch.cat([tiny_wan.latent(seed, FRAMES, rows, columns) for seed in range(BATCH)])
    text = torch.cat([tiny_wan.context(seed) for seed in range(BATCH)])
    with torch.no_grad():
        torch.testing.assert_close(
            ours(latent, timestep, text), theirs(latent, timestep, text), atol=1e-5, rtol=0
        )
