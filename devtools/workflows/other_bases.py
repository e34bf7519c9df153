"""Workflows of the bases beside Wan 14B: Mochi (Pusa V0.5), Wan2.2 5B, Wan2.1 1.3B, with their authors' values.

The demo zoo plays Wan2.1 1.3B; it has no models of the others, so they have no demo version. Tests run all of them on the tiny models of tests/support/base_models.py.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from pusa_core.bases import MOCHI, WAN, WAN22_5B, Base

from . import model_files as files
from .graph import Column, Graph, Node, Value
from .model_files import ModelFile
from .recipes import GREEN, NEGATIVE, RED, clip, files_note, picture, size_node

PUSA_V05 = "RaphaelLiu/Pusa-V0.5"
PUSA_MOCHI = ModelFile(PUSA_V05, "pusa_v0_dit.safetensors", "diffusion_models")
MOCHI_ENCODER = ModelFile(PUSA_V05, "encoder.safetensors", "vae")
MOCHI_DECODER = ModelFile(PUSA_V05, "decoder.safetensors", "vae")
T5 = ModelFile("comfyanonymous/flux_text_encoders", "t5xxl_fp8_e4m3fn.safetensors", "text_encoders", 4.9)
TI2V_5B = ModelFile(
    files.WAN22_REPACKAGED,
    "split_files/diffusion_models/wan2.2_ti2v_5B_fp16.safetensors",
    "diffusion_models",
    10.0,
)
WAN22_VAE = ModelFile(files.WAN22_REPACKAGED, "split_files/vae/wan2.2_vae.safetensors", "vae")
T2V_1_3B = ModelFile(
    files.WAN21_REPACKAGED,
    "split_files/diffusion_models/wan2.1_t2v_1.3B_bf16.safetensors",
    "diffusion_models",
    2.8,
)


@dataclass(frozen=True)
class Kit:
    """What a base's workflows are made with: its files, its size and its authors' values."""

    title: str
    base: Base
    model: ModelFile
    text_encoder: ModelFile
    encoder_type: str  # of CLIPLoader
    encoding_vae: ModelFile
    decoding_vae: ModelFile  # the same file where one holds both halves
    width: int
    height: int
    length: int
    steps: int
    cfg: float
    hints: tuple[str, ...]
    lora: ModelFile | None = None  # loaded with Pusa LoRA Loader, at the strength it was trained at


MOCHI_KIT = Kit(
    "Pusa V0.5, Mochi", MOCHI, PUSA_MOCHI, T5, "mochi", MOCHI_ENCODER, MOCHI_DECODER, 848, 480, MOCHI.trained_length, 30,
    MOCHI.cfg,
    ("**schedule** of the base is linear quadratic here, as Mochi needs; **shift** has no effect. 30 **steps** are quick, 64 are the "
     "authors'. A shorter video (6n + 1 frames, such as 85) needs far less memory.",),
)  # fmt: skip
FIVE_B = Kit(
    "Wan2.2 5B", WAN22_5B, TI2V_5B, files.UMT5, "wan", WAN22_VAE, WAN22_VAE, 1280, 704, WAN22_5B.trained_length,
    WAN22_5B.steps, WAN22_5B.cfg,
    ("A multiplier of 0 keeps a frame as it is, which is how this model was trained with a first frame; no LoRA is needed.",),
)  # fmt: skip
SMALL = Kit(
    "Wan2.1 1.3B", WAN, T2V_1_3B, files.UMT5, "wan", files.WAN_VAE, files.WAN_VAE, 832, 480, WAN.trained_length, WAN.steps, 6.0,
    ("For cards of 6 to 8 GB. From pictures and clips: the other templates of Wan2.1 1.3B, with a LoRA that you train.",),
)  # fmt: skip
SMALL_TRAINED = replace(
    SMALL,
    hints=(
        "**Pusa LoRA Loader**: no Pusa LoRA is published for 1.3B, so this one is your own. Train it on a card of 12 GB or more (computed): take the "
        "template *Pusa cache a folder for training (Wan2.1)*, set **base** to wan2.1-1.3b in its last two nodes and **model_name** to the model "
        "here, and run the command that it shows; https://github.com/comfyui-pusa/ComfyUI-Pusa/blob/main/docs/TRAINING.md has the rest. Copy `run_my_lora_pusa.safetensors` into `models/loras`. "
        "**alpha** 1 is how it was trained.",
        "Or without a LoRA: a SkyReels-V2-DF 1.3B file in Wan's layout was trained with a timestep for every frame. Choose it as the model and "
        "bypass Pusa LoRA Loader (Ctrl+B). The layout was tried on a tiny file, the published weights were not.",
    ),
    lora=files.TRAINED_LORA,
)


@dataclass(frozen=True)
class Loaded:
    """The loaded parts of a graph."""

    kit: Kit
    model: Node
    clip: Node
    encoder: Node  # VAE for given frames
    decoder: Node  # VAE for the result


def load(graph: Graph, kit: Kit) -> Loaded:
    """The groups of loaders."""
    with graph.group("Models", Column.MODELS, "#8A8"):
        model = graph.add("UNETLoader", title=kit.title, unet_name=kit.model)
        if kit.lora:
            model = graph.add("PusaLoraLoader", model=model, lora_name=kit.lora, alpha=1.0, expert="wan2.1")
    with graph.group("Text encoder and VAE", Column.LOADERS, "#8A8"):
        clip_loader = graph.add("CLIPLoader", clip_name=kit.text_encoder, type=kit.encoder_type)
        decoder = graph.add("VAELoader", title="VAE", vae_name=kit.decoding_vae)
        encoder = decoder
        if kit.encoding_vae is not kit.decoding_vae:
            encoder = graph.add("VAELoader", title="VAE encoder", vae_name=kit.encoding_vae)
    return Loaded(kit, model, clip_loader, encoder, decoder)


def text(graph: Graph, loaded: Loaded, words: str) -> tuple[Node, Node]:
    """The group of the two prompts."""
    with graph.group("Prompt", Column.PROMPT):
        positive = graph.add(
            "CLIPTextEncode", title="What to show", color=GREEN, clip=loaded.clip, text=words
        )
        negative = graph.add(
            "CLIPTextEncode", title="What to avoid", color=RED, clip=loaded.clip, text=NEGATIVE
        )
    return positive, negative


def empty(graph: Graph, loaded: Loaded) -> Node:
    """The node that sets size and length."""
    kit = loaded.kit
    node = kit.base.empty_latent_nodes[0]
    more = {"vae": loaded.decoder} if node == "Wan22ImageToVideoLatent" else {}
    return graph.add(
        node, title="Video size and length", width=kit.width, height=kit.height, length=kit.length, **more
    )


def finish(
    graph: Graph, loaded: Loaded, prompts: tuple[Node, Node], latent: Node, name: str, **clips: Node
) -> None:
    """Sampler, decoder and file; clips: what the made frames are stitched to, by Pusa Stitch's inputs."""
    kit = loaded.kit
    with graph.group("Sampling", Column.SAMPLING):
        sampled = graph.add(
            "PusaSampler", model=loaded.model, positive=prompts[0], negative=prompts[1], latent=latent, steps=kit.steps, cfg=kit.cfg
        )  # fmt: skip
        images = graph.add("VAEDecode", samples=sampled, vae=loaded.decoder)
    with graph.group("Video", Column.VIDEO):
        if clips:
            video = graph.add(
                "PusaStitch", generated=images, overlap_frames=kit.base.video_length(4), output_rate="of the generated",
                generated_fps=kit.base.fps, **clips,
            )  # fmt: skip
        else:
            video = graph.add("CreateVideo", images=images, fps=kit.base.fps)
        graph.add("SaveVideo", video=video, filename_prefix=f"video/{name}")


