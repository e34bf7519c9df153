"""Nodes for videos longer than one window: the video itself, and prompts that change over its time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.utils
import folder_paths
import latent_preview
import torch
from comfy_api.input_impl import VideoFromFile
from comfy_api.latest import io, ui
from PIL import Image
from torch import Tensor

from ..pusa_core.colour import METHODS, MONGE_KANTOROVICH
from ..pusa_core.digest import digest
from ..pusa_core.errors import PusaError
from ..pusa_core.frames import check_multiplier
from ..pusa_core.images import CROP, RESIZES, fit_images
from ..pusa_core.long_video import (
    DURATION_UNITS,
    PROMPT_START,
    SECONDS,
    Guidance,
    Window,
    duration_in_frames,
    given_multipliers,
    plan_windows,
    prompt_at,
    prompt_second,
    render_long_video,
    start_frames_used,
)
from ..pusa_core.schedule import flow_sigmas
from ..pusa_core.video_parts import VideoParts
from .comfy_hooks import require_wan_t2v
from .conditions import WAN_CHANNELS, check_wan_vae
from .core_samplers import OFFERED, build_sampler
from .model_identity import model_identity, vae_identity
from .sampling import SHIFT_TIP, check_sigmas, sample_video
from .search_words import search_words
from .video_metadata import video_metadata

NO_MATCH = "off"
PREVIEW_SIZE = 512


class PusaPromptTime(io.ComfyNode):
    """A prompt that begins at a given second of a long video."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaPromptTime",
            display_name="Prompt at Time",
            category="Pusa",
            description=(
                "Says from which second on a prompt holds, for Long Video. Chain one node per prompt. A window follows the prompt "
                "that holds in the middle of its new frames."
            ),
            inputs=[
                io.Conditioning.Input("conditioning", tooltip="The prompt, from CLIP Text Encode."),
                io.Float.Input("start_seconds", default=0.0, min=0.0, max=36000.0, step=0.1, tooltip="Second of the video, 0 and up, from which on this prompt holds."),
                io.Conditioning.Input("earlier", optional=True, tooltip="The prompts before, from another Prompt at Time."),
            ],
            outputs=[io.Conditioning.Output(display_name="conditioning", tooltip="All prompts with their times, for Long Video's positive or negative only: other samplers would mix them.")],
        )  # fmt: skip

    @classmethod
    def execute(cls, conditioning: Any, start_seconds: float = 0.0, earlier: Any = None) -> io.NodeOutput:
        timed = [(tensor, {**options, PROMPT_START: start_seconds}) for tensor, options in conditioning]
        return io.NodeOutput([*(earlier or []), *timed])


