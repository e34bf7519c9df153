"""A finished video whose file says what its colours are, which ComfyUI's own writer leaves out."""

from __future__ import annotations

import io as python_io
from fractions import Fraction
from typing import Any

from ...pusa_core.clips.sound import mono_or_stereo
from ...pusa_core.clips.writing import write_video
from . import symbols

AUTO, MP4, H264 = "auto", "mp4", "h264"
"""Values of ComfyUI's VideoContainer and VideoCodec, which are texts."""


class TaggedVideo(symbols.base_class("VideoFromComponents")):  # type: ignore[misc]
    """ComfyUI's VIDEO of pictures and sound; saved as mp4 it is tagged, BT.709 at HD.

    Without tags players take HD for BT.709, and ComfyUI writes BT.601: red 255, 0, 0 is shown as 255, 24, 0.
    """

    def save_to(
        self,
        path: str | python_io.BytesIO,
        format: str = AUTO,  # noqa: A002 (as ComfyUI calls it)
        codec: str = AUTO,
        metadata: dict[str, Any] | None = None,
        **others: Any,
    ) -> None:
        ours = format in (AUTO, MP4) and codec in (AUTO, H264) and not others
        if not ours:
            return super().save_to(path, format=format, codec=codec, metadata=metadata, **others)
        parts = self.get_components()
        audio = parts.audio and mono_or_stereo(parts.audio["waveform"], int(parts.audio["sample_rate"]))
        return write_video(path, parts.images, Fraction(parts.frame_rate), audio, metadata)
