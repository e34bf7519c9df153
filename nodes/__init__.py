"""The pack's nodes, in the order of the menu."""

from comfy_api.latest import ComfyExtension, io

from .clips import PusaClipFrames, PusaConditionVideo
from .colour import PusaColorDrift, PusaColorMatch
from .conditions import PusaConditionFrames
from .director import PusaDirector
from .doctor import PusaDoctor
from .experts import PusaMoESwitch, PusaStages
from .folders import PusaFolder, PusaFolderSave
from .frozen_cache import PusaFrozenFrameCache
from .keyframes import PusaKeyframes
from .long_video import PusaLongVideo, PusaPromptTime
from .loop import PusaLoopConditions, PusaLoopDecode, PusaLoopModel
from .loras import PusaLightX2VLoader, PusaLoraLoader
from .merge_loras import PusaMergeLoras
from .progressive import PusaProgressive
from .sampling import PusaSampler, PusaScheduler, PusaVectorizedTimesteps
from .schedule_plot import PusaSchedulePlot
from .speed import PusaSpeed
from .stitch import PusaStitch
from .sweep import PusaSweep
from .training import PusaTrainingClip, PusaTrainingConfig, PusaTrainingFolder
from .transition import PusaTransition

NODES: list[type[io.ComfyNode]] = [
    PusaLoraLoader,
    PusaLightX2VLoader,
    PusaMergeLoras,
    PusaMoESwitch,
    PusaStages,
    PusaSpeed,
    PusaConditionFrames,
    PusaConditionVideo,
    PusaKeyframes,
    PusaTransition,
    PusaLoopConditions,
    PusaLoopModel,
    PusaLoopDecode,
    PusaClipFrames,
    PusaStitch,
    PusaScheduler,
    PusaVectorizedTimesteps,
    PusaFrozenFrameCache,
    PusaProgressive,
    PusaSampler,
    PusaLongVideo,
    PusaPromptTime,
    PusaDirector,
    PusaFolder,
    PusaFolderSave,
    PusaColorMatch,
    PusaColorDrift,
    PusaSweep,
    PusaSchedulePlot,
    PusaDoctor,
    PusaTrainingFolder,
    PusaTrainingClip,
    PusaTrainingConfig,
]


class PusaExtension(ComfyExtension):
    """What ComfyUI asks a pack for."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
