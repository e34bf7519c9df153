"""js/docs/: the help page of every node in every language, from the nodes' texts and help_<language>.md.

help_<language>.md holds what a text beside an input cannot say. `# NodeId` begins a node, `+` is a value to start from,
`-` a mistake to avoid.
"""

from collections.abc import Mapping
from typing import Any

from .node_texts import HERE, LANGUAGES, ROOT, phrase_book, translated

HEADINGS = {
    "en": ("Inputs", "Outputs", "Values to start from", "Mistakes to avoid"),
    "zh": ("输入", "输出", "起始值", "常见错误"),
    "ja": ("入力", "出力", "最初に試す値", "避けたい間違い"),
}
PICTURES = ROOT / "js" / "docs"


def advice(language: str) -> dict[str, tuple[list[str], list[str]]]:
    """Node id -> values to start from, mistakes to avoid."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    values: list[str] = []
    mistakes: list[str] = []
    for line in (HERE / f"help_{language}.md").read_text(encoding="utf-8").splitlines():
        kind, _, text = line.partition(" ")
        if kind == "#":
            values, mistakes = found[text] = ([], [])
        elif kind in ("+", "-"):
            (values if kind == "+" else mistakes).append(text)
        elif line:
            raise ValueError(f"help_{language}.md: {line!r} begins with none of # + -")
    return found


def page(node_id: str, entry: Mapping[str, Any], language: str, tips: tuple[list[str], list[str]]) -> str:
    """One help page in markdown; entry: the node's texts in that language."""
    inputs, outputs, values, mistakes = HEADINGS[language]
    lines = [f"# {entry['display_name']}", "", entry["description"]]
    if (PICTURES / f"{node_id}.png").is_file():
        lines += ["", f"![{entry['display_name']}]({node_id}.png)"]
    lines += section(values, tips[0])
    lines += section(mistakes, tips[1])
    lines += section(inputs, [described(name, texts) for name, texts in entry["inputs"].items()])
    lines += section(
        outputs, [f"**{texts['name']}**: {texts['tooltip']}" for texts in entry.get("outputs", {}).values()]
    )
    return "\n".join(lines) + "\n"


def described(name: str, texts: Mapping[str, str]) -> str:
    """One input: its label, its name in API prompts where that differs, what it does."""
    label = f"**{texts['name']}**" + (f" (`{name}`)" if texts["name"] != name else "")
    return f"{label}: {texts['tooltip']}"


def section(title: str, items: list[str]) -> list[str]:
    """A heading with a list, or nothing."""
    return ["", f"## {title}", "", *(f"- {item}" for item in items)] if items else []


def help_pages(english: Mapping[str, Any]) -> dict[str, str]:
    """Path below the checkout -> content for every node and language."""
    found = {}
    for language in LANGUAGES:
        tips = advice(language)
        texts = english if language == "en" else translated(english, phrase_book(language))
        for node_id, entry in texts.items():
            path = f"js/docs/{node_id}.md" if language == "en" else f"js/docs/{node_id}/{language}.md"
            found[path] = page(node_id, entry, language, tips[node_id])
    return found
