"""Claims: each feature beside each other one, and beside all it meets, gives what a calculation by hand gives, or refuses in words.

The pairs come from the Features that nodes/host declares, the calculation from support/by_hand.py. docs/COMPOSITION.md has the table of
what came out; PUSA_WRITE_PAIRS=1 writes it anew.
"""

import functools
import logging
import os

import pytest
import torch

from comfyui_pusa.nodes.host import symbols
from comfyui_pusa.nodes.host.features import Feature
from comfyui_pusa.pusa_core.errors import PusaError
from support import pairs, pairs_table
from support.comfy_runs import largest_difference, plain

TOLERANCE = 1e-5
"""Largest difference from the calculation by hand, over the largest value of the latent."""
EFFECT = 3 * TOLERANCE
"""What a feature changes at least, or the pair would be right without it."""
ASIDE = "Pusa Frozen Frame Cache steps aside"

GRAPHS = {graph.order: graph for graph in pairs.graphs()}

outcomes: dict[str, pairs_table.Outcome] = {}
"""What came out, by the order of a graph; filled by test_pair, read by the last test."""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Matrices this small gain nothing from threads, and lose ten times over where the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def workshop(pack, tiny_wan_file, tiny_lora_file):
    import nodes

    @functools.cache
    def load(seed):
        return nodes.UNETLoader().load_unet(tiny_wan_file(seed), "default")[0]

    return pairs.Workshop(pack, load, tiny_lora_file)


@pytest.fixture(scope="module")
def by_hand():
    """by_hand.result, kept: many pairs have one and the same setup without one of the two."""
    from support.by_hand import result

    kept = {}

    def once(setup, latent, sigmas):
        key = (setup, latent["samples"].double().sum().item(), tuple(sigmas.tolist()))
        if key not in kept:
            kept[key] = result(setup, latent, sigmas)
        return kept[key]

    return once


def test_every_kind_of_feature_has_a_place_in_the_pairs():
    kinds = {kind for kind in Feature.kinds if kind.__module__.startswith("comfyui_pusa.nodes.host.")}
    lacking = sorted(kind.__name__ for kind in kinds - pairs.features().keys())
    assert not lacking, (
        f"{', '.join(lacking)} has no treatment in tests/support/pairs.py features(), so nobody knows what it does beside the other "
        "features. Say there how its node puts it on a MODEL, and in tests/support/by_hand.py what it does."
    )


@pytest.fixture(scope="module")
def model_of(workshop):
    """model_of(graph) -> its MODEL; one for all runs that differ in their sampler, guider or latent only."""
    made = {}

    def once(graph):
        if not graph.chain[-1][0].of_a_run:
            return graph.model(workshop)
        name = graph.chain[0][0].name
        if name not in made:
            made[name] = graph.model(workshop)
        return made[name]

    return once


@pytest.fixture(scope="module")
def fails_alone(workshop):
    """fails_alone(graph) -> the error of ComfyUI with what the graph has besides features, and nothing of the pack; None where it runs.

    Dynamic VRAM as the stand-in simulates it cannot be compiled: torch looks for the module of a file that was run by its path.
    """
    known = {}

    def error(graph):
        partner = graph.partner()
        if partner is None:
            return None
        if partner.name not in known:
            alone = pairs.Graph(((partner, 0),))
            try:
                torch._dynamo.reset()
                model, setup = plain(partner.put(workshop, workshop.load(pairs.HIGH), 0)), alone.setup()
                pairs.run(model, setup, alone.latent(), pairs.schedule(model, setup))
                known[partner.name] = None
            except RuntimeError as failure:
                known[partner.name] = str(failure).strip().splitlines()[0]
        return known[partner.name]

    return error


@pytest.mark.parametrize("order", GRAPHS)
def test_pair(order, workshop, model_of, fails_alone, by_hand, caplog):
    torch._dynamo.reset()
    graph = GRAPHS[order]
    setup, latent = graph.setup(), graph.latent()
    try:
        with caplog.at_level(logging.INFO, "ComfyUI-Pusa"):
            model = model_of(graph)
            sigmas = pairs.schedule(model, setup)
            ours = pairs.run(model, setup, latent, sigmas)
    except PusaError as refusal:
        outcomes[order] = pairs_table.Outcome("refused", str(refusal))
        return
    except RuntimeError:
        if (reason := fails_alone(graph)) is None:
            raise
        outcomes[order] = pairs_table.Outcome(pairs_table.FAILS_ALONE, reason)
        return
    if ASIDE in caplog.text:
        outcomes[order] = pairs_table.Outcome(
            "steps aside", caplog.text.partition(f"{ASIDE}: ")[2].partition("\n")[0]
        )
        assert torch.equal(
            ours, pairs.run(graph.without_frozen_cache().model(workshop), setup, latent, sigmas)
        )
        setup = setup.each(frozen=1)
    theirs = by_hand(setup, latent, sigmas)
    scale = theirs.abs().max().item()
    assert largest_difference(ours, theirs) <= TOLERANCE * scale
    if ASIDE not in caplog.text:
        for treatment in graph.seen():
            without = by_hand(graph.setup(treatment), latent, sigmas)
            assert largest_difference(ours, without) > EFFECT * scale, f"{treatment.name} changed nothing"
        outcomes[order] = pairs_table.Outcome("right")


def test_what_came_out_is_what_the_documentation_says(pack_root):
    if outcomes.keys() != GRAPHS.keys():
        return  # only some of the pairs ran, or some failed
    path = pack_root / "docs" / "COMPOSITION.md"
    text = path.read_text(encoding="utf-8")
    table = pairs_table.table(GRAPHS, outcomes, symbols.version())
    print(pairs_table.counts(outcomes))
    if os.environ.get("PUSA_WRITE_PAIRS"):
        path.write_text(pairs_table.written_into(text, table), encoding="utf-8")
    elif symbols.version() == pairs_table.version_of(text):
        assert table == pairs_table.found_in(text), (
            "PUSA_WRITE_PAIRS=1 writes the table anew; read what changed."
        )
    else:  # another ComfyUI has other samplers; what both have comes out the same
        theirs, ours = pairs_table.rows(pairs_table.found_in(text)), pairs_table.rows(table)
        assert {name: row for name, row in ours.items() if name in theirs} == {
            name: row for name, row in theirs.items() if name in ours
        }
