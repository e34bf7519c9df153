"""The loss curve of every run, as a picture beside its log."""

from __future__ import annotations

import json
from pathlib import Path

from ..charts import Series, line_chart


def plot_losses(runs: Path) -> None:
    """Draw loss.png into the folder of every run that has a history."""
    for path in sorted(runs.glob("*/history.json")):
        rows = json.loads(path.read_text(encoding="utf-8"))
        if len(rows) > 1:
            points = [(row["step"], row["loss"]) for row in rows]
            chart = line_chart(
                path.parent.name, "step", "loss", [Series("training loss", points)], log_y=True
            )
            chart.save(path.parent / "loss.png")
