import json
import shutil
import time

import av
import comfy.model_management
import comfy.sd
import folder_paths
import pytest
import torch
from comfy_api.latest import io

from pusa_core.errors import PusaError
from support import tiny_wan

SETTINGS = {
    "width": 32,
    "height": 32,
    "duration": 25.0,
    "duration_unit": "frames",
    "window": 17,
    "overlap": 5,
    "noise_multipliers": "0..0.2",
    "seed": 3,
    "steps": 2,
    "cfg": 1.0,
    "shift": 5.0,
    "sampler_name": "euler",
    "color_match": "monge-kantorovich",
    "resize": "crop",
    "fps": 16.0,
    "crf": 0,
    "filename_prefix": "long",
}


@pytest.fixture
def output(tmp_path, monkeypatch):
    """ComfyUI's output folder, empty."""
    folder_paths.set_output_directory(str(tmp_path))
    yield tmp_path
    folder_paths.set_output_directory(str(folder_paths.base_path + "/output"))


@pytest.fixture
def make(pack, load_tiny_wan, load_tiny_vae, output):
    """make(**settings) -> NodeOutput of PusaLongVideo with the tiny model, 25 frames in two windows."""
    model, vae = load_tiny_wan(), load_tiny_vae()

    def run(**settings) -> io.NodeOutput:
        texts = {"positive": [[tiny_wan.context(1), {}]], "negative": [[tiny_wan.context(2), {}]]}
        return pack["PusaLongVideo"].execute(**{"model": model, "vae": vae} | texts | SETTINGS | settings)

    return run


