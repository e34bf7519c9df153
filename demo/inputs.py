"""The pictures and clips that the demo workflows load, drawn from one scene."""

import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from .data import FRAMES_PER_SECOND, LENGTH, Scene, render

FIRST_FRAME = "demo_first_frame.png"
LAST_FRAME = "demo_last_frame.png"
CLIP = "demo_clip.mp4"

# What the demo workflows' own text describes.
DEFAULT_SCENE = Scene("circle", "red", "dark", "right", "quickly", "large", radius=10.5, x=15.0, y=32.0)


def frames_of(scene: Scene, length: int = LENGTH) -> np.ndarray:
    """The scene's pixel frames, [length, 64, 64, 3], 0 to 255."""
    clip = (render([scene], length)[0].permute(1, 2, 3, 0) + 1) * 127.5
    return clip.round().clamp(0, 255).byte().numpy()


def write_video(frames: np.ndarray, file: Path) -> None:
    """Writes [length, height, width, 3] as H.264 at Wan's frame rate, nearly without loss."""
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(FRAMES_PER_SECOND), options={"crf": "4"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def read_video(file: Path) -> np.ndarray:
    """A video's pixel frames, [length, height, width, 3], 0 to 255."""
    with av.open(str(file)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def write_inputs(folder: Path, scene: Scene = DEFAULT_SCENE) -> Sequence[Path]:
    """Writes the scene's first frame, last frame and whole clip; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = frames_of(scene)
    for name, frame in ((FIRST_FRAME, frames[0]), (LAST_FRAME, frames[-1])):
        Image.fromarray(frame).save(folder / name)
    write_video(frames, folder / CLIP)
    return [folder / name for name in (FIRST_FRAME, LAST_FRAME, CLIP)]


if __name__ == "__main__":
    write_inputs(Path(sys.argv[1]))