def text_to_video(graph: Graph, loaded: Loaded) -> None:
    """A video from words alone."""
    prompts = text(
        graph,
        loaded,
        "A red fox trots through fresh snow in a pine forest at sunrise. The camera follows at its side, golden light between the trees.",
    )
    with graph.group("Frames", Column.FRAMES):
        latent = empty(graph, loaded)
    finish(graph, loaded, prompts, latent, "pusa_text_to_video")


def of_pictures(*titles: str, positions: str, multipliers: dict[str, str]) -> Callable[[Graph, Loaded], None]:
    """A task that gives pictures at positions; multipliers: by the id of the base."""

    def build(graph: Graph, loaded: Loaded) -> None:
        prompts = text(
            graph,
            loaded,
            "One continuous shot with smooth, natural movement, while the camera slowly moves closer.",
        )
        with graph.group("Frames", Column.FRAMES):
            latent = empty(graph, loaded)
            images = picture(graph, titles[0])
            for title in titles[1:]:
                images = graph.add("ImageBatch", image1=images, image2=picture(graph, title))
            latent = graph.add(
                "PusaConditionFrames", vae=loaded.encoder, latent=latent, images=images, positions=positions,
                noise_multipliers=multipliers[loaded.kit.base.id],
            )  # fmt: skip
        finish(graph, loaded, prompts, latent, f"pusa_{len(titles)}_pictures")

    return build


