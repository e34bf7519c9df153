"""Claims: what newer hosts can show of a node is given to them, and nothing that an older one would refuse."""

import inspect

from comfy_api.latest import io

from comfyui_pusa.nodes.host import schema as module

CATEGORIES = {
    "Pusa/models", "Pusa/frames", "Pusa/sampling", "Pusa/long video", "Pusa/colour", "Pusa/tools", "Pusa/training",
}  # fmt: skip


def test_a_host_without_advanced_inputs_is_given_no_such_argument(monkeypatch):
    class OldInput:
        def __init__(self, id, tooltip=None):
            pass

    monkeypatch.setattr(module.io.Int, "Input", OldInput)
    assert module.advanced() == {}


def test_a_host_with_advanced_inputs_gets_the_mark(monkeypatch):
    class NewInput:
        def __init__(self, id, tooltip=None, advanced=None):
            pass

    monkeypatch.setattr(module.io.Int, "Input", NewInput)
    assert module.advanced() == {"advanced": True}


def test_only_schema_arguments_that_the_host_knows_are_given():
    known = set(inspect.signature(io.Schema).parameters)
    given = module.of_today(has_intermediate_output=True, not_idempotent=False, no_such_argument=1)
    assert set(given) == {"has_intermediate_output", "not_idempotent"} & known


def test_every_node_stands_in_a_group_of_the_menu(pack):
    groups = {name: node.GET_SCHEMA().category for name, node in pack.items()}
    assert {name: group for name, group in groups.items() if group not in CATEGORIES} == {}


def test_long_video_shows_what_a_first_video_needs_where_the_host_folds_the_rest_away(pack):
    if "advanced" not in inspect.signature(io.Int.Input.__init__).parameters:
        assert module.advanced() == {}
        return
    inputs = pack["PusaLongVideo"].GET_SCHEMA().inputs
    shown = [one.id for one in inputs if not getattr(one, "advanced", None)]
    assert {"positive", "width", "height", "duration", "seed", "steps", "cfg", "start", "end"} <= set(shown)
    assert len(shown) < len(inputs) - 8


def test_the_essentials_show_what_a_first_graph_needs_where_the_host_has_them(pack):
    shown = {name: getattr(node.GET_SCHEMA(), "essentials_category", None) for name, node in pack.items()}
    if "essentials_category" not in inspect.signature(io.Schema).parameters:
        assert set(shown.values()) == {None}
        return
    assert {name for name, category in shown.items() if category} == {
        "PusaConditionFrames", "PusaConditionVideo", "PusaStitch", "PusaLongVideo",
    }  # fmt: skip
