"""Translations: every text of every node in every language, and none that is out of date."""

import json
import re
from pathlib import Path

import pytest

from devtools.node_ids import node_ids
from devtools.translations.node_texts import (
    LANGUAGES,
    TRANSLATED,
    english_texts,
    locale_files,
    missing_phrases,
)

ROOT = Path(__file__).resolve().parents[2]
REMEDY = "add them to devtools/translations/phrases_{}.json and run `python -m devtools.translations`"


@pytest.fixture(scope="module")
def english(pack) -> dict:
    """The English texts of all nodes, as ComfyUI tells them to the browser."""
    return english_texts({name: pack[name].GET_NODE_INFO_V1() for name in sorted(pack)})


@pytest.fixture(params=LANGUAGES)
def locale(request) -> dict:
    return json.loads((ROOT / "locales" / request.param / "nodeDefs.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_phrase_of_the_nodes_is_translated(language, english):
    assert not missing_phrases(english, language), REMEDY.format(language)


def test_the_committed_locales_are_what_nodes_and_phrase_books_make(english):
    for path, text in locale_files(english).items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, "run `python -m devtools.translations`"


def test_no_key_is_missing_in_any_language(locale, english):
    def keys(content: dict, prefix: str = "") -> set[str]:
        found = set()
        for key, value in content.items():
            found |= keys(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key}
        return found

    assert keys(locale) == keys(english)
    assert locale.keys() == node_ids(ROOT)


def test_every_node_input_and_output_explains_itself(english):
    for name, entry in english.items():
        assert entry["description"], name
        for kind in ("inputs", "outputs"):
            for key, texts in entry.get(kind, {}).items():
                assert texts.get("tooltip"), f"{name}: {kind[:-1]} {key} has no tooltip"


@pytest.mark.parametrize("language", TRANSLATED)
def test_translations_keep_every_number_of_the_original(language):
    book = json.loads(
        (ROOT / "devtools" / "translations" / f"phrases_{language}.json").read_text(encoding="utf-8")
    )
    for english, translation in book.items():
        told = set(re.findall(r"\d+\.\d+|\d\d+", english))
        assert told <= set(re.findall(r"\d+\.\d+|\d\d+", translation)), english
