"""Claims: the richer world holds the old one, stays in the picture, closes on itself and comes from its seed alone."""

import itertools
from dataclasses import replace

import pytest
import torch

from comfyui_pusa.demo import data, world
from comfyui_pusa.demo.nodes.words import VOCABULARY, words


def first_scenes(count, held_out=False):
    return list(itertools.islice(world.scenes(data.TRAINING_SEED, held_out), count))


def moving(count=200, motion=None):
    found = (
        s for s in world.scenes(5, False) if isinstance(s, world.MovingScene) and motion in (None, s.motion)
    )
    return list(itertools.islice(found, count))


def test_a_seed_gives_its_scenes_and_all_motions_occur():
    scenes = first_scenes(600)
    assert scenes == first_scenes(600)
    straight = [scene for scene in scenes if isinstance(scene, data.Scene)]
    assert 0.43 < len(straight) / 600 < 0.57
    assert {scene.motion for scene in scenes if isinstance(scene, world.MovingScene)} == set(world.MOTIONS)


def test_straight_scenes_look_as_they_always_did():
    scene = next(scene for scene in first_scenes(20) if isinstance(scene, data.Scene))
    torch.testing.assert_close(world.render([scene], 9), data.render([scene], 9), atol=0, rtol=0)


def test_no_training_caption_is_held_out():
    assert not {s.caption for s in first_scenes(1500)} & {s.caption for s in first_scenes(300, held_out=True)}


def test_every_word_is_known_and_all_are_used():
    used = {word for scene in first_scenes(800) for word in words(scene.caption)}
    assert used == VOCABULARY
    # a batch of captions is one tensor without padding
    assert {len(words(scene.caption)) for scene in first_scenes(200)} == {12}


def test_shapes_stay_inside_the_picture():
    for scene in moving():
        pose = scene.pose(data.LENGTH)
        for place in (pose.x, pose.y):
            assert scene.radius < place.min()
            assert place.max() < data.SIZE - scene.radius


@pytest.mark.parametrize("motion", world.MOTIONS)
def test_a_turn_ends_where_it_began(motion):
    for scene in moving(20, motion):
        turn = replace(scene, period=24.0, rests=False)
        clip = world.render([turn], 25)[0]
        torch.testing.assert_close(clip[:, -1], clip[:, 0], atol=1e-3, rtol=0)
        assert (clip - clip[:, :1]).abs().max() > 0.1  # and moves in between


@pytest.mark.parametrize(("period", "rests_at"), [(24.0, 24), (12.0, 24), (15.0, 30), (34.0, 34)])
def test_what_rests_stands_still_where_it_began_after_its_last_whole_turn(period, rests_at):
    scene = replace(moving(1)[0], period=period, rests=True)
    assert scene.resting_frame == rests_at
    clip = world.render([scene], 37)[0]
    torch.testing.assert_close(
        clip[:, rests_at:], clip[:, :1].expand_as(clip[:, rests_at:]), atol=1e-3, rtol=0
    )


def test_some_rest_and_periods_are_those_of_the_speed():
    scenes = moving(400)
    assert 0.3 < sum(scene.rests for scene in scenes) / 400 < 0.5
    for scene in scenes:
        least, most = world.PERIODS[scene.speed]
        assert least <= scene.period <= most


def test_turning_clockwise_is_not_counterclockwise():
    by_turn = {scene.turn: scene for scene in moving(50, "circling")}
    clockwise, counter = (by_turn[turn].pose(3) for turn in world.TURNS)

    def side(pose):  # cross product of two steps: which way the path turns, y grows downwards
        (ax, bx), (ay, by) = pose.x.diff().tolist(), pose.y.diff().tolist()
        return ax * by - ay * bx

    assert side(clockwise) > 0 > side(counter)
