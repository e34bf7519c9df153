"""Prints what pusa_core says about frames, positions, multipliers and schedules, as JSON for the JavaScript mirror's test."""

import itertools
import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from pusa_core import clips, experts, frames, keyframes, loop, schedule
from pusa_core.bases import BASES
from pusa_core.errors import PusaError
from pusa_core.given_frames import given_text
from pusa_core.graph.latents import carried_into
from pusa_core.lora.experts import guess_expert

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
CONTEXTS = [1, 5, 12, 13, 14, 33, 37, 41, 81]
LATENT_FRAMES = [1, 2, 3, 8, 9, 21]
CLIP_TEXTS = [
    ("", ""),
    ("0, -1", ""),
    ("", "0"),
    ("0, -1", "0"),
    ("0, -1", "3, -2"),
    ("0, 30", ""),
    ("x", "0"),
    ("0", "y"),
    ("0", ","),
]
FIXED = (clips.EXTEND, clips.PREPEND)
CLIPS = [
    (task, latent_frames, context, *texts)
    for task in clips.TASKS
    for latent_frames in ((1, 3, 21) if task in FIXED else (3, 21))
    for context in (CONTEXTS if task in FIXED else [13])
    for texts in (CLIP_TEXTS if context == 13 else CLIP_TEXTS[:1])
]
TIMES = [
    "",
    " ",
    "0",
    "0, -1",
    "0;2.5;5",
    "0, 4, 80",
    "0, 1, 20",
    "0, 5.03",
    "5.04",
    "1e-5, x",
    "-1",
    "nan",
    "inf",
    "-inf",
    "1e9",
    "0,",
    "0, 4.96875",
]
KEYFRAMES = [
    (count, latent_frames, spacing, times, fps)
    for spacing in keyframes.SPACINGS
    for times in TIMES
    for count in (1, 2, 3, 9, 30)
    for latent_frames, fps in ((1, 16.0), (21, 16.0), (21, 23.976))
]

NAME_PARTS = [
    *("high", "HIGH", "High", "low", "Low", "noise", "Noise", "slow", "flow", "below", "hi", "lo", "and", "to"),
    *("quality", "res", "resolution", "detail", "details", "fps", "vram", "ram", "motion", "dynamic", "def", "definition"),
    *("wan", "Wan2.1", "wan21", "WAN2_2", "wan22", "wan 2 2", "pusa", "Pusa_V1", "pusa v1", "v1.safetensors", "rank64"),
    *("lora", "4steps", "lightx2v", "t2v", "14B", "e\u0301", "\u9ad8", "1", "/", "\\"),
]  # fmt: skip
SEPARATORS = ["", "_", "-", ".", " "]
NAMES = [
    "wan_high_quality.safetensors",
    "Wan21_PusaV1_low_rank64.safetensors",
    "wan22/high_noise_pusa.safetensors",
    "high_noise\\low_noise_pusa.safetensors",
    "high/pusa.safetensors",
    "pusa_v1",
    "pusa_v1.safetensors",
]
ALL_STEPS = range(1, 61)
SHIFTS = (1.0, 3.0, 4.7, 5.0, 8.0, 12.0)
DENOISES = (1.0, 0.6, 0.35)
BOUNDARIES = (0.0, 0.5, 0.625, 0.8, 0.833333, 0.85, 0.875, 0.9, 0.9375, 0.95, 1.0)


def names(count=4000):
    """File names made of parts that matter, always the same ones."""
    pick = random.Random(11)
    made = [
        "".join(pick.choice(NAME_PARTS) + pick.choice(SEPARATORS) for _ in range(pick.randint(1, 5)))
        for _ in range(count)
    ]
    pairs = ["".join(parts) for parts in itertools.product(NAME_PARTS, SEPARATORS, NAME_PARTS)]
    return [*NAMES, *pairs, *made, *(f"{name}.safetensors" for name in made)]


def simple_sigmas(steps, shift, denoise):
    """Core's scheduler "simple" on ModelSamplingDiscreteFlow (ComfyUI, comfy/samplers.py and comfy/model_sampling.py)."""
    levels = (torch.arange(1, 1001, 1) / 1000) * 1000 / 1000
    table = levels if shift == 1.0 else shift * levels / (1 + (shift - 1) * levels)
    total = steps if denoise > 0.9999 else int(steps / denoise)
    stride = len(table) / total
    sigmas = [float(table[-(1 + int(i * stride))]) for i in range(total)]
    return torch.FloatTensor([*sigmas, 0.0])[-(steps + 1) :]


