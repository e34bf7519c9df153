"""The workflows that ship: one function a task, one entry a model family, with the Pusa authors' values.

Values are those of the Pusa V1.0 READMEs: 30 steps, cfg 3, shift 5, LoRA alpha 1.4 (Wan2.1) or 1.5 and 1.4 (Wan2.2
high and low noise); with LightX2V 4 steps and cfg 1. The size is smaller than their 1280 x 720.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import model_files as files
from .boxes import Box, Turned
from .graph import Column, Graph, Node, Output, Value
from .model_files import ModelFile

WIDTH, HEIGHT, LENGTH, FPS = 832, 480, 81, 16
CONTEXT = 13  # frames that a clip and its continuation share: 4 latent frames
LONG_CONTEXT = 41  # the paper's longer one: 11 latent frames
GREEN, RED = ("#232", "#353"), ("#322", "#533")  # ComfyUI's palette for what to show and what to avoid
NEGATIVE = (
    "garish colours, overexposed, motionless, blurred details, subtitles, text, painting, still picture, "
    "grey overall, worst quality, low quality, JPEG artefacts, ugly, incomplete, extra fingers, badly drawn "
    "hands, badly drawn face, deformed, disfigured, malformed limbs, fused fingers, frozen scene, cluttered "
    "background, three legs, crowd in the background, walking backwards"
)


@dataclass(frozen=True)
class Family:
    """A set of model files with the values its authors give for it."""

    title: str
    load: Callable[[Graph], Node]  # adds the loaders and returns the node with the finished MODEL
    steps: int = 30
    cfg: float = 3.0
    hint: str = ""


@dataclass(frozen=True)
class Loaded:
    """A graph's loaded models, with the family's values."""

    family: Family
    model: Node
    clip: Node
    vae: Node
    steps: "int | Output"
    cfg: "float | Output"


def unet(graph: Graph, file: ModelFile, title: str) -> Node:
    """A loader of one diffusion model."""
    return graph.add("UNETLoader", title=title, unet_name=file)


def load_wan21(graph: Graph) -> Node:
    """Wan2.1: one model, one LoRA."""
    model = unet(graph, files.WAN21_T2V, "Wan2.1 text-to-video 14B")
    return graph.add("PusaLoraLoader", model=model, lora_name=files.PUSA_WAN21, alpha=1.4, expert="wan2.1")


def pusa_experts(graph: Graph) -> tuple[Node, Node]:
    """Wan2.2's two experts, each with its own Pusa LoRA."""
    high = unet(graph, files.WAN22_HIGH, "Wan2.2 high noise 14B")
    low = unet(graph, files.WAN22_LOW, "Wan2.2 low noise 14B")
    return (
        graph.add(
            "PusaLoraLoader",
            title="Pusa LoRA (high noise)",
            model=high,
            lora_name=files.PUSA_WAN22_HIGH,
            alpha=1.5,
            expert="high_noise",
        ),
        graph.add(
            "PusaLoraLoader",
            title="Pusa LoRA (low noise)",
            model=low,
            lora_name=files.PUSA_WAN22_LOW,
            alpha=1.4,
            expert="low_noise",
        ),
    )


def load_wan22(graph: Graph) -> Node:
    """Wan2.2: two experts behind the switch."""
    high, low = pusa_experts(graph)
    return graph.add("PusaMoESwitch", high_noise=high, low_noise=low)


def load_wan22_merged(graph: Graph) -> Node:
    """Wan2.2 with each expert's LoRA put into its weights once."""
    high, low = pusa_experts(graph)
    high = graph.add("PusaMergeLoras", title="Merge LoRAs (high noise)", model=high, keep="in a file")
    low = graph.add("PusaMergeLoras", title="Merge LoRAs (low noise)", model=low, keep="in a file")
    return graph.add("PusaMoESwitch", high_noise=high, low_noise=low)


def distilled(graph: Graph, high: Node, low: Node) -> tuple[Node, Node]:
    """Both experts with their LightX2V LoRAs."""
    return (
        graph.add(
            "PusaLightX2VLoader",
            title="LightX2V (high noise)",
            model=high,
            lora_name=files.LIGHTX2V_HIGH,
            expert="high_noise",
        ),
        graph.add(
            "PusaLightX2VLoader",
            title="LightX2V (low noise)",
            model=low,
            lora_name=files.LIGHTX2V_LOW,
            expert="low_noise",
        ),
    )


def load_wan22_lightx2v(graph: Graph) -> Node:
    """Wan2.2 with the distilled LoRA on both experts."""
    high, low = distilled(graph, *pusa_experts(graph))
    return graph.add("PusaMoESwitch", high_noise=high, low_noise=low)


def load_wan22_speed(graph: Graph) -> Node:
    """Wan2.2 with and without the distilled LoRA, behind one switch that sets steps and cfg too."""
    high, low = pusa_experts(graph)
    full = graph.add("PusaMoESwitch", title="Both experts", high_noise=high, low_noise=low)
    high, low = distilled(graph, high, low)
    fast = graph.add("PusaMoESwitch", title="Both experts with LightX2V", high_noise=high, low_noise=low)
    return graph.add("PusaSpeed", fast_model=fast, full_model=full)


def load_wan22_stages(graph: Graph) -> Node:
    """Wan2.2 in three stages: the first steps without the distilled LoRA and with guidance, which keeps the motion alive."""
    high, low = pusa_experts(graph)
    distilled_high, distilled_low = distilled(graph, high, low)
    high_noise = graph.add(
        "PusaStages",
        title="High noise in two stages",
        earlier=high,
        later=distilled_high,
        steps=2,
        earlier_cfg=3.0,
        later_cfg=1.0,
    )
    return graph.add(
        "PusaStages", title="Then low noise", earlier=high_noise, later=distilled_low, later_cfg=1.0
    )


WAN21 = Family(
    "Wan2.1",
    load_wan21,
    hint="**alpha** of the Pusa LoRA, 1.3 to 1.5: more follows the given frames closer, less moves more.",
)
WAN22 = Family(
    "Wan2.2",
    load_wan22,
    hint="**alpha** of the Pusa LoRAs, 1.4 to 1.6: more follows the given frames closer, less moves more. "
    "The high-noise one matters most. Never load the high-noise LoRA on the low-noise model.",
)
WAN22_MERGED = Family(
    "Wan2.2",
    load_wan22_merged,
    hint="**keep** in a file: the first run writes one more model for each expert (14 to 28 GB) into "
    "models/diffusion_models/pusa_merged, later runs find it; in memory: it is merged in every session.",
)
WAN22_LIGHTX2V = Family(
    "Wan2.2 + LightX2V",
    load_wan22_lightx2v,
    steps=4,
    cfg=1.0,
    hint="Keep **steps** 4 and **cfg** 1: LightX2V is trained for these, and at cfg 1 the negative prompt has no "
    "effect. If the motion is slow, try a lower **strength** of the high-noise LightX2V or the workflow without it.",
)