EXTENSION_MULTIPLIERS = {
    "wan": "0.2, 0.4, 0.4, 0.4",
    "mochi": "0.1, 0.2, 0.3, 0.4",
    "wan22_5b": "0, 0.1, 0.2, 0.3",
}


def extension(graph: Graph, loaded: Loaded) -> None:
    """Goes on where your clip ends, from its last four latent frames."""
    base = loaded.kit.base
    prompts = text(
        graph, loaded, "The shot goes on without a cut, in the same light and with the same movement."
    )
    with graph.group("Frames", Column.FRAMES):
        latent, source = empty(graph, loaded), clip(graph, "Clip")
        latent = graph.add(
            "PusaConditionVideo", vae=loaded.encoder, latent=latent, video=source, task="extend",
            context_frames=base.video_length(4), fps=base.fps,
            noise_multipliers=EXTENSION_MULTIPLIERS[base.id],
        )  # fmt: skip
    finish(graph, loaded, prompts, latent, "pusa_extension", first=source)


def transition(graph: Graph, loaded: Loaded) -> None:
    """Makes the way from the end of one clip to the start of another: the last frame of the one, the first ones of the other."""
    base = loaded.kit.base
    prompts = text(
        graph, loaded, "The first scene changes into the second in one continuous, smooth movement."
    )
    with graph.group("Frames", Column.FRAMES):
        latent, first, second = empty(graph, loaded), clip(graph, "First clip"), clip(graph, "Second clip")
        latent = graph.add(
            "PusaTransition", vae=loaded.encoder, latent=latent, first=first, second=second,
            context_frames=base.video_length(4), fps=base.fps, noise_multipliers="0.3",
        )  # fmt: skip
    finish(graph, loaded, prompts, latent, "pusa_transition", first=first, second=second)


def folder(graph: Graph, loaded: Loaded) -> None:
    """One video for each picture of a folder, with the text file of its name as the prompt."""
    kit = loaded.kit
    with graph.group("Folder", Column.FOLDER):
        item = graph.add(
            "PusaFolder", after_generate="fixed", folder="pusa", negative=NEGATIVE, steps=kit.steps, cfg=kit.cfg, length=kit.length,
            noise_multipliers="0.3",
        )  # fmt: skip
    with graph.group("Prompt", Column.PROMPT):
        positive, negative = (
            graph.add("CLIPTextEncode", title=title, color=color, clip=loaded.clip, text=item.out(output))
            for title, color, output in (
                ("What to show", GREEN, "prompt"),
                ("What to avoid", RED, "negative"),
            )
        )
    with graph.group("Frames", Column.FRAMES):
        latent = graph.add(
            kit.base.empty_latent_nodes[0],
            title="Video size",
            width=kit.width,
            height=kit.height,
            length=item.out("length"),
        )
        latent = graph.add(
            "PusaConditionFrames", vae=loaded.encoder, latent=latent, images=item.out("image"), positions="0",
            noise_multipliers=item.out("noise_multipliers"),
        )  # fmt: skip
    with graph.group("Sampling", Column.SAMPLING):
        sampled = graph.add(
            "PusaSampler", model=loaded.model, positive=positive, negative=negative, latent=latent, seed=item.out("seed"),
            steps=item.out("steps"), cfg=item.out("cfg"),
        )  # fmt: skip
        images = graph.add("VAEDecode", samples=sampled, vae=loaded.decoder)
    with graph.group("Video", Column.VIDEO):
        video = graph.add("CreateVideo", images=images, fps=kit.base.fps)
        graph.add("PusaFolderSave", video=video, item=item.out("item"))


