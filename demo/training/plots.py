"""The loss curves: one picture beside every run's log, and one of all runs for the model card."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from ...pusa_core.charts import Series, beside, line_chart

COLUMNS = 4  # charts in a row of the overview


def plot_losses(runs: Path, overview: Path) -> None:
    """Draw loss.png into the folder of every run that has a history, and all of them into one picture."""
    charts = []
    for path in sorted(runs.glob("*/history.json")):
        rows = json.loads(path.read_text(encoding="utf-8"))
        if len(rows) > 1:
            line = Series("training loss", [(row["step"], row["loss"]) for row in rows])
            line_chart(path.parent.name, "step", "loss", [line], log_y=True).save(path.parent / "loss.png")
            charts.append(
                line_chart(path.parent.name, "step", "loss", [line], width=400, height=300, log_y=True)
            )
    if charts:
        overview.parent.mkdir(parents=True, exist_ok=True)
        _grid(charts).save(overview)


def _grid(charts: list[Image.Image]) -> Image.Image:
    """Rows of COLUMNS charts of one size."""
    rows = [beside(charts[start : start + COLUMNS]) for start in range(0, len(charts), COLUMNS)]
    sheet = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)), "white")
    for number, row in enumerate(rows):
        sheet.paste(row, (0, number * row.height))
    return sheet
