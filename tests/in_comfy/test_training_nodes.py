"""Claims: the training nodes cache clips with ComfyUI's own VAE for the trainer to read, and their settings file is one it takes."""

import os
import shlex
import subprocess
import time
from pathlib import Path

import folder_paths
import pytest
import torch
from PIL import Image

from pusa_core.errors import PusaError
from pusa_core.training.bases import BASES
from pusa_core.training.cache_files import find_clips, read_clip
from pusa_core.training.config import read_config
from support import tiny_wan
from support.video_files import steady, write_video


@pytest.fixture
def folders(tmp_path):
    """ComfyUI's input and output folders, with a folder of clips."""
    before = folder_paths.get_input_directory(), folder_paths.get_output_directory()
    clips = tmp_path / "input" / "training"
    clips.mkdir(parents=True)
    (tmp_path / "output").mkdir()
    folder_paths.set_input_directory(str(tmp_path / "input"))
    folder_paths.set_output_directory(str(tmp_path / "output"))
    write_video(clips / "cat.mp4", steady(40), width=64, height=48)
    write_video(clips / "short.mp4", steady(4), width=64, height=48)
    Image.new("RGB", (80, 64), (200, 9, 9)).save(clips / "still.png")
    for name in ("cat", "short", "still"):
        (clips / f"{name}.txt").write_text(f"a {name}", encoding="utf-8")
    yield tmp_path
    folder_paths.set_input_directory(before[0])
    folder_paths.set_output_directory(before[1])


def caption(seed=1):
    return [[tiny_wan.context(seed), {}]]


def take(pack, **settings):
    return pack["PusaTrainingFolder"].execute("training", "set", **settings).result


def cache(pack, vae, video, name, **settings):
    settings = {"dataset": "set", "width": 64, "height": 48, "lengths": "17", **settings}
    return pack["PusaTrainingClip"].execute(
        vae, caption(), video, name, f"a {name}", empty=caption(2), **settings
    )


def test_a_folder_is_cached_clip_by_clip_and_what_is_there_is_left_out(pack, folders, load_tiny_vae):
    vae = load_tiny_vae()
    videos, captions, names, status = take(pack)
    assert list(zip(names, captions, strict=True)) == [(n, f"a {n}") for n in ("cat", "short", "still")]
    assert status.startswith("3 of 3 clips are taken")
    said = [
        cache(pack, vae, video, name, bad_clips="skip").result[0]
        for video, name in zip(videos, names, strict=True)
    ]
    assert said[0] == "pusa_training/set/cat.safetensors: latent 16 x 5 x 6 x 8"
    assert said[1].startswith("skipped short: ")
    assert "the shortest length asked for is 17" in said[1]
    assert said[2].endswith("latent 16 x 1 x 6 x 8")
    assert take(pack)[2] == ["short"]
    assert take(pack, bad_clips="skip")[3].startswith("All 2 clips that can be used are cached")
    found = find_clips([folders / "output" / "pusa_training" / "set"], "stop", print)
    assert [entry.caption for entry in found] == ["a cat", "a still"]


def test_the_cached_latent_is_the_vaes_in_the_models_space(pack, folders, load_tiny_vae):
    import comfy.latent_formats

    from comfyui_pusa.nodes.clips import clip_of

    vae = load_tiny_vae()
    video = take(pack)[0][0]
    cache(pack, vae, video, "cat")
    clip = read_clip(folders / "output" / "pusa_training" / "set" / "cat.safetensors")
    latent = comfy.latent_formats.Wan21().process_in(
        vae.encode(clip_of(video, 16.0).head(17, BASES["any"].rate))
    )
    torch.testing.assert_close(clip.latent, latent[0].float(), atol=5e-3, rtol=2e-3)
    torch.testing.assert_close(clip.context, tiny_wan.context(1)[0], atol=2e-2, rtol=1e-2)
    torch.testing.assert_close(clip.empty, tiny_wan.context(2)[0], atol=2e-2, rtol=1e-2)


def test_when_all_is_cached_nothing_after_the_folder_runs(pack, folders, load_tiny_vae):
    from comfy_execution.graph_utils import ExecutionBlocker

    vae = load_tiny_vae()
    for video, name in zip(*take(pack)[0:3:2], strict=True):
        cache(pack, vae, video, name, lengths="17, 1")
    *outputs, status = take(pack)
    assert all(isinstance(value, ExecutionBlocker) for value in outputs)
    assert status.startswith("All 3 clips are cached")


def test_clips_without_captions_stop_or_are_skipped_as_set(pack, folders):
    (folders / "input" / "training" / "cat.txt").unlink()
    with pytest.raises(PusaError, match=r"cat\.mp4 has no caption"):
        take(pack)
    *_, names, status = take(pack, bad_clips="skip")
    assert names == ["short", "still"]
    assert "cat.mp4 has no caption" in status


