import itertools
import os
import shutil
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
    Window,
    duration_in_frames,
    given_multipliers,
    plan_windows,
    prompt_at,
    prompt_second,
    start_frames_used,
)
from pusa_core.project import folder as on_disk
from pusa_core.project.engine import ProjectRun
from pusa_core.project.plan import Defaults, window_multipliers
from pusa_core.project.rendering import Surroundings, make_window
from pusa_core.project.seams import cross_fade, match_sides
from pusa_core.project.straight import (
    Guidance,
    forget_other_finished,
    of_earlier_version,
    straight_folder,
    straight_plan,
)
from support.flat_studio import SIZE, FlatStudio, fill_the_disk

FPS = 16.0


class FlatWorld(FlatStudio):
    """Every free frame is the last given colour plus `step` per latent frame (0.5 where nothing is given)."""

    def __init__(self, step: float = 0.0, tint: float = 0.0, guidance: Guidance | None = None):
        super().__init__(tint=tint)
        self.step, self.guidance = step, guidance
        self.shown: list[int] = []
        self.stop_before: int | None = None

    @property
    def windows_made(self) -> list[int]:
        return [int(name.removeprefix("w")) - 1 for name, _ in self.made]

    def picture(self, name):
        return self.guidance.picture(name)

    def fingerprint(self, window):
        return f"{self.model} {self.step} {self.tint}"

    def file_identity(self, name):
        return digest(self.picture(name))

    def sample(self, samples, noise_multipliers, window, candidate, injection):
        if window.index == self.stop_before:
            raise KeyboardInterrupt
        self.made.append((window.id, candidate))
        self.seen[window.id] = (noise_multipliers.tolist(), samples.clone())
        samples = samples.clone()
        for frame in range(window.frames.latent_frames):
            if noise_multipliers[frame] == 1:
                before = samples[:, :, frame - 1] if frame else torch.full_like(samples[:, :, 0], 0.5)
                samples[:, :, frame] = before + self.step
        return samples

    def tell(self, window, candidate, state, part):
        super().tell(window, candidate, state, part)
        if part is not None:
            self.shown.append(window.index)


def render(
    windows: list[Window],
    world: FlatWorld,
    guidance: Guidance,
    output: Path,
    name: str = "video",
    prompts: list[str] | None = None,
) -> Path:
    """The file of a video made straight through, as Long Video does it."""
    world.guidance = guidance
    named = [(prompt, "") for prompt in prompts or ["a prompt"] * len(windows)]
    plan = straight_plan(windows, guidance, Defaults(seed=5, steps=2, cfg=1.0, fps=FPS), named)
    folder = straight_folder(output, name, digest(name))
    with folder.taken():
        run = ProjectRun(plan, folder, world, opening=guidance.start)
        run.make({})
        path = run.join(None, {}, output / f"{name}.mp4")
        run.write_record({})
    return path


def parts_of(output: Path, name: str = "video") -> Path:
    """The folder of the parts of a video."""
    return straight_folder(output, name, digest(name)).folder


def colour(*rgb: float, frames: int = 1) -> torch.Tensor:
    """Pictures of one colour, [frames, SIZE, SIZE, 3]."""
    return torch.tensor(rgb).expand(frames, SIZE, SIZE, 3).clone()


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
    render(plan, world, Guidance("0..0.2"), tmp_path)
    assert world.windows_made == world.shown == [0, 1, 2]
    assert world.seen["w1"][0] == [1, 1, 1, 1, 1]
    for multipliers, samples in (world.seen["w2"], world.seen["w3"]):
        assert multipliers == pytest.approx([0, 0.2, 1, 1, 1])
        assert samples[:, :, 2:].abs().max() == 0
    # window 0 makes 0.52 .. 0.60, its last 5 frames are one of 0.58 and four of 0.60
    assert world.seen["w2"][1][0, 0, :2, 0, 0].tolist() == pytest.approx([0.58, 0.60])


