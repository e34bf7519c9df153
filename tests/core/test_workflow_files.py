"""The shipped workflow files: made by their recipes, consistent in themselves, true about files and folders."""

import json
import re
from pathlib import Path

import pytest

from devtools.node_ids import node_ids
from devtools.workflows.__main__ import workflow_files
from devtools.workflows.demo_zoo import DEMO_FILES, demo_version, has_demo
from devtools.workflows.export import MUTED, PACK_VERSION
from devtools.workflows.layout import BARS, TALLER_IN_NODES_2, TITLE
from devtools.workflows.model_files import TRAINED_LORA
from devtools.workflows.node_types import NODE_TYPES
from devtools.workflows.other_bases import other_workflows
from devtools.workflows.recipes import all_workflows, blueprints
from support.drawn_links import drawn_links

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("workflows", "workflows/api", "demo/workflows", "demo/workflows/api", "subgraphs")
WAN_GRAPHS = {graph.title: graph for graph in all_workflows()}
GRAPHS = WAN_GRAPHS | {graph.title: graph for graph in other_workflows()}
DEMOS = {graph.title: demo_version(graph) for graph in GRAPHS.values() if has_demo(graph)}
UI_FILES = sorted([*(ROOT / "workflows").glob("*.json"), *(ROOT / "demo" / "workflows").glob("*.json")])
TEMPLATE_FOLDERS = ("example_workflows", "example", "examples", "workflow", "workflows")
CROWDED = ("folder of pictures", "try settings", "long video")
"""Templates with so many links that some bend over the edge of a prompt."""
UNCROWDED = [
    path
    for path in UI_FILES
    if path.stem.startswith("Pusa ") and not any(words in path.stem for words in CROWDED)
]
READ = {"CLIPTextEncode", "PusaDemoTextEncode", "MarkdownNote"}
GRAZED = 36  # pixels at a node's sides that a curve may touch
NOTE_LETTERS, SMALLEST_LETTERS = 10, 8  # pixels: of ComfyUI's notes at zoom 1, and what can be read
MODEL_FOLDERS = {"diffusion_models", "text_encoders", "vae", "loras"}


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(params=UI_FILES, ids=lambda path: path.stem)
def ui_file(request) -> Path:
    return request.param


@pytest.fixture
def workflow(ui_file) -> dict:
    return read(ui_file)


def subgraphs(workflow: dict) -> list[dict]:
    return workflow.get("definitions", {}).get("subgraphs", [])


def levels(workflow: dict) -> list[tuple[list[dict], list[list]]]:
    """(nodes, links as the top level writes them) of the workflow and of each box in it."""
    inner = [
        (graph["nodes"], [list(link.values())[:6] for link in graph["links"]])
        for graph in subgraphs(workflow)
    ]
    return [(workflow["nodes"], workflow["links"]), *inner]


def is_box(node: dict) -> bool:
    return "proxyWidgets" in node.get("properties", {})


def real_nodes(workflow: dict) -> list[dict]:
    """Nodes that run, in boxes too."""
    nodes = [node for level, _ in levels(workflow) for node in level]
    return [node for node in nodes if node["type"] != "MarkdownNote" and not is_box(node)]


def test_every_committed_file_is_what_its_recipe_makes():
    expected = workflow_files()
    committed = {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for folder in FOLDERS
        for path in (ROOT / folder).glob("*.json")
    }
    assert committed.keys() == expected.keys(), "run `python -m devtools.workflows`"
    stale = [path for path in expected if committed[path] != expected[path]]
    assert not stale, "run `python -m devtools.workflows`"


def test_comfyui_finds_one_template_folder_with_nothing_else_in_it():
    assert [name for name in TEMPLATE_FOLDERS if (ROOT / name).exists()] == ["workflows"]
    others = [
        path.name
        for path in (ROOT / "workflows").iterdir()
        if path.suffix not in {".json", ".jpg"} and path.name != "api"
    ]
    assert not others


def test_every_node_of_the_pack_is_shown_in_some_shipped_workflow():
    shown = {node.type for graph in GRAPHS.values() for node in graph.nodes}
    missing = node_ids(ROOT) - shown
    assert not missing


def test_wan22_image_to_video_needs_at_most_16_nodes():
    assert len(GRAPHS["Pusa image-to-video step by step (Wan2.2)"].nodes) <= 16


