import itertools
from dataclasses import replace
from pathlib import Path

import av
import pytest
import torch

from pusa_core.colour import MONGE_KANTOROVICH
from pusa_core.digest import digest
from pusa_core.errors import PusaError
from pusa_core.long_video import (
    PROMPT_START,
    Guidance,
    Window,
    cross_fade,
    duration_in_frames,
    given_multipliers,
    match_seam,
    plan_windows,
    prompt_at,
    prompt_second,
    render_long_video,
    render_window,
    start_frames_used,
)
from pusa_core.video_parts import VideoParts

SIZE = 16
FPS = 16.0
LAST = (40.0, 200.0, 90.0)


class FlatWorld:
    """A model and VAE small enough to follow by hand: pictures are one colour, latents hold it as it is.

    Every free frame is the last given colour plus `step` per latent frame (0.5 where nothing is given).
    """

    def __init__(self, step: float = 0.0, tint: float = 0.0):
        self.step, self.tint = step, tint
        self.seen: list[tuple[int, list[float], torch.Tensor]] = []
        self.shown: list[int] = []
        self.stop_before: int | None = None

    def encode(self, pictures):
        groups = [pictures[:1], *pictures[1:].split(4)]
        colours = torch.stack([group.mean(dim=(0, 1, 2)) for group in groups], 1)
        return colours[None, :, :, None, None].repeat(1, 1, 1, 2, 2)

    def decode(self, latent):
        colours = latent[0, :, :, 0, 0].T + self.tint
        frames = torch.cat([colours[:1], colours[1:].repeat_interleave(4, 0)])
        return frames[:, None, None, :].repeat(1, SIZE, SIZE, 1)

    def empty(self, latent_frames):
        return torch.zeros(1, 3, latent_frames, 2, 2)

    def sample(self, samples, noise_multipliers, window, injection):
        if window.index == self.stop_before:
            raise KeyboardInterrupt
        self.seen.append((window.index, noise_multipliers.tolist(), samples.clone()))
        samples = samples.clone()
        for frame in range(window.latent_frames):
            if noise_multipliers[frame] == 1:
                before = samples[:, :, frame - 1] if frame else torch.full_like(samples[:, :, 0], 0.5)
                samples[:, :, frame] = before + self.step
        return samples

    def show(self, picture, window):
        self.shown.append(window.index)


def colour(*rgb: float, frames: int = 1) -> torch.Tensor:
    """Pictures of one colour, [frames, SIZE, SIZE, 3]."""
    return torch.tensor(rgb).expand(frames, SIZE, SIZE, 3).clone()


def parts_in(folder: Path, name: str = "video") -> VideoParts:
    return VideoParts(folder / f"{name}.parts", folder / f"{name}.mp4", FPS, crf=0)


def decoded(path: Path) -> torch.Tensor:
    """All frames of a file, [N, H, W, 3], 0 to 1."""
    with av.open(str(path)) as container:
        frames = [torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    return torch.stack(frames) / 255


@pytest.mark.parametrize("frames", [1, 5, 80, 81, 82, 85, 149, 150, 160, 161, 421, 1000])
@pytest.mark.parametrize(("window", "overlap"), [(81, 13), (81, 1), (81, 77), (17, 5), (33, 13)])
def test_windows_cover_the_video_once_each_of_full_length(frames, window, overlap):
    plan = plan_windows(frames, window, overlap)
    written = [frame for w in plan for frame in range(w.first_new if w.index else w.start, w.end)]
    assert written == list(range(frames))
    for earlier, later in itertools.pairwise(plan):
        assert later.given >= overlap
        assert later.given % 4 == 1
        assert later.start + later.given == earlier.start + earlier.length
    assert all(w.length == window for w in plan) or len(plan) == 1
    assert plan[-1].start + plan[-1].length - frames in range(4)


def test_a_length_that_fits_has_exactly_the_asked_overlap_and_windows():
    plan = plan_windows(81 + 5 * 68, 81, 13)
    assert [w.start for w in plan] == [0, 68, 136, 204, 272, 340]
    assert [w.given for w in plan] == [0, 13, 13, 13, 13, 13]
    assert [w.given_latents for w in plan] == [0, 4, 4, 4, 4, 4]


def test_no_plan_has_more_windows_than_its_length_needs():
    assert len(plan_windows(149, 81, 13)) == 2
    assert len(plan_windows(150, 81, 13)) == 3


def test_frames_to_spare_are_spread_over_the_overlaps():
    plan = plan_windows(161, 81, 13)
    assert [w.given for w in plan] == [0, 41, 41]


def test_a_video_shorter_than_a_window_is_one_short_run():
    assert plan_windows(50, 81, 13, given=1) == [Window(0, 0, 53, 1, 50)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((100, 80, 13), "window is 80 frames.*use 81"),
        ((100, 81, 12), "overlap is 12 frames.*use 13"),
        ((100, 81, 81), "Use at most 77"),
        ((13, 81, 13, 13), "nothing is left to make"),
    ],
)
def test_a_plan_that_cannot_be_gets_a_sentence(arguments, words):
    with pytest.raises(PusaError, match=words):
        plan_windows(*arguments)


