import json
import sys
from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace

import av
import comfy.model_management
import folder_paths
import numpy as np
import pytest
import torch
from PIL import Image

from pusa_core.clips.reading import clip_of_file
from pusa_core.clips.sound_reading import sound_of_file
from pusa_core.clips.writing import write_video
from pusa_core.errors import PusaError
from support import tiny_wan

SETTINGS = {
    "name": "films/first", "width": 32, "height": 32, "fps": 16.0, "seed": 3, "steps": 2, "cfg": 1.0, "shift": 5.0, "sampler_name": "euler",
    "crf": 0, "quality": "final", "draft_scale": 0.5, "draft_steps": 0, "draft_multiplier": 0.7,
}  # fmt: skip


@dataclass(frozen=True)
class WordClip:
    """A text encoder that gives every text an embedding of its own."""

    seed: int = 0

    def tokenize(self, text):
        return text

    def encode_from_tokens_scheduled(self, text):
        return [[tiny_wan.context(sum(text.encode()) + self.seed), {}]]


def text(*windows: dict, **project) -> str:
    """A project of windows of 17 frames, 5 of them shared."""
    listed = [{"id": f"w{n + 1}", "prompt": f"prompt {n + 1}", **one} for n, one in enumerate(windows)]
    return json.dumps({"version": 1, "window": 17, "overlap": 5, "windows": listed, **project})


@pytest.fixture
def folders(tmp_path):
    """ComfyUI's output and input folders, empty."""
    (tmp_path / "input").mkdir()
    folder_paths.set_output_directory(str(tmp_path / "output"))
    folder_paths.set_input_directory(str(tmp_path / "input"))
    yield tmp_path
    folder_paths.set_output_directory(f"{folder_paths.base_path}/output")
    folder_paths.set_input_directory(f"{folder_paths.base_path}/input")


@pytest.fixture
def film(folders):
    """The folder of the project that `direct` makes."""
    return folders / "output" / "films" / "first"


@pytest.fixture
def direct(pack, load_tiny_wan, load_tiny_vae, folders, monkeypatch):
    """direct(project, **settings) -> NodeOutput of PusaDirector with the tiny model; direct.made: the windows' seeds, as sampled."""
    import comfyui_pusa.nodes.host.director as host

    model, vae, made = load_tiny_wan(), load_tiny_vae(), []
    original = host.sample_video
    monkeypatch.setattr(
        host, "sample_video", lambda request, *more: made.append(request) or original(request, *more)
    )

    def run(project, **settings):
        made.clear()
        return pack["PusaDirector"].execute(
            **{"model": model, "clip": WordClip(), "vae": vae, "project": project} | SETTINGS | settings
        )

    run.made = made
    return run


