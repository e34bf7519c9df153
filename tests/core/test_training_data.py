"""Claims: clips are found with their captions, bad ones are named, and caches of three kinds are read or refused in a sentence."""

import csv
from fractions import Fraction

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pusa_core.errors import PusaError
from pusa_core.training.__main__ import main
from pusa_core.training.cache_files import (
    TrainingClip,
    data_hash,
    find_clips,
    read_clip,
    read_entry,
    write_clip,
)
from pusa_core.training.checkpoints import Checkpoints
from pusa_core.training.previews import fit_preview, preview_video
from pusa_core.training.sources import Fit, Source, bucket_of, find_sources, parse_lengths
from support import tiny_wan
from support.video_files import steady, write_video

RATE = Fraction(16)


def clip(seed=1, frames=3, tokens=7):
    return TrainingClip(
        tiny_wan.latent(seed, frames, 4, 4)[0],
        tiny_wan.context(seed, tokens)[0],
        tiny_wan.context(8)[0],
        "a cat",
    )


@pytest.fixture
def folder(tmp_path):
    """Two good clips, a picture, and one of every bad kind."""
    write_video(tmp_path / "long.mp4", steady(40), width=64, height=48)
    write_video(tmp_path / "short.mp4", steady(6), width=64, height=48)
    (tmp_path / "broken.mp4").write_bytes(b"this is no video")
    write_video(tmp_path / "silent.mp4", steady(40), width=64, height=48)
    write_video(tmp_path / "empty.mp4", steady(40), width=64, height=48)
    Image.new("RGB", (80, 64), (9, 9, 9)).save(tmp_path / "still.png")
    (tmp_path / "._long.mp4").write_bytes(b"hidden, as macOS leaves them")
    for name in ("long", "short", "broken", "still"):
        (tmp_path / f"{name}.txt").write_text(f"a {name} clip", encoding="utf-8")
    (tmp_path / "empty.txt").write_text(" \n", encoding="utf-8")
    return tmp_path


def test_clips_come_with_the_caption_of_the_same_name_and_the_bad_are_named(folder):
    sources, bad = find_sources(folder)
    assert [(source.name, source.caption) for source in sources] == [
        (name, f"a {name} clip") for name in ("broken", "long", "short", "still")
    ]
    assert len(bad) == 2
    assert "empty.txt is empty" in " ".join(bad)
    assert "silent.mp4 has no caption" in " ".join(bad)


def test_buckets_are_by_length_and_size_and_short_or_broken_clips_are_named(folder):
    fit = Fit(64, 48, (17, 33))
    assert bucket_of(Source(folder / "long.mp4", ""), fit, RATE) == (33, 64, 48)
    assert bucket_of(Source(folder / "still.png", ""), fit, RATE) == (1, 64, 48)
    with pytest.raises(
        PusaError, match=r"short\.mp4 has \d+ frames at the rate used; the shortest length asked for is 17"
    ):
        bucket_of(Source(folder / "short.mp4", ""), fit, RATE)
    with pytest.raises(PusaError, match="cannot be read as a video"):
        bucket_of(Source(folder / "broken.mp4", ""), fit, RATE)


def test_sizes_of_equal_area_keep_the_proportions():
    fit = Fit(832, 480, keep_proportions=True)
    assert fit.size(1920, 1080) == (848, 480)
    assert fit.size(1080, 1920) == (480, 848)
    width, height = fit.size(1000, 1000)
    assert width == height == 624  # 632 rounded to a multiple of 16


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"width": 100}, "use a multiple of 16"),
        ({"lengths": ()}, "lengths is empty"),
        ({"lengths": (80,)}, r"use 4n \+ 1"),
    ],
)
def test_impossible_sizes_are_refused(settings, sentence):
    with pytest.raises(PusaError, match=sentence):
        Fit(**settings)
    with pytest.raises(PusaError, match="write whole numbers"):
        parse_lengths("81, many")


def test_the_authors_table_of_captions_is_read_and_its_bad_lines_are_named(folder):
    (folder / "train").mkdir()
    (folder / "long.mp4").rename(folder / "train" / "long.mp4")
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [["file_name", "text"], ["long.mp4", "a cat"], ["gone.mp4", "a dog"], ["short.mp4", ""]]
        )
    sources, bad = find_sources(folder)
    assert [(source.path.name, source.caption) for source in sources] == [("long.mp4", "a cat")]
    assert "line 3 of metadata.csv names 'gone.mp4'" in bad[0]
    assert "line 4 of metadata.csv has no text" in bad[1]
    (folder / "metadata.csv").write_text("name,caption\na,b\n", encoding="utf-8")
    with pytest.raises(PusaError, match="it needs file_name and text"):
        find_sources(folder)


