"""The layout of a module that ComfyUI built, whatever of it is there yet."""

import torch


def shapes(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """Shape of every weight by its name; with dynamic VRAM a linear layer has none before a file gives it one."""
    found = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    for name, layer in module.named_modules():
        if isinstance(layer, torch.nn.Linear) and layer.weight is None:
            found[f"{name}.weight"] = (layer.out_features, layer.in_features)
            if layer.comfy_need_lazy_init_bias:
                found[f"{name}.bias"] = (layer.out_features,)
    return found
