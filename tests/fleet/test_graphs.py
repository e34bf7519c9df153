import json

import pytest

from pusa_core.errors import PusaError
from pusa_core.fleet import graphs
from pusa_core.fleet.graphs import converted, find_input, graph_digest, prompt_input, read_graph, with_inputs


@pytest.fixture
def graph(pack_root):
    """A published template: Wan2.2 image-to-video."""
    return read_graph(pack_root / "workflows" / "api" / "Pusa image-to-video step by step (Wan2.2).json")


def test_every_published_graph_of_one_picture_takes_a_folder_without_a_word(pack_root):
    names = ("image-to-video (Wan2.1)", "image-to-video (Wan2.2)", "image-to-video step by step (Wan2.2)")
    for name in names:
        found = read_graph(pack_root / "workflows" / "api" / f"Pusa {name}.json")
        assert graphs.title(found, graphs.picture_input(found)[0]) == "First frame"
        assert graphs.title(found, prompt_input(found)[0]) == "What to show"


def test_an_input_is_found_by_title_id_class_or_by_its_own_name(graph):
    sampler = next(node_id for node_id, node in graph.items() if node["class_type"] == "PusaSampler")
    for address in ("PusaSampler.seed", f"{sampler}.seed", "seed"):
        assert find_input(graph, address) == (sampler, "seed")
    assert graph[find_input(graph, "What to avoid.text")[0]]["class_type"] == "CLIPTextEncode"


def test_a_title_with_a_dot_in_it_is_found(graph):
    node_id, name = find_input(graph, "Wan2.2 high noise 14B.unet_name")
    assert graph[node_id]["inputs"][name].endswith(".safetensors")


def test_an_input_that_several_nodes_have_is_refused_with_their_ids(graph):
    with pytest.raises(PusaError, match=r"'text' names 2 inputs.*10\.text, 11\.text|names 2 inputs"):
        find_input(graph, "text")


def test_an_unknown_input_is_refused_with_those_that_there_are(graph):
    with pytest.raises(PusaError, match=r"no input 'PusaSampler\.sed'"):
        find_input(graph, "PusaSampler.sed")


def test_a_linked_input_is_refused_with_the_node_it_comes_from(graph):
    with pytest.raises(PusaError, match=r"comes from What to show \(node \d+\)"):
        find_input(graph, "PusaSampler.positive")


def test_text_of_a_table_becomes_what_the_graph_has_there(graph):
    sampler = find_input(graph, "seed")[0]
    assert converted(graph, (sampler, "steps"), "12") == 12
    assert converted(graph, (sampler, "cfg"), "1") == 1.0
    assert converted({"1": {"class_type": "X", "inputs": {"on": True}}}, ("1", "on"), "false") is False
    for name, wrong in (("steps", "12.5"), ("steps", "many"), ("cfg", "big"), ("sampler_name", 3)):
        with pytest.raises(PusaError, match=f"PusaSampler.{name} is {wrong!r}; write"):
            converted(graph, (sampler, name), wrong)


def test_the_digest_knows_every_input_and_no_title(graph):
    seed = find_input(graph, "seed")
    assert graph_digest(with_inputs(graph, {seed: 1})) != graph_digest(graph)
    renamed = json.loads(json.dumps(graph))
    renamed[seed[0]]["_meta"]["title"] = "another"
    assert graph_digest(renamed) == graph_digest(graph)
    assert graph[seed[0]]["inputs"]["seed"] == 0, "the graph itself is untouched"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"nodes": [], "links": []}', "browser's format"),
        ("{}", "holds no graph"),
        ('{"1": {"inputs": {}}}', "has no class_type"),
        ("{", "cannot be read as a graph"),
    ],
)
def test_a_file_that_is_no_graph_is_refused_with_what_to_do(tmp_path, content, sentence):
    file = tmp_path / "graph.json"
    file.write_text(content)
    with pytest.raises(PusaError, match=sentence):
        read_graph(file)


def test_two_pictures_ask_which_one_the_folder_fills(pack_root):
    graph = read_graph(pack_root / "workflows" / "api" / "Pusa start-end frames (Wan2.2).json")
    with pytest.raises(PusaError, match=r"loads 2 pictures.*--picture"):
        graphs.picture_input(graph)


def test_a_graph_without_a_picture_says_that_a_folder_does_not_fit(pack_root):
    graph = read_graph(pack_root / "workflows" / "api" / "Pusa text-to-video (Wan2.2).json")
    with pytest.raises(PusaError, match="loads no picture"):
        graphs.picture_input(graph)