def test_the_file_has_every_frame_once_at_the_right_place(tmp_path):
    plan = plan_windows(39, 17, 5)
    path = render(plan, FlatWorld(step=0.01), Guidance("0"), tmp_path)
    frames = decoded(path).mean(dim=(1, 2, 3))
    latent = torch.arange(11)
    expected = 0.51 + 0.01 * torch.cat([latent[:1], latent[1:].repeat_interleave(4)])[:39]
    torch.testing.assert_close(frames, expected, atol=0.01, rtol=0)
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
    path = render(plan_windows(29, 17, 5, given=1), world, guidance, tmp_path)
    assert world.seen["w1"][0] == [0, 1, 1, 1, 1]
    assert world.seen["w2"][0] == pytest.approx([0, 0.2, 1, 1, 0.1])
    assert world.seen["w2"][1][0, :, -1, 0, 0].tolist() == pytest.approx([0.9, 0.8, 0.7])
    frames = decoded(path)
    torch.testing.assert_close(frames[0], colour(0.1, 0.2, 0.3)[0], atol=0.02, rtol=0)
    torch.testing.assert_close(frames[-1], colour(0.9, 0.8, 0.7)[0], atol=0.02, rtol=0)


def test_the_anchor_is_seen_by_later_windows_and_never_shown(tmp_path):
    world = FlatWorld()
    guidance = Guidance("0", start=colour(0.2, 0.2, 0.2), anchor=colour(1.0, 0.0, 0.0), anchor_multiplier=0.3)
    path = render(plan_windows(29, 17, 5, given=1), world, guidance, tmp_path)
    assert world.seen["w1"][0][0] == 0
    assert world.seen["w2"][0] == pytest.approx([0.3, 0, 1, 1, 1])
    assert world.seen["w2"][1][0, :, 0, 0, 0].tolist() == [1, 0, 0]
    torch.testing.assert_close(decoded(path), colour(0.2, 0.2, 0.2).expand(29, -1, -1, -1), atol=0.02, rtol=0)


def test_an_anchor_without_room_is_refused(tmp_path):
    guidance = Guidance("0", anchor=colour(1.0, 0.0, 0.0))
    with pytest.raises(PusaError, match="overlap is 1 frame"):
        render(plan_windows(33, 17, 1), FlatWorld(), guidance, tmp_path)


def test_colours_that_shift_in_every_window_stay_with_matching_and_drift_without(tmp_path):
    start = colour(0.3, 0.4, 0.5)
    plan = plan_windows(17 + 5 * 12, 17, 5, given=1)
    ends = {}
    for method in (None, MONGE_KANTOROVICH):
        guidance = Guidance("0", start=start, colour_match=method)
        path = render(plan, FlatWorld(tint=0.03), guidance, tmp_path, str(method))
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
    matched = match_sides(frames, given, None)
    torch.testing.assert_close(matched[:5], given, atol=5e-3, rtol=0)
    torch.testing.assert_close(matched[5:], given.flip(0), atol=5e-3, rtol=0)


def test_the_seam_match_does_not_take_lost_detail_for_lost_contrast():
    given = torch.rand(5, 32, 32, 3, generator=torch.Generator().manual_seed(1)) * 0.5 + 0.2
    coarse = torch.nn.functional.avg_pool2d(given.movedim(-1, 1), 2)
    blurred = torch.nn.functional.interpolate(coarse, scale_factor=2).movedim(1, -1)
    torch.testing.assert_close(match_sides(blurred, given, None), blurred, atol=2e-4, rtol=0)


def test_a_video_that_is_cut_in_the_last_group_keeps_its_end_picture(tmp_path):
    guidance = Guidance("0", end=colour(0.9, 0.8, 0.7))
    world = FlatWorld()
    path = render(plan_windows(27, 17, 5), world, guidance, tmp_path)
    assert world.seen["w2"][0] == [0, 0, 1, 1, 0], "29 frames are made"
    assert len(decoded(path)) == 27