WAN22_STAGES = Family(
    "Wan2.2 + LightX2V",
    load_wan22_stages,
    steps=6,
    cfg=1.0,
    hint="**steps** 2 and **earlier_cfg** 3 of the first Pusa Stages: steps without LightX2V, with guidance. More of them move more and "
    "take longer; each costs as much as two distilled ones.",
)


WAN22_SPEED = Family("Wan2.2", load_wan22_speed)


def load(graph: Graph, family: Family) -> Loaded:
    """The groups of loaders."""
    with graph.group("Models", Column.MODELS, "#8A8"):
        model = family.load(graph)
    with graph.group("Text encoder and VAE", Column.LOADERS, "#8A8"):
        clip = graph.add("CLIPLoader", clip_name=files.UMT5, type="wan")
        vae = graph.add("VAELoader", vae_name=files.WAN_VAE)
    if model.type == "PusaSpeed":
        return Loaded(family, model, clip, vae, model.out("steps"), model.out("cfg"))
    return Loaded(family, model, clip, vae, family.steps, family.cfg)


def prompt(graph: Graph, loaded: Loaded, text: str) -> tuple[Node, Node]:
    """The group of the two prompts."""
    with graph.group("Prompt", Column.PROMPT):
        positive = graph.add("CLIPTextEncode", title="What to show", color=GREEN, clip=loaded.clip, text=text)
        negative = graph.add(
            "CLIPTextEncode", title="What to avoid", color=RED, clip=loaded.clip, text=NEGATIVE
        )
    return positive, negative


def empty_video(graph: Graph) -> Node:
    """The node that sets size and length."""
    return graph.add(
        "EmptyHunyuanLatentVideo", title="Video size and length", width=WIDTH, height=HEIGHT, length=LENGTH
    )


def sample(
    graph: Graph,
    loaded: Loaded,
    text: tuple[Node, Node],
    latent: Node,
    *,
    model: Node | None = None,
    **more: Value,
) -> Node:
    """The sampler, into the group that is open."""
    return graph.add(
        "PusaSampler",
        model=model or loaded.model,
        positive=text[0],
        negative=text[1],
        latent=latent,
        steps=loaded.steps,
        cfg=loaded.cfg,
        **more,
    )


def sampled_images(
    graph: Graph, loaded: Loaded, text: tuple[Node, Node], latent: Node, *, model: Node | None = None
) -> Node:
    """The group with the sampler and the decoder; returns the decoded IMAGE."""
    with graph.group("Sampling", Column.SAMPLING):
        sampled = sample(graph, loaded, text, latent, model=model)
        return graph.add("VAEDecode", samples=sampled, vae=loaded.vae)


def picture(graph: Graph, title: str) -> Node:
    """A picture loader; its title says which picture."""
    return graph.add("LoadImage", title=title, image="example.png")


def clip(graph: Graph, title: str) -> Node:
    """A clip loader; its title says which clip."""
    return graph.add("LoadVideo", title=title, file="your_clip.mp4")


def save(graph: Graph, images: Node, name: str, audio: Output | None = None) -> None:
    """The group that writes the file; `name` is its beginning."""
    with graph.group("Video", Column.VIDEO):
        sound = {"audio": audio} if audio else {}
        video = graph.add("CreateVideo", images=images, fps=float(FPS), **sound)
        graph.add("SaveVideo", video=video, filename_prefix=f"video/{name}")


def save_stitched(graph: Graph, images: Node, name: str, **stitch: "Node | Value") -> None:
    """The group that joins clips and generated frames and writes the file."""
    with graph.group("Video", Column.VIDEO):
        video = graph.add("PusaStitch", generated=images, overlap_frames=CONTEXT, **stitch)
        graph.add("SaveVideo", video=video, filename_prefix=f"video/{name}")


def text_to_video(graph: Graph, loaded: Loaded) -> None:
    """A video from words alone."""
    text = prompt(
        graph,
        loaded,
        "A red fox trots through fresh snow in a pine forest at sunrise, its breath visible in the cold air. "
        "The camera follows at its side, golden light between the trees.",
    )
    with graph.group("Frames", Column.FRAMES):
        latent = empty_video(graph)
    save(graph, sampled_images(graph, loaded, text, latent), "pusa_text_to_video")


def image_to_video(graph: Graph, loaded: Loaded) -> None:
    """Your picture becomes the first frame of a video."""
    text = prompt(
        graph,
        loaded,
        "The scene comes to life with gentle, natural movement while the camera slowly moves closer.",
    )
    with graph.group("Frames", Column.FRAMES):
        latent = empty_video(graph)
        start = picture(graph, "First frame")
        latent = graph.add(
            "PusaConditionFrames",
            vae=loaded.vae,
            latent=latent,
            images=start,
            positions="0",
            noise_multipliers="0.2",
        )
    save(graph, sampled_images(graph, loaded, text, latent), "pusa_image_to_video")


def image_to_video_at_two_sizes(graph: Graph, loaded: Loaded) -> None:
    """Your picture becomes the first frame of a video, whose first steps run at half of its width and height."""
    text = prompt(
        graph,
        loaded,
        "The scene comes to life with gentle, natural movement while the camera slowly moves closer.",
    )
    with graph.group("Frames", Column.FRAMES):
        latent = empty_video(graph)
        start = picture(graph, "First frame")
        latent = graph.add(
            "PusaConditionFrames",
            vae=loaded.vae,
            latent=latent,
            images=start,
            positions="0",
            noise_multipliers="0.2",
        )
    with graph.group("Sampling", Column.SAMPLING):
        model = graph.add("PusaProgressive", model=loaded.model, until_sigma=0.95)
        sampled = sample(graph, loaded, text, latent, model=model)
        images = graph.add("VAEDecode", samples=sampled, vae=loaded.vae)
    save(graph, images, "pusa_two_sizes")


FINAL = "Final video (muted: select it and press Ctrl+M)"