def test_a_name_that_no_cache_file_can_have_is_a_bad_clip_with_its_cause(tmp_path):
    for name in ("good", "x" * 130, "猫" * 80, "ends "):
        Image.new("RGB", (64, 64)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text("a cat", encoding="utf-8")
    sources, bad = find_sources(tmp_path)
    assert [source.name for source in sources] == ["good"]
    told = sorted(bad, key=len)
    assert (
        "ends .png is empty, or has slashes, colons or the like in it, or dots or spaces at its ends"
        in told[0]
    )
    assert (
        "has 80 characters (240 bytes); the name of a cache file may have 120 characters and 238 bytes"
        in told[1]
    )
    assert "has 130 characters (130 bytes)" in told[2]


def test_a_line_of_the_table_with_a_name_that_no_file_can_have_is_named(tmp_path):
    rows = f"file_name,text\n{'x' * 300}.mp4,a cat\n"
    (tmp_path / "metadata.csv").write_text(rows, encoding="utf-8")
    sources, bad = find_sources(tmp_path)
    assert not sources
    assert bad[0].startswith("line 2 of metadata.csv names 'xxx")


def test_what_is_not_read_is_named_and_further_kinds_of_video_are(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("cat.mp4", "dog.mpg", "bird.wmv", "sub/fish.mp4", "sub/frog.mp4"):
        (tmp_path / name).write_bytes(b"a clip")
    for name in ("song.xyz", "cat.srt"):
        (tmp_path / name).write_bytes(b"no clip")
    for name in ("cat", "dog", "bird", "song"):
        (tmp_path / f"{name}.txt").write_text(f"a {name}", encoding="utf-8")
    sources, bad = find_sources(tmp_path)
    assert [source.path.name for source in sources] == ["bird.wmv", "cat.mp4", "dog.mpg"]
    assert [sentence.partition(",")[0] for sentence in bad] == [
        "song.xyz has a caption",
        "The sub-folder sub is not searched; it has 2 clips (fish.mp4",
    ]
    (tmp_path / "metadata.csv").write_text("file_name,text\ncat.mp4,a cat\n", encoding="utf-8")
    sources, bad = find_sources(tmp_path)
    assert [source.path.name for source in sources] == ["cat.mp4"]
    assert [sentence.partition(" has no line")[0] for sentence in bad[:2]] == ["bird.wmv", "dog.mpg"]
    assert bad[2].startswith("The sub-folder sub is not searched")


def test_videos_of_further_kinds_are_read(tmp_path):
    for ending in (".mpg", ".ts", ".wmv", ".flv"):
        write_video(tmp_path / f"cat{ending}", steady(30), width=64, height=48)
        (tmp_path / "cat.txt").write_text("a cat", encoding="utf-8")
        (source,), bad = find_sources(tmp_path)
        assert not bad
        assert bucket_of(source, Fit(64, 48, (17,)), RATE) == (17, 64, 48)
        source.path.unlink()


def test_a_folder_of_damaged_cache_files_alone_names_the_first(tmp_path, capsys):
    damaged_files(tmp_path)
    assert main(["cache", str(tmp_path)]) == 1
    assert "0 cached clips" in capsys.readouterr().out
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(b"cut")
    assert main(["cache", str(tmp_path)]) == 1
    assert "cache files can be used. The first: " in capsys.readouterr().err


def test_a_clip_in_two_of_the_folders_counts_once(tmp_path):
    write_clip(tmp_path / "in" / "a.safetensors", clip(), "any", "a.mp4")
    assert len(find_clips([tmp_path, tmp_path / "in", tmp_path / "in"], "stop", print)) == 1


@pytest.mark.parametrize(
    ("context", "sentence"),
    [
        (torch.zeros(1, 7, 4096), "has no latents and prompt_emb"),
        ({"context": torch.zeros(7)}, r"has the shape \(7,\); it is \[tokens, width\]"),
    ],
)
def test_a_cache_of_the_authors_with_another_caption_than_theirs_is_refused(tmp_path, context, sentence):
    torch.save({"latents": torch.zeros(16, 3, 4, 4), "prompt_emb": context}, tmp_path / "a.tensors.pth")
    with pytest.raises(PusaError, match=sentence):
        read_entry(tmp_path / "a.tensors.pth")


def test_the_command_lists_buckets_and_bad_clips(folder, capsys):
    arguments = ["cache", str(folder), "--size", "64x48", "--lengths", "17"]
    assert main(arguments) == 1
    said = capsys.readouterr().out
    assert "17 frames, 64 x 48: 1" in said
    assert "1 frames, 64 x 48: 1" in said
    assert said.count("bad: ") == 4
    assert main([*arguments, "--bad-clips", "skip"]) == 0


# Cache files


def test_a_written_clip_is_read_back_with_its_zeros(tmp_path):
    given = clip()
    context = torch.cat([given.context, torch.zeros(505, 4096)])
    write_clip(
        tmp_path / "a.safetensors", TrainingClip(given.latent, context, given.empty, "a cat"), "any", "a.mp4"
    )
    assert (tmp_path / "a.safetensors").stat().st_size < 200_000  # the zeros are not stored
    found = read_clip(tmp_path / "a.safetensors")
    assert found.caption == "a cat"
    assert found.context.shape == (512, 4096)
    torch.testing.assert_close(found.latent, given.latent, atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(found.context, context, atol=2e-2, rtol=1e-2)
    assert found.empty.shape == (7, 4096)


def test_the_authors_caches_are_read_unchanged(tmp_path):
    given = clip()
    torch.save(
        {"latents": given.latent, "prompt_emb": {"context": given.context[None]}, "image_emb": {}},
        tmp_path / "a.mp4.tensors.pth",
    )
    torch.save({"mean": given.latent[None]}, tmp_path / "b.latent.pt")
    torch.save({"prompt_embeds": given.context[None]}, tmp_path / "b.embed.pt")
    found = find_clips([tmp_path], "stop", print)
    assert [entry.shape for entry in found] == [(16, 3, 4, 4)] * 2
    for entry in found:
        torch.testing.assert_close(entry.read().latent, given.latent)
        torch.testing.assert_close(entry.read().context, given.context)


def test_the_data_hash_is_of_the_content_wherever_it_lies(tmp_path):
    for place in ("one", "two"):
        for seed in (1, 2):
            write_clip(tmp_path / place / f"{place}{seed}.safetensors", clip(seed), "any", "x")
    hashes = [data_hash(find_clips([tmp_path / place], "stop", print)) for place in ("one", "two")]
    assert hashes[0] == hashes[1]
    write_clip(tmp_path / "two" / "more.safetensors", clip(3), "any", "x")
    assert data_hash(find_clips([tmp_path / "two"], "stop", print)) != hashes[0]


def damaged_files(folder):
    """Path -> what its refusal says."""
    write_clip(folder / "flipped.safetensors", clip(), "any", "x")
    content = bytearray((folder / "flipped.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "flipped.safetensors").write_bytes(content)
    (folder / "cut.safetensors").write_bytes(content[: len(content) // 2])
    (folder / "web.safetensors").write_text("<html>")
    save_file({"x": torch.zeros(1)}, folder / "other.safetensors")
    for lost in ("tokens", "empty_tokens"):
        path = folder / f"no_{lost}.safetensors"
        write_clip(path, clip(), "any", "x")
        with safe_open(path, framework="pt") as file:
            metadata = {key: value for key, value in file.metadata().items() if key != lost}
        save_file(load_file(path), path, metadata)
    (folder / "code.tensors.pth").write_bytes(b"\x80\x04cos\nsystem\n")
    torch.save({"latents": 1}, folder / "half.tensors.pth")
    torch.save(torch.zeros(16, 3, 4, 4), folder / "alone.latent.pt")
    torch.save(
        {"latents": torch.full((16, 3, 4, 4), torch.nan), "prompt_emb": {"context": torch.zeros(1, 2, 8)}},
        folder / "nan.tensors.pth",
    )
    torch.save(
        {"latents": torch.zeros(16, 4, 4), "prompt_emb": {"context": torch.zeros(1, 2, 8)}},
        folder / "flat.tensors.pth",
    )
    return {
        "flipped.safetensors": "its content is not what was written",
        "cut.safetensors": "is damaged or incomplete",
        "web.safetensors": "is damaged or incomplete",
        "other.safetensors": "is not a cached training clip",
        "no_tokens.safetensors": "is damaged or incomplete (it does not say its tokens)",
        "no_empty_tokens.safetensors": "is damaged or incomplete (it does not say its empty_tokens)",
        "code.tensors.pth": "holds more than tensors and was not opened",
        "half.tensors.pth": "has no latents and prompt_emb",
        "alone.latent.pt": "has no alone.embed.pt beside it",
        "nan.tensors.pth": "NaN or infinite",
        "flat.tensors.pth": "a clip's is [channels, frames, height, width]",
    }


def test_every_damaged_cache_file_is_refused_in_a_sentence(tmp_path):
    for name, sentence in damaged_files(tmp_path).items():
        with pytest.raises(PusaError) as raised:
            read_clip(tmp_path / name)
        assert sentence in str(raised.value), name
        assert name in str(raised.value)


def test_damaged_files_stop_or_are_skipped_as_set(tmp_path):
    damaged_files(tmp_path)
    write_clip(tmp_path / "good.safetensors", clip(), "any", "x")
    with pytest.raises(PusaError, match=r'Or set data\.bad_clips to "skip"'):
        find_clips([tmp_path], "stop", print)
    said = []
    found = find_clips([tmp_path], "skip", said.append)
    assert {entry.path.name for entry in found} == {
        "good.safetensors",
        "flipped.safetensors",
    }  # its header is whole
    assert all(sentence.startswith("skipped: ") for sentence in said)
    with pytest.raises(PusaError, match="There is no folder"):
        find_clips([tmp_path / "none"], "stop", print)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(PusaError, match="There is no cached clip"):
        find_clips([tmp_path / "nothing"], "stop", print)


def test_a_preview_gives_back_colours_that_depend_on_the_latent_linearly():
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(16, 5, 6, 6, generator=generator)
    colours = 0.5 + 0.1 * latent[:3]
    pictures = torch.cat([colours[:, :1], colours[:, 1:].repeat_interleave(4, 1)], 1).permute(1, 2, 3, 0)
    pictures = pictures.repeat_interleave(8, 1).repeat_interleave(8, 2)
    video = preview_video(latent, fit_preview(latent, pictures))
    assert video.shape == (5, 48, 48, 3)
    torch.testing.assert_close(video[2, ::8, ::8], colours[:, 2].permute(1, 2, 0), atol=0.02, rtol=0)


# Checkpoints


def save(store, step, value):
    store.save(
        step,
        {"step": step},
        [
            ("weight/a", 4, lambda: torch.full((3,), value)),
            ("b", 1, lambda: torch.ones(2, dtype=torch.uint8)),
        ],
        True,
    )


def test_only_the_newest_checkpoints_are_kept(tmp_path):
    store = Checkpoints(tmp_path / "c", keep=2)
    assert store.newest(print) is None
    for step in (1, 2, 3):
        save(store, step, float(step))
    assert store.steps() == [3, 2]
    assert store.newest(print).read("weight/a").tolist() == [3.0] * 3


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "web page"])
def test_a_damaged_checkpoint_is_passed_over_and_one_that_is_being_written_is_left_alone(tmp_path, damage):
    store = Checkpoints(tmp_path, keep=2)
    save(store, 1, 1.0)
    save(store, 2, 2.0)
    content = bytearray(store.path(2).read_bytes())
    content[-1] ^= 1
    store.path(2).write_bytes(
        {"cut": content[:-5], "flipped": content, "empty": b"", "web page": b"<html>"}[damage]
    )
    (tmp_path / "step_0000003.safetensors.part").write_bytes(b"half")
    said = []
    assert store.newest(said.append).step == 1
    assert "step_0000002.safetensors is damaged" in said[0]
    assert (tmp_path / "step_0000003.safetensors.part").is_file()


def test_an_entry_names_caption_and_shape_without_reading_the_latent(tmp_path):
    write_clip(tmp_path / "a.safetensors", clip(), "any", "a.mp4")
    entry = read_entry(tmp_path / "a.safetensors")
    assert (entry.caption, entry.shape) == ("a cat", (16, 3, 4, 4))
