"""Claims: nodes are found by everyday words where the host has them, and load where it has not."""

import dataclasses

from comfyui_pusa.nodes.host import schema as module


def test_words_are_left_out_where_the_host_would_refuse_them(monkeypatch):
    @dataclasses.dataclass
    class OldSchema:
        node_id: str

    monkeypatch.setattr(module.io, "Schema", OldSchema)
    assert module.search_words("i2v") == {}


def test_words_are_given_where_the_host_takes_them(monkeypatch):
    @dataclasses.dataclass
    class NewSchema:
        node_id: str
        search_aliases: list[str]

    monkeypatch.setattr(module.io, "Schema", NewSchema)
    assert module.search_words("i2v", "image to video") == {"search_aliases": ["i2v", "image to video"]}
