"""ComfyUI's VIDEO and AUDIO: read as clips, made of files and frames, saved with the workflow in them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import comfy.cli_args
from comfy_api.latest import ui
from torch import Tensor

from ...pusa_core.clips.reading import clip_of_file
from ...pusa_core.clips.sound import mono_or_stereo
from ...pusa_core.clips.time_stamps import Audio, Clip, check_rate, clip_of_pictures
from ...pusa_core.errors import PusaError
from ...pusa_core.images import as_pictures
from . import symbols
from .tagged_video import TaggedVideo


def video_metadata(hidden: Any) -> dict[str, Any]:
    """Workflow and prompt of the running graph, empty where the user switched them off.

    hidden: the node's hidden inputs `prompt` and `extra_pnginfo`, None outside a running graph.
    """
    if comfy.cli_args.args.disable_metadata or hidden is None:
        return {}
    found = dict(hidden.extra_pnginfo or {})
    if hidden.prompt is not None:
        found["prompt"] = hidden.prompt
    return found


def video_of_file(path: Path) -> Any:
    """The VIDEO in a file."""
    return symbols.VideoFromFile(str(path))


def video_of_frames(images: Tensor, audio: Audio | None, rate: Fraction) -> Any:
    """A VIDEO of pictures [N, H, W, 3], 0 to 1, with its sound."""
    parts = symbols.VideoComponents(images=images, audio=comfy_audio(audio), frame_rate=rate)
    return TaggedVideo(parts)


def clip_of(video: Any, frame_rate: float, name: str = "the clip") -> Clip:
    """The clip in a VIDEO, or in an IMAGE batch of `frame_rate` pictures a second.

    A file is read with its time stamps, which ComfyUI's get_components() drops; a VIDEO that shows only part of its file
    (a trimmed one) or holds pictures comes through get_components().
    """
    if video is None:
        raise PusaError(f"No clip came in for {name}. Connect a VIDEO (Load Video) or an IMAGE batch.")
    if isinstance(video, Tensor):
        return clip_of_pictures(as_pictures(video), check_rate(frame_rate, "frame_rate"), name=name)
    if isinstance(video, symbols.VideoFromFile):
        source = video.get_stream_source()
        clip = clip_of_file(source, f"{name} {Path(source).name!r}" if isinstance(source, str) else name)
        if not _trimmed(video):
            return clip
    parts = video.get_components()
    audio = parts.audio and mono_or_stereo(parts.audio["waveform"], int(parts.audio["sample_rate"]))
    return clip_of_pictures(
        as_pictures(parts.images), check_rate(Fraction(parts.frame_rate), "the frame rate"), audio, name
    )


def said_of(*clips: Clip | None) -> Any:
    """What the node says about the clips it has read: what is not as it should be, each once; an empty text where all is."""
    sentences = [sentence for clip in clips if clip for sentence in clip.notes.sentences]
    return ui.PreviewText("\n".join(dict.fromkeys(sentences)))


def comfy_audio(audio: Audio | None) -> dict[str, Any] | None:
    """A sound as ComfyUI's AUDIO."""
    return audio and {"waveform": audio.waveform[None], "sample_rate": audio.sample_rate}


def _trimmed(video: Any) -> bool:
    """Whether a VIDEO shows only part of its file (newer versions of ComfyUI can trim without a new file)."""
    try:
        return symbols.VideoFromFile(video.get_stream_source()).get_duration() - video.get_duration() > 1e-3
    except (ValueError, AttributeError, OSError):
        return False  # ComfyUI cannot tell how long the whole file is (av's errors are among these)
