"""Decoded frames as upright RGB pictures in a screen's proportions: colour matrix and range, HDR, alpha, shape, rotation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import av.filter
import av.sidedata.sidedata
import numpy as np
import torch
from torch import Tensor

from ..errors import PusaError
from ..images import LETTERBOX, fit_images
from . import hdr
from .notes import Notes

MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
"""Matrix coefficients as numbered by ITU-T H.273 -> what FFmpeg's scale filter calls them."""
FULL_RANGE = 2
HD_HEIGHT, HD_WIDTH = 720, 1280
"""From this size on a file without colour tags is BT.709 for players, BT.601 below (Chromium, mpv)."""
FLAGS = "bicubic+full_chroma_int+full_chroma_inp"
"""Of FFmpeg's scaler: brightness to the last bit as ComfyUI's own reader has it, colour at the full size."""
COUNTING = Fraction(1, 1000)

WIDEST_PIXEL = 8
"""Pixels that are more than so many times as wide as high, or as high as wide, are a fault of the file."""
MOST_PIXELS = 8192 * 8192


@dataclass(frozen=True)
class Look:
    """How the frames of a stream are meant to be shown, where the frames themselves do not tell."""

    transfer: int  # H.273, 2 unknown
    pixel_shape: Fraction  # width of a pixel over its height
    untagged: str  # matrix of frames without a tag, "" to go by their size


@dataclass(frozen=True)
class _Conversion:
    """One setting of FFmpeg's scale filter."""

    width: int
    height: int
    pixels: str  # FFmpeg's pixel format
    matrix: str
    full_range: bool
    shown_width: int
    shown_height: int
    into: str  # rgb24, rgba, or rgb48le for HDR