def test_links_name_sockets_that_exist_and_know_of_them(workflow):
    assert workflow["last_node_id"] == max(node["id"] for node in workflow["nodes"])
    assert workflow["last_link_id"] == max(link[0] for link in workflow["links"])
    for index, (nodes, links) in enumerate(levels(workflow)):
        box = subgraphs(workflow)[index - 1] if index else None
        check_links(nodes, links, box)


def check_links(nodes: list[dict], links: list[list], box: dict | None) -> None:
    """box: the subgraph whose level this is; its two sides are nodes without a widget."""
    by_id = {node["id"]: node for node in nodes}
    assert len({link[0] for link in links}) == len(links)
    for number, source, source_slot, target, target_slot, kind in links:
        if source == -10:
            assert number in box["inputs"][source_slot]["linkIds"]
            assert box["inputs"][source_slot]["type"] == kind
        else:
            output = by_id[source]["outputs"][source_slot]
            assert number in output["links"]
            assert output["type"] == kind
        if target == -20:
            assert number in box["outputs"][target_slot]["linkIds"]
            continue
        socket = by_id[target]["inputs"][target_slot]
        assert socket["link"] == number
        assert socket["type"] == "*" or kind in socket["type"].split(","), (by_id[target]["type"], socket)
    used = [socket["link"] for node in nodes for socket in node["inputs"] if socket["link"] is not None]
    assert sorted(used) == sorted(link[0] for link in links if link[3] != -20)


def test_the_execution_order_puts_sources_first(workflow):
    for nodes, links in levels(workflow):
        order = {node["id"]: node["order"] for node in nodes}
        assert sorted(order.values()) == list(range(len(order)))
        inner = [link for link in links if link[1] > 0 and link[3] > 0]
        assert all(order[source] < order[target] for _, source, _, target, _, _ in inner)


def test_each_node_holds_one_value_per_widget_and_companion(workflow):
    for node in real_nodes(workflow):
        widgets = NODE_TYPES[node["type"]].widgets
        slots = len(widgets) + sum(widget.companion is not None for widget in widgets)
        assert len(node["widgets_values"]) == slots, node["type"]
        assert None not in node["widgets_values"], node["type"]


def test_the_ui_file_says_the_same_as_its_api_twin(ui_file, workflow):
    prompt = {}
    shown = shown_values(workflow)
    for node in real_nodes(workflow):
        if node["mode"] == MUTED:
            continue  # as the frontend leaves them out
        inputs, values = {}, iter(node["widgets_values"])
        for widget in NODE_TYPES[node["type"]].widgets:
            inputs[widget.name] = next(values)
            if widget.companion:
                next(values)
        inputs |= sources(workflow, node, shown)
        prompt[str(node["id"])] = (node["type"], inputs)
    twin = read(ui_file.parent / "api" / ui_file.name)
    assert prompt == {id: (node["class_type"], node["inputs"]) for id, node in twin.items()}


def shown_values(workflow: dict) -> dict[str, object]:
    """What stands on the box, by the names of its inputs."""
    boxes = [node for node in workflow["nodes"] if is_box(node)]
    pairs = [
        (name, value)
        for box in boxes
        for (_, name), value in zip(box["properties"]["proxyWidgets"], box["widgets_values"], strict=True)
    ]
    return dict(pairs)


def sources(workflow: dict, node: dict, shown: dict[str, object]) -> dict[str, object]:
    """A node's linked inputs as the API writes them: links lead through the sides of a box, and its values come from there."""
    found = {}
    outer, inner = workflow["links"], [link for _, links in levels(workflow)[1:] for link in links]
    inside = any(node in nodes for nodes, _ in levels(workflow)[1:])
    boxes = {each["id"]: each for each in workflow["nodes"] if is_box(each)}
    for socket in node["inputs"]:
        if socket["link"] is None:
            continue
        link = next(link for link in (inner if inside else outer) if link[0] == socket["link"])
        if link[1] == -10:
            (box,) = boxes.values()
            name = subgraphs(workflow)[0]["inputs"][link[2]]["name"]
            given = next(each for each in box["inputs"] if each["name"] == name)
            if given["link"] is None:
                found[socket["name"]] = shown[name]
                continue
            link = next(link for link in outer if link[0] == given["link"])
        elif link[1] in boxes:
            (number,) = subgraphs(workflow)[0]["outputs"][link[2]]["linkIds"]
            link = next(link for link in inner if link[0] == number)
        found[socket["name"]] = [str(link[1]), link[2]]
    return found


