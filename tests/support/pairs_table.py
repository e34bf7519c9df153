"""The table of pairs in docs/COMPOSITION.md, between two markers: a row for everything that is met, a column for each feature."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from support.pairs import Graph, Treatment, features, of_a_model, of_a_run

BEGIN, END = "<!-- pairs: written by tests/in_comfy/test_pairs.py -->", "<!-- end of the pairs -->"
FAILS_ALONE = "ComfyUI fails alone"
"""A partner that this ComfyUI cannot run without the pack either."""
OF_VERSION = "on ComfyUI "


@dataclass(frozen=True)
class Outcome:
    """What a graph gave: right, refused, steps aside or FAILS_ALONE, and the words of all but the first."""

    kind: str
    words: str = ""


def counts(outcomes: Mapping[str, Outcome]) -> str:
    """One line: how many graphs came out how."""
    number = Counter(outcome.kind for outcome in outcomes.values())
    alone = f", {number[FAILS_ALONE]} where ComfyUI fails without the pack too" if number[FAILS_ALONE] else ""
    return (
        f"{len(outcomes)} graphs: {number['right']} equal to the calculation by hand, {number['refused']} refused in a sentence, "
        f"{number['steps aside']} where the cache steps aside with a log line{alone}; none wrong in silence"
    )


def table(graphs: Mapping[str, Graph], outcomes: Mapping[str, Outcome], version: str) -> str:
    """Counts, the table, and all sentences."""
    columns = list(features().values())
    partners = [*columns, *of_a_model(), *of_a_run()]
    lines = [f"{counts(outcomes)} ({OF_VERSION}{version}).", ""]
    lines += [
        "| beside | " + " | ".join(one.name for one in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for partner in partners:
        cells = [_cell(column, partner, graphs, outcomes) for column in columns]
        lines.append(f"| {partner.name} | " + " | ".join(cells) + " |")
    said = Counter((outcome.kind, _brief(outcome.words)) for outcome in outcomes.values() if outcome.words)
    lines += ["", "What is said:", ""]
    lines += [f"- {kind} ({number}): {words}" for (kind, words), number in sorted(said.items())]
    return "\n".join(lines)


def _brief(words: str) -> str:
    """A sentence up to its list of samplers, which differs from ComfyUI to ComfyUI."""
    return words.partition(" These hold them:")[0]


def _cell(
    feature: Treatment, partner: Treatment, graphs: Mapping[str, Graph], outcomes: Mapping[str, Outcome]
) -> str:
    """One word where all orders gave the same, else one for each order, the feature's place being told."""
    found = {}
    for order, graph in graphs.items():
        first, second = (treatment.name for treatment, _ in graph.chain)
        if (first, second) == (feature.name, partner.name) and not graph.chain[1][0].of_a_run:
            found["on each expert" if graph.on_each else "before it"] = outcomes[order].kind
        elif (first, second) == (partner.name, feature.name):
            found["each expert's after it" if graph.on_each else "after it"] = outcomes[order].kind
        elif {first, second} == {feature.name, partner.name}:
            found["with it"] = outcomes[order].kind
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    return ", ".join(f"{place}: {kind}" for place, kind in found.items())


def found_in(text: str) -> str:
    """The table in a page."""
    return text.partition(BEGIN)[2].partition(END)[0].strip()


def written_into(text: str, new: str) -> str:
    """The page with another table."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{new}\n{END}{rest.partition(END)[2]}"


def version_of(text: str) -> str:
    """The ComfyUI that the table in a page is of."""
    return found_in(text).partition(OF_VERSION)[2].partition(")")[0]


def rows(table: str) -> dict[str, str]:
    """Rows of a table by their first cell."""
    lines = [line for line in table.splitlines() if line.startswith("| ") and FAILS_ALONE not in line]
    return {line.split("|")[1].strip(): line for line in lines}
