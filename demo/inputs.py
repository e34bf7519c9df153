"""The pictures and clips that the demo workflows load, drawn from one scene."""

import sys
import wave
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from PIL import Image

from . import data, world
from .data import FRAMES_PER_SECOND, HELD_OUT_SEED, LENGTH

FIRST_FRAME, MIDDLE_FRAME, LAST_FRAME = "demo_first_frame.png", "demo_middle_frame.png", "demo_last_frame.png"
CLIP, SECOND_CLIP = "demo_clip.mp4", "demo_second_clip.mp4"
MUSIC = "demo_music.wav"
FOLDER = "demo_folder"  # pictures with a prompt beside each

# What the demo workflows' own text describes; slow, so that the shape stays in the picture in longer videos too.
DEFAULT_SCENE = data.Scene("circle", "red", "dark", "right", "slowly", "large", radius=10.5, x=14.0, y=32.0)
WHOLE = range(LENGTH)
SAMPLE_RATE = 16000  # of the music, samples a second


def frames_of(scene: world.Scene, length: int = LENGTH) -> np.ndarray:
    """The scene's pixel frames, [length, 64, 64, 3], 0 to 255."""
    clip = (world.render([scene], length)[0].permute(1, 2, 3, 0) + 1) * 127.5
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


def write_music(file: Path, seconds: int = 12) -> None:
    """Writes a tune of half-second notes, 16 bits."""
    notes = np.repeat([220.0, 277.2, 329.6, 440.0] * ((2 * seconds + 3) // 4), SAMPLE_RATE // 2)[
        : seconds * SAMPLE_RATE
    ]
    wave_form = 0.3 * np.sin(2 * np.pi * np.cumsum(notes) / SAMPLE_RATE)
    with wave.open(str(file), "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(SAMPLE_RATE)
        written.writeframes((wave_form * 32767).astype("<i2").tobytes())


def write_inputs(
    folder: Path, scene: world.Scene = DEFAULT_SCENE, clip: range = WHOLE, second_clip: range = WHOLE
) -> None:
    """Writes everything that a demo workflow loads into ComfyUI's input folder.

    clip, second_clip: the pixel frames of the scene that each clip shows.
    """
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    frames = frames_of(scene)
    for name, number in ((FIRST_FRAME, 0), (MIDDLE_FRAME, LENGTH // 2), (LAST_FRAME, LENGTH - 1)):
        Image.fromarray(frames[number]).save(folder / name)
    write_video(frames[list(clip)], folder / CLIP)
    write_video(frames[list(second_clip)], folder / SECOND_CLIP)
    write_music(folder / MUSIC)
    for number, item in enumerate(islice(data.scenes(HELD_OUT_SEED, held_out=True), 3), 1):
        Image.fromarray(frames_of(item, 1)[0]).save(folder / FOLDER / f"shape_{number}.png")
        (folder / FOLDER / f"shape_{number}.txt").write_text(item.caption, "utf-8")


if __name__ == "__main__":
    write_inputs(Path(sys.argv[1]))
