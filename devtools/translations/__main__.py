"""Writes locales/ and js/docs/ from the nodes' texts, the phrase books and the advice."""

import sys

from devtools.comfy_server import ComfyServer

from .help_pages import help_pages
from .node_texts import ROOT, TRANSLATED, english_texts, locale_files, missing_phrases


def main() -> int:
    """Returns the number of languages with missing phrases."""
    with ComfyServer(comfyui=ROOT / ".comfyui", pack=ROOT) as server:
        info = server.object_info()
    english = english_texts({name: info[name] for name in sorted(info) if name.startswith("Pusa")})
    missing = {language: missing_phrases(english, language) for language in TRANSLATED}
    for language, list_of_phrases in missing.items():
        for phrase in list_of_phrases:
            sys.stdout.write(f"{language} lacks: {phrase}\n")
    if any(missing.values()):
        return 1
    for path, text in {**locale_files(english), **help_pages(english)}.items():
        file = ROOT / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
