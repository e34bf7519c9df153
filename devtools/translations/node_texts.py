"""locales/<language>/nodeDefs.json: every text of every node, in the layout of ComfyUI's own translations."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LANGUAGES = ("en", "zh", "ja")
TRANSLATED = LANGUAGES[1:]


def phrase_book(language: str) -> dict[str, str]:
    """English phrase -> the same in `language`."""
    return json.loads((HERE / f"phrases_{language}.json").read_text(encoding="utf-8"))


def english_texts(node_info: Mapping[str, Any]) -> dict[str, Any]:
    """Every text of the nodes in English, from /object_info entries by node id."""
    found = {}
    for node_id, info in node_info.items():
        inputs = {}
        for section in ("required", "optional"):
            for name in info["input_order"].get(section, []):
                options = info["input"][section][name][1] if len(info["input"][section][name]) > 1 else {}
                inputs[name] = texts(options.get("display_name") or name, options.get("tooltip"))
        tooltips = info.get("output_tooltips") or [None] * len(info["output_name"])
        outputs = {
            str(slot): texts(name, tooltip)
            for slot, (name, tooltip) in enumerate(zip(info["output_name"], tooltips, strict=True))
        }
        found[node_id] = {
            "display_name": info["display_name"],
            "description": info["description"],
            "inputs": inputs,
            **({"outputs": outputs} if outputs else {}),
        }
    return found


def texts(name: str, tooltip: str | None) -> dict[str, str]:
    """An input's or output's entry."""
    return {"name": name, **({"tooltip": tooltip} if tooltip else {})}


def phrases(content: Any) -> Iterator[str]:
    """Every phrase in an entry, depth first."""
    if isinstance(content, str):
        yield content
    else:
        for part in content.values():
            yield from phrases(part)


def translated(content: Any, book: Mapping[str, str]) -> Any:
    """The same entry with every phrase replaced by the book's."""
    if isinstance(content, str):
        return book[content]
    return {key: translated(part, book) for key, part in content.items()}


def missing_phrases(english: Mapping[str, Any], language: str) -> list[str]:
    """Phrases of the nodes that the language's book lacks."""
    book = phrase_book(language)
    return [phrase for phrase in dict.fromkeys(phrases(english)) if phrase not in book]


def locale_files(english: Mapping[str, Any]) -> dict[str, str]:
    """Path below the checkout -> content for every language."""
    found = {}
    for language in LANGUAGES:
        content = english if language == "en" else translated(english, phrase_book(language))
        found[f"locales/{language}/nodeDefs.json"] = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    return found
