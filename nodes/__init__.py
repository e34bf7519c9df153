"""The pack's nodes, in the order of the menu."""

from comfy_api.latest import ComfyExtension, io

from .conditions import PusaConditionFrames
from .experts import PusaMoESwitch
from .loras import PusaLightX2VLoader, PusaLoraLoader
from .sampling import PusaSampler, PusaScheduler, PusaVectorizedTimesteps

NODES: list[type[io.ComfyNode]] = [
    PusaLoraLoader,
    PusaLightX2VLoader,
    PusaMoESwitch,
    PusaConditionFrames,
    PusaScheduler,
    PusaVectorizedTimesteps,
    PusaSampler,
]


class PusaExtension(ComfyExtension):
    """What ComfyUI asks a pack for."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
