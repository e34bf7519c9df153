"""Claim: the pack's two latent spaces are ComfyUI's."""

import pytest
import torch

from pusa_core.latent_spaces import to_model_space, to_vae_space


@pytest.mark.parametrize(("name", "channels"), [("Wan21", 16), ("Wan22", 48)])
def test_both_ways_are_those_of_comfyui(name, channels):
    import comfy.latent_formats

    theirs = getattr(comfy.latent_formats, name)()
    latent = torch.randn(1, channels, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(to_model_space(latent), theirs.process_in(latent), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(to_vae_space(latent), theirs.process_out(latent), atol=1e-5, rtol=1e-5)
