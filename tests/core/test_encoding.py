"""Claims about encoding pictures alone and in sequence."""

import pytest
import torch

from pusa_core.encoding import LEAD_IN, encode_frames, encode_keyframe
from pusa_core.errors import PusaError


def running_sum(pictures):
    """A causal encoder whose latent frame tells exactly which pictures it has seen: [1, 1, F, 1, 1]."""
    values = pictures[:, 0, 0, 0].double().cumsum(0)
    return values[::4].reshape(1, 1, -1, 1, 1)


def clip(count):
    return (2.0 ** torch.arange(count)).reshape(-1, 1, 1, 1).expand(-1, 2, 2, 3).double()


@pytest.mark.parametrize("positions", [(0,), (3,), (0, 1, 2, 3), (4, 1), (-1, 0)])
def test_only_the_frames_up_to_the_last_one_used_are_encoded_and_the_latents_are_those_of_the_whole(
    positions,
):
    seen = []

    def encode(pictures):
        seen.append(len(pictures))
        return running_sum(pictures)

    whole = running_sum(clip(33))
    latents = encode_frames(encode, clip(33), positions)
    for position, latent in zip(positions, latents, strict=True):
        assert torch.equal(latent[0, 0, 0], whole[0, 0, position])
    assert seen == [4 * max(position % 9 for position in positions) + 1]


def test_a_lead_in_holds_the_first_frame_before_the_clip():
    latents = encode_frames(running_sum, clip(9), (0, 1, 2), lead_in=2)
    # eight held frames of value 1 come first
    assert [float(latent) for latent in latents] == [8 + 1, 8 + 31, 8 + 511]


def test_a_still_in_sequence_is_held_for_as_many_latent_frames_as_lie_before_it():
    still = torch.ones(1, 2, 2, 3)
    seen = {
        position: float(encode_keyframe(running_sum, still, position, "in sequence"))
        for position in (0, 1, 2, 20)
    }
    assert seen == {0: 1, 1: 5, 2: 9, 20: 4 * LEAD_IN + 1}


def test_a_still_alone_is_one_frame_wherever_it_stands():
    assert [float(encode_keyframe(running_sum, torch.ones(1, 2, 2, 3), p, "single")) for p in (0, 5)] == [
        1,
        1,
    ]


def test_an_unknown_manner_and_a_source_outside_the_clip_are_refused():
    with pytest.raises(PusaError, match="single, in sequence"):
        encode_keyframe(running_sum, torch.ones(1, 2, 2, 3), 0, "both")
    with pytest.raises(
        PusaError, match=r"Source position 3 is outside this clip of 3 latent frames .* -3 to 2"
    ):
        encode_frames(running_sum, clip(12), (3,))
