"""Claims: given frames are encoded from their pictures at another size too, and what cannot be is refused."""

import pytest
import torch

from pusa_core.bases import WAN
from pusa_core.conditions import FrameCondition, place
from pusa_core.encoding import SINGLE, picture_conditions
from pusa_core.errors import PusaError
from pusa_core.injections import Injection, given_at

FRAMES = 5
PICTURES = torch.rand(2, 64, 96, 3, generator=torch.Generator().manual_seed(1))


def encode(pictures):
    """A VAE of means: each cell of 8 x 8 pixels of a frame is its mean colour, in 16 channels."""
    cells = torch.nn.functional.avg_pool2d(pictures[:1].movedim(-1, 1), 8)
    return cells.repeat(1, 6, 1, 1)[:, :16, None]


def injected(frames=(0, 4), multipliers=(0.0, 0.3)):
    """(samples, multipliers, injection) of pictures in an empty latent of 96 x 64."""
    injection = Injection.of(
        encode,
        lambda encode: picture_conditions(encode, PICTURES[: len(frames)], frames, multipliers, SINGLE),
    )
    samples, noise_multipliers = place(torch.zeros(1, 16, FRAMES, 8, 12), None, injection.conditions)
    return samples, noise_multipliers, injection


def test_given_frames_are_encoded_from_the_pictures_and_the_rest_is_empty():
    samples, multipliers, injection = injected()
    small = given_at(samples, multipliers, [injection], (4, 6), WAN)
    assert small.shape == (1, 16, FRAMES, 4, 6)
    smaller = torch.nn.functional.interpolate(
        PICTURES.movedim(-1, 1), (32, 48), mode="bicubic", antialias=True
    ).movedim(1, -1)
    torch.testing.assert_close(small[:, :, 0], encode(smaller[:1])[:, :, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(small[:, :, 4], encode(smaller[1:])[:, :, 0], atol=1e-5, rtol=0)
    assert not small[:, :, 1:4].any()


def test_injectors_follow_one_another_in_their_order():
    samples, multipliers, first = injected()
    second = Injection.of(encode, lambda encode: [FrameCondition(encode(PICTURES[1:]), 0, 0.1)])
    samples, multipliers = place(samples, multipliers, second.conditions)
    small = given_at(samples, multipliers, [first, second], (4, 6), WAN)
    only_second = given_at(samples, torch.tensor([0.1, 1, 1, 1, 1]), [second], (4, 6), WAN)
    assert torch.equal(small[:, :, 0], only_second[:, :, 0])
    assert small[:, :, 4].any()


@pytest.mark.parametrize("what", ["another pack's frame", "a changed frame", "a shorter latent"])
def test_a_frame_whose_picture_is_not_known_is_refused_with_the_size_to_use(what):
    samples, multipliers, injection = injected()
    if what == "another pack's frame":
        multipliers = multipliers.clone()
        multipliers[2] = 0.0
    elif what == "a changed frame":
        samples = samples.clone()
        samples[:, :, 4, 0, 0] += 1e-3
    else:
        samples, multipliers = samples[:, :, :4].roll(1, 2), torch.tensor([1, 0.0, 1, 1])
    with pytest.raises(PusaError, match="empty latent of 48 x 32"):
        given_at(samples, multipliers, [injection], (4, 6), WAN)


def test_an_injection_that_was_replaced_altogether_is_not_encoded_again():
    samples, multipliers, first = injected(frames=(0,), multipliers=(0.0,))
    second = Injection.of(encode, lambda encode: [FrameCondition(encode(PICTURES[1:]), 0, 1.0)])
    samples, multipliers = place(samples, multipliers, second.conditions)
    assert not given_at(samples, multipliers, [first, second], (4, 6), WAN).any()
