"""Claims: each feature beside each other one, and beside all it meets, gives what a calculation by hand gives, or refuses in words.

The pairs come from the Features that nodes/host declares (support/pairs.py). docs/COMPOSITION.md has the table; PUSA_WRITE_PAIRS=1 writes it.
"""

import functools
import logging

import pytest
import torch

from comfyui_pusa.nodes.host.features import Feature
from comfyui_pusa.pusa_core.errors import PusaError
from support import by_hand, pairs
from support.comfy_runs import largest_difference

TOLERANCE = 1e-4
"""Largest difference from the calculation by hand, over the largest value of the latent."""

GRAPHS = {graph.order: graph for graph in pairs.graphs()}


@pytest.fixture(scope="module")
def workshop(pack, tiny_wan_file, tiny_lora_file):
    import nodes

    @functools.cache
    def load(seed):
        return nodes.UNETLoader().load_unet(tiny_wan_file(seed), "default")[0]

    return pairs.Workshop(pack, load, tiny_lora_file)


@pytest.fixture(scope="module")
def by_hand_once():
    """by_hand.result, kept: many pairs have one and the same setup without one of the two."""
    kept = {}

    def result(setup, latent, sigmas):
        key = (setup, latent["samples"].double().sum().item(), tuple(sigmas.tolist()))
        if key not in kept:
            kept[key] = by_hand.result(setup, latent, sigmas)
        return kept[key]

    return result


@pytest.mark.parametrize("order", GRAPHS)
def test_pair(order, workshop, by_hand_once, caplog):
    torch._dynamo.reset()
    graph = GRAPHS[order]
    setup, latent = graph.setup(), graph.latent()
    with caplog.at_level(logging.INFO, "ComfyUI-Pusa"):
        try:
            model = graph.model(workshop)
            sigmas = pairs.schedule(model, setup)
            ours = pairs.run(model, setup, latent, sigmas)
        except PusaError as error:
            print("REFUSED", str(error))
            return
    if "Frame Cache steps aside" in caplog.text:
        setup = setup.each(frozen=1)
        print("ASIDE")
    theirs = by_hand_once(setup, latent, sigmas)
    limit = TOLERANCE * theirs.abs().max().item()
    print("DIFF", largest_difference(ours, theirs) / theirs.abs().max().item())
    assert largest_difference(ours, theirs) <= limit