def try_settings(graph: Graph, loaded: Loaded) -> None:
    """Small videos of your picture with different settings side by side, measured; then the video itself with those you choose."""
    text = prompt(
        graph,
        loaded,
        "The scene comes to life with gentle, natural movement while the camera slowly moves closer.",
    )
    with graph.group("Sweep", Column.FRAMES):
        start = picture(graph, "First frame")
        sweep = graph.add(
            "PusaSweep", model=loaded.model, positive=text[0], negative=text[1], vae=loaded.vae, image=start,
            multipliers="0, 0.2, 0.4", steps=str(loaded.family.steps), seeds="0, 1, 2, 3", cfg=loaded.family.cfg,
        )  # fmt: skip
        graph.add("SaveVideo", video=sweep.out("video"), filename_prefix="video/pusa_try_settings")
    with graph.group(FINAL, Column.SAMPLING):
        latent = graph.add(
            "PusaConditionFrames",
            vae=loaded.vae,
            latent=empty_video(graph),
            images=start,
            positions="0",
            noise_multipliers="0.2",
        )
        images = graph.add("VAEDecode", samples=sample(graph, loaded, text, latent), vae=loaded.vae)
        video = graph.add("CreateVideo", images=images, fps=float(FPS))
        graph.add("SaveVideo", video=video, filename_prefix="video/pusa_chosen_settings")
    graph.mute(FINAL)


def start_end_frames(graph: Graph, loaded: Loaded) -> None:
    """A video from your first picture to your last."""
    text = prompt(
        graph,
        loaded,
        "One continuous shot that begins with the first picture and ends with the last, with smooth, natural "
        "movement between them.",
    )
    with graph.group("Frames", Column.FRAMES):
        latent = empty_video(graph)
        first, last = picture(graph, "First frame"), picture(graph, "Last frame")
        pictures = graph.add("ImageBatch", image1=first, image2=last)
        latent = graph.add(
            "PusaConditionFrames",
            vae=loaded.vae,
            latent=latent,
            images=pictures,
            positions="0, -1",
            noise_multipliers="0.2, 0.5",
        )
    save(graph, sampled_images(graph, loaded, text, latent), "pusa_start_end_frames")


def image_to_video_with_core_sampler(graph: Graph, loaded: Loaded) -> None:
    """The same as image-to-video, sampled by ComfyUI's own nodes, so that any sampler and any node that
    works on MODEL or SIGMAS fits in.
    """
    text = prompt(
        graph,
        loaded,
        "The scene comes to life with gentle, natural movement while the camera slowly moves closer.",
    )
    with graph.group("Frames", Column.FRAMES):
        latent = empty_video(graph)
        start = picture(graph, "First frame")
        latent = graph.add(
            "PusaConditionFrames",
            vae=loaded.vae,
            latent=latent,
            images=start,
            positions="0",
            noise_multipliers="0.2",
        )
    with graph.group("Sampling", Column.SAMPLING):
        model = graph.add("PusaVectorizedTimesteps", model=loaded.model, latent=latent)
        sampler = graph.add("KSamplerSelect", sampler_name="dpmpp_2m")
        sigmas = graph.add("PusaScheduler", steps=loaded.steps)
        sampled = graph.add(
            "SamplerCustom",
            model=model,
            positive=text[0],
            negative=text[1],
            sampler=sampler,
            sigmas=sigmas,
            latent_image=latent,
            noise_seed=0,
            cfg=loaded.cfg,
        )
        images = graph.add("VAEDecode", samples=sampled, vae=loaded.vae)
    with graph.group("What the sampler does", Column.CHECKS):
        graph.add("PusaDoctor", model=model, latent=latent, sigmas=sigmas)
        plot = graph.add("PusaSchedulePlot", sigmas=sigmas, latent=latent)
        graph.add("PreviewImage", images=plot)
    save(graph, images, "pusa_core_sampler")


def extension(graph: Graph, loaded: Loaded) -> None:
    """Goes on where your clip ends, and saves clip and new frames as one video with its sound."""
    text = prompt(
        graph, loaded, "The shot goes on without a cut, in the same light and with the same movement."
    )
    with graph.group("Frames", Column.FRAMES):
        latent = empty_video(graph)
        source = clip(graph, "Clip")
        latent = graph.add(
            "PusaConditionVideo",
            vae=loaded.vae,
            latent=latent,
            video=source,
            task="extend",
            context_frames=CONTEXT,
            noise_multipliers="0.2, 0.4, 0.4, 0.4",
        )
    save_stitched(graph, sampled_images(graph, loaded, text, latent), "pusa_extension", first=source)


def extension_with_cache(graph: Graph, loaded: Loaded) -> None:
    """Goes on from the last 41 frames of your clip, which are kept exactly, so that their share of the work is done
    only at every second step.
    """
    text = prompt(
        graph, loaded, "The shot goes on without a cut, in the same light and with the same movement."
    )
    with graph.group("Frames", Column.FRAMES):
        latent = empty_video(graph)
        source = clip(graph, "Clip")
        latent = graph.add(
            "PusaConditionVideo",
            vae=loaded.vae,
            latent=latent,
            video=source,
            task="extend",
            context_frames=LONG_CONTEXT,
            noise_multipliers="0",
        )
    with graph.group("Sampling", Column.SAMPLING):
        model = graph.add("PusaFrozenFrameCache", model=loaded.model, refresh_every=2)
        sampled = sample(graph, loaded, text, latent, model=model)
        images = graph.add("VAEDecode", samples=sampled, vae=loaded.vae)
    with graph.group("Video", Column.VIDEO):
        video = graph.add("PusaStitch", generated=images, overlap_frames=LONG_CONTEXT, first=source)
        graph.add("SaveVideo", video=video, filename_prefix="video/pusa_cached_extension")


def prepend(graph: Graph, loaded: Loaded) -> None:
    """Makes what comes before your clip, and saves both as one video."""
    text = prompt(
        graph, loaded, "What happens before the clip, leading up to its first picture without a cut."
    )
    with graph.group("Frames", Column.FRAMES):
        latent = empty_video(graph)
        source = clip(graph, "Clip")
        latent = graph.add(
            "PusaConditionVideo",
            vae=loaded.vae,
            latent=latent,
            video=source,
            task="prepend",
            context_frames=CONTEXT,
            noise_multipliers="0.2",
        )
    save_stitched(graph, sampled_images(graph, loaded, text, latent), "pusa_prepend", second=source)


def completion(graph: Graph, loaded: Loaded) -> None:
    """Keeps latent frames of your clip in place and makes the rest anew."""
    text = prompt(graph, loaded, "What happens in the clip between its first and its last frames.")
    with graph.group("Frames", Column.FRAMES):
        latent = empty_video(graph)
        source = clip(graph, "Clip")
        frames = graph.add("PusaClipFrames", video=source)
        latent = graph.add(
            "PusaConditionVideo",
            vae=loaded.vae,
            latent=latent,
            video=frames,
            task="complete",
            positions="0, -1",
            noise_multipliers="0.3",
        )
    images = sampled_images(graph, loaded, text, latent)
    save(graph, images, "pusa_completion", audio=frames.out("audio"))


