"""Which share of a video's tokens this process computes, where a pack splits them over several GPUs by xDiT.

The convention (read in raylight's Wan forward): tokens and rotations are filled up with zeros to a multiple of the number of GPUs, the GPU of
rank r computes the r-th of equal pieces, and attention and the end of the model gather them. The modulation stays whole.
"""

from __future__ import annotations

import sys

XDIT = "xfuser.core.distributed"
"""xDiT's module that knows rank and number of GPUs. Looked at where a pack has loaded it, and never imported."""


def first_token_of_share(tokens: int, all_tokens: int) -> int | None:
    """Which of all tokens of a video is the first of the `tokens` given here; None where they are no share by this convention."""
    groups = sys.modules.get(XDIT)
    if groups is None:
        return None
    world = groups.get_sequence_parallel_world_size()
    if tokens != -(-all_tokens // world):
        return None
    return groups.get_sequence_parallel_rank() * tokens
