"""Colour: conversions, matching generated frames to given ones, and how far a video drifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .choices import check_choice
from .errors import PusaError
from .images import check_images

MONGE_KANTOROVICH, MEAN_AND_STD = METHODS = ("monge-kantorovich", "mean and std")

EIGHT_BIT_STEP = (1.0 / 255.0) ** 2
"""Variance of one 8-bit step. Added to every variance, so that a direction flatter than that is left alone, not stretched."""

# IEC 61966-2-1, D65: linear RGB -> XYZ
RGB_TO_XYZ = torch.tensor(
    [
        [0.4123907993, 0.3575843394, 0.1804807884],
        [0.2126390059, 0.7151686788, 0.0721923154],
        [0.0193308187, 0.1191947798, 0.9505321522],
    ],
    dtype=torch.float64,
)
XYZ_TO_RGB = torch.linalg.inv(RGB_TO_XYZ)
WHITE = RGB_TO_XYZ.sum(1)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """CIELAB (D65) of sRGB colours. rgb: [..., 3], 0 to 1. Returns [..., 3]: L 0 to 100, a and b about -110 to 110."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp(min=0.0) + 0.055) / 1.055) ** 2.4)
    relative = linear @ (RGB_TO_XYZ / WHITE[:, None]).T.to(rgb)
    root = relative.clamp(min=0.0) ** (1 / 3)
    f = torch.where(relative > (6 / 29) ** 3, root, relative * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = f.unbind(-1)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), -1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """sRGB of CIELAB (D65) colours, the inverse of rgb_to_lab. lab: [..., 3]. Returns [..., 3]; outside the gamut it leaves 0 to 1."""
    lightness, a, b = lab.unbind(-1)
    y = (lightness + 16) / 116
    f = torch.stack((y + a / 500, y, y - b / 200), -1)
    relative = torch.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    linear = relative @ (XYZ_TO_RGB * WHITE).T.to(lab)
    return torch.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp(min=0.0) ** (1 / 2.4) - 0.055
    )