def test_duration_is_seconds_or_whole_frames():
    assert duration_in_frames(5.0, "seconds", 16.0) == 80
    assert duration_in_frames(81.0, "frames", 16.0) == 81
    for bad in ((0.01, "seconds"), (10.5, "frames"), (float("nan"), "seconds"), (1.0, "minutes")):
        with pytest.raises(PusaError):
            duration_in_frames(*bad, 16.0)


def test_of_a_clip_as_many_frames_are_used_as_the_vae_takes_whole():
    assert [start_frames_used(n, 13) for n in (1, 4, 5, 12, 13, 100)] == [1, 1, 5, 9, 13, 13]


def test_multipliers_fit_any_number_of_given_frames():
    assert given_multipliers("0..0.2", 4) == pytest.approx([0, 0.2 / 3, 0.4 / 3, 0.2])
    assert given_multipliers("0.3", 2) == [0.3, 0.3]
    assert given_multipliers("0, 0.1, 0.2", 5) == [0, 0, 0, 0.1, 0.2]
    assert given_multipliers("0, 0.1, 0.2", 1) == [0]
    assert given_multipliers("0..0.2", 1) == [0]


def test_the_prompt_is_the_one_that_holds_in_the_middle_of_the_new_frames():
    first, second = ("a", {}), ("b", {PROMPT_START: 5.0})
    assert prompt_at([first, second], 4.9) == [first]
    assert prompt_at([first, second], 5.0) == [second]
    assert prompt_at([second], 1.0) == [second]
    assert prompt_second(Window(1, 68, 81, 13, 149), 16.0) == (81 + 148) / 2 / 16
    with pytest.raises(PusaError, match="empty"):
        prompt_at([], 0.0)


def test_each_window_begins_with_the_last_frames_of_the_one_before(tmp_path):
    world = FlatWorld(step=0.02)
    plan = plan_windows(17 + 2 * 12, 17, 5)
    render_long_video(plan, world, Guidance("0..0.2"), parts_in(tmp_path))
    assert [index for index, _, _ in world.seen] == world.shown == [0, 1, 2]
    assert world.seen[0][1] == [1, 1, 1, 1, 1]
    for _, multipliers, samples in world.seen[1:]:
        assert multipliers == pytest.approx([0, 0.2, 1, 1, 1])
        assert samples[:, :, 2:].abs().max() == 0
    # window 0 makes 0.52 .. 0.60, its last 5 frames are one of 0.58 and four of 0.60
    assert world.seen[1][2][0, 0, :2, 0, 0].tolist() == pytest.approx([0.58, 0.60])


def test_the_file_has_every_frame_once_at_the_right_place(tmp_path):
    plan = plan_windows(39, 17, 5)
    path = render_long_video(plan, FlatWorld(step=0.01), Guidance("0"), parts_in(tmp_path))
    frames = decoded(path).mean(dim=(1, 2, 3))
    latent = torch.arange(11)
    expected = 0.51 + 0.01 * torch.cat([latent[:1], latent[1:].repeat_interleave(4)])[:39]
    torch.testing.assert_close(frames, expected, atol=0.01, rtol=0)
    assert not list(tmp_path.glob("*.parts"))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = [
            float(packet.pts * stream.time_base)
            for packet in container.demux(stream)
            if packet.pts is not None
        ]
        assert stream.average_rate == 16
    assert times == pytest.approx([i / 16 for i in range(39)])