def transition(graph: Graph, loaded: Loaded) -> None:
    """Makes the way from the end of one clip to the start of another, and saves all three as one video."""
    text = prompt(
        graph, loaded, "The first scene changes into the second in one continuous, smooth movement."
    )
    with graph.group("Frames", Column.FRAMES):
        latent = empty_video(graph)
        first, second = clip(graph, "First clip"), clip(graph, "Second clip")
        latent = graph.add(
            "PusaTransition",
            vae=loaded.vae,
            latent=latent,
            first=first,
            second=second,
            context_frames=CONTEXT,
            noise_multipliers="0.2",
        )
    images = sampled_images(graph, loaded, text, latent)
    save_stitched(graph, images, "pusa_transition", first=first, second=second)


def loop_from_picture(graph: Graph, loaded: Loaded) -> None:
    """A video without end that passes through your picture: at each step it is turned along time, so that no place
    is a seam.
    """
    text = prompt(graph, loaded, "Gentle movement that returns to where it began; the camera stands still.")
    with graph.group("Frames", Column.FRAMES):
        latent = empty_video(graph)
        latent = graph.add(
            "PusaLoopConditions",
            vae=loaded.vae,
            latent=latent,
            video=picture(graph, "First frame"),
            kind="rolled still",
            noise_multipliers="0.2",
        )
    sampled_loop(graph, loaded, text, latent, "pusa_picture_loop", crossfade_frames=4)


def loop_from_clip(graph: Graph, loaded: Loaded) -> None:
    """Leads from the end of your clip back to its start, so that it plays without end."""
    text = prompt(graph, loaded, "The movement goes on and returns smoothly to where the clip began.")
    with graph.group("Frames", Column.FRAMES):
        latent = empty_video(graph)
        source = clip(graph, "Clip")
        latent = graph.add(
            "PusaLoopConditions",
            vae=loaded.vae,
            latent=latent,
            video=source,
            kind="clip",
            context_frames=CONTEXT,
            noise_multipliers="0.2",
        )
    images = sampled_images(graph, loaded, text, latent)
    save_stitched(graph, images, "pusa_clip_loop", first=source, loop=True, crossfade_frames=8)


def loop_from_text(graph: Graph, loaded: Loaded) -> None:
    """A loop from words alone: at each step the video is turned along time, so that end and start grow
    together.
    """
    text = prompt(
        graph,
        loaded,
        "A waterfall in a green forest pours steadily into a clear pool, mist drifting, the camera stands still.",
    )
    with graph.group("Frames", Column.FRAMES):
        latent = empty_video(graph)
    sampled_loop(graph, loaded, text, latent, "pusa_text_loop")


def sampled_loop(
    graph: Graph, loaded: Loaded, text: tuple[Node, Node], latent: Node, name: str, crossfade_frames: int = 0
) -> None:
    """A loop without ends, sampled, decoded and saved under `name`."""
    with graph.group("Sampling", Column.SAMPLING):
        # With few steps each must roll further, so that all places are visited.
        model = graph.add(
            "PusaLoopModel", model=loaded.model, roll_per_step=5 if loaded.family.steps < 10 else 2
        )
        sampled = sample(graph, loaded, text, latent, model=model)
        images = graph.add(
            "PusaLoopDecode",
            vae=loaded.vae,
            samples=sampled,
            kind="rolled",
            crossfade_frames=crossfade_frames,
        )
    save(graph, images, name)


def keyframes(graph: Graph, loaded: Loaded) -> None:
    """Spreads your pictures over the video and makes what lies between."""
    text = prompt(
        graph, loaded, "One continuous shot through all pictures, with smooth, natural movement between them."
    )
    with graph.group("Frames", Column.FRAMES):
        latent = empty_video(graph)
        first, middle, last = (picture(graph, f"{place} frame") for place in ("First", "Middle", "Last"))
        two = graph.add("ImageBatch", image1=first, image2=middle)
        three = graph.add("ImageBatch", image1=two, image2=last)
        latent = graph.add(
            "PusaKeyframes",
            vae=loaded.vae,
            latent=latent,
            images=three,
            spacing="even",
            noise_multipliers="0.2",
        )
    save(graph, sampled_images(graph, loaded, text, latent), "pusa_keyframes")


def long_video(graph: Graph, loaded: Loaded) -> None:
    """A video of any length, made window by window; finished windows lie on the disk at once."""
    first, avoid = prompt(
        graph, loaded, "A small boat drifts down a calm river through a misty valley in the early morning."
    )
    start = graph.add("PusaPromptTime", title="First prompt from here", conditioning=first, start_seconds=0.0)
    with graph.group("Later prompt", Column.LATER_PROMPT):
        later = graph.add(
            "CLIPTextEncode",
            title="What to show later",
            color=GREEN,
            clip=loaded.clip,
            text="The small boat drifts on, the mist lifts and warm sunlight falls on the river and the hills.",
        )
        prompts = graph.add(
            "PusaPromptTime",
            title="Later prompt from here",
            conditioning=later,
            start_seconds=5.0,
            earlier=start,
        )
    with graph.group("First frame", Column.FRAMES):
        begin = picture(graph, "First frame")
    with graph.group("Sampling", Column.SAMPLING):
        video = graph.add(
            "PusaLongVideo",
            model=loaded.model,
            positive=prompts,
            negative=avoid,
            vae=loaded.vae,
            start=begin,
            width=WIDTH,
            height=HEIGHT,
            after_generate="fixed",  # the same settings go on with a run that was cancelled
            duration=15.0,
            window=LENGTH,
            overlap=CONTEXT,
            steps=loaded.steps,
            cfg=loaded.cfg,
        )
        graph.add("PreviewAny", title="Report of the windows", source=video.out("report"))


