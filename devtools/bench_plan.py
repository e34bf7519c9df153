"""`dev.py bench --plan`: docs/PLAN.md, operations and memory of whole runs computed from pusa_core/operations.py."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pusa_core.frozen_frames import share_of_operations
from pusa_core.operations import (
    MODELS,
    WAN_22_A14B,
    Architecture,
    Run,
    activation_bytes,
    attention_share,
    forward_operations,
    kept_bytes,
    parameters,
    run_operations,
    small_steps,
    steps_of,
    weight_bytes,
)

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "PLAN.md"
MEASURED = tuple(ROOT / "benchmarks" / "results" / name for name in ("cpu.json", "cpu-progressive.json"))
SIZES = {"480p": (832, 480), "720p": (1280, 720)}
GIB = 2**30
FLOOR_RATE = 1e14  # operations a second of the floor column

# What is set besides size and model; a run of the same steps and cfg without the rest is what it is compared with.
PLAIN, DISTILLED = {"steps": 30, "cfg": 3.0}, {"steps": 4, "cfg": 1.0}
CACHE_4, CACHE_11 = {"frozen": 4, "every": 4}, {"frozen": 11, "every": 4}
HALF, TWO_THIRDS = {"small": 0.5}, {"small": 2 / 3}
HALF_LONG = {"small": 0.5, "small_above": 0.75}
SAVINGS = (
    ("", {}),
    ("cache, 4 of 21 frames given", CACHE_4),
    ("cache, 11 of 21 frames given", CACHE_11),
    ("half size down to sigma 0.875", HALF),
    ("two thirds down to sigma 0.875", TWO_THIRDS),
    ("half size down to sigma 0.75", HALF_LONG),
    ("cache, 4 of 21, and half size to 0.875", CACHE_4 | HALF),
    ("cache, 11 of 21, and half size to 0.75", CACHE_11 | HALF_LONG),
)
KINDS = (("30 steps, cfg 3", PLAIN), ("LightX2V, 4 steps, cfg 1", DISTILLED))


def write_plan() -> str:
    """Writes docs/PLAN.md and returns what it wrote."""
    text = "\n".join(page(measured_rows())) + "\n"
    PAGE.write_text(text, encoding="utf-8")
    return text


def measured_rows() -> list[dict]:
    """Rows of the benchmark runs on the CPU that lie in benchmarks/results."""
    return [row for file in MEASURED if file.exists() for row in json.loads(file.read_text("utf-8"))["rows"]]


def page(measured: Sequence[dict]) -> Iterator[str]:
    """The lines of the page. measured: rows of a benchmark run on the CPU."""
    yield "# Operations and memory of a whole run"
    yield ""
    yield (
        "Written by `python dev.py bench --plan`: arithmetic, not a measurement. The closed forms (pusa_core/operations.py) equal what "
        "torch's counter says of the model itself, also of the 14B shape at 480p on the meta device (tests/core/test_operations.py). "
        "An operation is a multiplication or an addition of a matrix product, a convolution or attention. 81 video frames are 21 latent "
        "frames; text encoder and VAE are not counted. **Floor** is the time at 100 TFLOP/s, all of them spent on these products: "
        "divide by what your card reaches. Nothing here says how a result looks; docs/PERFORMANCE.md and docs/RESULTS.md do."
    )
    yield from forward_tables()
    for model in MODELS:
        yield from run_table(model)
    yield from aims()
    yield from measured_table(measured)


def forward_tables() -> Iterator[str]:
    """Weights of each model, and one forward at each size."""
    yield from ("", "## One forward, one prompt", "")
    yield "| model | parameters of an expert | in fp8 | in bf16 | size | tokens | TFLOP | of it self-attention | activations at least, bf16 |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for model in MODELS:
        for name, size in SIZES.items():
            run = Run(model, *size)
            tokens = run.tokens()
            yield (
                f"| {model.name} | {parameters(model) / 1e9:.2f} billion | {weight_bytes(model) / GIB:.1f} GiB | "
                f"{weight_bytes(model, 2) / GIB:.1f} GiB | {name} | {run.frames * tokens:,} | "
                f"{forward_operations(model, run.frames, tokens) / 1e12:.0f} | "
                f"{attention_share(model, run.frames, tokens):.0%} | {activation_bytes(run) / GIB:.1f} GiB |"
            )
    yield ""
    yield (
        "Sizes are rounded to whole tokens, the lower of two as near (TI2V 5B: 1280 x 704). Wan2.2 A14B has two experts; one of them "
        "runs in each step, so a run costs what Wan2.1 14B costs, and a card needs room for one expert at a time, or two to load once."
    )


def run_table(model: Architecture) -> Iterator[str]:
    """All runs of one model."""
    yield from ("", f"## {model.name}, 81 frames", "")
    yield "| run | 480p, PFLOP | floor | share | kept keys, values | 720p, PFLOP | floor | share | kept keys, values |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for kind, settings in KINDS:
        for saving, more in SAVINGS:
            cells = []
            for size in SIZES.values():
                plain = Run(model, *size, **settings)
                run = replace(plain, **more)
                operations, kept = run_operations(run), kept_bytes(run)
                cells += [
                    f"{operations / 1e15:.2f}",
                    f"{operations / FLOOR_RATE:.0f} s",
                    f"{operations / run_operations(plain):.3f}",
                    f"{kept / GIB:.1f} GiB" if kept else "",
                ]
            yield f"| {kind}{', ' if saving else ''}{saving} | {' | '.join(cells)} |"
    if model is WAN_22_A14B:
        yield ""
        yield (
            "Share: of the plain run in the first row of its kind. The cache computes all frames every 4 steps, begins anew with each expert and "
            "each size, and keeps keys and values of the given frames in bf16, for two prompts with cfg 3. Shift 5: sigma is 0.875 or more in "
            f"{count(PLAIN | HALF)} of 30 and {count(DISTILLED | HALF)} of 4 steps, 0.75 or more in {count(PLAIN | HALF_LONG)} and "
            f"{count(DISTILLED | HALF_LONG)}. LightX2V against 30 steps with guidance: "
            f"{share(DISTILLED, PLAIN):.3f}; with half size down to 0.875 {share(DISTILLED | HALF, PLAIN):.3f} at 480p and "
            f"{share(DISTILLED | HALF, PLAIN, '720p'):.3f} at 720p."
        )


def aims() -> Iterator[str]:
    """The shares that issue 17 aims at, and from which sigma they are reached."""
    yield from ("", "## What progressive resolution can spare", "")
    yield (
        "Share of the operations of the same run at full size, by the lowest sigma of a small step; Wan 14B, 81 frames. The boundary of the "
        "experts is 0.875 (T2V). Below it, the low-noise expert would work small too."
    )
    levels = (0.95, 0.9, 0.875, 0.8, 0.75, 0.7, 0.6)
    yield ""
    yield f"| run | share of the sides | {' | '.join(map(str, levels))} |"
    yield f"|---|---|{'---|' * len(levels)}"
    for kind, settings in KINDS:
        for size in SIZES:
            for name, side in (("1/2", 0.5), ("2/3", 2 / 3)):
                cells = [
                    f"{share(settings | {'small': side, 'small_above': level}, settings, size):.3f}"
                    for level in levels
                ]
                yield f"| {kind}, {size} | {name} | {' | '.join(cells)} |"
    four, thirty = (share(settings | HALF, settings, "720p") for settings in (DISTILLED, PLAIN))
    yield ""
    yield (
        f"At 720p with half size down to the boundary, 4 steps need {four:.2f} and 30 steps {thirty:.2f} of their operations. 30 steps come to "
        f"{share(PLAIN | HALF_LONG, PLAIN, '720p'):.2f} only with small steps down to sigma 0.75. What either costs was "
        "measured on the demo model (docs/PERFORMANCE.md, Pusa Progressive): too much to recommend it."
    )


def measured_table(rows: Sequence[dict]) -> Iterator[str]:
    """Ratios of time that the CPU measured, beside the operations of what was measured and of the 14B shape."""
    values = {row["what"]: row["value"] for row in rows}
    yield from ("", "## Beside what was measured", "")
    yield (
        "Time on the CPU (benchmarks/results, small model) and operations of the frozen-frame cache, refresh every 4 steps, and of Pusa "
        "Progressive, half size down to 0.875. The small model spends less on attention than 14B does, so it spares less."
    )
    yield ""
    yield "| what | time, measured | operations, 14B at 480p | operations, 14B at 720p |"
    yield "|---|---|---|---|"
    for frozen in (1, 4, 11):
        found = values.get(f"frozen-frame cache, {frozen} of 21 frames given, refresh every 4")
        shares = [share_of_operations(21, frozen, tokens, 5120, 13824, 4) for tokens in (1560, 3600)]
        yield f"| cache, {frozen} of 21 given | {'not measured' if found is None else f'{found:.3f}'} | {shares[0]:.3f} | {shares[1]:.3f} |"
    for settings in (DISTILLED, PLAIN | {"cfg": 1.0}):
        steps = settings["steps"]
        found = values.get(f"progressive, {count(settings | HALF)} of {steps} steps at half size")
        shares = [share(settings | HALF, settings, size) for size in SIZES]
        yield f"| progressive, {steps} steps | {'not measured' if found is None else f'{found:.3f}'} | {shares[0]:.3f} | {shares[1]:.3f} |"


def share(settings: dict, of: dict, size: str = "480p") -> float:
    """Operations of a run with these settings over those of another; Wan2.2 A14B."""
    runs = [Run(WAN_22_A14B, *SIZES[size], **chosen) for chosen in (settings, of)]
    return run_operations(runs[0]) / run_operations(runs[1])


def count(settings: dict) -> int:
    """Small steps of a run."""
    return small_steps(steps_of(Run(WAN_22_A14B, *SIZES["480p"], **settings)))