def test_a_clip_that_was_skipped_is_not_taken_again_until_it_changes(pack, folders, load_tiny_vae):
    clips, vae = folders / "input" / "training", load_tiny_vae()

    def run():
        videos, _, names, status = take(pack, clips_per_run=1, bad_clips="skip")
        for video, name in zip(videos, names, strict=True) if isinstance(names, list) else ():
            cache(pack, vae, video, name, bad_clips="skip")
        return names if isinstance(names, list) else [], status.splitlines()

    assert [run()[0] for _ in range(3)] == [["cat"], ["short"], ["still"]]
    names, status = run()
    assert not names
    assert status[0] == "All 2 clips that can be used are cached in output/pusa_training/set."
    assert status[1].startswith("skipped short: short has 4 frames")
    assert status[2] == "Delete pusa_training/set/skipped.json to try the skipped ones again."
    assert take(pack)[2] == ["short"], "set to stop, it is tried again, and stops"
    write_video(clips / "short.mp4", steady(40), width=64, height=48)
    os.utime(clips / "short.mp4", (time.time() + 10,) * 2)
    assert run()[0] == ["short"]
    assert run()[1] == ["All 3 clips are cached in output/pusa_training/set."]


@pytest.mark.parametrize(
    ("channels", "width", "sentence"),
    [
        (48, 4096, "The VAE makes 48 channels, Wan2.1 14B works with 16"),
        (16, 768, "is 768 wide, Wan2.1 14B reads 4096"),
    ],
)
def test_a_vae_or_text_encoder_of_another_model_is_refused_before_anything_is_written(
    pack, folders, channels, width, sentence
):
    class Vae:
        def encode(self, pictures):
            return torch.zeros(1, channels, (len(pictures) + 3) // 4, 6, 8)

    with pytest.raises(PusaError, match=sentence):
        pack["PusaTrainingClip"].execute(
            Vae(), [[torch.zeros(1, 7, width), {}]], torch.zeros(17, 48, 64, 3), "x",
            width=64, height=48, lengths="17", dataset="set",
        )  # fmt: skip
    assert not list(folders.rglob("x.safetensors"))


def test_where_no_clip_can_be_used_the_node_says_so(pack, folders):
    for caption in (folders / "input" / "training").glob("*.txt"):
        caption.unlink()
    *_, status = take(pack, bad_clips="skip")
    assert status.startswith("No clip of the folder can be used.")
    assert "cat.mp4 has no caption" in status


def test_a_clip_whose_name_is_too_long_is_skipped_as_set_with_the_cause(pack, folders):
    clips = folders / "input" / "training"
    for ending in (".mp4", ".txt"):
        (clips / f"cat{ending}").rename(clips / f"{'x' * 130}{ending}")
    with pytest.raises(PusaError, match=r"has 130 characters .* Rename it and its caption"):
        take(pack)
    *_, names, status = take(pack, bad_clips="skip")
    assert names == ["short", "still"]
    assert "may have 120 characters" in status


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"width": 70}, "use a multiple of 16"),
        ({"lengths": "16"}, r"use 4n \+ 1"),
        ({"lengths": "long"}, "write whole numbers"),
        ({"dataset": "../../up"}, "lies outside"),
        ({"name": "a/b"}, "plain file name"),
        ({"base": "wan2.2-5b"}, "use a multiple of 32"),
    ],
)
def test_what_cannot_be_cached_is_refused_in_a_sentence(pack, folders, load_tiny_vae, settings, sentence):
    with pytest.raises(PusaError, match=sentence):
        cache(pack, load_tiny_vae(), torch.zeros(17, 48, 64, 3), **{"name": "x", **settings})


def test_two_captions_at_once_are_refused(pack, folders, load_tiny_vae):
    with pytest.raises(PusaError, match="a single one"):
        pack["PusaTrainingClip"].execute(load_tiny_vae(), caption() * 2, torch.zeros(17, 48, 64, 3), "x")


SETTINGS = {
    "base": "wan2.1-14b", "expert": "none", "kind": "lora", "rank": 64, "steps": 100, "batch": 4, "learning_rate": 3e-5,
    "caption_dropout": 0.1, "given_share": 0.25, "cpu_offload": True, "seed": 5,
}  # fmt: skip


def test_the_settings_file_is_one_that_training_reads(pack, folders, tiny_wan_file):
    command, file = (
        pack["PusaTrainingConfig"].execute("cats", "set, more", tiny_wan_file(10), **SETTINGS).result
    )
    path = folders / "output" / file
    assert shlex.split(command, posix=False)[-2:] == ["lora", str(path)]
    config = read_config(path)
    assert [Path(folder).name for folder in config.data.folders] == ["set", "more"]
    assert Path(config.model.weights).name == "tiny_wan_10.safetensors"
    assert Path(config.train.output) == path.with_name("run_cats")
    assert (config.lora.rank, config.train.seed, config.draw.given_share, config.parallel.sharding) == (
        64,
        5,
        0.25,
        "fsdp2",
    )


