"""Claims: every setting and command of the pack has its text in every language."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ("en", "ja", "zh")


def ids_in(pattern: str) -> set[str]:
    """Ids that the pack's scripts register, as ComfyUI's frontend spells them in translations: dots become underscores."""
    scripts = (path.read_text("utf-8") for path in (ROOT / "js").glob("*.js"))
    return {name.replace(".", "_") for script in scripts for name in re.findall(pattern, script)}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("file", "pattern", "texts"),
    [
        ("settings.json", r'export const DEFAULT_\w+ = "(Pusa\.[\w.]+)"', {"name", "tooltip"}),
        ("commands.json", r'(?:\bid: |\bCHECK = )"(Pusa\.[\w.]+)"', {"label"}),
    ],
)
def test_every_id_has_its_texts(language, file, pattern, texts):
    found = json.loads((ROOT / "locales" / language / file).read_text("utf-8"))
    expected = ids_in(pattern)
    assert len(expected) >= 2
    assert found.keys() == expected
    assert all(entry.keys() == texts and all(entry.values()) for entry in found.values())