def save_picture(folders, name: str, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    (folders / "input" / name).parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(folders / "input" / name)


def test_a_project_becomes_a_file_with_its_record_and_its_parts(direct, film):
    result = direct(text({}, {}))
    video, report = result.result
    assert len(video.get_components().images) == 29
    assert result.ui["images"][0] == {"filename": "first.mp4", "subfolder": "films/first", "type": "output"}
    assert report.splitlines()[0] == "w1, window 1: frames 0 to 16, with nothing given, seed 3, finished"
    assert report.splitlines()[1].startswith(
        "w2, window 2: frames 17 to 28, after 5 given frames, seed 4, finished, jump at the seam "
    )
    record = json.loads((film / "project.json").read_text("utf-8"))
    assert [one["candidates"][0]["picture"] for one in record["windows"]] == ["w1.0.png", "w2.0.png"]
    direct(text({}, {}))
    assert direct.made == []


def test_one_window_made_alone_shows_its_files_and_is_found_by_the_whole_project(direct, film):
    direct(text({}, {}))
    whole = {path.name: path.read_bytes() for path in film.glob("w2.*")}
    for path in [*film.glob("w2.*"), film / "first.mp4", film / "project.json"]:
        path.unlink()
    result = direct(text({}, {}, only="w2"))
    assert [request.seed for request in direct.made] == [4]
    assert [saved["filename"] for saved in result.ui["part"]] == ["w2.0.mp4", "w2.0.png", "w2.0.safetensors"]
    assert {saved["subfolder"] for saved in result.ui["part"]} == {"films/first"}
    assert "images" not in result.ui
    assert {path.name: path.read_bytes() for path in film.glob("w2.*")} == whole
    assert not (film / "first.mp4").exists()
    direct(text({}, {}))
    assert direct.made == []
    assert (film / "first.mp4").exists()


def test_a_clip_counts_by_its_content_and_place_not_by_its_name(direct, folders):
    write_video(folders / "input" / "clip.mp4", torch.rand(20, 32, 32, 3), Fraction(16))
    direct(text({}, {}, clips=[{"at": 21, "file": "clip.mp4", "frames": 8}]))
    (folders / "input" / "clip.mp4").rename(folders / "input" / "gulls.mp4")
    direct(text({}, {}, clips=[{"at": 21, "file": "gulls.mp4", "frames": 8}]))
    assert direct.made == []


def test_only_what_a_prompt_changes_is_sampled_again(direct):
    direct(text({}, {}, {}))
    direct(text({}, {}, {"prompt": "another"}))
    assert [request.seed for request in direct.made] == [5]


def test_steps_that_a_connected_schedule_makes_idle_do_not_count(direct, film):
    sigmas = torch.tensor([1.0, 0.6, 0.3, 0.0])
    direct(text({}, {"steps": 7}), sigmas=sigmas)
    record = json.loads((film / "project.json").read_text("utf-8"))
    assert [one["steps"] for one in record["windows"]] == [3, 3]
    direct(text({}, {"steps": 5}), sigmas=sigmas, steps=9)
    assert direct.made == []


class CountingClip(WordClip):
    """Notes what it encodes."""

    encoded = []  # noqa: RUF012 - of all of them, emptied by the tests

    def encode_from_tokens_scheduled(self, text):
        self.encoded.append(text)
        return super().encode_from_tokens_scheduled(text)


def test_texts_are_encoded_for_windows_that_are_made_and_some_at_a_time(direct, pack, monkeypatch):
    import comfyui_pusa.nodes.host.director as host

    monkeypatch.setattr(host, "TEXTS_AHEAD", 2)
    held = []
    original = host.ComfyStudio.sample

    def sample(studio, *given):
        made = original(studio, *given)
        held.append(sorted(studio.texts))
        return made

    monkeypatch.setattr(host.ComfyStudio, "sample", sample)
    CountingClip.encoded.clear()
    project = [{}, {}, {}, {"lock": True}, {}]
    direct(text(*project, negative="no"), clip=CountingClip())
    assert CountingClip.encoded == ["prompt 1", "no", "prompt 2", "prompt 3", "prompt 4", "prompt 5"]
    assert max(len(texts) for texts in held) == 3
    assert held[2] == ["no", "prompt 3"], "a locked window is hardly ever made"
    CountingClip.encoded.clear()
    direct(text(*project, negative="no"), clip=CountingClip())
    assert CountingClip.encoded == [], "all are kept"
    direct(text(*project[:4], {"retake": 1}, negative="no"), clip=CountingClip())
    assert CountingClip.encoded == ["prompt 5", "no"]


def test_a_lora_of_one_window_is_on_its_model_only(direct, tiny_lora_file, pack, load_tiny_wan):
    from comfyui_pusa.nodes.host.lora_patches import lora_facts

    direct(text({}, {"loras": [{"name": tiny_lora_file(), "strength": 0.5}]}))
    assert [[facts.strength for facts in lora_facts(request.model)] for request in direct.made] == [[], [0.5]]
    direct(text({}, {"loras": [{"name": tiny_lora_file(), "strength": 0.6}]}))
    assert len(direct.made) == 1


def test_loras_go_on_the_expert_that_is_asked_for(direct, pack, load_tiny_wan, tiny_lora_file):
    from comfyui_pusa.nodes.host.expert_switch import experts_of
    from comfyui_pusa.nodes.host.lora_patches import lora_facts

    switched = pack["PusaMoESwitch"].execute(load_tiny_wan(10), load_tiny_wan(11)).result[0]
    use = {"name": tiny_lora_file(), "strength": 0.5}
    for expert, expected in (("high_noise", [1, 0]), ("low_noise", [0, 1]), ("auto", [1, 1])):
        direct(text({"loras": [use | {"expert": expert}]}), model=switched, steps=4)
        switch = experts_of(direct.made[0].model)
        assert [len(lora_facts(switch.high)), len(lora_facts(switch.low))] == expected
        assert [len(lora_facts(experts_of(switched).high)), len(lora_facts(experts_of(switched).low))] == [
            0,
            0,
        ]
    with pytest.raises(PusaError, match="is for the expert high_noise, but the model has none"):
        direct(text({"loras": [use | {"expert": "high_noise"}]}))


def test_prompts_change_inside_a_window_where_they_are_asked_to(direct, film):
    prompts = [{"at": 0, "text": "first"}, {"at": 0.5, "text": "second"}]
    own = {"prompt": None}
    direct(text(own, own, prompts=prompts))
    plain = (film / "w1.0.mp4").read_bytes()
    direct(text(own, own, prompts=prompts, prompts_by="frame"))
    (first,) = direct.made[:1]
    # frames of 16 a second: the middle of latent frame 2, video frames 5 to 8, is at 0.41 s, that of 3 at 0.66 s
    assert first.prompts.prompt_of == (0, 0, 0, 1, 1)
    assert (film / "w1.0.mp4").read_bytes() != plain
    record = json.loads((film / "project.json").read_text("utf-8"))
    assert [one["prompts"] for one in record["windows"]] == [[[0, "first"], [3, "second"]], []]
    later = [prompts[0], {"at": 0.55, "text": "second"}]
    direct(text(own, own, prompts=later, prompts_by="frame"))
    assert direct.made == [], "no latent frame follows another prompt"


def test_windows_run_small_first_where_the_model_does(direct, pack, load_tiny_wan):
    from comfyui_pusa.pusa_core.injections import INJECTIONS

    direct(text({}, {}), model=pack["PusaProgressive"].execute(load_tiny_wan(), "1/2", 0.5)[0], steps=4)
    (injection,) = direct.made[1].latent[INJECTIONS]
    assert [one.position for one in injection.at(16, 16)] == [0, 1]


def test_keys_clips_and_an_anchor_are_read_from_the_input_folder(direct, folders):
    save_picture(folders, "cats/first.png", 1)
    write_video(folders / "input" / "clip.mp4", torch.rand(20, 32, 32, 3), Fraction(16))
    project = text(
        {}, {},
        keys=[{"at": 0, "picture": "cats/first.png"}], clips=[{"at": 21, "file": "clip.mp4", "from": 0.25, "frames": 8}],
        anchor={"picture": "cats/first.png", "multiplier": 0.1}, colour="anchor",
    )  # fmt: skip
    direct(project)
    assert direct.made[0].latent["noise_multipliers"].tolist() == [0, 1, 1, 1, 1]
    assert direct.made[1].latent["noise_multipliers"].tolist() == pytest.approx([0.1, 0.2, 1, 0.2, 0.2])
    save_picture(folders, "cats/first.png", 2)
    direct(project)
    assert len(direct.made) == 2, "another picture under the same name counts"


def test_drafts_have_parts_of_their_own_and_final_follows_them(direct, film):
    direct(text({}, {}), quality="draft", draft_steps=1)
    assert sorted(path.name for path in film.glob("*.mp4")) == [
        "first.draft.mp4",
        "w1.0.draft.mp4",
        "w2.0.draft.mp4",
    ]
    assert [request.steps for request in direct.made] == [1, 1]
    assert tuple(direct.made[0].latent["samples"].shape[3:]) == (2, 2)
    result = direct(text({}, {}), draft_steps=1)
    assert direct.made[0].latent["noise_multipliers"].tolist() == pytest.approx([0.7] * 5)
    assert direct.made[1].latent["noise_multipliers"].tolist() == pytest.approx([0, 0.2, 0.7, 0.7, 0.7])
    assert "finished, after the draft" in result.result[1]


def test_the_sound_lies_under_the_whole_video(direct, folders, film):
    wave = torch.sin(torch.arange(44100) / 20)[None] * 0.5
    with av.open(str(folders / "input" / "music.wav"), "w") as container:
        track = container.add_stream("pcm_s16le", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            (wave.numpy() * 32767).astype(np.int16), format="s16", layout="mono"
        )
        frame.sample_rate = 44100
        container.mux(track.encode(frame))
        container.mux(track.encode(None))
    direct(text({}, {}, sound={"file": "music.wav", "from": 0.5}))
    heard = sound_of_file(film / "first.mp4", "the film")
    assert heard.waveform.shape[1] / heard.sample_rate == pytest.approx(29 / 16, abs=0.05)
    assert heard.waveform[:, 2000:20000].abs().max() > 0.3
    assert heard.waveform[:, 30000:].abs().max() < 0.01, "half a second of music was left"
    assert len(clip_of_file(film / "first.mp4").all(None)) == 29
    with pytest.raises(
        PusaError, match=r"sound.from is 60 s, but music.wav ends after 1.00 s, so nothing would be heard"
    ):
        direct(text({}, {}, sound={"file": "music.wav", "from": 60}))


def test_the_browser_is_told_of_every_window(direct, monkeypatch):
    sent = []
    server = SimpleNamespace(
        PromptServer=SimpleNamespace(
            instance=SimpleNamespace(
                send_sync=lambda *given: sent.append(given), client_id="tab", prompt_queue=None
            )
        )
    )
    direct(text({}))
    monkeypatch.setitem(sys.modules, "server", server)
    direct(text({}, {}))
    assert [(event, data["window"], data["state"], tab) for event, data, tab in sent] == [
        ("pusa.director", "w1", "kept", "tab"),
        ("pusa.director", "w2", "running", "tab"),
        ("pusa.director", "w2", "finished", "tab"),
    ]
    assert sent[0][1]["file"] == "w1.0.mp4"
    assert sent[0][1]["subfolder"] == "films/first"


def test_a_cancelled_project_goes_on_to_the_same_files(
    direct, film, monkeypatch, load_tiny_wan, load_tiny_vae
):
    direct(text({}, {}, {}))
    expected = {path.name: path.read_bytes() for path in film.iterdir()}
    for path in list(film.iterdir()):
        path.unlink()

    class Cancelled(comfy.utils.ProgressBar):
        def update_absolute(self, value, total=None, preview=None):
            if value == 3:
                comfy.model_management.interrupt_current_processing()
            super().update_absolute(value, total, preview)

    with monkeypatch.context() as patched:
        patched.setattr(comfy.utils, "ProgressBar", Cancelled)
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            direct(text({}, {}, {}))
    assert (film / "w1.0.safetensors").is_file()
    assert not (film / "w2.0.mp4").exists()
    direct(text({}, {}, {}), model=load_tiny_wan(), vae=load_tiny_vae())
    assert {path.name: path.read_bytes() for path in film.iterdir()} == expected


@pytest.mark.parametrize(
    ("project", "settings", "words"),
    [
        (
            text({}, keys=[{"at": 3, "picture": "gone.png"}]),
            {},
            r"keys\[0\].picture is 'gone.png'.*no such file",
        ),
        (text({}, clips=[{"at": 0, "file": "gone.mp4"}]), {}, r"clips\[0\].file is 'gone.mp4'"),
        (text({}, sound={"file": "gone.wav"}), {}, "sound.file is 'gone.wav'"),
        (
            text({"loras": [{"name": "gone.safetensors"}]}),
            {},
            r"windows\[0\].loras\[0\].name: There is no gone",
        ),
        (text({}, keys=[{"at": 3, "picture": "../gone.png"}]), {}, "lies outside ComfyUI's input folder"),
        (text({}), {"name": "../elsewhere"}, "lies outside ComfyUI's output folder"),
        (text({}), {"name": "films/w1.0"}, "called as a part of a window is"),
        (text({}), {"name": "w1.0.draft"}, "called as a part of a window is"),
        (text({}), {"name": ""}, "write a folder of its own"),
        (text({}), {"width": 40}, "40 x 32; Wan needs multiples of 16"),
        (text({}), {"clip": None}, "No CLIP came in"),
        (text({}), {"quality": "best"}, "quality is 'best'"),
        (text({"noise_multipliers": "lots"}), {}, "'lots' in noise_multipliers"),
        (text({"prompt": None}), {}, r"windows\[0\] has no prompt"),
    ],
)
def test_bad_input_gets_its_sentence_before_anything_runs(direct, folders, project, settings, words):
    with pytest.raises(PusaError, match=words):
        direct(project, **settings)
    assert direct.made == []
    assert not (folders / "output").exists()


def test_the_server_refuses_a_project_that_is_none(pack):
    check = pack["PusaDirector"].validate_inputs
    assert check(text({})) is True
    assert check(None) is True
    assert (
        check('{"version": 7}')
        == "project has version 7; this ComfyUI-Pusa reads version 1. Update ComfyUI-Pusa."
    )


def test_the_workflow_is_stored_in_the_file_and_not_in_its_parts(direct, film, monkeypatch):
    import comfyui_pusa.nodes.director as node

    monkeypatch.setattr(
        node, "video_metadata", lambda hidden: {"prompt": {"1": {"class_type": "PusaDirector"}}}
    )
    direct(text({}, {}))
    with av.open(str(film / "first.mp4")) as container:
        assert json.loads(container.metadata["prompt"])["1"]["class_type"] == "PusaDirector"
    with av.open(str(film / "w1.0.mp4")) as container:
        assert "prompt" not in container.metadata