def chained_long_video(graph: Graph, loaded: Loaded) -> None:
    """Two windows with every part in sight: condition, sample, match colours, join. Copy the second
    window's group for a third.
    """
    text = prompt(
        graph, loaded, "A small boat drifts down a calm river through a misty valley in the early morning."
    )
    with graph.group("Frames of window 1", Column.FRAMES):
        latent = empty_video(graph)
        start = graph.add(
            "PusaConditionFrames",
            vae=loaded.vae,
            latent=latent,
            images=picture(graph, "First frame"),
            positions="0",
            noise_multipliers="0.2",
        )
    with graph.group("Window 1", Column.SAMPLING):
        sampled = sample(graph, loaded, text, start)
        first = graph.add("VAEDecode", samples=sampled, vae=loaded.vae)
    with graph.group("Window 2 continues window 1", Column.SECOND_WINDOW):
        more = graph.add(
            "PusaConditionVideo",
            vae=loaded.vae,
            latent=latent,
            video=first,
            task="extend",
            context_frames=CONTEXT,
            noise_multipliers="0..0.2",
        )
        sampled = sample(graph, loaded, text, more, seed=1)
        second = graph.add("VAEDecode", samples=sampled, vae=loaded.vae)
        shared = graph.add(
            "ImageFromBatch",
            title="Last frames of window 1",
            image=first,
            batch_index=LENGTH - CONTEXT,
            length=CONTEXT,
        )
        matched = graph.add("PusaColorMatch", images=second, reference=shared, matched_frames=CONTEXT)
    with graph.group("Video", Column.VIDEO):
        joined = graph.add("PusaStitch", generated=matched, first=first, overlap_frames=CONTEXT)
        graph.add("SaveVideo", video=joined, filename_prefix="video/pusa_chained")
    with graph.group("Do the colours drift?", Column.CHECKS):
        drift = graph.add("PusaColorDrift", images=joined.out("images"), window=LENGTH, overlap=CONTEXT)
        graph.add("PreviewImage", images=drift.out("plot"))
        graph.add("PreviewAny", title="Drift in figures", source=drift.out("report"))


def director(graph: Graph, loaded: Loaded, name: str, texts: Sequence[str | None], **project: Any) -> None:
    """The group of Pusa Director with a project of one window a prompt; `project` may change windows by their number."""
    windows: list[dict[str, Any]] = []
    changed: dict[int, dict[str, Any]] = project.pop("windows", {})
    for number, prompt in enumerate(texts, 1):
        said = {} if prompt is None else {"prompt": prompt}
        windows.append({"id": f"w{number}", **said, **changed.get(number, {})})
    whole = {
        "version": 1,
        "window": LENGTH,
        "overlap": CONTEXT,
        "colour": "before",
        "negative": NEGATIVE,
        "windows": windows,
        **project,
    }
    with graph.group("Project", Column.FRAMES):
        made = graph.add(
            "PusaDirector",
            model=loaded.model,
            clip=loaded.clip,
            vae=loaded.vae,
            project=json.dumps(whole, indent=1),
            name=f"video/{name}",
            width=WIDTH,
            height=HEIGHT,
            after_generate="fixed",  # what is finished stays
            steps=loaded.family.steps,
            cfg=loaded.family.cfg,
        )
        graph.add("PreviewAny", title="Report of the windows", source=made.out("report"))


RIVER = (
    "A small boat drifts down a calm river through a misty valley in the early morning.",
    "The mist lifts and warm sunlight falls on the river and the hills while the boat drifts on.",
    "The boat passes under an old stone bridge whose arch is mirrored in the water.",
    "Behind the bridge the river widens into a lake, and gulls circle above the boat.",
    "The boat comes to rest at a wooden pier, ripples spread and the evening light turns golden.",
)


def story(graph: Graph, loaded: Loaded) -> None:
    """A story of five prompts, one window each. Change one of them and queue again: only what it changes is made again."""
    director(graph, loaded, "pusa_story", RIVER)