class Converter:
    """Makes pictures of the frames of one clip; all have the first one's size."""

    def __init__(self, look: Look, name: str, notes: Notes):
        self.look, self.name, self.notes = look, name, notes
        self.size: tuple[int, int] | None = None  # height, width of every picture
        self._graphs: dict[_Conversion, av.filter.Graph] = {}

    def watch(self, frame: av.VideoFrame) -> None:
        """Told of every frame in order: the first one decides the size."""
        size = self._shown_size(frame)
        if self.size is None:
            self.size = size
        elif size != self.size:
            self.notes.add(
                f"{self.name} changes its size on the way, from {self.size[1]} x {self.size[0]} to {size[1]} x {size[0]} pixels; "
                "all pictures were brought to the first size."
            )

    def picture(self, frame: av.VideoFrame) -> Tensor:
        """The frame as it is shown: uint8 [H, W, 3]."""
        conversion = self._conversion(frame)
        pixels = self._through(conversion, frame).to_ndarray()
        transfer = self._transfer(frame)
        if conversion.into == "rgba":
            pixels = self._on_black(pixels)
        if conversion.into == "rgb48le":
            self.notes.add(
                f"{self.name} is HDR ({hdr.SPOKEN[transfer]}); its colours were brought to those of an ordinary screen (BT.2446)."
            )
            picture = hdr.to_sdr(pixels, transfer)
        else:
            picture = torch.from_numpy(np.ascontiguousarray(pixels))
        picture = upright(picture, *orientation(frame))
        if self.size is not None and tuple(picture.shape[:2]) != self.size:
            height, width = self.size
            fitted = fit_images(picture[None].float() / 255, width, height, LETTERBOX)[0]
            picture = (fitted * 255).round().to(torch.uint8)
        return picture

    def _shown_size(self, frame: av.VideoFrame) -> tuple[int, int]:
        width, height = shown_size(frame.width, frame.height, self.look.pixel_shape)
        return (width, height) if orientation(frame)[0] else (height, width)

    def _transfer(self, frame: av.VideoFrame) -> int:
        tagged = int(getattr(frame, "color_trc", None) or 2)  # only newer PyAV knows it of a frame
        return self.look.transfer if tagged == 2 else tagged

    def _conversion(self, frame: av.VideoFrame) -> _Conversion:
        width, height = shown_size(frame.width, frame.height, self.look.pixel_shape)
        is_hdr = self._transfer(frame) in hdr.SPOKEN
        into = "rgb24"
        if is_hdr:
            into = "rgb48le"
        elif frame.format.name == "pal8" or any(part.is_alpha for part in frame.format.components):
            into = "rgba"
        return _Conversion(
            frame.width,
            frame.height,
            frame.format.name,
            "" if frame.format.is_rgb or frame.format.name == "pal8" else self._matrix(frame, is_hdr),
            is_full_range(frame),
            width,
            height,
            into,
        )

    def _matrix(self, frame: av.VideoFrame, is_hdr: bool) -> str:
        tagged = MATRICES.get(int(frame.colorspace))
        if tagged or is_hdr:
            return tagged or "bt2020"
        is_hd = frame.height >= HD_HEIGHT or frame.width >= HD_WIDTH
        return self.look.untagged or ("bt709" if is_hd else "bt601")

    def _through(self, conversion: _Conversion, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame through FFmpeg's scale filter, which every PyAV has alike; its own conversions changed from version to version."""
        graph = self._graphs.get(conversion)
        if graph is None:
            self._graphs.clear()  # a stream that changes seldom changes back
            graph = self._graphs[conversion] = _scale_graph(conversion)
        frame.pts, frame.time_base = 0, COUNTING
        graph.push(frame)
        return graph.vpull()

    def _on_black(self, pixels: np.ndarray) -> np.ndarray:
        """What shows through is black, as in players; pixels: uint8 [H, W, 4]."""
        alpha = pixels[..., 3:].astype(np.uint16)
        if alpha.min() == 255:
            return pixels[..., :3]
        self.notes.add(f"{self.name} has transparent parts; they are black.")
        return ((pixels[..., :3] * alpha + 127) // 255).astype(np.uint8)


def is_full_range(frame: av.VideoFrame) -> bool:
    """Whether black is 0 and white the largest value, else 16 and 235 of 255."""
    name = frame.format.name
    if name.startswith("yuvj"):
        return True
    tagged = int(frame.color_range)
    return name.startswith("gray") if tagged == 0 else tagged == FULL_RANGE


def shown_size(width: int, height: int, pixel_shape: Fraction) -> tuple[int, int]:
    """Width and height on a screen of square pixels; neither is smaller than stored."""
    if pixel_shape > 1:
        return max(1, round(width * pixel_shape)), height
    return width, max(1, round(height / pixel_shape))


def checked_pixel_shape(given: Fraction | None) -> Fraction:
    """The shape of a pixel if it can be one, else square."""
    if given is None or not Fraction(1, WIDEST_PIXEL) <= given <= WIDEST_PIXEL:
        return Fraction(1)
    return Fraction(given)


def check_size(width: int, height: int, name: str) -> None:
    """Refuse sizes that no camera makes before memory is taken for them."""
    if width * height > MOST_PIXELS:
        raise PusaError(
            f"{name[0].upper()}{name[1:]} says that its pictures are {width} x {height} pixels. Up to {MOST_PIXELS // 2**20} million "
            "pixels (8192 x 8192) can be read: the file is broken, or scale it down first."
        )


def orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """(rows and columns swapped, then rows flipped, then columns flipped) by the display matrix of phones and cameras.

    The matrix of ISO 14496-12, 6.2.2: a stored point (x, y) is shown at (a x + c y, b x + d y). Quarter turns and mirrored
    pictures (front cameras) are exact; other angles go to the nearest of them.
    """
    # PyAV's annotations call these texts
    for data in cast("Iterable[av.sidedata.sidedata.SideData]", frame.side_data):
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = np.frombuffer(memoryview(data), np.int32)[:5].astype(float)
            if abs(b) + abs(c) > abs(a) + abs(d):
                return True, b < 0, c < 0
            return False, d < 0, a < 0
    return False, False, False


def upright(picture: Tensor, swapped: bool, rows_flipped: bool, columns_flipped: bool) -> Tensor:
    """The picture [H, W, 3] turned as orientation says."""
    if swapped:
        picture = picture.transpose(0, 1)
    flipped = [axis for axis, flips in ((0, rows_flipped), (1, columns_flipped)) if flips]
    return (picture.flip(flipped) if flipped else picture).contiguous()


def _scale_graph(conversion: _Conversion) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=conversion.width,
        height=conversion.height,
        format=av.VideoFormat(conversion.pixels, conversion.width, conversion.height),
        time_base=COUNTING,
    )
    settings = f"w={conversion.shown_width}:h={conversion.shown_height}:flags={FLAGS}"
    if conversion.matrix:
        settings += f":in_color_matrix={conversion.matrix}:in_range={'pc' if conversion.full_range else 'tv'}:out_range=pc"
    scale, into = graph.add("scale", settings), graph.add("format", conversion.into)
    sink = graph.add("buffersink")
    source.link_to(scale)
    scale.link_to(into)
    into.link_to(sink)
    graph.configure()
    return graph