def test_a_part_holds_only_the_frames_that_it_shows(tmp_path):
    path = render(plan_windows(50, 17, 5), FlatWorld(step=0.01), Guidance("0"), tmp_path)
    parts = [decoded(parts_of(tmp_path) / f"w{number}.0.mp4") for number in (1, 2, 3, 4)]
    assert sum(len(part) for part in parts) == 50
    assert torch.equal(torch.cat(parts), decoded(path))


@pytest.mark.parametrize("stop_before", [1, 2, 3])
def test_a_run_continued_after_a_stop_gives_the_same_file(tmp_path, stop_before):
    plan = plan_windows(50, 17, 5, given=1)
    guidance = Guidance("0..0.2", start=colour(0.2, 0.5, 0.3), colour_match=MONGE_KANTOROVICH)
    straight = render(plan, FlatWorld(0.01, 0.01), guidance, tmp_path, "straight")
    world = FlatWorld(0.01, 0.01)
    world.stop_before = stop_before
    with pytest.raises(KeyboardInterrupt):
        render(plan, world, guidance, tmp_path, "stopped")
    assert not (tmp_path / "stopped.mp4").exists()
    world.stop_before = None
    path = render(plan, world, guidance, tmp_path, "stopped")
    assert world.windows_made == list(range(len(plan))), "a window was made twice"
    assert path.read_bytes() == straight.read_bytes()


def test_frames_for_the_next_window_are_kept_to_the_last_bit(tmp_path):
    guidance = Guidance("0", start=torch.rand(1, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(1)))
    plan = plan_windows(29, 17, 5, given=1)
    render(plan, FlatWorld(step=1 / 3), guidance, tmp_path)
    first = make_window(
        straight_plan(plan, guidance, Defaults(fps=FPS), [("", "")] * 2),
        straight_plan(plan, guidance, Defaults(fps=FPS), [("", "")] * 2).windows[0],
        0,
        Surroundings(opening=guidance.start),
        FlatWorld(step=1 / 3),
    )
    part = straight_folder(tmp_path, "video", digest("video")).part("w1", 0)
    assert torch.equal(part.tail(5), first.frames[-5:])


