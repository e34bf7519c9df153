import comfy.model_management
import torch


def test_comfyui_runs_on_the_cpu():
    assert comfy.model_management.get_torch_device() == torch.device("cpu")


def test_comfyuis_own_loader_takes_the_tiny_model(load_tiny_wan):
    model = load_tiny_wan(10).model
    assert type(model).__name__ == "WAN21"
    assert model.get_dtype() == torch.float32


def test_comfyuis_own_loader_takes_the_tiny_vae(load_tiny_vae):
    latent = load_tiny_vae().encode(torch.rand(5, 32, 32, 3))
    assert latent.shape == (1, 16, 2, 4, 4)
    assert latent.isfinite().all()
