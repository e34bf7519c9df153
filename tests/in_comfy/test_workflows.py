"""Every workflow against a real ComfyUI: its node facts, its validator, and a run on small models."""

import asyncio
import json
import shutil
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from comfyui_version import __version__
from PIL import Image
from safetensors.torch import save_file

from devtools.workflows import demo_zoo
from devtools.workflows.export import api_prompt, plain
from devtools.workflows.graph import Graph, Output
from devtools.workflows.node_types import NODE_TYPES, facts_of
from devtools.workflows.other_bases import TASKS, load, other_workflows
from devtools.workflows.recipes import all_workflows
from support import base_models, tiny_wan
from support.comfy_runs import run_node
from support.video_files import steady, write_video

ROOT = Path(__file__).resolve().parents[2]
FACTS = json.loads((ROOT / "devtools" / "workflows" / "node_types.json").read_text(encoding="utf-8"))
LEARNED_FROM = "0.3.75"
"""The version of ComfyUI that node_types.json was learned from."""
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
"""A drop-down of newer versions whose choices bring inputs of their own."""
STEPS = 2  # enough to pass through both experts; `dev.py demo --all` runs the full number
GRAPHS = {graph.title: graph for graph in (*all_workflows(), *other_workflows())}


@pytest.fixture(scope="module")
def published_names(models) -> None:
    """An empty file of every published name in its models folder, as the validator reads only names."""
    import folder_paths

    for graph in GRAPHS.values():
        for file in graph.model_files:
            folder = models / file.directory
            if not folder.is_dir():
                folder.mkdir()
                folder_paths.add_model_folder_path(file.directory, str(folder), is_default=True)
            (folder / file.name).touch()


@pytest.fixture
def input_files(tmp_path) -> Iterator[None]:
    """ComfyUI's input folder with the names that the shipped workflows load."""
    import folder_paths

    before = folder_paths.get_input_directory()
    folder_paths.set_input_directory(str(tmp_path))
    for graph in GRAPHS.values():
        for node in graph.nodes:
            if node.type in ("LoadImage", "LoadVideo"):
                (tmp_path / next(iter(node.inputs.values()))).touch()
            if node.type in ("PusaFolder", "PusaTrainingFolder"):
                write_folder(tmp_path / node.inputs["folder"])
    yield
    folder_paths.set_input_directory(before)


def write_folder(folder: Path) -> None:
    """A folder with one picture and its prompt."""
    folder.mkdir(exist_ok=True)
    Image.new("RGB", (64, 64), (200, 40, 90)).save(folder / "item.png")
    (folder / "item.txt").write_text(demo_zoo.PROMPT, encoding="utf-8")