def long_video(graph: Graph, loaded: Loaded) -> None:
    """A video of any length, window after window, from your picture on."""
    kit = loaded.kit
    prompts = text(
        graph, loaded, "The camera glides on and on through the landscape in steady, natural movement."
    )
    with graph.group("Frames", Column.FRAMES):
        start = picture(graph, START)
    with graph.group("Long video", Column.SAMPLING):
        settings: dict[str, Value] = {
            "width": kit.width, "height": kit.height, "window": kit.length, "overlap": kit.base.video_length(4), "fps": kit.base.fps,
            "steps": kit.steps, "cfg": kit.cfg, "duration": 15.0, "noise_multipliers": "0..0.2",
        }  # fmt: skip
        graph.add(
            "PusaLongVideo", after_generate="fixed",  # the same settings go on with a run that was cancelled
            model=loaded.model, positive=prompts[0], negative=prompts[1], vae=loaded.decoder,
            start=start, **settings,
        )  # fmt: skip


@dataclass(frozen=True)
class Task:
    """A workflow of some kits."""

    name: str
    build: Callable[[Graph, Loaded], None]
    kits: tuple[Kit, ...]
    steps: tuple[str, ...]


CHOOSE = "Choose your files in the loaders of the group **Frames**."
SAY = "**What to show**: say what happens, in a few sentences."
START, END, MIDDLE = "First frame", "Last frame", "Middle frame"

TASKS = (
    Task("text-to-video", text_to_video, (MOCHI_KIT, SMALL), (SAY,)),
    Task(
        "image-to-video",
        of_pictures(START, positions="0", multipliers={"wan": "0.2", "mochi": "0.3", "wan22_5b": "0"}),
        (MOCHI_KIT, FIVE_B, SMALL_TRAINED),
        (CHOOSE, SAY),
    ),
    Task(
        "start-end frames",
        of_pictures(
            START, END, positions="0, -1", multipliers={"wan": "0.2, 0.5", "mochi": "0.3, 0.7", "wan22_5b": "0, 0.3"}
        ),
        (MOCHI_KIT, FIVE_B, SMALL_TRAINED),
        (CHOOSE, SAY, "**noise_multipliers**: more at the end lets the movement arrive more freely."),
    ),
    Task(
        "keyframes",
        of_pictures(START, MIDDLE, END, positions="0, 13, 27", multipliers={"mochi": "0.3, 0.8, 0.8"}),
        (MOCHI_KIT,),
        (CHOOSE, SAY, "**positions**: latent frames, 0 to 27 of 163 frames."),
    ),
    Task(
        "transition between clips",
        transition,
        (MOCHI_KIT,),
        (CHOOSE, SAY, "**reference_semantics** on gives what the authors' V0.5 script gave: the first clip's start."),
    ),
    Task("video extension", extension, (MOCHI_KIT, FIVE_B, SMALL_TRAINED), (CHOOSE, SAY, "The clip is read at the model's own rate.")),
    Task(
        "folder of pictures",
        folder,
        (MOCHI_KIT,),
        (
            "Make a folder **pusa** in ComfyUI's `input` folder with pictures and, for each, a text file of the same name with its "
            "prompt: `cat.png` and `cat.txt`.",
            "Set the **batch count** beside Run to the number of pictures. Finished ones are skipped, so you can stop and go on.",
        ),
    ),
    Task("long video", long_video, (FIVE_B,), (CHOOSE, SAY, "**duration**: seconds of the whole video.", "After a cancel run it again with the same seed: it goes on where it ended.")),
)  # fmt: skip


def other_workflows() -> Iterator[Graph]:
    """Every workflow of these bases."""
    for task in TASKS:
        for kit in task.kits:
            graph = Graph(f"Pusa {task.name} ({kit.title})")
            if task.build is text_to_video:
                kit = replace(kit, encoding_vae=kit.decoding_vae)  # nothing is given that would be encoded
            task.build(graph, load(graph, kit))
            graph.note("How to use this workflow", usage_note(task, kit, graph))
            graph.note("Files", files_note(graph))
            yield graph


def usage_note(task: Task, kit: Kit, graph: Graph) -> str:
    """What to turn, in which order."""
    base = kit.base
    steps = [
        *task.steps,
        *kit.hints,
        f"{size_node(graph)}: {kit.width} x {kit.height} and {kit.length} frames at {base.fps:g} a second are what the model was "
        f"trained on. Sizes are multiples of {base.size_multiple}, lengths {base.lengths}.",
    ]
    if kit.encoding_vae is not kit.decoding_vae:
        steps.append(
            "The VAE comes in two files, one for given frames and one for the result. To use one file, join them: "
            "`python pusa_core/run.py mochi_vae encoder.safetensors decoder.safetensors mochi_vae.safetensors` in this pack's folder, with ComfyUI's "
            "Python and the files' paths."
        )
    return "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
