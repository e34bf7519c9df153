"""Which of this pack's nodes do what, by node id; js/generated_facts.js has the same lists."""

from __future__ import annotations

LOOP_CONDITIONS = "PusaLoopConditions"
INJECTORS = (
    "PusaConditionFrames",
    "PusaConditionVideo",
    "PusaKeyframes",
    "PusaTransition",
    LOOP_CONDITIONS,
)
"""Give frames to a latent."""

SAMPLER, APPLY, LONG_VIDEO, DIRECTOR = FRAME_AWARE = (
    "PusaSampler",
    "PusaVectorizedTimesteps",
    "PusaLongVideo",
    "PusaDirector",
)
"""Give every latent frame timesteps of its own; they replace the model's sampling."""

VIDEO_MAKERS = (LONG_VIDEO, DIRECTOR)
"""Write a video of their own."""

LOOP_MODEL = "PusaLoopModel"
LOOP_DECODE = "PusaLoopDecode"
SCHEDULER = "PusaScheduler"
DOCTOR = "PusaDoctor"
SWEEP = "PusaSweep"
FOLDER = "PusaFolder"
SWITCH = "PusaMoESwitch"
SPEED = "PusaSpeed"
SPEED_WAYS = ("fast", "full")
"""Ways of PusaSpeed: with `fast` on and off. Its inputs begin with them, as in fast_model."""
SPEED_OUTPUTS = ("model", "steps", "cfg")
PUSA_LOADER, LIGHTX2V_LOADER = LOADERS = ("PusaLoraLoader", "PusaLightX2VLoader")
