"""Pictures brought to the size of the video."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from .choices import check_choice
from .errors import PusaError

CROP, LETTERBOX, STRETCH = RESIZES = ("crop", "letterbox", "stretch")


def check_images(images: Tensor) -> None:
    """Refuse what is not a batch of pictures [N, H, W, 3 or 4] with finite values around 0 to 1."""
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
    if images.dtype.is_floating_point:
        middle = float(
            images.double().mean() if images.numel() < 2**22 else images[:, ::8, ::8].double().mean()
        )
        if not -0.01 <= middle <= 1.01:  # single values beyond are overshoots, or highlights of HDR pictures
            raise PusaError(
                f"images has values around {middle:.3g}; pictures are 0 (black) to 1 (white). Divide 0 to 255 by 255, bring -1 to 1 to "
                "0 to 1, or connect the pictures before they were normalised."
            )


def as_pictures(images: Tensor) -> Tensor:
    """Pictures of any kind that reach a node as [N, H, W, 3] float32, 0 to 1.

    images: [N, H, W, 3 or 4]; float of any depth, where what lies beyond 0 and 1 is black and white as in every viewer (and in
    ComfyUI's own Save Image), or whole numbers of 8 or 16 bits. An alpha channel is dropped, as ComfyUI's Load Image does.
    """
    check_images(images)
    pixels = images[..., :3]
    if not pixels.dtype.is_floating_point:
        largest = torch.iinfo(pixels.dtype).max if pixels.dtype != torch.bool else 1
        return pixels.float() / largest
    pixels = pixels.float()
    lowest, highest = torch.aminmax(pixels)
    return pixels if lowest >= 0 and highest <= 1 else pixels.clamp(0, 1)


def fit_images(images: Tensor, width: int, height: int, resize: str = CROP) -> Tensor:
    """Pictures at exactly width x height.

    images: as as_pictures takes them; width, height: pixels. resize: "crop" fills the frame and cuts what hangs over at both
    sides, "letterbox" shows all and pads with black, "stretch" ignores the proportions.
    Returns [N, height, width, 3], 0 to 1. An alpha channel is dropped. Resampling is bicubic with antialiasing.
    """
    check_choice("resize", resize, RESIZES)
    pixels = as_pictures(images).movedim(-1, 1)
    source_height, source_width = pixels.shape[-2:]
    if resize == STRETCH:
        inner_height, inner_width = height, width
    else:
        ratios = (height / source_height, width / source_width)
        ratio = max(ratios) if resize == CROP else min(ratios)
        inner_height, inner_width = max(1, round(source_height * ratio)), max(1, round(source_width * ratio))
    if (inner_height, inner_width) != (source_height, source_width):
        pixels = interpolate(pixels, (inner_height, inner_width), mode="bicubic", antialias=True).clamp_(0, 1)
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    if (inner_height, inner_width) != (height, width):
        # a negative pad cuts, so one call serves crop and letterbox
        pixels = pad(pixels, (left, width - inner_width - left, top, height - inner_height - top))
    return pixels.movedim(1, -1)
