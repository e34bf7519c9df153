"""Which of this pack's nodes do what, by node id; js/generated_facts.js has the same lists."""

from __future__ import annotations

INJECTORS = (
    "PusaConditionFrames",
    "PusaConditionVideo",
    "PusaKeyframes",
    "PusaTransition",
    "PusaLoopConditions",
)
"""Give frames to a latent."""

SAMPLER, APPLY, LONG_VIDEO = FRAME_AWARE = ("PusaSampler", "PusaVectorizedTimesteps", "PusaLongVideo")
"""Give every latent frame timesteps of its own; they replace the model's sampling."""

SCHEDULER = "PusaScheduler"
DOCTOR = "PusaDoctor"
SWEEP = "PusaSweep"
FOLDER = "PusaFolder"
SWITCH = "PusaMoESwitch"
PUSA_LOADER, LIGHTX2V_LOADER = LOADERS = ("PusaLoraLoader", "PusaLightX2VLoader")