class PusaLongVideo(io.ComfyNode):
    """A video of any length, window after window, streamed to disk."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaLongVideo",
            display_name="Long Video",
            category="Pusa",
            **search_words("endless video", "sliding window", "video extension"),
            description=(
                "Makes a video of any length: each window continues the last frames of the one before, colours are matched at every "
                "seam, and finished windows go to disk at once. After a cancel or a crash, the same settings continue where it ended."
            ),
            is_output_node=True,
            inputs=[
                io.Model.Input("model", tooltip="Wan2.1 or Wan2.2 14B text-to-video with a Pusa LoRA, or a Wan2.2 MoE Switch."),
                io.Conditioning.Input("positive", tooltip="What the video shows and how it moves; several over time with Prompt at Time."),
                io.Conditioning.Input("negative", tooltip="What to avoid; has no effect at cfg 1."),
                io.Vae.Input("vae", tooltip="wan_2.1_vae, also for Wan2.2 14B."),
                io.Int.Input("width", default=832, min=16, max=8192, step=16, tooltip="Pixels, a multiple of 16."),
                io.Int.Input("height", default=480, min=16, max=8192, step=16, tooltip="Pixels, a multiple of 16."),
                io.Float.Input("duration", default=10.0, min=0.01, max=100000.0, step=0.1, tooltip="Length of the whole video, start frames included, in duration_unit."),
                io.Combo.Input("duration_unit", options=list(DURATION_UNITS), default=SECONDS, tooltip="Seconds at fps, or video frames."),
                io.Int.Input("window", default=81, min=5, max=1001, step=4, tooltip="Frames of one window, 1 more than a multiple of 4. Wan was trained on 81. Every window has this length."),
                io.Int.Input("overlap", default=13, min=1, max=997, step=4, tooltip="Frames each window takes over from the one before, at least; 1 more than a multiple of 4. Frames to spare widen it, so that no window is short."),
                io.String.Input("noise_multipliers", default="0..0.2", tooltip="Noise of the frames taken over, 0 (kept as given) to 1 (ignored), oldest first: a ramp (0..0.2), one value, or one per latent frame (13 frames are 4)."),
                io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=True, tooltip="Of the first window; each further one adds 1."),
                io.Int.Input("steps", default=30, min=1, max=1000, tooltip="Model evaluations per window: 30 without a distilled LoRA, 4 with LightX2V. Not used when sigmas are connected."),
                io.Float.Input("cfg", default=3.0, min=0.0, max=100.0, step=0.1, tooltip="Guidance: 3.0 without a distilled LoRA, 1.0 with LightX2V."),
                io.Float.Input("shift", default=5.0, min=1.0, max=100.0, step=0.1, tooltip=SHIFT_TIP),
                io.Combo.Input("sampler_name", options=list(OFFERED), default="euler", tooltip="euler is the reference's."),
                io.Combo.Input("color_match", options=[*METHODS, NO_MATCH], default=MONGE_KANTOROVICH, tooltip="How each window's colours are brought to those of the frames it continues; see Color Match."),
                io.Combo.Input("resize", options=list(RESIZES), default=CROP, tooltip="How pictures of other proportions become the video's size: crop the sides, letterbox with black, or stretch."),
                io.Float.Input("fps", default=16.0, min=1.0, max=120.0, step=0.01, tooltip="Frames per second; Wan makes 16."),
                io.Int.Input("crf", default=16, min=0, max=51, tooltip="H.264 quality of the file: 0 is lossless, 16 shows no loss, 23 is small."),
                io.String.Input("filename_prefix", default="video/pusa_long", tooltip="Name in the output folder, subfolders with /. Until the video is complete, its parts lie beside it in a folder ending in .parts."),
                io.Image.Input("start", optional=True, tooltip="A picture, or the last frames of a clip at fps, to begin with; of a clip, as many as overlap are used. They are the video's first frames."),
                io.Image.Input("end", optional=True, tooltip="The picture to end on. Only the last window sees it."),
                io.Image.Input("anchor", optional=True, tooltip="A picture that every window after the first looks at and never shows, against slow change of a face or a palette: it takes latent frame 0 of the frames taken over. Needs an overlap of 5 or more."),
                io.Float.Input("end_multiplier", default=0.0, min=0.0, max=1.0, step=0.01, tooltip="Noise of the end picture, 0 (reached exactly) to 1 (ignored).", optional=True),
                io.Float.Input("anchor_multiplier", default=0.0, min=0.0, max=1.0, step=0.01, tooltip="Noise of the anchor, 0 (strong) to 1 (ignored).", optional=True),
                io.Sigmas.Input("sigmas", optional=True, tooltip="A schedule of your own for every window; it replaces steps."),
                io.Boolean.Input("resume", default=True, optional=True, tooltip="Continue a run of exactly these settings and models that was cancelled. Off begins anew."),
            ],
            outputs=[
                io.Video.Output(display_name="video", tooltip="The finished file in the output folder."),
                io.String.Output(display_name="report", tooltip="One line per window: frames, seed, prompt."),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: Any,
        negative: Any,
        vae: Any,
        width: int,
        height: int,
        duration: float,
        duration_unit: str,
        window: int,
        overlap: int,
        noise_multipliers: str,
        seed: int,
        steps: int,
        cfg: float,
        shift: float,
        sampler_name: str,
        color_match: str,
        resize: str,
        fps: float,
        crf: int,
        filename_prefix: str,
        start: Tensor | None = None,
        end: Tensor | None = None,
        anchor: Tensor | None = None,
        end_multiplier: float = 0.0,
        anchor_multiplier: float = 0.0,
        sigmas: Tensor | None = None,
        resume: bool = True,
    ) -> io.NodeOutput:
        require_wan_t2v(model)
        check_wan_vae(vae)
        if color_match not in (*METHODS, NO_MATCH):
            raise PusaError(f"color_match is {color_match!r}; use one of {', '.join((*METHODS, NO_MATCH))}.")
        if width % 16 or height % 16:
            raise PusaError(f"The size is {width} x {height}; Wan needs multiples of 16 in both.")
        if sigmas is None:
            sigmas = flow_sigmas(steps, shift)
        check_sigmas(sigmas)
        build_sampler(sampler_name, torch.ones(1))

        if start is not None:
            start = start[-start_frames_used(len(start), overlap) :]
        pictures = {"start": start, "end": _one("end", end), "anchor": _one("anchor", anchor)}
        fitted = {
            name: None if picture is None else fit_images(picture, width, height, resize)
            for name, picture in pictures.items()
        }
        guidance = Guidance(
            noise_multipliers=noise_multipliers,
            **fitted,
            end_multiplier=check_multiplier(end_multiplier),
            anchor_multiplier=check_multiplier(anchor_multiplier),
            colour_match=None if color_match == NO_MATCH else color_match,
        )
        plan = plan_windows(
            duration_in_frames(duration, duration_unit, fps),
            window,
            overlap,
            0 if start is None else len(start),
        )
        for planned in plan:
            given_multipliers(noise_multipliers, planned.given_latents or 1)

        decides = [
            [str(planned) for planned in plan], noise_multipliers, list(fitted.values()), end_multiplier, anchor_multiplier,
            width, height, seed, cfg, shift, sampler_name, sigmas, color_match, fps, crf, positive, negative,
            model_identity(model), vae_identity(vae),
        ]  # fmt: skip
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory(), width, height
        )
        file = f"{name}_{counter:05}_.mp4"
        parts = VideoParts(
            Path(folder) / f"{name}.{digest(decides)}.parts",
            Path(folder) / file,
            fps,
            crf,
            video_metadata(cls.hidden),
        )
        if not resume:
            parts.forget()
        runs = ComfyWindows(
            model,
            vae,
            positive,
            negative,
            seed,
            cfg,
            shift,
            sampler_name,
            sigmas,
            width,
            height,
            fps,
            len(plan),
        )
        path = render_long_video(plan, runs, guidance, parts)
        report = "\n".join(f"{planned}, {runs.told(planned)}" for planned in plan)
        shown = ui.PreviewVideo([ui.SavedResult(file, subfolder, io.FolderType.output)])
        return io.NodeOutput(VideoFromFile(str(path)), report, ui=shown)


class ComfyWindows:
    """pusa_core.long_video.WindowModel on ComfyUI's model and VAE, with progress over all windows."""

    def __init__(
        self,
        model: Any,
        vae: Any,
        positive: Any,
        negative: Any,
        seed: int,
        cfg: float,
        shift: float,
        sampler_name: str,
        sigmas: Tensor,
        width: int,
        height: int,
        fps: float,
        windows: int,
    ):
        self.model, self.vae, self.positive, self.negative = model, vae, positive, negative
        self.seed, self.cfg, self.shift, self.sampler_name, self.sigmas = (
            seed,
            cfg,
            shift,
            sampler_name,
            sigmas,
        )
        self.width, self.height, self.fps = width, height, fps
        self.steps = len(sigmas) - 1
        self.progress = comfy.utils.ProgressBar(windows * self.steps)
        self.previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)

    def seed_of(self, window: Window) -> int:
        """The seed of a window: neighbouring windows with one seed would repeat each other's noise."""
        return (self.seed + window.index) % 2**64

    def told(self, window: Window) -> str:
        """Seed and prompt of a window, for the report."""
        second = prompt_second(window, self.fps)
        start = prompt_at(self.positive, second)[0][1].get(PROMPT_START)
        return f"seed {self.seed_of(window)}" + ("" if start is None else f", prompt from {start:g} s")

    def encode(self, pictures: Tensor) -> Tensor:
        return self.vae.encode(pictures)

    def decode(self, latent: Tensor) -> Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        return self.vae.decode(latent).reshape(-1, self.height, self.width, 3)

    def empty(self, latent_frames: int) -> Tensor:
        return torch.zeros(1, WAN_CHANNELS, latent_frames, self.height // 8, self.width // 8)

    def sample(self, samples: Tensor, noise_multipliers: Tensor, window: Window) -> Tensor:
        second = prompt_second(window, self.fps)

        def callback(step: int, x0: Tensor, x: Tensor, steps: int) -> None:
            preview = self.previewer and self.previewer.decode_latent_to_preview_image("JPEG", x0)
            self.progress.update_absolute(window.index * self.steps + step + 1, preview=preview)

        latent = {"samples": samples, "noise_multipliers": noise_multipliers}
        sampled = sample_video(
            self.model,
            prompt_at(self.positive, second),
            prompt_at(self.negative, second),
            latent,
            self.seed_of(window),
            self.cfg,
            self.shift,
            self.sampler_name,
            self.sigmas,
            callback,
        )
        return sampled["samples"]

    def show(self, picture: Tensor, window: Window) -> None:
        pixels = (picture * 255.0).clamp(0, 255).to("cpu", torch.uint8).numpy()
        preview = ("JPEG", Image.fromarray(pixels), PREVIEW_SIZE)
        self.progress.update_absolute((window.index + 1) * self.steps, preview=preview)


def _one(name: str, picture: Tensor | None) -> Tensor | None:
    if picture is not None and len(picture) != 1:
        raise PusaError(f"{name} got {len(picture)} pictures; connect exactly one.")
    return picture
