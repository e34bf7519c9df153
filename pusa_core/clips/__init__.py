"""Clips: files read as frames at their times, the tasks they are read for, and finished videos written.

planning: which frames of a clip become which latent frames. reading: a file as a clip (streams, errors); stamp_repair: its time stamps;
deinterlacing, converting, hdr: its pictures; sound_reading: its sound. time_stamps: a clip in memory and its steady rates. sound, stitch:
clips joined. writing: files. notes: what is said on the node.
"""

from .planning import (
    COMPLETE,
    CUSTOM,
    EXTEND,
    PREPEND,
    TASKS,
    ClipPlan,
    check_context,
    clip_conditions,
    plan_clip,
    plan_head,
    plan_tail,
    plan_transition,
    transition_conditions,
)

__all__ = [
    "COMPLETE",
    "CUSTOM",
    "EXTEND",
    "PREPEND",
    "TASKS",
    "ClipPlan",
    "check_context",
    "clip_conditions",
    "plan_clip",
    "plan_head",
    "plan_tail",
    "plan_transition",
    "transition_conditions",
]