def delta_e(lab: Tensor, other: Tensor) -> Tensor:
    """CIEDE2000 colour difference: 1 is just visible side by side, 5 is plainly another colour.

    lab, other: [..., 3]. Returns [...]. Source: Sharma, Wu and Dalal 2005, with k_L = k_C = k_H = 1.
    """
    (l1, a1, b1), (l2, a2, b2) = lab.double().unbind(-1), other.double().unbind(-1)
    mean_chroma = (torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2
    grey = 1 + 0.5 * (1 - torch.sqrt(mean_chroma**7 / (mean_chroma**7 + 25.0**7)))
    c1, c2 = torch.hypot(grey * a1, b1), torch.hypot(grey * a2, b2)
    h1 = torch.rad2deg(torch.atan2(b1, grey * a1)) % 360
    h2 = torch.rad2deg(torch.atan2(b2, grey * a2)) % 360

    turn = (h2 - h1 + 180) % 360 - 180  # shortest way round the hue circle
    turn = torch.where((h2 - h1).abs() == 180, h2 - h1, turn)
    turn = torch.where(c1 * c2 == 0, 0.0, turn)
    hue_step = 2 * torch.sqrt(c1 * c2) * torch.sin(torch.deg2rad(turn) / 2)

    lightness, chroma, hue = (l1 + l2) / 2, (c1 + c2) / 2, (h1 + h2) / 2
    hue = torch.where((h1 - h2).abs() > 180, (hue + 180) % 360, hue)
    hue = torch.where(c1 * c2 == 0, h1 + h2, hue)

    def wave(factor: float, offset: float) -> Tensor:
        return torch.cos(torch.deg2rad(factor * hue + offset))

    t = 1 - 0.17 * wave(1, -30) + 0.24 * wave(2, 0) + 0.32 * wave(3, 6) - 0.20 * wave(4, -63)
    scale_l = 1 + 0.015 * (lightness - 50) ** 2 / torch.sqrt(20 + (lightness - 50) ** 2)
    scale_c, scale_h = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    blue = 60 * torch.exp(-(((hue - 275) / 25) ** 2))
    rotation = -torch.sin(torch.deg2rad(blue)) * 2 * torch.sqrt(chroma**7 / (chroma**7 + 25.0**7))
    dl, dc, dh = (l2 - l1) / scale_l, (c2 - c1) / scale_c, hue_step / scale_h
    return torch.sqrt(dl**2 + dc**2 + dh**2 + rotation * dc * dh)


@dataclass(frozen=True)
class ColourStatistics:
    """Where a set of colours lies: what a match needs to know about it."""

    mean: Tensor  # [3], float64, in the method's colour space
    covariance: Tensor  # [3, 3], float64


@dataclass(frozen=True)
class ColourTransfer:
    """colour -> matrix @ colour + offset, in the colour space of the method it was fitted for."""

    matrix: Tensor  # [3, 3], float64
    offset: Tensor  # [3], float64
    method: str


def check_method(method: str) -> str:
    """The method itself, if it is one of METHODS."""
    check_choice("method", method, METHODS)
    return method


def colour_statistics(images: Tensor, method: str) -> ColourStatistics:
    """Mean and covariance of all pixels: in RGB for monge-kantorovich, in CIELAB for mean and std.

    images: [N, H, W, 3 or 4], 0 to 1. One picture at a time in float64, so memory does not grow with N.
    """
    check_method(method)
    check_images(images)
    total = torch.zeros(3, dtype=torch.float64)
    products = torch.zeros(3, 3, dtype=torch.float64)
    for picture in images:
        pixels = _colours(picture[..., :3].reshape(-1, 3).to("cpu", torch.float64), method)
        total += pixels.sum(0)
        products += pixels.T @ pixels
    count = images.shape[0] * images.shape[1] * images.shape[2]
    mean = total / count
    return ColourStatistics(mean, products / count - torch.outer(mean, mean))


def fit_transfer(source: ColourStatistics, reference: ColourStatistics, method: str) -> ColourTransfer:
    """The map that gives `source` the colours of `reference`; both must come from colour_statistics with the same method.

    monge-kantorovich: the linear map of least total change between the two Gaussians (Pitie and Kokaram 2007,
    "The linear Monge-Kantorovitch linear colour mapping"). mean and std: each CIELAB channel on its own (Reinhard et al.
    2001, who use another opponent space).
    """
    flat = EIGHT_BIT_STEP * torch.eye(3, dtype=torch.float64)
    if check_method(method) == MEAN_AND_STD:
        flat *= 100.0**2  # CIELAB runs to 100, RGB to 1
        gains = (reference.covariance + flat).diagonal() / (source.covariance + flat).diagonal()
        matrix = torch.diag(gains.sqrt())
    else:
        root = _square_root(source.covariance + flat)
        inverse = torch.linalg.inv(root)
        matrix = inverse @ _square_root(root @ (reference.covariance + flat) @ root) @ inverse
    return ColourTransfer(matrix, reference.mean - matrix @ source.mean, method)


def apply_transfer(images: Tensor, transfer: ColourTransfer, strength: float = 1.0) -> Tensor:
    """Pictures with their colours mapped, clipped to 0 to 1. strength: 0 leaves them as they are, 1 maps fully.

    images: [N, H, W, 3], 0 to 1. Returns a new [N, H, W, 3] of the same dtype.
    """
    if not 0.0 <= strength <= 1.0:
        raise PusaError(f"strength is {strength}; use 0 (no change) to 1 (full match).")
    matched = torch.empty_like(images)
    for index, picture in enumerate(images):
        colours = _colours(picture.float(), transfer.method)
        mapped = _rgb(colours @ transfer.matrix.T.to(colours) + transfer.offset.to(colours), transfer.method)
        matched[index] = torch.lerp(picture.float(), mapped, strength).clamp(0.0, 1.0)
    return matched


def match_colours(
    images: Tensor,
    reference: Tensor,
    method: str = MONGE_KANTOROVICH,
    strength: float = 1.0,
    matched_frames: int = 0,
    protect_first_frame: bool = False,
) -> Tensor:
    """Generated frames with the colours of given ones.

    images: [N, H, W, 3], reference: [M, h, w, 3], 0 to 1. matched_frames: how many frames at the start of images show what the
    reference shows, and so are compared with it (0: all); the change found there is applied to every frame.
    protect_first_frame: frame 0 is returned as it came. Returns [N, H, W, 3], a new tensor.
    """
    check_images(images)
    if not 0 <= matched_frames <= len(images):
        raise PusaError(
            f"matched_frames is {matched_frames} of {len(images)} frames. "
            f"Use 1 to {len(images)}, or 0 to compare all of them with the reference."
        )
    images = images[..., :3]
    compared = images[: matched_frames or len(images)]
    transfer = fit_transfer(colour_statistics(compared, method), colour_statistics(reference, method), method)
    matched = apply_transfer(images, transfer, strength)
    if protect_first_frame:
        matched[0] = images[0]
    return matched


@dataclass(frozen=True)
class WindowDrift:
    """How the colours of one window differ from the reference's."""

    first: int  # pixel frame
    last: int  # pixel frame, included
    delta_e: float  # CIEDE2000 between mean colours, mean over the window's frames
    largest: float  # of any one frame in the window
    lightness: float  # mean L minus the reference's, in L units
    saturation: float  # mean chroma over the reference's; 1 is equal

    def __str__(self) -> str:
        return (
            f"frames {self.first} to {self.last}: Delta E {self.delta_e:.2f} (largest {self.largest:.2f}), "
            f"lightness {self.lightness:+.2f}, saturation x{self.saturation:.3f}"
        )


def frame_colours(images: Tensor) -> Tensor:
    """Mean CIELAB colour and mean chroma of each picture. images: [N, H, W, 3 or 4], 0 to 1. Returns [N, 4]: L, a, b, chroma."""
    check_images(images)
    rows = []
    for picture in images:
        lab = rgb_to_lab(picture[..., :3].reshape(-1, 3).to("cpu", torch.float64))
        rows.append(torch.cat((lab.mean(0), torch.hypot(lab[:, 1], lab[:, 2]).mean()[None])))
    return torch.stack(rows)


def window_starts(frames: int, window: int, overlap: int) -> list[int]:
    """First new frame of each window when windows of `window` frames share `overlap`: (149, 81, 13) -> [0, 81]."""
    if not 0 <= overlap < window:
        raise PusaError(f"overlap is {overlap} for windows of {window} frames; use 0 to {window - 1}.")
    return [0, *range(window, frames, window - overlap)]


def colour_drift(
    images: Tensor, reference: Tensor, starts: Sequence[int]
) -> tuple[Tensor, list[WindowDrift]]:
    """How far the mean colour of each frame lies from the reference's, and the same told per window.

    images: [N, H, W, 3]; reference: [M, h, w, 3], 0 to 1; starts: first frame of each window, rising, the first 0.
    Mean colours forgive motion inside the picture but not a change of light, tint or saturation.
    Returns ([N] CIEDE2000, one WindowDrift per start).
    """
    colours, goal = frame_colours(images), frame_colours(reference).mean(0)
    differences = delta_e(colours[:, :3], goal[:3].expand(len(colours), 3))
    drifts = []
    for first, end in zip(starts, [*starts[1:], len(images)], strict=True):
        part, own = differences[first:end], colours[first:end].mean(0)
        drifts.append(
            WindowDrift(
                first,
                end - 1,
                delta_e=float(part.mean()),
                largest=float(part.max()),
                lightness=float(own[0] - goal[0]),
                saturation=float(own[3] / goal[3].clamp(min=1e-6)),
            )
        )
    return differences, drifts


def _colours(rgb: Tensor, method: str) -> Tensor:
    return rgb_to_lab(rgb) if method == MEAN_AND_STD else rgb


def _rgb(colours: Tensor, method: str) -> Tensor:
    return lab_to_rgb(colours) if method == MEAN_AND_STD else colours


def _square_root(matrix: Tensor) -> Tensor:
    """The symmetric square root of a symmetric positive matrix [3, 3]."""
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp(min=0.0).sqrt()) @ vectors.T
    return root