def test_the_start_picture_is_frame_0_and_the_end_picture_only_the_last_windows(tmp_path):
    world = FlatWorld()
    guidance = Guidance("0..0.2", start=colour(0.1, 0.2, 0.3), end=colour(0.9, 0.8, 0.7), end_multiplier=0.1)
    path = render_long_video(plan_windows(29, 17, 5, given=1), world, guidance, parts_in(tmp_path))
    assert world.seen[0][1] == [0, 1, 1, 1, 1]
    assert world.seen[1][1] == pytest.approx([0, 0.2, 1, 1, 0.1])
    assert world.seen[1][2][0, :, -1, 0, 0].tolist() == pytest.approx([0.9, 0.8, 0.7])
    frames = decoded(path)
    torch.testing.assert_close(frames[0], colour(0.1, 0.2, 0.3)[0], atol=0.02, rtol=0)
    torch.testing.assert_close(frames[-1], colour(0.9, 0.8, 0.7)[0], atol=0.02, rtol=0)


def test_the_anchor_is_seen_by_later_windows_and_never_shown(tmp_path):
    world = FlatWorld()
    guidance = Guidance("0", start=colour(0.2, 0.2, 0.2), anchor=colour(1.0, 0.0, 0.0), anchor_multiplier=0.3)
    path = render_long_video(plan_windows(29, 17, 5, given=1), world, guidance, parts_in(tmp_path))
    assert world.seen[0][1][0] == 0
    assert world.seen[1][1] == pytest.approx([0.3, 0, 1, 1, 1])
    assert world.seen[1][2][0, :, 0, 0, 0].tolist() == [1, 0, 0]
    torch.testing.assert_close(decoded(path), colour(0.2, 0.2, 0.2).expand(29, -1, -1, -1), atol=0.02, rtol=0)


def test_an_anchor_without_room_is_refused(tmp_path):
    guidance = Guidance("0", anchor=colour(1.0, 0.0, 0.0))
    with pytest.raises(PusaError, match="overlap is 1 frame"):
        render_long_video(plan_windows(33, 17, 1), FlatWorld(), guidance, parts_in(tmp_path))


def test_colours_that_shift_in_every_window_stay_with_matching_and_drift_without(tmp_path):
    start = colour(0.3, 0.4, 0.5)
    plan = plan_windows(17 + 5 * 12, 17, 5, given=1)
    ends = {}
    for method in (None, MONGE_KANTOROVICH):
        guidance = Guidance("0", start=start, colour_match=method)
        path = render_long_video(plan, FlatWorld(tint=0.03), guidance, parts_in(tmp_path, str(method)))
        ends[method] = (decoded(path)[-1] - start[0]).abs().mean().item()
    assert ends[None] > 0.15
    assert ends[MONGE_KANTOROVICH] < 0.01


def test_shared_frames_turn_from_the_given_into_the_new_version_without_a_step():
    shown = cross_fade(colour(0.2, 0.2, 0.2, frames=13), colour(0.7, 0.7, 0.7, frames=33))
    levels = shown.mean(dim=(1, 2, 3)).tolist()
    assert levels == pytest.approx([0.2] * 9 + [0.3, 0.4, 0.5, 0.6])
    assert torch.equal(
        cross_fade(colour(0.2, 0.2, 0.2), colour(0.7, 0.7, 0.7, frames=5)), colour(0.2, 0.2, 0.2)
    )


def test_the_seam_match_undoes_what_happened_to_the_given_frames():
    coarse = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(1)) * 0.5 + 0.2
    given = torch.nn.functional.interpolate(coarse, scale_factor=8).movedim(1, -1)
    frames = torch.cat((given, given.flip(0))) * torch.tensor([0.9, 1.0, 1.1]) + 0.02
    matched = match_seam(frames, given, MONGE_KANTOROVICH)
    torch.testing.assert_close(matched[:5], given, atol=5e-3, rtol=0)
    torch.testing.assert_close(matched[5:], given.flip(0), atol=5e-3, rtol=0)