def read_prompt(title: str) -> dict:
    return json.loads((ROOT / "workflows" / "api" / f"{title}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def demo_models(models) -> None:
    """The zoo's files where it is complete; otherwise tiny random ones under the same names."""
    import comfy.ldm.wan.vae

    zoo = {path.name for path in (ROOT / "demo" / "models").rglob("*.safetensors")}
    if set(demo_zoo.DEMO_FILES.values()) <= zoo:
        return
    for seed, (published, name) in enumerate(demo_zoo.DEMO_FILES.items(), 20):
        if published.directory == "diffusion_models":
            weights = tiny_wan.weights(seed)
        elif published.directory == "loras":
            weights = tiny_wan.lora(seed)
        else:
            weights = {
                key: torch.randn(value.shape, generator=torch.Generator().manual_seed(seed)) * 0.05
                for key, value in comfy.ldm.wan.vae.WanVAE(dim=8, z_dim=16).state_dict().items()
            }
        save_file(weights, models / published.directory / name)


@pytest.fixture(scope="module")
def demo_inputs(server) -> None:
    """Pictures and clips under the names that the demo workflows load."""
    for number, name in enumerate(sorted(set(demo_zoo.DEMO_INPUTS.values()))):
        target = server.input_folder / name
        if name.endswith(".png"):
            Image.new("RGB", (64, 64), (200, 40 * number, 90)).save(target)
        else:
            write_video(target, steady(48), width=64, height=64)
    with wave.open(str(server.input_folder / demo_zoo.DEMO_SOUND), "wb") as music:
        music.setparams((1, 2, 8000, 0, "NONE", ""))
        music.writeframes(bytes(8000))
    write_folder(server.input_folder / demo_zoo.DEMO_FOLDER)


@pytest.mark.server
@pytest.mark.parametrize("name", FACTS)
def test_what_is_known_about_a_node_type_holds_on_this_server(name, server):
    told = server.object_info(name)[name]
    if FACTS[name]["ours"] or __version__ == LEARNED_FROM:
        assert facts_of(told) == FACTS[name], "run `python -m devtools.workflows learn`"
    assert differences(FACTS[name], told) == []


def differences(known: dict, told: dict) -> list[str]:
    """What a workflow written for the known node type would not find on a server of another version."""
    found = []
    facts, specs = facts_of(told), inputs_told(told)
    for name, fact in known["inputs"].items():
        if name not in facts["inputs"]:
            if not any(name == inner.rpartition(".")[2] for inner in choices_within(specs)):
                found.append(f"{name} is gone")
        elif facts["inputs"][name]["type"] not in (fact["type"], DYNAMIC_COMBO):
            found.append(f"{name} is now {facts['inputs'][name]['type']}")
    for name in facts["inputs"].keys() - known["inputs"].keys():
        if name in told["input"].get("required", {}):
            found.append(f"{name} is new and required")
    if facts["outputs"][: len(known["outputs"])] != known["outputs"]:
        found.append(f"its outputs are now {facts['outputs']}")
    return found


def inputs_told(told: dict) -> dict[str, list]:
    """What /object_info says of each input of a node."""
    return {**told["input"].get("required", {}), **told["input"].get("optional", {})}


def choices_within(specs: dict[str, list]) -> set[str]:
    """Inputs that a dynamic choice brings with it, as `choice.input`."""
    return {
        f"{name}.{inner}"
        for name, spec in specs.items()
        if spec[0] == DYNAMIC_COMBO
        for option in spec[1]["options"]
        for section in option["inputs"].values()
        for inner in section
    }


def choices_of(spec: list) -> list:
    """The choices of a drop-down, as any version of ComfyUI tells them."""
    kind, *rest = spec
    if isinstance(kind, list):
        return kind
    return [option["key"] if kind == DYNAMIC_COMBO else option for option in rest[0]["options"]]


@pytest.mark.parametrize("title", GRAPHS)
def test_the_servers_validator_accepts_every_api_prompt(title, pack, published_names, input_files):
    import execution

    valid, error, _, node_errors = asyncio.run(execution.validate_prompt("test", read_prompt(title), None))
    assert valid, error
    assert not node_errors


@pytest.mark.server
def test_every_choice_in_the_workflows_is_one_that_its_node_offers(server, published_names):
    info = server.object_info()
    for graph in GRAPHS.values():
        for node in graph.nodes:
            if node.type in ("LoadImage", "LoadVideo"):
                continue
            specs = inputs_told(info[node.type])
            for name, input in NODE_TYPES[node.type].inputs.items():
                if input.type == "COMBO" and name in specs:  # else a dynamic choice holds it, see above
                    value = node.inputs[name]
                    choices = choices_of(specs[name])
                    assert getattr(value, "name", value) in choices, (graph.title, node.type, name)


@pytest.mark.server
@pytest.mark.parametrize("title", [title for title, graph in GRAPHS.items() if demo_zoo.has_demo(graph)])
def test_the_demo_version_of_every_workflow_runs(title, server, demo_models, demo_inputs):
    prompt = api_prompt(demo_zoo.demo_version(GRAPHS[title]))
    for node in prompt.values():
        if isinstance(node["inputs"].get("steps"), int):
            node["inputs"]["steps"] = STEPS
    for folder in ("video/" + demo_zoo.DEMO_FOLDER, "pusa_training"):
        shutil.rmtree(server.output_folder / folder, ignore_errors=True)
    run = server.run(prompt)
    if any(node.type == "PusaTrainingClip" for node in GRAPHS[title].nodes):
        made = {path.name for path in (server.output_folder / "pusa_training").rglob("*.*")}
        assert made == {"demo.toml", "item.safetensors"}
        return
    videos = [path for path in server.files(run) if path.suffix == ".mp4"]
    assert videos, run.outputs
    assert all(path.stat().st_size > 1000 for path in videos)


@pytest.mark.server
@pytest.mark.parametrize("fast", [True, False])
def test_speed_or_quality_runs_the_loaders_of_one_way_alone(fast, server, demo_models, demo_inputs):
    prompt = api_prompt(demo_zoo.demo_version(GRAPHS["Pusa image-to-video (Wan2.2)"]))
    for node in prompt.values():
        match node["class_type"]:
            case "PusaSpeed":
                node["inputs"] |= {"fast": fast, "fast_steps": STEPS, "full_steps": STEPS}
            case "PusaLoraLoader":
                # of no other run, or its result would be kept from there
                node["inputs"]["alpha"] = 0.7 + 0.1 * fast
    ran = server.run(prompt).outputs.keys()  # our loaders say what they matched, so each that ran is there
    loaders = {id: node["class_type"] for id, node in prompt.items()}
    distilled = {id for id, kind in loaders.items() if kind == "PusaLightX2VLoader"}
    assert len(distilled) == 2
    assert distilled & ran == (distilled if fast else set())
    assert {id for id, kind in loaders.items() if kind == "PusaLoraLoader"} <= ran


FOLDER_ITEM = {
    "prompt": "a cat", "negative": "", "noise_multipliers": "0.3", "seed": 1, "steps": 1, "cfg": 1.0, "item": None, "status": "",
}  # fmt: skip
SMALLER = {"steps": 1, "cfg": 1.0, "duration": 13.0, "duration_unit": "frames"}


@pytest.mark.parametrize(
    ("task", "kit"),
    [(task, kit) for task in TASKS for kit in task.kits],
    ids=lambda one: getattr(one, "title", getattr(one, "name", "")),
)
def test_the_workflows_of_other_bases_run_on_tiny_models_up_to_the_sampled_latent(
    task, kit, pack, models, tmp_path, monkeypatch
):
    import folder_paths
    import nodes as comfy_nodes

    monkeypatch.setattr(folder_paths, "get_output_directory", lambda: str(tmp_path))
    base, graph, made = kit.base, Graph("test"), {}
    task.build(graph, load(graph, kit))
    if kit.lora:
        save_file(tiny_wan.lora(11), models / kit.lora.directory / kit.lora.name)
    side = 2 * base.size_multiple
    picture = torch.rand(1, side, side, 3)
    length = base.trained_length if task.name == "keyframes" else base.video_length(9)
    if task.name == "long video":
        length = base.video_length(3)
    small = {
        **SMALLER,
        "width": side,
        "height": side,
        "length": length,
        "window": length,
        "overlap": base.video_length(2),
    }
    sampled = stitched = None
    for node in graph.nodes:
        inputs = {
            name: made[value.node_id][value.slot]
            if isinstance(value, Output)
            else small.get(name, plain(value))
            for name, value in node.inputs.items()
        }
        match node.type:
            case "UNETLoader":
                made[node.id] = [base_models.MODELS[base.id]()]
            case "VAELoader":
                made[node.id] = [base_models.VAES[base.id]()]
            case "CLIPLoader":
                made[node.id] = [None]
            case "CLIPTextEncode":
                made[node.id] = [base_models.prompt(base.id, node.id)]
            case "LoadImage":
                made[node.id] = [picture]
            case "LoadVideo":
                made[node.id] = [torch.rand(base.video_length(5), side, side, 3)]
            case "PusaFolder":
                known = {**FOLDER_ITEM, "image": picture, "length": length}
                made[node.id] = [known[output.name] for output in node.node_type.outputs]
            case "ImageBatch":
                made[node.id] = [torch.cat([inputs["image1"], inputs["image2"]])]
            case "VAEDecode":
                made[node.id] = [torch.rand(length, side, side, 3)]
            case "CreateVideo" | "SaveVideo" | "PusaFolderSave":
                made[node.id] = [None]  # what follows is ComfyUI's own
            case _:
                node_class = pack.get(node.type) or comfy_nodes.NODE_CLASS_MAPPINGS[node.type]
                if node.type.startswith("Pusa"):
                    inputs |= {"frame_rate": base.fps} if "frame_rate" in inputs else {}
                    made[node.id] = node_class.execute(**inputs).args
                    if node.type == "PusaStitch":
                        stitched = made[node.id][0].get_components()
                    else:
                        sampled = made[node.id][0]
                else:
                    made[node.id] = run_node(node_class, *inputs.values())
    if task.name == "long video":
        assert sampled.get_components().images.shape == (13, side, side, 3)
    else:
        assert sampled["samples"].shape == (
            1,
            base.channels,
            base.latent_frame_count(length),
            *base.latent_size(side, side),
        )
        assert bool(torch.isfinite(sampled["samples"]).all())
    if task.name in ("video extension", "transition between clips"):
        clips = 1 if task.name == "video extension" else 2
        new = length - clips * base.video_length(4)  # what the clips do not have
        assert stitched.frame_rate == base.fps
        assert len(stitched.images) == clips * base.video_length(5) + new