def test_a_stop_between_the_last_window_and_the_join_loses_nothing(tmp_path, monkeypatch):
    plan = plan_windows(29, 17, 5)
    with monkeypatch.context() as patched:
        patched.setattr(ProjectRun, "join", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            render(plan, FlatWorld(), Guidance("0"), tmp_path)
    world = FlatWorld()
    assert len(decoded(render(plan, world, Guidance("0"), tmp_path))) == 29
    assert not world.made


@pytest.mark.parametrize("settled", [0, 1, 2, 3, 4, 5])
def test_a_kill_while_a_part_is_written_leads_to_the_same_files(tmp_path, monkeypatch, settled):
    plan, guidance = plan_windows(29, 17, 5), Guidance("0..0.2", colour_match=MONGE_KANTOROVICH)
    render(plan, FlatWorld(0.01, 0.01), guidance, tmp_path / "straight")
    original, seen = on_disk._settle, []

    def stop(path):
        seen.append(path)
        if len(seen) > settled:
            os._exit(9)
        original(path)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(on_disk, "_settle", stop)
        render(plan, FlatWorld(0.01, 0.01), guidance, tmp_path / "killed")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    render(plan, FlatWorld(0.01, 0.01), guidance, tmp_path / "killed")
    expected, found = (
        {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()}
        for name in ("straight", "killed")
    )
    assert found == expected


def test_half_written_files_do_not_count(tmp_path):
    parts = parts_of(tmp_path)
    parts.mkdir()
    for name in ("w1.0.mp4.unfinished", "w1.0.safetensors.unfinished", ".tmpA1b2C3"):
        (parts / name).write_bytes(b"cut off")
    assert len(decoded(render(plan_windows(29, 17, 5), FlatWorld(), Guidance("0"), tmp_path))) == 29
    assert not list(parts.glob("*.unfinished"))
    assert not list(parts.glob(".tmp*"))


@pytest.mark.parametrize(("lost", "made"), [("w1.0.mp4", [0]), ("w2.0.safetensors", [1])])
def test_a_missing_or_damaged_part_is_made_again_and_nothing_else(tmp_path, lost, made):
    plan, guidance = plan_windows(41, 17, 5), Guidance("0..0.2", colour_match=MONGE_KANTOROVICH)
    before = render(plan, FlatWorld(0.01, 0.01), guidance, tmp_path).read_bytes()
    for harm in (Path.unlink, lambda path: path.write_bytes(b"damaged")):
        harm(parts_of(tmp_path) / lost)
        world = FlatWorld(0.01, 0.01)
        assert render(plan, world, guidance, tmp_path).read_bytes() == before
        assert world.windows_made == made


def test_a_full_disk_is_said_and_what_is_finished_stays(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        fill_the_disk(patched)
        with pytest.raises(PusaError, match="The disk is full"):
            render(plan_windows(29, 17, 5), FlatWorld(), Guidance("0"), tmp_path)
    world = FlatWorld()
    render(plan_windows(29, 17, 5), world, Guidance("0"), tmp_path)
    assert world.windows_made == [1]


@pytest.mark.parametrize(
    ("prompts", "guidance", "made"),
    [
        (["a", "a", "b", "b"], Guidance("0..0.2"), []),
        (["a", "a", "b", "other"], Guidance("0..0.2"), [3]),
        # this model heeds no prompt, so what the next window takes over is the same to the last bit
        (["a", "other", "b", "b"], Guidance("0..0.2"), [1]),
        (["a", "a", "b", "b"], Guidance("0..0.2", end=colour(0.9, 0.8, 0.7)), [3]),
        (["a", "a", "b", "b"], Guidance("0..0.2", colour_match=MONGE_KANTOROVICH), [0, 1, 2, 3]),
        (["a", "a", "b", "b"], Guidance("0.1"), [0, 1, 2, 3]),
    ],
)
def test_only_what_a_change_touches_is_made_again(tmp_path, prompts, guidance, made):
    plan = plan_windows(17 + 3 * 12, 17, 5)
    render(plan, FlatWorld(0.01), Guidance("0..0.2"), tmp_path, prompts=["a", "a", "b", "b"])
    world = FlatWorld(0.01)
    render(plan, world, guidance, tmp_path, prompts=prompts)
    assert world.windows_made == made
    assert world.shown == [0, 1, 2, 3]


def test_a_longer_video_keeps_the_windows_that_lie_where_they_were(tmp_path):
    render(plan_windows(17 + 2 * 12, 17, 5), FlatWorld(0.01), Guidance("0"), tmp_path)
    world = FlatWorld(0.01)
    path = render(plan_windows(17 + 4 * 12, 17, 5), world, Guidance("0"), tmp_path)
    assert world.windows_made == [2, 3, 4], "the last one handed nothing on"
    assert len(decoded(path)) == 17 + 4 * 12


def test_of_finished_videos_of_one_name_only_the_newest_keeps_its_parts(tmp_path):
    plan = plan_windows(29, 17, 5)
    world = FlatWorld()
    names = {}
    for name, finished in (("a", True), ("b", False), ("c", True)):
        folder = straight_folder(tmp_path, "video", digest(name))
        named = straight_plan(plan, Guidance("0"), Defaults(fps=FPS), [("", "")] * 2)
        with folder.taken():
            run = ProjectRun(named, folder, world)
            run.make({})
            if finished:
                run.join(None, {}, tmp_path / f"{name}.mp4")
                run.write_record({})
        names[name] = folder.folder
    render(plan, FlatWorld(), Guidance("0"), tmp_path, "another")
    (tmp_path / "kept").mkdir()
    forget_other_finished(straight_folder(tmp_path, "video", digest("c")))
    assert [name for name, folder in names.items() if folder.exists()] == ["b", "c"]
    assert parts_of(tmp_path, "another").exists()


def test_parts_of_a_video_that_another_run_works_on_stay(tmp_path):
    render(plan_windows(29, 17, 5), FlatWorld(), Guidance("0"), tmp_path)
    with straight_folder(tmp_path, "video", digest("video")).taken():
        forget_other_finished(straight_folder(tmp_path, "video", digest("other")))
    assert (parts_of(tmp_path) / "w1.0.mp4").exists()


def test_parts_of_the_earlier_version_are_named_and_left_alone(tmp_path):
    old = tmp_path / f"video.{digest('old')}.parts"
    old.mkdir()
    (old / "part_0000.mp4").write_bytes(b"older")
    folder = straight_folder(tmp_path, "video", digest("video"))
    assert of_earlier_version(folder) == [old.name]
    forget_other_finished(folder)
    assert (old / "part_0000.mp4").read_bytes() == b"older"


def test_a_folder_with_parts_of_the_earlier_version_gives_no_frames(tmp_path):
    straight = render(plan_windows(29, 17, 5), FlatWorld(0.01), Guidance("0"), tmp_path / "straight")
    parts = parts_of(tmp_path)
    parts.mkdir(parents=True)
    shutil.copy(straight, parts / "part_0000.mp4")
    (parts / "state.safetensors").write_bytes(b"whatever it was")
    world = FlatWorld(0.01)
    assert (
        render(plan_windows(29, 17, 5), world, Guidance("0"), tmp_path).read_bytes() == straight.read_bytes()
    )
    assert world.windows_made == [0, 1]


def test_a_video_can_be_moved_and_goes_on_there(tmp_path):
    render(plan_windows(29, 17, 5), FlatWorld(), Guidance("0"), tmp_path)
    shutil.move(parts_of(tmp_path), tmp_path / "elsewhere" / parts_of(tmp_path).name)
    world = FlatWorld()
    render(plan_windows(29, 17, 5), world, Guidance("0"), tmp_path / "elsewhere")
    assert not world.made


def test_two_runs_of_one_video_at_once_are_refused(tmp_path):
    refused = pytest.raises(PusaError, match="Another run is working on the project video")
    with straight_folder(tmp_path, "video", digest("video")).taken(), refused:
        render(plan_windows(29, 17, 5), FlatWorld(), Guidance("0"), tmp_path)


def test_a_window_is_an_ordinary_run_that_can_be_made_alone():
    plan = straight_plan(plan_windows(29, 17, 5), Guidance("0"), Defaults(fps=FPS), [("", "")] * 2)
    given = colour(0.1, 0.2, 0.3, frames=5)
    made = make_window(plan, plan.windows[1], 0, Surroundings(given), FlatWorld())
    torch.testing.assert_close(made.frames, colour(0.1, 0.2, 0.3).expand(17, -1, -1, -1))


def test_the_multipliers_that_are_told_are_those_that_are_sampled(tmp_path):
    pictures = {"start": colour(0.1, 0.2, 0.3), "end": colour(0.9, 0.8, 0.7), "anchor": colour(0.5, 0.5, 0.5)}
    guidance = Guidance("0.1..0.2", end_multiplier=0.3, anchor_multiplier=0.4, **pictures)
    windows, world = plan_windows(41, 17, 5, given=1), FlatWorld()
    render(windows, world, guidance, tmp_path)
    told = window_multipliers(straight_plan(windows, guidance, Defaults(fps=FPS), [("", "")] * 3))
    assert told == [pytest.approx(world.seen[f"w{number}"][0]) for number in (1, 2, 3)]


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
