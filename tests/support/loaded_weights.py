"""The weights of a MODEL while ComfyUI has it loaded, in dynamic VRAM too."""

import comfy.model_management
import comfy.model_patcher
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from comfyui_pusa.nodes.host.parameters import DIT, pieces

DYNAMIC = getattr(comfy.model_patcher, "CoreModelPatcher", ModelPatcher) is not ModelPatcher
"""Whether this ComfyUI keeps models in dynamic VRAM: weights as in their file, LoRAs added at each use in the type of the computation."""


def loaded_weights(model) -> dict[str, Tensor]:
    """Copies of all weights, as a model file names them behind `diffusion_model.`; unloads the model again.

    Dynamic VRAM patches most of them at each use, in the type the model computes in: there they are what core's own
    patch_weight_to_device makes of them, as when it saves a model.
    """
    comfy.model_management.load_models_gpu([model])
    try:
        weights = {
            name: value.clone() for name, value in model.model.state_dict().items() if name.startswith(DIT)
        }
        if DYNAMIC:
            for key in model.patches.keys() - model.backup.keys() & weights.keys():
                if key.endswith((".weight", ".bias")):
                    patched = model.patch_weight_to_device(key, model.load_device, return_weight=True)
                    weights |= {name: part.clone() for name, part in pieces(key, patched).items()}
        return weights
    finally:
        model.detach()