def test_a_box_shows_the_values_of_what_is_in_it(workflow):
    nodes = {str(node["id"]): node for node in real_nodes(workflow)}
    for box in (node for node in workflow["nodes"] if is_box(node)):
        (graph,) = subgraphs(workflow)
        assert graph["id"] == box["type"]
        assert [each["name"] for each in graph["inputs"]] == [each["name"] for each in box["inputs"]]
        linked = [name for id, name in box["properties"]["proxyWidgets"] if id == "-1"]
        assert linked == [each["name"] for each in box["inputs"] if "widget" in each]
        for id, name in box["properties"]["proxyWidgets"][len(linked) :]:
            assert name in {"seed", "control_after_generate"}
            assert "seed" in {each["name"] for each in nodes[id]["inputs"]}


def test_image_to_video_opens_with_few_nodes():
    workflow = read(ROOT / "workflows" / "Pusa image-to-video (Wan2.2).json")
    assert len([node for node in workflow["nodes"] if node["type"] != "MarkdownNote"]) <= 6


BLUEPRINTS = {graph.box.title: graph for graph in blueprints()}


@pytest.mark.parametrize("title", BLUEPRINTS)
def test_a_blueprint_is_one_box_that_any_machine_can_read(title):
    data = (ROOT / "subgraphs" / f"{title}.json").read_bytes()
    assert data.isascii()  # ComfyUI 0.3.75 reads it in the encoding of the machine
    workflow = json.loads(data)
    (box,) = workflow["nodes"]
    (graph,) = subgraphs(workflow)
    assert box["type"] == graph["id"]
    assert graph["name"] == box["title"] == title
    assert all(each["link"] is None for each in box["inputs"])
    assert workflow["extra"]["BlueprintDescription"]
    check_links(graph["nodes"], levels(workflow)[1][1], graph)


@pytest.mark.parametrize("title", [title for title in BLUEPRINTS if title != "Pusa models"])
def test_a_template_holds_the_blueprint_of_its_task(title):
    template = read(ROOT / "workflows" / f"{title} (Wan2.2).json")
    assert subgraphs(template) == subgraphs(read(ROOT / "subgraphs" / f"{title}.json"))


def test_nodes_say_which_pack_and_version_they_come_from(workflow):
    for node in real_nodes(workflow):
        properties = node["properties"]
        assert properties["Node name for S&R"] == node["type"]
        ours = node["type"].startswith("Pusa")
        assert properties["cnr_id"] == ("pusa" if ours else "comfy-core")
        assert re.fullmatch(r"\d+\.\d+\.\d+", properties["ver"])


def test_the_version_written_into_the_files_is_the_packs():
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r'^version = "(.+)"', pyproject, re.MULTILINE)[1] == PACK_VERSION


def test_every_published_file_can_be_offered_for_download(workflow):
    for node in real_nodes(workflow):
        for file in node["properties"].get("models", []):
            assert file["name"] in node["widgets_values"]
            assert file["url"].startswith("https://huggingface.co/")
            assert file["url"].endswith("/" + file["name"])
            assert file["name"].endswith(".safetensors")
            assert file["directory"] in MODEL_FOLDERS


@pytest.mark.parametrize("title", GRAPHS)
def test_every_loader_of_a_shipped_workflow_says_where_its_file_comes_from(title):
    workflow = read(ROOT / "workflows" / f"{title}.json")
    for node in real_nodes(workflow):
        named = {value for value in node["widgets_values"] if str(value).endswith(".safetensors")}
        assert named - {TRAINED_LORA.name} == {file["name"] for file in node["properties"].get("models", [])}


@pytest.mark.parametrize("title", GRAPHS)
def test_the_notes_link_every_file_and_name_its_folder(title):
    graph = GRAPHS[title]
    text = "\n".join(text for _, text in graph.notes)
    for file in graph.model_files:
        assert (f"[{file.name}]({file.url})" if file.is_published else f"- {file.name}: your own") in text
        assert f"**models/{file.directory}**" in text


def test_files_of_one_folder_have_names_of_their_own():
    everything = {file for graph in GRAPHS.values() for file in graph.model_files}
    assert len({(file.directory, file.name) for file in everything}) == len(everything)
    wan = {file for graph in WAN_GRAPHS.values() for file in graph.model_files}
    assert wan <= DEMO_FILES.keys() | {file for file in wan if file.directory == "text_encoders"}


