"""Claims about which frames of a clip become which latent frames."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pusa_core.bases import WAN
from pusa_core.clips import plan_clip, plan_head, plan_tail, transition_conditions
from pusa_core.clips.time_stamps import clip_of_pictures
from pusa_core.encoding import encode_frames
from pusa_core.errors import PusaError

SIXTEEN = Fraction(16)


def numbered(count, start=0):
    """A clip whose pictures carry their own number."""
    pictures = torch.arange(start, start + count).reshape(-1, 1, 1, 1).expand(-1, 2, 2, 3).double()
    return clip_of_pictures(pictures, SIXTEEN)


def last_picture(pictures):
    """A causal encoder whose latent frame holds the number of the last picture of its group: [1, 1, F, 1, 1]."""
    return pictures[::4, 0, 0, 0].reshape(1, 1, -1, 1, 1)


def given_frames(plan, clip):
    """Latent frame of the video -> number of the last picture in it."""
    latents = encode_frames(last_picture, plan.read(clip, SIXTEEN), plan.source_positions, plan.lead_in)
    return {position: int(latent) for position, latent in zip(plan.positions, latents, strict=True)}


def test_extend_gives_the_clips_end_to_the_videos_start():
    assert given_frames(plan_clip("extend", 21), numbered(50)) == {0: 37, 1: 41, 2: 45, 3: 49}


def test_extend_in_the_references_manner_gives_the_clips_start():
    plan = plan_clip("extend", 21, reference_semantics=True)
    assert given_frames(plan, numbered(50)) == {0: 0, 1: 4, 2: 8, 3: 12}


def test_prepend_gives_the_clips_start_to_the_videos_end():
    assert given_frames(plan_clip("prepend", 21), numbered(50)) == {18: 4, 19: 8, 20: 12}


@given(latent_frames=st.integers(3, 60), groups=st.integers(1, 20))
def test_prepended_frames_play_at_the_pixel_frames_they_hold(latent_frames, groups):
    if groups >= latent_frames - 1:
        return
    context = 4 * groups + 1
    # the video's last `context` frames are the clip's first ones, in order
    begin = WAN.video_length(latent_frames) - context
    for position, last in given_frames(plan_head(latent_frames, context), numbered(context)).items():
        assert WAN.first_pixel_frame(position) + 3 == begin + last


def test_prepend_in_the_references_manner_keeps_the_clips_own_end():
    plan = plan_clip("prepend", 9, 9, reference_semantics=True)
    assert given_frames(plan, numbered(33)) == {7: 28, 8: 32}


def test_complete_leaves_each_latent_frame_in_its_place():
    plan = plan_clip("complete", 21, positions="0, 1, -2, -1")
    assert plan.length == 81
    assert given_frames(plan, numbered(90)) == {0: 0, 1: 4, 19: 76, 20: 80}
    assert plan == plan_clip("complete", 21, positions="0, 1, -2, -1", reference_semantics=True)


def test_custom_takes_any_latent_frame_anywhere():
    plan = plan_clip("custom", 9, positions="-1, 0, 4", source_positions="0, -1, 2")
    assert given_frames(plan, numbered(40)) == {8: 0, 0: 36, 4: 8}


def test_custom_reads_no_more_than_it_uses():
    assert plan_clip("custom", 9, positions="5", source_positions="2").length == 9


def test_a_transition_runs_from_the_first_clips_end_to_the_seconds_start():
    conditions = transition_conditions(
        last_picture, lambda pictures: pictures, numbered(40), numbered(60, 1000), 21, 13, "0..0.6", SIXTEEN
    )
    assert {c.position: int(c.latent) for c in conditions} == {
        0: 27, 1: 31, 2: 35, 3: 39, 18: 1004, 19: 1008, 20: 1012
    }  # fmt: skip
    assert [round(c.noise_multiplier, 6) for c in conditions] == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


def test_a_transition_in_the_references_manner_encodes_both_starts_as_one_clip():
    seen = []

    def encode(pictures):
        seen.append(pictures[:, 0, 0, 0].tolist())
        return last_picture(pictures)

    conditions = transition_conditions(
        encode, lambda p: p, numbered(60), numbered(60, 1000), 9, 5, "0.3", SIXTEEN, reference_semantics=True
    )
    assert seen == [[*range(17), *range(1000, 1016)]]
    assert {c.position: int(c.latent) for c in conditions} == {0: 0, 1: 4, 8: 1015}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"task": "outpaint"}, "task is 'outpaint'; use one of extend, prepend, complete, custom"),
        ({"task": "extend", "context_frames": 12}, "context_frames is 12; .* use 9 or 13"),
        ({"task": "extend", "context_frames": 0}, "context_frames is 0; .* use 1 or 5"),
        (
            {"task": "extend", "context_frames": 33},
            "leaves nothing to generate in a video of 33 frames. Use 29 or fewer",
        ),
        ({"task": "prepend", "context_frames": 1}, "context_frames is 1, .* use 5, 9, 13"),
        ({"task": "extend", "positions": "0"}, "positions is '0', but extend finds it by itself"),
        (
            {"task": "complete", "positions": "0", "source_positions": "0"},
            "source_positions is '0', but complete",
        ),
        ({"task": "complete"}, "positions is empty. For complete"),
        ({"task": "custom", "positions": "0"}, "source_positions is empty"),
        ({"task": "complete", "positions": "9"}, "Position 9 is outside this latent of 9 latent frames"),
        (
            {"task": "custom", "positions": "0, 1", "source_positions": "0"},
            "1 source_positions for 2 positions",
        ),
        ({"task": "complete", "positions": "zero"}, "'zero' in positions is not a whole number"),
    ],
)
def test_what_cannot_be_planned_is_said(arguments, sentence):
    with pytest.raises(PusaError, match=sentence):
        plan_clip(latent_frames=9, **arguments)


def test_a_clip_shorter_than_its_context_is_refused_with_both_numbers():
    with pytest.raises(PusaError, match=r"13 frames of images are needed, it has 12"):
        plan_tail(21, 13).read(numbered(12), SIXTEEN)


def test_a_transition_with_no_room_between_its_ends_names_the_length_it_needs():
    with pytest.raises(PusaError, match=r"at both ends, .* a length of 29 or more"):
        transition_conditions(last_picture, lambda p: p, numbered(40), numbered(40), 7, 13, "0", SIXTEEN)
