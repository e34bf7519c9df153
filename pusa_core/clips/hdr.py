"""HDR pictures (HLG and PQ in BT.2020) as SDR pictures in BT.709, by the closed forms of the ITU.

Sources: ITU-R BT.2100-2 (HLG and PQ), BT.2408 (HLG's reference white is 203 cd/m2 on a display of 1000 cd/m2), report BT.2446-1,
conversion method C (the tone curve, made so that what is no highlight keeps its look), BT.2087 (the primaries), BT.1886 (the result's
gamma 2.4). FFmpeg's tonemap filter needs zscale in front of it, which PyAV's FFmpeg does not have.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

PQ, HLG = 16, 18
"""Transfer characteristics as numbered by ITU-T H.273 and so by FFmpeg."""

SPOKEN = {PQ: "PQ (HDR10)", HLG: "HLG"}

HLG_PEAK = 1000.0  # cd/m2, BT.2100's nominal peak, for which its system gamma is 1.2
STRIP = 2**18  # pixels
SDR_WHITE = 100.0  # cd/m2, the display that method C makes its pictures for

LUMINANCE_2020 = (0.2627, 0.6780, 0.0593)
TO_709 = (
    # BT.2087-0, equation (6)'s inverse: linear BT.2020 -> linear BT.709
    (1.6605, -0.5876, -0.0728),
    (-0.1246, 1.1329, -0.0083),
    (-0.0182, -0.1006, 1.1187),
)


def hlg_scene_light(signal: np.ndarray) -> np.ndarray:
    """BT.2100's inverse HLG OETF: signal 0 to 1 -> scene light 0 to 1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def pq_light(signal: np.ndarray) -> np.ndarray:
    """BT.2100's PQ EOTF: signal 0 to 1 -> cd/m2 on the display, 0 to 10000."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = np.power(signal, 1 / m2)
    light: np.ndarray = 10000 * np.power(np.maximum(power - c1, 0) / (c2 - c3 * power), 1 / m1)
    return light


def tone_curve(luminance: Tensor) -> Tensor:
    """BT.2446-1 method C: luminance of an HDR display in cd/m2 -> of an SDR display, 100 its white; highlights reach 118.

    Straight up to 69.9 cd/m2, logarithmic above; 203, HDR's reference white, becomes 90.6, which is 96 % of the signal.
    """
    k1, k2, k3, k4 = 0.83802, 15.09968, 0.74204, 78.99439
    knee = 58.535046 / k1
    above = k2 * torch.log((luminance / knee).clamp_min(1.0) - k3) + k4
    return torch.where(luminance < knee, k1 * luminance, above)


def to_sdr(pixels: np.ndarray, transfer: int) -> Tensor:
    """HDR pictures as players on an ordinary screen show them.

    pixels: uint16 [H, W, 3], the signal's R'G'B' in BT.2020, 65535 is 1; transfer: PQ or HLG. Returns uint8 [H, W, 3]. Works in
    strips: floats of a whole 4K picture would take 500 MB.
    """
    rows = max(1, STRIP // pixels.shape[1])
    return torch.cat([_strip(pixels[at : at + rows], transfer) for at in range(0, len(pixels), rows)])


def _strip(pixels: np.ndarray, transfer: int) -> Tensor:
    weights = torch.tensor(LUMINANCE_2020)
    light = torch.from_numpy(_light_table(transfer)[pixels])  # [H, W, 3]
    if transfer == HLG:  # the OOTF: what the scene's light becomes on the display
        light = HLG_PEAK * light * (light @ weights).clamp_min(1e-6)[..., None] ** 0.2
    luminance = light @ weights
    light = light * (tone_curve(luminance) / luminance.clamp_min(1e-4))[..., None]
    shown = (light @ torch.tensor(TO_709).T / SDR_WHITE).clamp_(0, 1)
    return shown.pow_(1 / 2.4).mul_(255).round_().to(torch.uint8)


@lru_cache(maxsize=2)
def _light_table(transfer: int) -> np.ndarray:
    """The light of each of the 65536 signals: float32, scene light for HLG, cd/m2 for PQ."""
    signal = np.arange(65536, dtype=np.float64) / 65535
    return (hlg_scene_light if transfer == HLG else pq_light)(signal).astype(np.float32)
