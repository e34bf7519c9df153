"""What a base is: the numbers of a video model and its VAE, and all counting of frames that follows from them."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import PusaError

FLOW, LINEAR_QUADRATIC = SCHEDULES = ("flow", "linear quadratic")
"""How noise levels fall over the steps, see schedule.py."""

NUMBER_WORDS = {4: "four", 6: "six", 8: "eight"}


@dataclass(frozen=True)
class Base:
    """A family of models with one latent space. Its ComfyUI half is the file of the same name in nodes/host/bases."""

    id: str
    title: str  # the models, as sentences name them
    short: str  # the family, as sentences name it
    channels: int  # of its latents; no two bases have the same
    temporal_stride: int  # pixel frames per latent frame after the first one, which holds a single one
    spatial_stride: int  # pixels of one latent cell, in height and width
    size_multiple: int  # pixels: width and height are multiples of it
    fps: float  # frames per second of its training videos
    trained_length: int  # pixel frames of its training videos
    shift: float  # of the flow schedule that its models were trained or distilled for
    schedule: str  # one of SCHEDULES
    steps: int  # without a distilled LoRA
    cfg: float
    multiplier_advice: str  # for a first and a last frame, as its authors or we measured it
    vae_file: str
    empty_latent: str  # display name of the core node that makes its empty latents
    empty_latent_nodes: tuple[str, ...]  # class names of nodes that make its latents
    model_pattern: str  # what names of its model and VAE files hold, a regular expression
    models: str  # which published models these are, for refusals
    boundary: float | None = None  # sigma where its experts change
    experimental: str = ""  # what was not tried on it, a sentence; empty where pictures of it were judged or its authors' files agree
    needs_pusa_lora: bool = False  # whether given frames need one: plain models of it never saw frames with timesteps of their own

    @property
    def groups(self) -> str:
        """The number of pixel frames in a latent frame, in words: "four"."""
        return NUMBER_WORDS[self.temporal_stride]

    @property
    def lengths(self) -> str:
        """Which numbers of pixel frames make whole latent frames: "4n + 1"."""
        return f"{self.temporal_stride}n + 1"

    def latent_frame_count(self, length: int) -> int:
        """Latent frames of a video of `length` pixel frames (stride 4: 1 -> 1, 5 -> 2, 81 -> 21); an unfinished group at the end is left over."""
        if length < 1:
            raise PusaError(f"A video of {length} frames has no latent frames; use a length of 1 or more.")
        return (length - 1) // self.temporal_stride + 1

    def video_length(self, latent_frames: int) -> int:
        """Pixel frames that `latent_frames` decode to (stride 4: 1 -> 1, 2 -> 5, 21 -> 81)."""
        return self.temporal_stride * (latent_frames - 1) + 1

    def first_pixel_frame(self, latent_frame: int) -> int:
        """First pixel frame of a latent frame: with stride s, latent frame i > 0 holds pixel frames s i - s + 1 to s i."""
        return max(0, self.temporal_stride * (latent_frame - 1) + 1)

    def latent_frame_of(self, pixel_frame: int) -> int:
        """Latent frame that holds a pixel frame (stride 4: 0 -> 0, 1 to 4 -> 1, 80 -> 20)."""
        return -(-pixel_frame // self.temporal_stride)

    def whole_length(self, frames: int) -> int:
        """The smallest number of pixel frames, at least `frames`, that makes whole latent frames."""
        return self.video_length(self.latent_frame_of(frames - 1) + 1)

    def is_whole(self, frames: int) -> bool:
        """Whether `frames` pixel frames make whole latent frames."""
        return frames >= 1 and (frames - 1) % self.temporal_stride == 0

    def neighbours(self, frames: int) -> tuple[int, int]:
        """The nearest whole lengths below and above a number of pixel frames that is not one."""
        below = max(1, self.video_length((frames - 1) // self.temporal_stride + 1))
        return below, below + self.temporal_stride

    def latent_size(self, width: int, height: int) -> tuple[int, int]:
        """(rows, columns) of the latent of a video of width x height pixels."""
        return height // self.spatial_stride, width // self.spatial_stride
