"""The schedule as a picture: latent frames by steps, the colour telling each frame's noise level."""

from __future__ import annotations

import torch
from torch import Tensor

from .bases import WAN, Base
from .drawing import INK, Canvas
from .errors import PusaError
from .experts import check_boundary, split_sigmas
from .schedule import frame_sigmas

# anchors of Viridis (matplotlib, CC0), clean to noisy: reads the same in grey and to colour-blind eyes
VIRIDIS = torch.tensor(
    [(68, 1, 84), (72, 40, 120), (62, 74, 137), (49, 104, 142), (38, 130, 142),
     (31, 158, 137), (53, 183, 121), (109, 205, 89), (180, 222, 44), (253, 231, 37)],
    dtype=torch.float32,
)  # fmt: skip

LEFT, TOP, RIGHT, BOTTOM = 120, 62, 110, 74
NUMBER_WIDTH, NUMBER_HEIGHT = 42, 18
LEAST_WIDTH, LEAST_HEIGHT = 760, 300


def noise_colour(sigma: float) -> tuple[int, int, int]:
    """RGB, 0 to 255, of a noise level: dark violet is clean (0), yellow is pure noise (1)."""
    place = min(max(sigma, 0.0), 1.0) * (len(VIRIDIS) - 1)
    below = min(int(place), len(VIRIDIS) - 2)
    red, green, blue = torch.lerp(VIRIDIS[below], VIRIDIS[below + 1], place - below).round().int().tolist()
    return red, green, blue


def plot_schedule(
    sigmas: Tensor, noise_multipliers: Tensor, boundary: float = 0.0, base: Base = WAN
) -> Tensor:
    """A heat map of what each latent frame's timestep is at each model call, with the change of experts drawn in.

    sigmas: [S+1], the scalar schedule, falling; noise_multipliers: [F], each in [0, 1]; boundary: sigma where Wan2.2 changes
    from the high-noise to the low-noise expert, 0 for one model.
    Returns an IMAGE [1, height, width, 3], 0 to 1: one column a step, one row a latent frame.
    """
    if sigmas.ndim != 1 or len(sigmas) < 2:
        raise PusaError(
            f"sigmas has the shape {tuple(sigmas.shape)}, which is no step. Connect a schedule of 1 step or more."
        )
    check_boundary(boundary)
    table = frame_sigmas(sigmas.detach().float().cpu(), noise_multipliers.detach().float().cpu())[:-1]
    steps, frames = table.shape
    cell_width = max(12, min(72, 960 // steps))
    cell_height = max(12, min(34, 720 // frames))
    right, bottom = LEFT + steps * cell_width, TOP + frames * cell_height
    canvas = Canvas(max(right + RIGHT, LEAST_WIDTH), max(bottom + BOTTOM, LEAST_HEIGHT))

    numbered = cell_width >= NUMBER_WIDTH and cell_height >= NUMBER_HEIGHT
    for step, row in enumerate(table.tolist()):
        for frame, sigma in enumerate(row):
            x, y = LEFT + step * cell_width, TOP + frame * cell_height
            canvas.draw.rectangle((x, y, x + cell_width - 1, y + cell_height - 1), fill=noise_colour(sigma))
            if numbered:
                ink = "#000000" if sigma > 0.55 else "#ffffff"
                canvas.text(x + cell_width / 2, y + cell_height / 2, f"{sigma:.2f}", fill=ink)

    _label_frames(canvas, frames, cell_height, base)
    for step in range(0, steps, max(1, -(-28 // cell_width))):
        canvas.text(LEFT + (step + 0.5) * cell_width, bottom + 14, str(step))
    canvas.text((LEFT + right) / 2, bottom + 38, "step (one model call each)")
    kept = int(torch.count_nonzero(noise_multipliers < 1))
    canvas.text(
        LEFT, 18, f"Noise level (sigma) per latent frame: {frames} latent frames = {base.video_length(frames)} video frames, "
        f"{steps} steps, {kept} given", anchor="lm",
    )  # fmt: skip
    if boundary > 0:
        high, low = split_sigmas(sigmas.detach().float().cpu(), boundary)
        x = LEFT + (len(high) - 1) * cell_width
        canvas.dashed_line(x, TOP - 8, bottom + 6)
        canvas.text(
            LEFT, 42, f"expert boundary at sigma {boundary:g}: high-noise {len(high) - 1} steps, low-noise {len(low) - 1} steps",
            anchor="lm", fill="#c2185b",
        )  # fmt: skip
    _colour_bar(canvas, right + 24, TOP, bottom)
    return canvas.image()


def _label_frames(canvas: Canvas, frames: int, cell_height: int, base: Base) -> None:
    """Latent frame and the video frames it holds, beside every row that has room."""
    every = max(1, -(-18 // cell_height))
    for frame in range(0, frames, every):
        first, last = base.first_pixel_frame(frame), base.video_length(frame + 1) - 1
        held = str(first) if first == last else f"{first}-{last}"
        y = TOP + (frame + 0.5) * cell_height
        canvas.text(LEFT - 10, y, f"{frame}  ({held})", anchor="rm")
    canvas.upright_text(
        16, max(TOP + frames * cell_height / 2, LEAST_HEIGHT / 2), "latent frame (video frames)"
    )


def _colour_bar(canvas: Canvas, left: int, top: int, bottom: int) -> None:
    """Which colour is which sigma."""
    for y in range(top, bottom):
        canvas.draw.line(
            (left, y, left + 18, y), fill=noise_colour((bottom - 1 - y) / max(1, bottom - 1 - top))
        )
    canvas.draw.rectangle((left, top, left + 18, bottom - 1), outline=INK)
    canvas.text(left + 26, top + 6, "1 noise", anchor="lm")
    canvas.text(left + 26, bottom - 7, "0 clean", anchor="lm")
