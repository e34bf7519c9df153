"""Prints what pusa_core says about frames, positions, multipliers and schedules, as JSON for the JavaScript mirror's test."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from pusa_core import clips, experts, frames, schedule
from pusa_core.errors import PusaError

LENGTHS = [1, 2, 4, 5, 8, 33, 80, 81, 121]
POSITION_TEXTS = [
    "0",
    "0, -1",
    " 0;10 ; -1,",
    "+3",
    "",
    ",",
    "0,,1",
    "1.5",
    "zero",
    "1e3",
    "1234567890",
    "'",
    "a\"'b",
    "tab\there",
]
MULTIPLIER_TEXTS = [
    "0.2",
    "0.2, 0.5",
    "0.2;0.4, .4 ,4e-1",
    "0..0.2",
    "0...5",
    "0.2,",
    "",
    "0.2,,1",
    "1.5",
    "-0.1",
    "2",
    "nan",
    "inf",
    "0,2 x",
    "0..x",
    "0.1, 0.2, 0.3, 0.4",
    "0x1",
]
POSITIONS = [-82, -81, -22, -21, -1, 0, 1, 4, 20, 21, 80, 81]
SCHEDULES = [(4, 5.0, 1.0), (30, 5.0, 1.0), (10, 3.0, 0.6), (1, 1.0, 1.0), (7, 8.0, 0.35)]
CONTEXTS = [
    (task, latent_frames, context)
    for task in ("extend", "prepend")
    for latent_frames in (1, 3, 21)
    for context in (1, 5, 12, 13, 14, 81)
]


def said(function, *arguments):
    """What a function returns, or the sentence it refuses with."""
    try:
        return {"value": function(*arguments)}
    except PusaError as error:
        return {"error": str(error)}


def step_table(steps, shift, denoise):
    """Sigmas, timesteps of four frames and the high-noise expert's steps."""
    sigmas = schedule.flow_sigmas(steps, shift, denoise)
    table = schedule.frame_sigmas(sigmas, torch.tensor([0.0, 0.2, 0.5, 1.0]))[:-1] * schedule.TIMESTEPS
    high = [len(experts.split_sigmas(sigmas, boundary)[0]) - 1 for boundary in (0.0, 0.625, 0.875, 0.9, 1.0)]
    return {"sigmas": sigmas.tolist(), "timesteps": table.tolist(), "high": high}


print(
    json.dumps(
        {
            "lengths": [[n, frames.latent_frame_count(n)] for n in LENGTHS],
            "latent": [
                [n, frames.video_length(n + 1), frames.first_pixel_frame(n), frames.latent_frame_of(n)]
                for n in range(40)
            ],
            "positions": [[text, said(frames.parse_positions, text)] for text in POSITION_TEXTS],
            "multipliers": [
                [text, count, said(frames.parse_multipliers, text, count)]
                for text in MULTIPLIER_TEXTS
                for count in (1, 2, 4)
            ],
            "resolved": [
                [p, n, unit, said(frames.resolve_position, p, n, unit)]
                for p in POSITIONS
                for n in (1, 21)
                for unit in frames.POSITION_UNITS
            ],
            "schedules": [[arguments, step_table(*arguments)] for arguments in SCHEDULES],
            "clips": [
                [case, said(lambda *c: list(clips.plan_clip(*c).positions), *case)] for case in CONTEXTS
            ],
        }
    )
)
