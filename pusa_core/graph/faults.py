"""What is wrong with a graph from its links alone."""

from __future__ import annotations

from dataclasses import dataclass

from ..findings import Finding
from ..node_names import SAMPLER
from .latents import is_sampler, lost_frames, other_latents
from .loops import unrolled_stills, wrong_decodings
from .models import overridden_samplings
from .prompt import Prompt, class_of, connected


@dataclass(frozen=True)
class GraphFaults:
    """Findings that the links around one node show."""

    lost: tuple[Finding, ...] = ()  # given frames whose multipliers some node loses
    other_latents: tuple[Finding, ...] = ()  # Apply on another latent than the sampled one
    overridden: tuple[Finding, ...] = ()  # sampling patches without effect
    loops: tuple[Finding, ...] = ()  # loops of which one part is missing


def read_faults(prompt: Prompt, centre: str, without: bool = False) -> GraphFaults:
    """The faults of the graph connected with `centre`, a doctor.

    without: that the latent which has come to `centre` is known to have no multipliers.
    """
    reached = connected(prompt, centre)
    nodes = {node: prompt[node] for node in prompt if node in reached}
    lost, loops = [*lost_frames(nodes, centre, without)], list[Finding]()
    for node in nodes:
        if is_sampler(nodes, node) or class_of(nodes, node) == SAMPLER:
            lost += lost_frames(nodes, node)
            loops += unrolled_stills(nodes, node)
        loops += wrong_decodings(nodes, node)
    return GraphFaults(
        lost=tuple(dict.fromkeys(lost)),
        other_latents=tuple(dict.fromkeys(other_latents(nodes, centre))),
        overridden=tuple(dict.fromkeys(one for node in nodes for one in overridden_samplings(nodes, node))),
        loops=tuple(dict.fromkeys(loops)),
    )