@pytest.mark.parametrize("title", DEMOS)
def test_a_demo_differs_from_its_workflow_only_in_files_sizes_and_text(title):
    published, demo = GRAPHS[title], DEMOS[title]
    assert not demo.model_files
    kept = {
        node.id: node.type for node in published.nodes if node.type not in {"CLIPLoader", "CLIPTextEncode"}
    }
    own = {"PusaDemoTextEncode", "PusaDemoClip"}
    assert {node.id: node.type for node in demo.nodes if node.type not in own} == kept


def test_no_two_nodes_overlap_and_groups_hold_theirs(workflow):
    for nodes, groups in [(each["nodes"], each["groups"]) for each in (workflow, *subgraphs(workflow))]:
        check_places(nodes, [group["bounding"] for group in groups])


def check_places(nodes: list[dict], frames: list[list[float]]) -> None:
    boxes = {
        node["id"]: (
            node["pos"][0],
            node["pos"][1] - TITLE,
            node["pos"][0] + node["size"][0],
            node["pos"][1] + node["size"][1] + TALLER_IN_NODES_2.get(node["type"], 0),
        )
        for node in nodes
    }
    for a, one in boxes.items():
        for b, other in boxes.items():
            apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
            assert a == b or apart, (a, b)
    notes = {node["id"] for node in nodes if node["type"] == "MarkdownNote"}
    for id, (left, top, right, bottom) in boxes.items():
        inside = [
            x <= left and y <= top and right <= x + width and bottom <= y + height
            for x, y, width, height in frames
        ]
        assert sum(inside) == (0 if id in notes else 1)


@pytest.mark.parametrize(
    "path", [*UI_FILES, *sorted((ROOT / "subgraphs").glob("*.json"))], ids=lambda path: path.stem
)
def test_no_link_runs_behind_a_node(path):
    for nodes, links, reroutes, last in drawn_levels(read(path)):
        assert last.keys() <= {link[0] for link in links}
        by_id = {node["id"]: node for node in nodes}
        for (_, source, _, target, *_), points in drawn_links(nodes, links, reroutes, last):
            for node in nodes:
                height = node["size"][1] + TALLER_IN_NODES_2.get(node["type"], 0)
                ends = (by_id[source]["type"], by_id[target]["type"], node.get("title", node["type"]))
                assert not hidden(points, node, height, GRAZED, 2), ends


@pytest.mark.parametrize("path", UNCROWDED, ids=lambda path: path.stem)
def test_no_link_touches_a_prompt_or_a_note(path):
    for nodes, links, reroutes, last in drawn_levels(read(path)):
        for (_, source, _, target, *_), points in drawn_links(nodes, links, reroutes, last):
            for node in nodes:
                if node["type"] in READ and node["id"] not in (source, target):
                    assert not hidden(points, node, node["size"][1], 0, 0), (
                        source,
                        target,
                        node.get("title"),
                    )


def hidden(points: list[tuple], node: dict, height: float, sides: float, edges: float) -> list[tuple]:
    """Points that a node covers; sides, edges: pixels left and right, above and below, in which they do not count."""
    (left, top), width = node["pos"], node["size"][0]
    return [
        (x, y)
        for x, y in points
        if left + sides < x < left + width - sides and top - TITLE + edges < y < top + height - edges
    ]


def drawn_levels(workflow: dict) -> list[tuple[list[dict], list[list], list[dict], dict[int, int]]]:
    """(nodes, links, reroutes, link -> its last reroute) of the workflow and of each box in it."""
    extra = workflow.get("extra", {})
    dots = [
        (extra.get("reroutes", []), {one["id"]: one["parentId"] for one in extra.get("linkExtensions", [])})
    ]
    for graph in subgraphs(workflow):
        last = {link["id"]: link["parentId"] for link in graph["links"] if "parentId" in link}
        dots.append((graph.get("reroutes", []), last))
    return [(*level, *of_level) for level, of_level in zip(levels(workflow), dots, strict=True)]


def test_a_workflow_opens_on_its_first_note_at_a_size_that_can_be_read(workflow):
    first = next(node for node in workflow["nodes"] if node["type"] == "MarkdownNote")
    view = workflow["extra"]["ds"]
    assert view["scale"] * NOTE_LETTERS >= SMALLEST_LETTERS
    x, y = ((first["pos"][axis] + view["offset"][axis]) * view["scale"] for axis in (0, 1))
    assert (x, y) == pytest.approx((BARS[0], BARS[1] + TITLE * view["scale"]), abs=1)
    assert min(node["pos"][0] for node in workflow["nodes"]) >= 0  # see layout.arrange
