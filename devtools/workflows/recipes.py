"""The workflows that ship: one function a task, one entry a model family, with the Pusa authors' values.

Values are those of the Pusa V1.0 READMEs: 30 steps, cfg 3, shift 5, LoRA alpha 1.4 (Wan2.1) or 1.5 and 1.4 (Wan2.2
high and low noise); with LightX2V 4 steps and cfg 1. The size is smaller than their 1280 x 720.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from . import model_files as files
from .graph import Graph, Node
from .model_files import ModelFile

WIDTH, HEIGHT, LENGTH, FPS = 832, 480, 81, 16
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


def unet(graph: Graph, file: ModelFile, title: str) -> Node:
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


def load_wan22_lightx2v(graph: Graph) -> Node:
    """Wan2.2 with the distilled LoRA on both experts."""
    high, low = pusa_experts(graph)
    high = graph.add(
        "PusaLightX2VLoader",
        title="LightX2V (high noise)",
        model=high,
        lora_name=files.LIGHTX2V_HIGH,
        expert="high_noise",
    )
    low = graph.add(
        "PusaLightX2VLoader",
        title="LightX2V (low noise)",
        model=low,
        lora_name=files.LIGHTX2V_LOW,
        expert="low_noise",
    )
    return graph.add("PusaMoESwitch", high_noise=high, low_noise=low)


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
WAN22_LIGHTX2V = Family(
    "Wan2.2 + LightX2V",
    load_wan22_lightx2v,
    steps=4,
    cfg=1.0,
    hint="Keep **steps** 4 and **cfg** 1: LightX2V is trained for these, and at cfg 1 the negative prompt has no "
    "effect. If the motion is slow, lower the high-noise LightX2V **strength** to 0.7 or take the workflow without it.",
)


def load(graph: Graph, family: Family) -> Loaded:
    """The group of loaders."""
    with graph.group("Models", 0, "#8A8"):
        model = family.load(graph)
        clip = graph.add("CLIPLoader", clip_name=files.UMT5, type="wan")
        vae = graph.add("VAELoader", vae_name=files.WAN_VAE)
    return Loaded(family, model, clip, vae)


def prompt(graph: Graph, loaded: Loaded, text: str) -> tuple[Node, Node]:
    """The group of the two prompts."""
    with graph.group("Prompt", 1):
        positive = graph.add("CLIPTextEncode", title="What to show", color=GREEN, clip=loaded.clip, text=text)
        negative = graph.add("CLIPTextEncode", title="What to avoid", color=RED, clip=loaded.clip, text=NEGATIVE)
    return positive, negative


def empty_video(graph: Graph) -> Node:
    return graph.add(
        "EmptyHunyuanLatentVideo", title="Video size and length", width=WIDTH, height=HEIGHT, length=LENGTH
    )


def sample(graph: Graph, loaded: Loaded, text: tuple[Node, Node], latent: Node, **more: object) -> Node:
    """The group with the sampler and the decoder; returns the decoded IMAGE."""
    with graph.group("Sampling", 2):
        sampled = graph.add(
            "PusaSampler",
            model=loaded.model,
            positive=text[0],
            negative=text[1],
            latent=latent,
            steps=loaded.family.steps,
            cfg=loaded.family.cfg,
            **more,
        )
        return graph.add("VAEDecode", samples=sampled, vae=loaded.vae)


def save(graph: Graph, images: Node, name: str) -> None:
    """The group that writes the file; `name` is its beginning."""
    with graph.group("Video", 3):
        video = graph.add("CreateVideo", images=images, fps=float(FPS))
        graph.add("SaveVideo", video=video, filename_prefix=f"video/{name}")


def text_to_video(graph: Graph, loaded: Loaded) -> None:
    text = prompt(
        graph,
        loaded,
        "A red fox trots through fresh snow in a pine forest at sunrise, its breath visible in the cold air. "
        "The camera follows at its side, golden light between the trees.",
    )
    with graph.group("Frames", 1):
        latent = empty_video(graph)
    save(graph, sample(graph, loaded, text, latent), "pusa_text_to_video")


def image_to_video(graph: Graph, loaded: Loaded) -> None:
    text = prompt(
        graph,
        loaded,
        "The scene comes to life with gentle, natural movement while the camera slowly moves closer.",
    )
    with graph.group("Frames", 1):
        latent = empty_video(graph)
        picture = graph.add("LoadImage", title="First frame", image="example.png")
        latent = graph.add(
            "PusaConditionFrames",
            vae=loaded.vae,
            latent=latent,
            images=picture,
            positions="0",
            noise_multipliers="0.2",
        )
    save(graph, sample(graph, loaded, text, latent), "pusa_image_to_video")


def start_end_frames(graph: Graph, loaded: Loaded) -> None:
    text = prompt(
        graph,
        loaded,
        "One continuous shot that begins with the first picture and ends with the last, with smooth, natural "
        "movement between them.",
    )
    with graph.group("Frames", 1):
        latent = empty_video(graph)
        first = graph.add("LoadImage", title="First frame", image="example.png")
        last = graph.add("LoadImage", title="Last frame", image="example.png")
        pictures = graph.add("ImageBatch", image1=first, image2=last)
        latent = graph.add(
            "PusaConditionFrames",
            vae=loaded.vae,
            latent=latent,
            images=pictures,
            positions="0, -1",
            noise_multipliers="0.2, 0.5",
        )
    save(graph, sample(graph, loaded, text, latent), "pusa_start_end_frames")


def image_to_video_with_core_sampler(graph: Graph, loaded: Loaded) -> None:
    text = prompt(
        graph,
        loaded,
        "The scene comes to life with gentle, natural movement while the camera slowly moves closer.",
    )
    with graph.group("Frames", 1):
        latent = empty_video(graph)
        picture = graph.add("LoadImage", title="First frame", image="example.png")
        latent = graph.add(
            "PusaConditionFrames",
            vae=loaded.vae,
            latent=latent,
            images=picture,
            positions="0",
            noise_multipliers="0.2",
        )
    with graph.group("Sampling", 2):
        model = graph.add("PusaVectorizedTimesteps", model=loaded.model, latent=latent)
        sampler = graph.add("KSamplerSelect", sampler_name="dpmpp_2m")
        sigmas = graph.add("PusaScheduler", steps=loaded.family.steps)
        sampled = graph.add(
            "SamplerCustom",
            model=model,
            positive=text[0],
            negative=text[1],
            sampler=sampler,
            sigmas=sigmas,
            latent_image=latent,
            noise_seed=0,
            cfg=loaded.family.cfg,
        )
        images = graph.add("VAEDecode", samples=sampled, vae=loaded.vae)
    save(graph, images, "pusa_core_sampler")


@dataclass(frozen=True)
class Task:
    """A kind of video; `steps` is what a person does, in order."""

    name: str
    build: Callable[[Graph, Loaded], None]
    does: str
    steps: tuple[str, ...]
    families: tuple[Family, ...] = (WAN21, WAN22, WAN22_LIGHTX2V)


WRITE_PROMPT = "**What to show**: say what is in the picture, what moves and how, and what the camera does."
FIRST_FRAME_NOISE = (
    "**noise_multipliers**: 0 keeps your picture exactly, 0.2 (the authors' value) lets it move, 0.3 to 0.4 gives more "
    "motion and less likeness."
)
TASKS = (
    Task(
        "text-to-video",
        text_to_video,
        "A video from words alone.",
        (WRITE_PROMPT,),
    ),
    Task(
        "image-to-video",
        image_to_video,
        "Your picture becomes the first frame of a video.",
        ("**First frame**: choose your picture. It is cropped to the video's size.", WRITE_PROMPT, FIRST_FRAME_NOISE),
    ),
    Task(
        "start-end frames",
        start_end_frames,
        "A video from your first picture to your last.",
        (
            "**First frame** and **Last frame**: choose two pictures of the same proportions.",
            "**What to show**: say how the first picture becomes the last.",
            "**noise_multipliers**: the first value is for the first picture, the second for the last. The last picture "
            "stands for the last four frames, so give it more freedom (0.4 to 0.7).",
        ),
    ),
    Task(
        "image-to-video with core samplers",
        image_to_video_with_core_sampler,
        "The same as image-to-video, sampled by ComfyUI's own nodes, so that any sampler and any node that works on "
        "MODEL or SIGMAS fits in.",
        (
            "**First frame**: choose your picture.",
            FIRST_FRAME_NOISE,
            "**KSamplerSelect**: samplers that add fresh noise (ancestral, sde, lcm) would destroy the given frames and "
            "are refused; Vectorized Timestep Sampler has its own versions of euler_ancestral and lcm.",
        ),
        (WAN22,),
    ),
)


def files_note(graph: Graph) -> str:
    """Which files go where."""
    lines = [
        "Put each file into its folder below ComfyUI's `models`, or let ComfyUI's missing-models dialog show them.",
    ]
    for directory in dict.fromkeys(file.directory for file in graph.model_files):
        lines += ["", f"**models/{directory}**"]
        for file in graph.model_files:
            if file.directory == directory:
                size = f" ({file.gigabytes:g} GB)" if file.gigabytes else ""
                lines.append(f"- [{file.name}]({file.url}){size}")
    return "\n".join(lines)


def usage_note(task: Task, family: Family) -> str:
    """What to turn, in which order."""
    steps = [
        *task.steps,
        family.hint,
        f"**Video size and length**: {WIDTH} x {HEIGHT} is quick to try; the authors work at 1280 x 720. "
        f"{LENGTH} frames at {FPS} a second are five seconds. Lengths are 4n + 1.",
    ]
    return "\n".join([task.does, "", *(f"{number}. {step}" for number, step in enumerate(steps, 1))])


def build(task: Task, family: Family) -> Graph:
    """One workflow."""
    graph = Graph(f"Pusa {task.name} ({family.title})")
    task.build(graph, load(graph, family))
    graph.note("How to use this workflow", usage_note(task, family))
    graph.note("Files", files_note(graph))
    return graph


def all_workflows() -> Iterator[Graph]:
    """Every workflow that ships."""
    for task in TASKS:
        for family in task.families:
            yield build(task, family)
