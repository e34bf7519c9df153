"""Claims: the nodes that sample say which frames they were given, and what was lost on the way."""

from types import SimpleNamespace

import pytest

from support.comfy_runs import prompt, video_latent


@pytest.fixture
def inside_a_graph(pack, monkeypatch):
    """inside_a_graph(node id, prompt, number): the node class as ComfyUI runs it, with its hidden inputs."""

    def place(node, graph, number):
        monkeypatch.setattr(
            pack[node], "hidden", SimpleNamespace(prompt=graph, unique_id=number, extra_pnginfo=None)
        )
        return pack[node]

    return place


def said(output) -> str:
    return "\n".join(output.ui.as_dict()["text"] if hasattr(output.ui, "as_dict") else output.ui["text"])


@pytest.mark.parametrize("graph", [None, {}])
def test_the_sampler_says_what_it_was_given(inside_a_graph, load_tiny_wan, graph):
    sampler = inside_a_graph("PusaSampler", graph, "5")
    latent = video_latent([0.2, 1.0, 1.0, 1.0, 0.5])
    told = said(sampler.execute(load_tiny_wan(), prompt(1), prompt(2), latent, 1, steps=2, cfg=1.0))
    assert told.startswith("2 given frames: latent frame 0 (video frame 0) at 0.2; latent frame 4")


def test_apply_says_plain_text_to_video(inside_a_graph, load_tiny_wan):
    apply = inside_a_graph("PusaVectorizedTimesteps", None, "5")
    latent = {"samples": video_latent([1.0] * 3)["samples"] * 0}
    assert said(apply.execute(load_tiny_wan(), latent)) == "No given frames: plain text-to-video."


def test_frames_that_a_node_between_lost_are_said_on_the_sampler(inside_a_graph, load_tiny_wan):
    graph = {
        "1": {"class_type": "PusaConditionFrames", "inputs": {"latent": ["9", 0], "positions": "0"}},
        "2": {"class_type": "RebatchLatents", "inputs": {"latents": ["1", 0], "batch_size": 1}},
        "5": {"class_type": "PusaSampler", "inputs": {"latent": ["2", 0]}},
        "9": {"class_type": "EmptyHunyuanLatentVideo", "inputs": {}},
    }
    sampler = inside_a_graph("PusaSampler", graph, "5")
    latent = {"samples": video_latent([0.2, 1.0, 1.0])["samples"]}
    told = said(sampler.execute(load_tiny_wan(), prompt(1), prompt(2), latent, 1, steps=2, cfg=1.0))
    assert "Warning:" in told
    assert "RebatchLatents" in told