def keyed_long_video(graph: Graph, loaded: Loaded) -> None:
    """A long video that passes through your pictures: one at the start, one in the middle, one at the end."""
    end = LENGTH + 2 * (LENGTH - CONTEXT)
    keys = [
        {"at": at, "picture": "example.png", "multiplier": multiplier}
        for at, multiplier in ((0, 0.0), (end // 2, 0.3), (end - 1, 0.3))
    ]
    director(graph, loaded, "pusa_keyed", RIVER[:3], keys=keys)


def retake_of_one_window(graph: Graph, loaded: Loaded) -> None:
    """Three windows whose middle one is made again in three candidates, between two that stay as they are."""
    changed = {2: {"bridge": True, "retake": 1, "candidates": 3, "chosen": 0}, 3: {"lock": True}}
    director(graph, loaded, "pusa_retake", RIVER[:3], windows=changed)


def music_clip(graph: Graph, loaded: Loaded) -> None:
    """A clip to your music: prompts that change with it, and the sound in the finished file."""
    prompts = [{"at": at, "text": text} for at, text in zip((0.0, 5.0, 9.0), RIVER, strict=False)]
    director(
        graph,
        loaded,
        "pusa_music",
        (None, None, None),
        prompts=prompts,
        sound={"file": "your_music.mp3", "from": 0.0},
    )


TWO_EXPERTS = (WAN22, WAN22_LIGHTX2V)


def folder(graph: Graph, loaded: Loaded) -> None:
    """One video for each picture of a folder, named after it."""
    with graph.group("Folder", Column.FOLDER):
        item = graph.add(
            "PusaFolder",
            after_generate="fixed",
            folder="pusa",
            negative=NEGATIVE,
            steps=loaded.steps,
            cfg=loaded.cfg,
        )
    with graph.group("Prompt", Column.PROMPT):
        positive = graph.add(
            "CLIPTextEncode", title="What to show", color=GREEN, clip=loaded.clip, text=item.out("prompt")
        )
        negative = graph.add(
            "CLIPTextEncode", title="What to avoid", color=RED, clip=loaded.clip, text=item.out("negative")
        )
    with graph.group("Frames", Column.FRAMES):
        latent = graph.add(
            "EmptyHunyuanLatentVideo",
            title="Video size",
            width=WIDTH,
            height=HEIGHT,
            length=item.out("length"),
        )
        latent = graph.add(
            "PusaConditionFrames",
            vae=loaded.vae,
            latent=latent,
            images=item.out("image"),
            positions="0",
            noise_multipliers=item.out("noise_multipliers"),
        )
    with graph.group("Sampling", Column.SAMPLING):
        sampled = graph.add(
            "PusaSampler",
            model=loaded.model,
            positive=positive,
            negative=negative,
            latent=latent,
            seed=item.out("seed"),
            steps=item.out("steps"),
            cfg=item.out("cfg"),
        )
        images = graph.add("VAEDecode", samples=sampled, vae=loaded.vae)
    with graph.group("Video", Column.VIDEO):
        video = graph.add("CreateVideo", images=images, fps=float(FPS))
        graph.add("PusaFolderSave", video=video, item=item.out("item"))


@dataclass(frozen=True)
class Task:
    """A kind of video; the docstring of `build` says what it is, `steps` what a person does, in order."""

    name: str
    build: Callable[[Graph, Loaded], None]
    steps: tuple[str, ...]
    families: tuple[Family, ...] = (WAN21, WAN22, WAN22_LIGHTX2V)
    given: str = ""  # line of the boxed version's note: what goes into the box
    turned: tuple[Turned, ...] = ()  # what its box shows; none where there is no boxed version

    @property
    def does(self) -> str:
        return " ".join((self.build.__doc__ or "").split())


WRITE_PROMPT = "**What to show**: say what is in the picture, what moves and how, and what the camera does."
FIRST_FRAME_NOISE = (
    "**noise_multipliers**: 0 keeps your picture exactly, 0.2 (the authors' value) lets it move, 0.3 to 0.4 gives more "
    "motion and less likeness."
)
PROMPT = Turned(
    "prompt",
    "What to show",
    "text",
    "say what is in the picture, what moves and how, and what the camera does.",
)
SIZE = (
    Turned(
        "width",
        "Video size and length",
        "width",
        f"with **height**, in pixels; {WIDTH} x {HEIGHT} is quick to try; the authors work at 1280 x 720.",
        in_form=False,
    ),
    Turned("height", "Video size and length", "height", in_form=False),
    Turned(
        "length",
        "Video size and length",
        "length",
        f"{LENGTH} frames at {FPS} a second are five seconds. Lengths are 4n + 1.",
    ),
)
SPEED = Turned(
    "speed",
    "PusaSpeed",
    "fast",
    "fast is LightX2V with 4 steps and cfg 1, full quality 30 steps and cfg 3 without it, fifteen times the work.",
)
SEED = Turned(
    "seed",
    "PusaSampler",
    "seed",
    "another seed is another video; **control after generate** on fixed keeps it.",
    in_form=False,
)


def multiplier(node: str, says: str) -> Turned:
    """The noise of the given frames, on the box."""
    return Turned("noise_multiplier", node, "noise_multipliers", says)


TASKS = (
    Task(
        "text-to-video",
        text_to_video,
        (WRITE_PROMPT,),
    ),
    Task(
        "image-to-video",
        image_to_video,
        (
            "**First frame**: choose your picture. It is cropped to the video's size.",
            WRITE_PROMPT,
            FIRST_FRAME_NOISE,
        ),
        given="**First frame**: choose your picture. It is cropped to the video's size.",
        turned=(
            PROMPT,
            multiplier(
                "PusaConditionFrames",
                "0 keeps your picture exactly, 0.2 (the authors' value) lets it move, 0.3 to 0.4 gives more motion and less likeness.",
            ),
            *SIZE,
            SPEED,
            SEED,
        ),
    ),
    Task(
        "start-end frames",
        start_end_frames,
        (
            "**First frame** and **Last frame**: choose two pictures of the same proportions.",
            "**What to show**: say how the first picture becomes the last.",
            "**noise_multipliers**: the first value is for the first picture, the second for the last. The last picture "
            "stands for the last four frames, so give it more freedom (0.4 to 0.7).",
        ),
        given="**First frame** and **Last frame**: choose two pictures of the same proportions.",
        turned=(
            replace(PROMPT, says="say how the first picture becomes the last."),
            multiplier(
                "PusaConditionFrames",
                "of the first picture, of the last. The last stands for four frames, so give it more freedom (0.4 to 0.7).",
            ),
            *SIZE,
            SPEED,
            SEED,
        ),
    ),
    Task(
        "image-to-video with core samplers",
        image_to_video_with_core_sampler,
        (
            "**First frame**: choose your picture.",
            FIRST_FRAME_NOISE,
            "**KSamplerSelect**: samplers that add fresh noise (ancestral, sde, lcm) would destroy the given frames and "
            "are refused; Vectorized Timestep Sampler has its own versions of euler_ancestral and lcm.",
        ),
        (WAN22,),
    ),
    Task(
        "image-to-video in three stages",
        image_to_video,
        (
            "**First frame**: choose your picture.",
            WRITE_PROMPT,
            FIRST_FRAME_NOISE,
            "For motion that dies at 4 steps: the first steps run the high-noise expert without LightX2V and with guidance, then it goes on "
            "distilled, then the low-noise expert.",
        ),
        (WAN22_STAGES,),
    ),
    Task(
        "try settings",
        try_settings,
        (
            "**First frame**: choose your picture.",
            WRITE_PROMPT,
            "**Pusa Sweep**: the lists make a grid, at most 36 tiles. Queue it: the sheet shows every tile with what was measured, the best "
            "trade-off framed. Finished tiles are kept.",
            "Click a tile: the injector and the sampler of the final video take its values. Then select the muted group, press Ctrl+M, and queue.",
        ),
        (WAN22_LIGHTX2V,),
    ),
    Task(
        "image-to-video at two sizes",
        image_to_video_at_two_sizes,
        (
            "**First frame**: choose your picture.",
            WRITE_PROMPT,
            FIRST_FRAME_NOISE,
            "**Pusa Progressive**: steps that start above **until_sigma** run at half of width and height and cost a sixth or less: here one of four. 0.875 "
            "gives the whole high-noise expert to the small size. An approximation: compare with **size** full, which is the workflow without it.",
        ),
        (WAN22_LIGHTX2V,),
    ),
    Task(
        "image-to-video at low VRAM",
        image_to_video,
        (
            "**First frame**: choose your picture.",
            FIRST_FRAME_NOISE,
            "For models larger than the VRAM: without Merge LoRAs ComfyUI computes the LoRAs anew at every step. "
            "Where the model fits, take the workflow without it.",
        ),
        (WAN22_MERGED,),
    ),
    Task(
        "video extension",
        extension,
        (
            "**Clip**: choose your video. Any frame rate: it is brought to 16 a second.",
            "**What to show**: say how the clip goes on.",
            "**noise_multipliers**: one per latent frame of the 13 shared frames. Less keeps the movement closer to the "
            "clip's, more (up to 0, 0.3, 0.5, 0.7) changes more freely.",
            "For a longer video load the result and run again, or take the long video workflow.",
        ),
        TWO_EXPERTS,
        given="**Clip**: choose your video. Any frame rate: it is brought to 16 a second.",
        turned=(
            replace(PROMPT, says="say how the clip goes on."),
            multiplier(
                "PusaConditionVideo",
                "one value a latent frame of the 13 shared frames. Less keeps the clip's movement, more changes freely.",
            ),
            *SIZE,
            SPEED,
            SEED,
        ),
    ),
    Task(
        "video extension with cache",
        extension_with_cache,
        (
            "**Clip**: choose your video.",
            "**What to show**: say how the clip goes on.",
            "**refresh_every**: 1 computes everything; more is quicker and less exact.",
            "The cache holds 26 GiB of VRAM here (1.2 for each given latent frame, twice for cfg above 1). On a smaller card bypass Frozen Frame Cache (Ctrl+B).",
        ),
        (WAN22,),
    ),
    Task(
        "video prepend",
        prepend,
        (
            "**Clip**: choose your video.",
            "**What to show**: say what happens before it.",
            "**noise_multipliers**: less keeps closer to the clip's first frames.",
        ),
        TWO_EXPERTS,
    ),
    Task(
        "video completion",
        completion,
        (
            "**Clip**: choose a video of five seconds or more; what is behind the first 81 frames (at 16 a second) is "
            "not used.",
            "**positions**: latent frames to keep; 0 is the first, -1 the last four frames. 0, 1, 2, -3, -2, -1 keeps "
            "nine frames at the start and twelve at the end.",
            "**noise_multipliers**: 0.3 is the authors' value; 0 keeps the frames exactly.",
        ),
        TWO_EXPERTS,
    ),
    Task(
        "transition between clips",
        transition,
        (
            "**First clip** and **Second clip**: choose two videos.",
            "**What to show**: say how the first scene becomes the second.",
            "**noise_multipliers**: more lets the new frames leave the clips' movement earlier.",
        ),
        TWO_EXPERTS,
    ),
    Task(
        "loop from a picture",
        loop_from_picture,
        (
            "**First frame**: choose your picture.",
            WRITE_PROMPT,
            "**noise_multipliers**: more lets the video leave your picture.",
            "**roll_per_step**: latent frames by which it is turned from step to step; with few steps more.",
        ),
        TWO_EXPERTS,
    ),
    Task(
        "loop from a clip",
        loop_from_clip,
        ("**Clip**: choose your video.", "**What to show**: say how it comes back to its beginning."),
        TWO_EXPERTS,
    ),
    Task(
        "loop from text",
        loop_from_text,
        (
            WRITE_PROMPT + " Choose a movement that can go on for ever: water, wind, walking in place.",
            "**roll_per_step**: latent frames by which it is turned from step to step; with few steps more.",
        ),
        TWO_EXPERTS,
    ),
    Task(
        "keyframes",
        keyframes,
        (
            "**First frame**, **Middle frame**, **Last frame**: choose your pictures. For more of them add Batch Images.",
            "**What to show**: say how one picture becomes the next.",
            "**spacing**: even, or times of your own in seconds or frames.",
        ),
        TWO_EXPERTS,
    ),
    Task(
        "long video",
        long_video,
        (
            "**First frame**: choose your picture, or remove the link to begin from words alone.",
            "**duration**: seconds of the whole video.",
            "**What to show** and **What to show later**: from **start_seconds** on each prompt holds.",
            "**noise_multipliers**: of the frames that a window takes over, oldest first. Less keeps the movement, more "
            "keeps it from freezing.",
            "After a cancel, queue again with the same seed: it goes on where it ended.",
        ),
        TWO_EXPERTS,
        given="**First frame**: choose your picture, or remove the link to begin from words alone.",
        turned=(
            replace(PROMPT, says="what the video shows at first."),
            Turned(
                "later_prompt",
                "What to show later",
                "text",
                "what it shows from **later_from** (seconds) on.",
            ),
            Turned("later_from", "Later prompt from here", "start_seconds"),
            Turned("duration", "PusaLongVideo", "duration", "seconds of the whole video."),
            multiplier(
                "PusaLongVideo",
                "of the frames that a window takes over, oldest first. Less keeps the movement, more keeps it from freezing.",
            ),
            replace(SIZE[0], node="PusaLongVideo"),
            replace(SIZE[1], node="PusaLongVideo"),
            SPEED,
            replace(
                SEED,
                node="PusaLongVideo",
                says="keep it to go on with a run that was cancelled. Finished windows and the video lie in `output/video` as pusa_long at once.",
            ),
        ),
    ),
    Task(
        "long video window by window",
        chained_long_video,
        (
            "**First frame**: choose your picture.",
            WRITE_PROMPT,
            "**Color Match**: brings the second window's colours to those of the frames it continues.",
            "**Color Drift Report**: Delta E of 1 is just visible side by side, 5 is plainly another colour.",
        ),
        TWO_EXPERTS,
    ),
    Task(
        "story of five prompts",
        story,
        (
            "**Timeline**: click a window and write its prompt; drag its edge to lengthen it, **+ Window** adds one.",
            "**Finished windows** are shown while the next one runs. Lock what is good; retake what is not.",
            "**quality** draft makes small, quick versions first; final then follows them.",
        ),
        (WAN22_LIGHTX2V,),
    ),
    Task(
        "long video with keyframes",
        keyed_long_video,
        (
            "**Pictures** on the timeline: choose yours in place of example.png, and drag each to its frame.",
            "**multiplier** of a picture: 0 is reached exactly, 0.3 may be passed more freely.",
            "Every window has a prompt of its own: say what leads from one picture to the next.",
        ),
        (WAN22_LIGHTX2V,),
    ),
    Task(
        "retake of one window",
        retake_of_one_window,
        (
            "Queue once with **bridge** and the lock taken out, so that all three windows are there.",
            "Then set **bridge** on the window you do not like: it is made again from the end of the window before to the start of the window "
            "after, both of which stay.",
            "**Retake** makes it anew, in as many candidates as the number beside it; choose the best on the timeline and queue again.",
        ),
        (WAN22_LIGHTX2V,),
    ),
    Task(
        "music clip",
        music_clip,
        (
            "**Sound**: put your file into ComfyUI's input folder and choose it on the timeline.",
            "**Prompts**: drag each to the second where it begins; a window follows the prompt in the middle of its new frames.",
            "Lengthen the windows or add more until they reach the end of the music.",
        ),
        (WAN22_LIGHTX2V,),
    ),
    Task(
        "folder of pictures",
        folder,
        (
            "Make a folder **pusa** in ComfyUI's `input` folder with pictures and, for each, a text file of the same "
            "name with its prompt: `cat.png` and `cat.txt`. A `cat.json` may set negative, noise_multipliers, seed, "
            "length, steps and cfg for it.",
            "Set the **batch count** beside Run to the number of pictures. Finished ones are skipped, so you can stop "
            "and go on.",
            "The videos and `report.csv` are in `output/video/pusa_folder`.",
        ),
        TWO_EXPERTS,
    ),
)


def files_note(graph: Graph) -> str:
    """Which files go where."""
    lines = [
        "Put each file into its folder below ComfyUI's `models`; ComfyUI's list of missing models offers them too.",
    ]
    for directory in dict.fromkeys(file.directory for file in graph.model_files):
        lines += ["", f"**models/{directory}**"]
        for file in graph.model_files:
            if file.directory == directory:
                size = f" ({file.gigabytes:g} GB)" if file.gigabytes else ""
                lines.append(
                    f"- [{file.name}]({file.url}){size}" if file.is_published else f"- {file.name}: your own"
                )
    return "\n".join(lines)


def size_node(graph: Graph) -> str:
    """The title of the node that sets the size, or its inputs where another node has them too."""
    titles = [node.title for node in graph.nodes if (node.title or "").startswith("Video size")]
    return f"**{titles[0]}**" if titles else "**width** and **height**"


def usage_note(task: Task, family: Family, graph: Graph) -> str:
    """What to turn, in which order."""
    steps = [
        *task.steps,
        family.hint,
        f"{size_node(graph)}: {WIDTH} x {HEIGHT} is quick to try; the authors work at 1280 x 720. "
        f"{LENGTH} frames at {FPS} a second are five seconds. Lengths are 4n + 1.",
    ]
    return "\n".join([task.does, "", *(f"{number}. {step}" for number, step in enumerate(steps, 1))])


def build(task: Task, family: Family) -> Graph:
    """One workflow with all its nodes in sight."""
    in_steps = " step by step" if task.turned and family in TWO_EXPERTS else ""
    graph = Graph(f"Pusa {task.name}{in_steps} ({family.title})")
    task.build(graph, load(graph, family))
    graph.note("How to use this workflow", usage_note(task, family, graph))
    graph.note("Files", files_note(graph))
    return graph


def boxed(task: Task) -> Graph:
    """The same task with everything but what is given and what comes out in one box, and one switch between speed and quality."""
    graph = Graph(f"Pusa {task.name} (Wan2.2)")
    task.build(graph, load(graph, WAN22_SPEED))
    if not any(node.type == "SaveVideo" for node in graph.nodes):
        with graph.group(
            "Video", Column.VIDEO
        ):  # Long Video writes its file itself, and nobody would see it in the box
            made = next(node for node in graph.nodes if node.type == "PusaLongVideo")
            graph.add("SaveVideo", video=made, filename_prefix="video/pusa_long_video")
    graph.box = Box(f"Pusa {task.name}", task.does, task.turned)
    steps = [task.given, *(f"**{turned.name}**: {turned.says}" for turned in task.turned if turned.says)]
    opened = f"Everything else is in the box: open it by the symbol at its top right (in newer ComfyUIs by **Enter** below it), or take the workflow {task.name} step by step."
    graph.note(
        "How to use this workflow",
        "\n".join([task.does, "", *(f"{n}. {one}" for n, one in enumerate(steps, 1)), "", opened]),
    )
    graph.note("Files", files_note(graph))
    return graph


def models_box() -> Graph:
    """Wan2.2's two experts with their Pusa LoRAs behind one MODEL, with text encoder and VAE, and one switch for LightX2V, steps and cfg."""
    graph = Graph("Pusa models (Wan2.2)")
    load(graph, WAN22_SPEED)
    results = (
        ("PusaSpeed", "model"),
        ("PusaSpeed", "steps"),
        ("PusaSpeed", "cfg"),
        ("CLIPLoader", "CLIP"),
        ("VAELoader", "VAE"),
    )
    turned = (
        SPEED,
        Turned("alpha_high_noise", "Pusa LoRA (high noise)", "alpha"),
        Turned("alpha_low_noise", "Pusa LoRA (low noise)", "alpha"),
    )
    graph.box = Box("Pusa models", " ".join((models_box.__doc__ or "").split()), turned, results)
    return graph


def training_data() -> Graph:
    """Caches a folder of clips for training, with your text encoder and VAE, and writes the training's settings."""
    graph = Graph("Pusa cache a folder for training (Wan2.1)")
    with graph.group("Clips", Column.LOADERS):
        source = graph.add("PusaTrainingFolder", folder="training", dataset="my_clips")
    with graph.group("Text encoder", Column.LOADERS, "#8A8"):
        clip = graph.add("CLIPLoader", clip_name=files.UMT5, type="wan")
    with graph.group("Captions", Column.PROMPT):
        caption = graph.add("CLIPTextEncode", title="Caption", clip=clip, text=source.out("caption"))
        empty = graph.add("CLIPTextEncode", title="No caption", clip=clip, text="")
    with graph.group("VAE", Column.PROMPT, "#8A8"):
        vae = graph.add("VAELoader", vae_name=files.WAN_VAE)
    with graph.group("Cache files", Column.SAMPLING):
        graph.add(
            "PusaTrainingClip",
            vae=vae,
            positive=caption,
            video=source,
            name=source.out("name"),
            prompt=source.out("caption"),
            dataset="my_clips",
            base="wan2.1-14b",
            empty=empty,
        )
    with graph.group("Training", Column.VIDEO):
        graph.add(
            "PusaTrainingConfig",
            after_generate="fixed",
            datasets="my_clips",
            model_name=files.WAN21_T2V,
            base="wan2.1-14b",
        )
    steps = (
        "Make a folder **training** in ComfyUI's `input` folder with videos and, for each, a text file of the same name that says what it "
        "shows: `cat.mp4` and `cat.txt`. 20 clips are a start.",
        "Queue. Clips that are cached already are skipped; queue again until none is left.",
        "**width**, **height**, **lengths** of Training Clip: 832 x 480 x 81 is what the authors trained on. In this pack's folder "
        "`python pusa_core/run.py training plan --table` lists what fits which card.",
        "Training Config shows the command. Close ComfyUI, which holds the card's memory, and run it in a terminal; https://github.com/comfyui-pusa/ComfyUI-Pusa/blob/main/docs/TRAINING.md has the rest.",
    )
    does = " ".join((training_data.__doc__ or "").split())
    note = "\n".join([does, "", *(f"{number}. {step}" for number, step in enumerate(steps, 1))])
    graph.note("How to use this workflow", note)
    graph.note("Files", files_note(graph))
    return graph


def all_workflows() -> Iterator[Graph]:
    """Every workflow that ships."""
    for task in TASKS:
        for family in task.families:
            yield build(task, family)
        if task.turned:
            yield boxed(task)
    yield training_data()


def blueprints() -> Iterator[Graph]:
    """Graphs whose boxes are served as blueprints."""
    yield models_box()
    yield from (boxed(task) for task in TASKS if task.turned)
