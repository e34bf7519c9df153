"""The demo version of a shipped workflow: the same graph on the demo zoo's small models and pictures."""

import json
from dataclasses import replace

from . import model_files as files
from .graph import Graph, Node, Output
from .model_files import ModelFile
from .other_bases import T2V_1_3B
from .recipes import CONTEXT

SIZE, LENGTH, STEPS = 64, 33, 16  # what the zoo's models were trained for
TIME_SCALE = 0.4  # of durations, about as the window is shorter
ALPHA = 1.0  # the zoo's LoRAs are trained at the strength they are used with
PROMPT = "a large red circle moving right slowly on a dark background"
NEGATIVE = ""
DEMO_FILES = {
    files.WAN21_T2V: "demo_wan2.1_t2v.safetensors",
    files.WAN22_HIGH: "demo_wan2.2_t2v_high_noise.safetensors",
    files.WAN22_LOW: "demo_wan2.2_t2v_low_noise.safetensors",
    T2V_1_3B: "demo_wan2.1_t2v.safetensors",
    files.WAN_VAE: "demo_wan_vae.safetensors",
    files.PUSA_WAN21: "demo_pusa_v1.safetensors",
    files.TRAINED_LORA: "demo_pusa_v1.safetensors",
    files.PUSA_WAN22_HIGH: "demo_high_noise_pusa.safetensors",
    files.PUSA_WAN22_LOW: "demo_low_noise_pusa.safetensors",
    files.LIGHTX2V_HIGH: "demo_lightx2v_4steps_high_noise.safetensors",
    files.LIGHTX2V_LOW: "demo_lightx2v_4steps_low_noise.safetensors",
}
"""Published file -> the zoo's file that plays its part."""

DEMO_INPUTS = {
    "First frame": "demo_first_frame.png",
    "Middle frame": "demo_middle_frame.png",
    "Last frame": "demo_last_frame.png",
    "Clip": "demo_clip.mp4",
    "First clip": "demo_clip.mp4",
    "Second clip": "demo_second_clip.mp4",
}
"""Title of a picture or video loader -> the zoo's file in ComfyUI's input folder."""

DEMO_KEYS = ("demo_first_frame.png", "demo_last_frame.png", "demo_first_frame.png")
DEMO_SOUND = "demo_music.wav"
DEMO_FOLDER = "demo_folder"
"""Folder in ComfyUI's input folder with pictures and same-named .txt prompts."""

FIXED = {
    "PusaConditionVideo": {"context_frames": CONTEXT},
    "PusaStitch": {"overlap_frames": CONTEXT},
    "PusaSweep": {"width": SIZE, "height": SIZE, "length": LENGTH},
    "EmptyHunyuanLatentVideo": {"width": SIZE, "height": SIZE, "length": LENGTH},
    "PusaSpeed": {"full_steps": STEPS},
    "PusaDirector": {"width": SIZE, "height": SIZE},
    "PusaLongVideo": {"width": SIZE, "height": SIZE, "window": LENGTH, "duration": 15.0 * TIME_SCALE},
    "ImageFromBatch": {"batch_index": LENGTH - CONTEXT},
    "PusaColorDrift": {"window": LENGTH},
    "PusaTrainingFolder": {"folder": DEMO_FOLDER, "dataset": "demo"},
    "PusaTrainingClip": {"width": SIZE, "height": SIZE, "lengths": "17", "dataset": "demo"},
    "PusaTrainingConfig": {"name": "demo", "datasets": "demo", "base": "wan2.1-14b"},
    "PusaFolder": {"folder": DEMO_FOLDER, "output_folder": "video/demo_folder", "length": LENGTH},
}
"""Node type -> values in the demo's scale."""

NOTE = (
    "This is the shipped workflow on the small models of the demo zoo (64 x 64 pixels, 33 frames), which know only "
    "coloured shapes that move. Describe one as in the prompt here: size, colour, shape, direction, speed, background."
)


def has_demo(published: Graph) -> bool:
    """Whether the zoo has a file for each of the graph's, but for text encoders, which words stand in for."""
    return all(file in DEMO_FILES for file in published.model_files if file.directory != "text_encoders")


def demo_version(published: Graph) -> Graph:
    """The graph with the zoo's files, sizes and words in place of the published ones; ids stay."""
    # the other nodes of the demo encode texts without one
    read = {
        value.node_id
        for node in published.nodes
        if node.type == "PusaDirector"
        for value in node.inputs.values()
        if isinstance(value, Output)
    }
    nodes = [demo_node(node) for node in published.nodes if node.type != "CLIPLoader" or node.id in read]
    held = {node.group for node in nodes}
    graph = Graph(
        published.title.replace("Pusa ", "Demo - ", 1),
        nodes,
        [group for group in published.groups if group.title in held],
        box=published.box,
    )
    graph.note("Demo", NOTE)
    return graph


def demo_project(text: str) -> str:
    """A project with the zoo's window, words and files; times and frames come nearer as the windows are shorter."""
    project = json.loads(text)
    window = project["window"]
    frames = (
        sum(one.get("length", window) - project["overlap"] for one in project["windows"]) + project["overlap"]
    )
    project |= {"window": LENGTH, "negative": NEGATIVE}
    shorter = sum(LENGTH - project["overlap"] for _ in project["windows"]) + project["overlap"]
    turns = [PROMPT, PROMPT.replace("right", "left")]
    for number, one in enumerate(project["windows"]):
        if "prompt" in one:
            one["prompt"] = turns[number % 2]
    for number, one in enumerate(project.get("prompts", [])):
        one |= {"at": one["at"] * TIME_SCALE, "text": turns[number % 2]}
    for key, picture in zip(project.get("keys", []), DEMO_KEYS, strict=False):
        key |= {"at": key["at"] * (shorter - 1) // (frames - 1), "picture": picture}
    if "sound" in project:
        project["sound"]["file"] = DEMO_SOUND
    return json.dumps(project, indent=1)


def demo_node(node: Node) -> Node:
    """One node's demo version."""
    if node.type == "CLIPLoader":
        return replace(node, type="PusaDemoClip", inputs={})
    inputs = {
        name: DEMO_FILES[value] if isinstance(value, ModelFile) else value
        for name, value in node.inputs.items()
    }
    if node.type == "CLIPTextEncode":
        text = inputs["text"]
        if text and not isinstance(text, Output):
            text = NEGATIVE if node.title == "What to avoid" else PROMPT
        return replace(node, type="PusaDemoTextEncode", inputs={"text": text})
    if node.type == "PusaDirector":
        inputs["project"] = demo_project(inputs["project"])
        inputs["name"] = inputs["name"].replace("pusa_", "demo_")
    if node.type in ("LoadImage", "LoadVideo"):
        widget = next(iter(inputs))
        return replace(node, inputs={**inputs, widget: DEMO_INPUTS[node.title]})
    if node.type == "PusaLoraLoader":
        inputs["alpha"] = ALPHA
    for name, value in FIXED.get(node.type, {}).items():
        inputs[name] = value
    if isinstance(inputs.get("steps"), int) and inputs["steps"] > STEPS:
        inputs["steps"] = STEPS
    if "start_seconds" in inputs:
        inputs["start_seconds"] *= TIME_SCALE
    if "filename_prefix" in inputs:
        inputs["filename_prefix"] = inputs["filename_prefix"].replace("pusa_", "demo_")
    return replace(node, inputs=inputs)
