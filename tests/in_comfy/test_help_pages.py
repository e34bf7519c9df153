"""Help pages: one per node and language, made from the nodes as they are."""

from pathlib import Path

import pytest

from devtools.node_ids import node_ids
from devtools.translations.help_pages import advice, help_pages
from devtools.translations.node_texts import LANGUAGES, english_texts

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_node_has_values_to_start_from_and_mistakes_to_avoid(language):
    found = advice(language)
    assert found.keys() == node_ids(ROOT)
    for node_id, (values, mistakes) in found.items():
        assert values, node_id
        assert mistakes, node_id


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_the_advice_of_every_language_has_the_same_points(language):
    english, other = advice("en"), advice(language)
    counts = {node_id: [len(points) for points in parts] for node_id, parts in other.items()}
    assert counts == {node_id: [len(points) for points in parts] for node_id, parts in english.items()}


def test_the_committed_pages_are_what_nodes_and_advice_make(pack):
    english = english_texts({name: pack[name].GET_NODE_INFO_V1() for name in sorted(pack)})
    pages = help_pages(english)
    committed = {path.relative_to(ROOT).as_posix() for path in (ROOT / "js" / "docs").rglob("*.md")}
    assert committed == set(pages)
    stale = [path for path, text in pages.items() if (ROOT / path).read_text(encoding="utf-8") != text]
    assert not stale, "run `python -m devtools.translations`"
