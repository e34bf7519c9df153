"""Pictures brought to the size of the video."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from .choices import check_choice
from .errors import PusaError

CROP, LETTERBOX, STRETCH = RESIZES = ("crop", "letterbox", "stretch")


def check_images(images: Tensor) -> None:
    """Refuse what is not a batch of pictures [N, H, W, 3 or 4] with finite values."""
    if images.ndim != 4 or images.shape[-1] not in (3, 4):
        raise PusaError(
            f"images has the shape {tuple(images.shape)}; a batch of pictures is [pictures, height, width, 3 colours]."
        )
    if 0 in images.shape:
        raise PusaError(
            f"images holds no picture: its shape is {tuple(images.shape)}. Connect at least one picture."
        )
    if not bool(torch.isfinite(images).all()):
        raise PusaError("images has NaN or infinite values. Check the node that made the picture.")


def fit_images(images: Tensor, width: int, height: int, resize: str = CROP) -> Tensor:
    """Pictures at exactly width x height.

    images: [N, H, W, C], 0 to 1; width, height: pixels. resize: "crop" fills the frame and cuts what hangs over at both
    sides, "letterbox" shows all and pads with black, "stretch" ignores the proportions.
    Returns [N, height, width, 3], 0 to 1. An alpha channel is dropped. Resampling is bicubic with antialiasing.
    """
    check_choice("resize", resize, RESIZES)
    check_images(images)
    pixels = images[..., :3].movedim(-1, 1)
    source_height, source_width = pixels.shape[-2:]
    if resize == STRETCH:
        inner_height, inner_width = height, width
    else:
        ratios = (height / source_height, width / source_width)
        ratio = max(ratios) if resize == CROP else min(ratios)
        inner_height, inner_width = max(1, round(source_height * ratio)), max(1, round(source_width * ratio))
    if (inner_height, inner_width) != (source_height, source_width):
        pixels = interpolate(
            pixels.float(), (inner_height, inner_width), mode="bicubic", antialias=True
        ).clamp(0, 1)
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    # a negative pad cuts, so one call serves crop and letterbox
    pixels = pad(pixels, (left, width - inner_width - left, top, height - inner_height - top))
    return pixels.movedim(1, -1)