def test_the_seam_match_does_not_take_lost_detail_for_lost_contrast():
    given = torch.rand(5, 32, 32, 3, generator=torch.Generator().manual_seed(1)) * 0.5 + 0.2
    coarse = torch.nn.functional.avg_pool2d(given.movedim(-1, 1), 2)
    blurred = torch.nn.functional.interpolate(coarse, scale_factor=2).movedim(1, -1)
    torch.testing.assert_close(match_seam(blurred, given, MONGE_KANTOROVICH), blurred, atol=2e-4, rtol=0)


@pytest.mark.parametrize("stop_before", [1, 2, 3])
def test_a_run_continued_after_a_stop_gives_the_same_file(tmp_path, stop_before):
    plan = plan_windows(50, 17, 5, given=1)
    guidance = Guidance("0..0.2", start=colour(0.2, 0.5, 0.3), colour_match=MONGE_KANTOROVICH)
    straight = render_long_video(plan, FlatWorld(0.01, 0.01), guidance, parts_in(tmp_path, "straight"))
    world = FlatWorld(0.01, 0.01)
    world.stop_before = stop_before
    with pytest.raises(KeyboardInterrupt):
        render_long_video(plan, world, guidance, parts_in(tmp_path, "stopped"))
    assert not (tmp_path / "stopped.mp4").exists()
    world.stop_before = None
    path = render_long_video(plan, world, guidance, parts_in(tmp_path, "stopped"))
    assert [index for index, _, _ in world.seen] == list(range(len(plan))), "a window was made twice"
    assert path.read_bytes() == straight.read_bytes()


def test_a_stop_between_the_last_window_and_the_join_loses_nothing(tmp_path, monkeypatch):
    plan = plan_windows(29, 17, 5)
    with monkeypatch.context() as patched:
        patched.setattr(VideoParts, "join", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            render_long_video(plan, FlatWorld(), Guidance("0"), parts_in(tmp_path))
    world = FlatWorld()
    assert len(decoded(render_long_video(plan, world, Guidance("0"), parts_in(tmp_path)))) == 29
    assert not world.seen


def test_half_written_files_do_not_count(tmp_path):
    plan = plan_windows(29, 17, 5)
    parts = parts_in(tmp_path)
    parts.folder.mkdir()
    (parts.folder / "part_0000.mp4.unfinished").write_bytes(b"cut off")
    (parts.folder / "state.safetensors.unfinished").write_bytes(b"cut off")
    (parts.folder / ".tmpA1b2C3").write_bytes(b"safetensors' own")
    assert len(decoded(render_long_video(plan, FlatWorld(), Guidance("0"), parts))) == 29
    assert not parts.folder.exists()


def test_a_missing_part_is_named(tmp_path):
    parts = parts_in(tmp_path)
    parts.add(colour(*LAST), colour(*LAST))
    (parts.folder / "part_0000.mp4").unlink()
    with pytest.raises(PusaError, match=r"Part 1 .* gone from video\.parts"):
        parts_in(tmp_path).finished()


def test_a_window_is_an_ordinary_run_that_can_be_made_alone():
    plan = plan_windows(29, 17, 5)
    given = colour(0.1, 0.2, 0.3, frames=5)
    frames = render_window(plan[1], plan, FlatWorld(), Guidance("0"), given)
    torch.testing.assert_close(frames, colour(0.1, 0.2, 0.3).expand(17, -1, -1, -1))


def test_the_digest_tells_values_apart_and_equal_ones_not():
    value = {"a": [1, 2.0, "x", None, True], "b": torch.arange(100.0)}
    assert digest(value) == digest({"b": torch.arange(100.0), "a": [1, 2.0, "x", None, True]})
    changed = torch.arange(100.0)
    changed[50] = -1
    others = [
        value | {"b": changed},
        value | {"a": [1, 2.0, "x", None, False]},
        value | {"b": torch.arange(100.0)[None]},
    ]
    assert len({digest(other) for other in [value, *others]}) == 4
    assert digest(torch.arange(1000.0), sampled=True) != digest(torch.arange(1000.0) + 1, sampled=True)
    half = torch.ones(5, dtype=torch.float8_e4m3fn)
    assert digest(half) != digest(half.to(torch.bfloat16))


def test_windows_can_be_described():
    window = plan_windows(149, 81, 13)[1]
    assert str(window) == "window 2: frames 81 to 148, after 13 given frames"
    assert str(replace(window, given=0)).endswith("with nothing given")
