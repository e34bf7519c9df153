"""Pages in docs/ whose tables are measured: a program replaces its own section and leaves the rest as written."""

from collections.abc import Sequence
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"


def write_section(file: Path, name: str, text: str) -> None:
    """Puts `text` between the page's marks `<!-- begin name -->` and `<!-- end name -->`, or adds both at its end."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    page = file.read_text("utf-8") if file.exists() else ""
    if begin not in page:
        page = f"{page.rstrip()}\n\n{begin}\n{end}\n".lstrip()
    before, after = page.split(begin)[0], page.split(end)[1]
    file.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", "utf-8", newline="\n")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
