"""The node ids of a pack, read from its sources as ComfyUI-Manager reads them: nothing is imported."""

import re
from pathlib import Path

NODE_ID = re.compile(r"""\bnode_id\s*=\s*["']([^"']+)["']""")


def node_ids(pack: Path) -> set[str]:
    """Every literal node id in the pack's top folder and its nodes/."""
    sources = [*pack.glob("*.py"), *(pack / "nodes").rglob("*.py")]
    return {name for source in sources for name in NODE_ID.findall(source.read_text("utf-8"))}