def frames_of(path) -> torch.Tensor:
    with av.open(str(path)) as container:
        return torch.stack(
            [torch.from_numpy(f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
        )


def videos(output) -> list:
    """The finished files, in their order."""
    return sorted(output.glob("*.mp4"))


def parts(output) -> list:
    """The folders of parts."""
    return sorted(output.glob("*.parts"))


@pytest.fixture
def sampled(monkeypatch, pack) -> list:
    """What is sampled from now on: the requests, in their order."""
    import comfyui_pusa.nodes.host.long_video as node

    seen, original = [], node.sample_video
    monkeypatch.setattr(
        node, "sample_video", lambda request, *more: seen.append(request) or original(request, *more)
    )
    return seen


def picture(seed: int) -> torch.Tensor:
    return torch.rand(1, 32, 32, 3, generator=torch.Generator().manual_seed(seed))


def test_the_video_has_the_asked_length_and_rate_and_a_line_per_window(make, output):
    result = make()
    video, report = result.result
    assert video.get_dimensions() == (32, 32)
    assert len(video.get_components().images) == 25
    assert video.get_components().frame_rate == 16
    assert report.splitlines() == [
        "window 1: frames 0 to 16, with nothing given, seed 3",
        "window 2: frames 17 to 24, after 9 given frames, seed 4",
    ]
    assert [path.name for path in videos(output)] == ["long_00001_.mp4"]
    assert result.ui["images"][0]["filename"] == "long_00001_.mp4"
    assert result.ui["text"][0].splitlines()[0] == "Window 1: no given frames: plain text-to-video."


def test_a_second_run_gives_the_same_file_under_the_next_number_and_samples_nothing(make, output, sampled):
    make()
    sampled.clear()
    report = make().result[1]
    first, second = videos(output)
    assert second.name == "long_00002_.mp4"
    assert first.read_bytes() == second.read_bytes()
    assert sampled == []
    assert [line.endswith(", kept") for line in report.splitlines()] == [True, True]


def test_a_long_video_is_a_project_with_a_record(make, output):
    make()
    (folder,) = parts(output)
    record = json.loads((folder / "project.json").read_text("utf-8"))
    assert (record["video"], record["frames"], record["fps"]) == ("long_00001_.mp4", 25, 16)
    assert [(one["id"], one["state"], one["candidates"][0]["seed"]) for one in record["windows"]] == [
        ("w1", "finished", 3),
        ("w2", "finished", 4),
    ]
    assert record["project"]["seed"] == 3
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [f"w{n}.0.{kind}" for n in (1, 2) for kind in ("mp4", "png", "safetensors")]
        + ["project.json", "project.lock"]
    )


def test_only_what_a_changed_prompt_touches_is_sampled_again(make, output, sampled, pack):
    prompt = pack["PusaPromptTime"].execute

    def timed(*starts):
        found = None
        for seed, start in starts:
            found = prompt([[tiny_wan.context(seed), {}]], start, earlier=found).result[0]
        return found

    make(duration=37.0, positive=timed((1, 0.0), (9, 1.0), (5, 1.9)))
    sampled.clear()
    report = make(duration=37.0, positive=timed((1, 0.0), (9, 1.0), (6, 1.9))).result[1]
    assert [request.seed for request in sampled] == [5]
    assert [line.endswith(", kept") for line in report.splitlines()] == [True, True, False]
    sampled.clear()
    make(duration=37.0, positive=timed((1, 0.0), (9, 0.9), (6, 1.9)))
    assert sampled == [], "the same prompt for every window, though it begins earlier"
    make(duration=37.0, positive=timed((1, 0.0), (9, 0.9), (6, 1.9)), end=picture(3))
    assert [request.seed for request in sampled] == [5]


def test_two_runs_of_one_video_at_once_are_refused(make, output):
    from pusa_core.project.folder import ProjectFolder

    make()
    with ProjectFolder(parts(output)[0]).taken(), pytest.raises(PusaError, match="Another run is working"):
        make()
    make(seed=4)


def test_parts_of_an_earlier_version_are_said_and_stay(make, output):
    old = output / "long.0123456789abcdef.parts"
    old.mkdir()
    (old / "part_0000.mp4").write_bytes(b"older")
    report = make().result[1]
    assert report.splitlines()[2] == (
        "long.0123456789abcdef.parts was left by an earlier version of ComfyUI-Pusa, whose parts are not continued. Delete it."
    )
    assert (old / "part_0000.mp4").read_bytes() == b"older"


def test_a_number_that_was_taken_meanwhile_is_not_written_over(make, output, monkeypatch, pack):
    import comfyui_pusa.nodes.host.long_video as node

    original = node.sample_video

    def meanwhile(*given):
        (output / "long_00001_.mp4").write_bytes(b"saved by another node")
        return original(*given)

    monkeypatch.setattr(node, "sample_video", meanwhile)
    make()
    assert [path.name for path in videos(output)] == ["long_00001_.mp4", "long_00002_.mp4"]
    assert (output / "long_00001_.mp4").read_bytes() == b"saved by another node"


def test_a_prefix_that_ends_in_a_slash_writes_over_nothing(make, output):
    make(filename_prefix="films/")
    first = (output / "films_00001_.mp4").read_bytes()
    make(filename_prefix="films/", seed=4)
    assert [path.name for path in videos(output)] == ["films_00001_.mp4", "films_00002_.mp4"]
    assert (output / "films_00001_.mp4").read_bytes() == first


def test_a_folder_named_after_the_time_is_that_of_the_finished_video(make, output, monkeypatch, pack):
    import comfyui_pusa.nodes.host.long_video as node

    def later(request, *more):
        monkeypatch.setattr(folder_paths.time, "localtime", lambda: original_time(0))
        return original(request, *more)

    original, original_time = node.sample_video, folder_paths.time.gmtime
    monkeypatch.setattr(node, "sample_video", later)
    shown = make(filename_prefix="%year%/long").ui["images"][0]
    assert shown["subfolder"] == "1970"
    assert (output / "1970" / shown["filename"]).is_file()


def test_the_first_window_is_what_the_parts_of_the_graph_make(make, pack, load_tiny_wan, load_tiny_vae):
    """The plain graph: injector, sampler, VAE Decode."""
    vae = load_tiny_vae()
    empty = {"samples": torch.zeros(1, 16, 5, 4, 4)}
    latent = pack["PusaConditionFrames"].execute(vae, empty, picture(5), "0", "0").result[0]
    text = [[tiny_wan.context(1), {}]]
    latent = pack["PusaSampler"].execute(
        load_tiny_wan(), text, text, latent, 3, steps=2, cfg=1.0
    ).result[0]  # fmt: skip
    expected = (vae.decode(latent["samples"])[0] * 255).round()
    video = make(start=picture(5), duration=17.0, color_match="off").result[0]
    seen = video.get_components().images * 255
    # the file is lossless but for the step to YUV 4:2:0, which averages the colours of neighbouring pixels
    luma = torch.tensor([0.299, 0.587, 0.114])
    assert ((seen - expected) @ luma).abs().mean() < 2.5


def test_given_frames_of_the_second_window_are_the_tail_of_the_first(make, sampled):
    make(duration=29.0)
    first, second = (request.latent for request in sampled)
    assert first["noise_multipliers"].tolist() == [1, 1, 1, 1, 1]
    assert second["noise_multipliers"].tolist() == pytest.approx([0, 0.2, 1, 1, 1])
    assert second["samples"][:, :, :2].abs().min() > 0
    assert second["samples"][:, :, 2:].abs().max() == 0


def test_prompts_over_time_reach_their_windows(make, pack, sampled):
    prompt = pack["PusaPromptTime"]
    first = prompt.execute([[tiny_wan.context(1), {}]], 0.0).result[0]
    both = prompt.execute([[tiny_wan.context(9), {}]], 1.0, earlier=first).result[0]
    report = make(positive=both).result[1]
    assert [float(request.positive[0][0].sum()) for request in sampled] == [
        float(tiny_wan.context(seed).sum()) for seed in (1, 9)
    ]
    assert report.splitlines()[1].endswith("prompt from 1 s")


def stop_at_step(monkeypatch, step: int) -> None:
    """Interrupt the run as the user's Cancel does, at the given step counted over all windows."""

    class Cancelled(comfy.utils.ProgressBar):
        def update_absolute(self, value, total=None, preview=None):
            if value == step:
                comfy.model_management.interrupt_current_processing()
            super().update_absolute(value, total, preview)

    monkeypatch.setattr(comfy.utils, "ProgressBar", Cancelled)


def test_a_run_that_is_cancelled_before_midnight_goes_on_the_day_after(make, output, monkeypatch, sampled):
    day = [0.0]
    monkeypatch.setattr(folder_paths.time, "localtime", lambda *given: time.gmtime(day[0]))
    dated = {"filename_prefix": "%year%-%month%-%day%/long [1]", "duration": 37.0}
    with monkeypatch.context() as patched:
        stop_at_step(patched, 3)
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            make(**dated)
    assert [path.parent.name for path in output.glob("*/*.parts")] == ["1970-01-01"]
    sampled.clear()
    day[0] = 86400.0
    report = make(**dated).result[1]
    assert report.count("kept") == 1
    assert len(sampled) == 2
    assert [path.parent.name for path in output.glob("*/*.mp4")] == ["1970-01-02"]
    assert make(**dated, seed=4).result[1].count("kept") == 0, "another video begins anew"


def test_a_cancelled_run_goes_on_to_the_same_file(make, output, monkeypatch, load_tiny_wan, load_tiny_vae):
    make(duration=37.0, start=picture(1))
    (straight,) = videos(output)
    expected = straight.read_bytes()
    straight.unlink()
    shutil.rmtree(parts(output)[0])
    with monkeypatch.context() as patched:
        stop_at_step(patched, 3)
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            make(duration=37.0, start=picture(1))
    (folder,) = output.iterdir()
    assert sorted(path.name for path in folder.glob("w*")) == ["w1.0.mp4", "w1.0.png", "w1.0.safetensors"]
    # freshly loaded, as after a restart of ComfyUI
    report = make(duration=37.0, start=picture(1), model=load_tiny_wan(), vae=load_tiny_vae()).result[1]
    (resumed,) = videos(output)
    assert resumed.read_bytes() == expected
    assert [line.endswith(", kept") for line in report.splitlines()] == [True, False, False]


@pytest.mark.parametrize("change", [{"seed": 4}, {"cfg": 1.5}, {"start": 2}, {"model": 11}, {"lora": 101}])
def test_another_setting_or_model_does_not_continue_a_cancelled_run(
    make, output, monkeypatch, load_tiny_wan, tiny_lora_file, pack, change
):
    with monkeypatch.context() as patched:
        stop_at_step(patched, 3)
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            make(start=picture(1))
    if "start" in change:
        change = {"start": picture(change["start"])}
    if "model" in change:
        change = {"model": load_tiny_wan(change["model"])}
    if "lora" in change:
        change = {
            "model": pack["PusaLoraLoader"].execute(load_tiny_wan(), tiny_lora_file(), 1.4, "auto").result[0]
        }
    (cancelled,) = parts(output)
    before = {path.name: path.read_bytes() for path in cancelled.iterdir()}
    report = make(**{"start": picture(1)} | change).result[1]
    assert "kept" not in report
    assert {path.name: path.read_bytes() for path in cancelled.iterdir()} == before, (
        "the cancelled run was used up"
    )
    assert make(start=picture(1)).result[1].splitlines()[0].endswith(", kept")
    assert parts(output) == [cancelled], "of finished videos the newest keeps its parts"


def test_resume_off_begins_anew(make, output, monkeypatch, sampled):
    with monkeypatch.context() as patched:
        stop_at_step(patched, 3)
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            make()
    sampled.clear()
    make(resume=False)
    assert len(sampled) == 2
    assert [path.name for path in videos(output)] == ["long_00001_.mp4"]


def test_a_model_is_recognised_after_its_lora_was_merged(pack, load_tiny_wan, tiny_lora_file):
    from comfyui_pusa.nodes.host.identity import model_identity

    model = pack["PusaLoraLoader"].execute(load_tiny_wan(), tiny_lora_file(), 1.4, "auto").result[0]
    before = model_identity(model)
    comfy.model_management.load_models_gpu([model])
    assert model_identity(model) == before
    again = pack["PusaLoraLoader"].execute(load_tiny_wan(), tiny_lora_file(), 1.4, "auto").result[0]
    assert model_identity(again) == before
    weaker = pack["PusaLoraLoader"].execute(load_tiny_wan(), tiny_lora_file(), 1.0, "auto").result[0]
    assert len({before, model_identity(weaker), model_identity(load_tiny_wan())}) == 3


def test_both_experts_count_for_the_identity(pack, load_tiny_wan):
    from comfyui_pusa.nodes.host.identity import model_identity

    switch = pack["PusaMoESwitch"].execute
    names = {
        model_identity(switch(load_tiny_wan(10), load_tiny_wan(low), boundary).result[0])
        for low, boundary in [(11, 0.875), (10, 0.875), (11, 0.9), (11, 0.875)]
    }
    assert len(names) == 3


def test_a_window_runs_small_first_with_the_frames_it_takes_over_at_that_size(
    make, pack, load_tiny_wan, sampled
):
    from comfyui_pusa.pusa_core.injections import INJECTIONS

    make(model=pack["PusaProgressive"].execute(load_tiny_wan(), "1/2", 0.5)[0], steps=4, start=picture(1))
    (injection,) = sampled[1].latent[INJECTIONS]
    small = injection.at(16, 16)
    assert [one.position for one in small] == [one.position for one in injection.conditions]
    assert {tuple(one.latent.shape) for one in small} == {(1, 16, 1, 2, 2)}


def test_two_experts_make_a_long_video(make, pack, load_tiny_wan):
    model = pack["PusaMoESwitch"].execute(load_tiny_wan(10), load_tiny_wan(11)).result[0]
    assert len(make(model=model, start=picture(1), steps=4).result[0].get_components().images) == 25


def test_progress_counts_the_steps_of_all_windows(make, monkeypatch):
    seen = []

    class Watched(comfy.utils.ProgressBar):
        def update_absolute(self, value, total=None, preview=None):
            seen.append((value, self.total, preview is not None))

    monkeypatch.setattr(comfy.utils, "ProgressBar", Watched)
    make()
    bar = [value for value, total, _ in seen if total == 4]
    assert bar == [1, 2, 2, 3, 4, 4]
    assert sum(shown for _, total, shown in seen if total == 4) == 2, "each finished window shows a picture"


def test_the_workflow_is_stored_in_the_file(make, output, pack, monkeypatch):
    import comfyui_pusa.nodes.long_video as node

    monkeypatch.setattr(
        node, "video_metadata", lambda hidden: {"prompt": {"1": {"class_type": "PusaLongVideo"}}}
    )
    make()
    with av.open(str(output / "long_00001_.mp4")) as container:
        assert json.loads(container.metadata["prompt"])["1"]["class_type"] == "PusaLongVideo"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"window": 16}, "window is 16 frames.*use 17"),
        ({"overlap": 17}, "Use at most 13"),
        ({"duration": 0.5}, "duration is 0.5 frames"),
        ({"width": 40}, "40 x 32; Wan needs multiples of 16"),
        ({"noise_multipliers": "0.2, lots"}, "'lots' in noise_multipliers"),
        ({"noise_multipliers": "0..2"}, "noise_multiplier is 2.0"),
        ({"color_match": "histogram"}, "color_match is 'histogram'"),
        ({"sampler_name": "ddpm"}, "sampler_name is 'ddpm'"),
        ({"end": torch.zeros(2, 32, 32, 3)}, "end got 2 pictures"),
        ({"vae": None}, "No VAE came in"),
        ({"positive": []}, "conditioning is empty"),
    ],
)
def test_bad_input_gets_its_sentence_before_anything_runs(make, output, monkeypatch, change, words):
    import comfyui_pusa.nodes.host.long_video as node

    monkeypatch.setattr(node, "sample_video", lambda *args: pytest.fail("sampling began"))
    with pytest.raises(PusaError, match=words):
        make(**change)
    assert not list(output.iterdir())


def test_a_prefix_outside_the_output_folder_is_refused(make):
    with pytest.raises(Exception, match="outside the output folder"):
        make(filename_prefix="../elsewhere")