def test_what_was_written_into_the_settings_file_by_hand_stays(pack, folders, tiny_wan_file):
    config, model = pack["PusaTrainingConfig"], tiny_wan_file(10)

    def write(**settings):
        return config.execute("cats", "set", model, **SETTINGS | settings)

    file = folders / "output" / write().result[1]
    text = file.read_text("utf-8")
    assert "Kept from the file" not in str(write().ui.as_dict())
    edited = (
        text.replace("micro_batch = 1", "micro_batch = 2")
        .replace("[0.9, 0.999]", "[0.8, 0.99]")
        .replace("rank = 64", "rank = 8")
    )
    file.write_text(edited, encoding="utf-8")
    shown = str(write().ui.as_dict())
    assert "Kept from the file as it was: optimizer.betas = [0.8, 0.99], train.micro_batch = 2." in shown
    found = read_config(file)
    assert (found.train.micro_batch, found.optimizer.betas, found.lora.rank) == (2, (0.8, 0.99), 64)
    write(cpu_offload=False)
    assert read_config(file).parallel.sharding == "none", "what was set with the offload goes with it"
    file.write_text(text.replace("micro_batch", "micro_bacht"), encoding="utf-8")
    with pytest.raises(PusaError, match="did you mean micro_batch"):
        write()
    assert "micro_bacht" in file.read_text("utf-8")


@pytest.mark.parametrize(("name", "value"), [("kind", "foo"), ("base", "any")])
def test_a_linked_choice_that_there_is_not_is_refused(pack, folders, tiny_wan_file, name, value):
    with pytest.raises(PusaError, match=f"{name} is '{value}'"):
        pack["PusaTrainingConfig"].execute("cats", "set", tiny_wan_file(10), **SETTINGS | {name: value})


def test_the_command_runs_from_any_folder_in_a_python_that_looks_for_modules_in_none(
    pack, folders, tiny_wan_file, tmp_path
):
    command = pack["PusaTrainingConfig"].execute("cats", "set", tiny_wan_file(10), **SETTINGS).result[0]
    python, *words = shlex.split(command, posix=os.name != "nt")
    done = subprocess.run(
        [python.strip('"'), "-I", *(word.strip('"') for word in words)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "set" in done.stderr


def test_an_expert_is_asked_for_where_there_are_two(pack, folders, tiny_wan_file):
    config, pair = pack["PusaTrainingConfig"], SETTINGS | {"base": "wan2.2-14b"}
    with pytest.raises(PusaError, match="has two experts"):
        config.execute("cats", "set", tiny_wan_file(10), **pair)
    assert config.execute("cats", "set", tiny_wan_file(10), **pair | {"expert": "high_noise"})


def test_a_fully_trained_model_loads_in_unetloader_and_gives_what_the_trainer_has(pack, models, tmp_path):
    pytest.importorskip("accelerate", reason="requirements-train.txt is not installed")
    import comfy.sd
    from safetensors.torch import load_file

    from pusa_core.training.trainer import FULL, run_training
    from pusa_core.wan_dit import WanDiT
    from support.training_runs import write_project

    with torch.inference_mode(False), torch.enable_grad():
        run_training(FULL, read_config(write_project(tmp_path, steps=2)))
    file = tmp_path / "run" / "run_pusa_full.safetensors"
    loaded = comfy.sd.load_diffusion_model(str(file))
    x, timestep, context = (
        tiny_wan.latent(1, 3, 4, 4),
        torch.tensor([[900.0, 0.0, 400.0]]),
        tiny_wan.context(3),
    )
    ours = WanDiT.from_state_dict(load_file(file))(x, timestep, context)
    theirs = loaded.model.diffusion_model.to(torch.float32)(x, timestep, context)
    torch.testing.assert_close(theirs, ours, atol=2e-3, rtol=0)


def test_both_loaders_match_every_layer_of_an_exported_lora(pack, models, load_tiny_wan, tmp_path):
    pytest.importorskip("accelerate", reason="requirements-train.txt is not installed")
    import shutil

    from pusa_core.training.trainer import LORA, run_training
    from support.training_runs import write_project

    with torch.inference_mode(False), torch.enable_grad():
        run_training(LORA, read_config(write_project(tmp_path, steps=2)))
    for file in ("run_pusa.safetensors", "run_pusa_comfyui.safetensors"):
        shutil.copy(tmp_path / "run" / file, models / "loras" / file)
        for node, strength in (("PusaLoraLoader", {"alpha": 1.0}), ("PusaLightX2VLoader", {"strength": 1.0})):
            out = pack[node].execute(load_tiny_wan(1), file, expert="wan2.1", **strength)
            patched = out.result[0].patches
            assert len(patched) == 2 * 10, (file, node, len(patched))