def splits():
    """Sigmas, and the high-noise expert's steps for each boundary, of many schedules of both kinds."""
    for kind, make in (("flow", schedule.flow_sigmas), ("simple", simple_sigmas)):
        for case in itertools.product(ALL_STEPS, SHIFTS, DENOISES):
            sigmas = make(*case)
            yield [
                kind,
                case,
                sigmas.tolist(),
                [len(experts.split_sigmas(sigmas, boundary)[0]) - 1 for boundary in BOUNDARIES],
            ]


LATENT_CLASSES = [
    *(
        "PusaConditionFrames",
        "PusaKeyframes",
        "KSampler",
        "RebatchLatents",
        "LatentCompositeMasked",
        "LatentBatch",
    ),
    *("BatchLatentsNode", "SetLatentNoiseMask", "EmptyHunyuanLatentVideo", "TheirJoin"),
]
LATENT_INPUTS = [
    *("latent", "latent_image", "samples", "samples1", "samples2", "destination", "source", "latents", "latents.latent0"),
    *("latents.latent1", "inputs.input0", "positions", "vae", "model"),
]  # fmt: skip


def latent_graphs(count=300):
    """Random graphs, and what each of their nodes is given: ids of injectors still carried, and of those lost where."""
    pick = random.Random(14)
    for _ in range(count):
        ids = [str(n) for n in range(1, pick.randint(4, 14))]
        prompt = {
            node: {
                "class_type": pick.choice(LATENT_CLASSES),
                "inputs": {
                    name: pick.choice("ab") if name == "positions" else [pick.choice(ids), 0]
                    for name in pick.sample(LATENT_INPUTS, pick.randint(0, 4))
                },
            }
            for node in ids
        }
        known = {node: carried_into(prompt, node) for node in ids}
        yield (
            prompt,
            {node: [sorted(one.injectors), sorted(map(list, one.lost))] for node, one in known.items()},
        )


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


def transition_positions(latent_frames, context_frames, base):
    """Latent frames that a transition is given."""
    return [
        position
        for plan in clips.plan_transition(latent_frames, context_frames, base)
        for position in plan.positions
    ]


print(
    json.dumps(
        {
            "lengths": [[base.id, n, base.latent_frame_count(n)] for base in BASES for n in LENGTHS],
            "latent": [
                [base.id, n, base.video_length(n + 1), base.first_pixel_frame(n), base.latent_frame_of(n)]
                for base in BASES
                for n in range(40)
            ],
            "positions": [[text, said(frames.parse_positions, text)] for text in POSITION_TEXTS],
            "multipliers": [
                [text, count, said(frames.parse_multipliers, text, count)]
                for text in MULTIPLIER_TEXTS
                for count in (1, 2, 4)
            ],
            "resolved": [
                [base.id, p, n, unit, said(frames.resolve_position, p, n, unit, base)]
                for base in BASES
                for p in POSITIONS
                for n in (1, 21)
                for unit in frames.POSITION_UNITS
            ],
            "schedules": [[arguments, step_table(*arguments)] for arguments in SCHEDULES],
            "names": [[name, guess_expert(name, {}).expert] for name in names()],
            "latents": list(latent_graphs()),
            "given": [[count, given_text([0.2] * count + [1.0])] for count in range(4)],
            "boundaries": BOUNDARIES,
            "splits": list(splits()),
            "clips": [
                [
                    base.id,
                    case,
                    said(lambda *c: list(clips.plan_clip(*c[:-1], base=c[-1]).positions), *case, base),
                ]
                for base in BASES
                for case in CLIPS
            ],
            "transitions": [
                [base.id, [n, context], said(transition_positions, n, context, base)]
                for base in BASES
                for n in LATENT_FRAMES
                for context in CONTEXTS
            ],
            "stills": [
                [base.id, kind, n, said(loop.still_positions, kind, n, base)]
                for base in BASES
                for kind in (loop.STILL, loop.ROLLED_STILL)
                for n in LATENT_FRAMES
            ],
            "keyframes": [
                [base.id, case, said(keyframes.keyframe_positions, *case, base)]
                for base in BASES
                for case in KEYFRAMES
            ],
            "linear_quadratic": [
                [steps, denoise, schedule.linear_quadratic_sigmas(steps, denoise).tolist()]
                for steps in ALL_STEPS
                for denoise in DENOISES
            ],
        }
    )
)
