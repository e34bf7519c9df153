"""Claims: a run that cannot work is refused in a sentence before anything large is read, and importing the package costs nothing."""

import ast
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pusa_core.errors import PusaError
from pusa_core.training.base_weights import open_base
from pusa_core.training.cache_files import TrainingClip, write_clip
from support import tiny_wan
from support.training_runs import ROOT, start, write_config, write_project


def test_importing_the_package_and_what_the_nodes_use_imports_no_training_packages():
    script = (
        "import sys, pusa_core.training, pusa_core.training.caching, pusa_core.training.config, pusa_core.training.sources;"
        "assert not {'accelerate', 'peft', 'transformers', 'bitsandbytes'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=120)


def test_the_nodes_never_import_the_loop():
    for path in (ROOT / "nodes").rglob("*.py"):
        text = path.read_text("utf-8")
        assert not any(f"training.{name}" in text for name in ("trainer", "loop", "distributed", "model ")), (
            path.name
        )


def packed(folder):
    save_file(
        {
            "patch_embedding.weight": torch.zeros(256, 16, 1, 2, 2),
            "blocks.0.x": torch.zeros(3, dtype=torch.uint8),
        },
        folder / "x.safetensors",
    )
    return folder / "x.safetensors"


def image_to_video(folder):
    weights = tiny_wan.weights(1)
    weights["patch_embedding.weight"] = torch.zeros(256, 36, 1, 2, 2)
    save_file(weights, folder / "x.safetensors")
    return folder / "x.safetensors"


def with_more(folder):
    save_file(tiny_wan.weights(1) | {"vace_blocks.0.weight": torch.zeros(1)}, folder / "x.safetensors")
    return folder / "x.safetensors"


def tiny(folder):
    save_file(tiny_wan.weights(1), folder / "x.safetensors")
    return folder / "x.safetensors"


def broken(folder):
    (folder / "x.safetensors").write_bytes(b"no model")
    return folder / "x.safetensors"


@pytest.mark.parametrize(
    ("make", "base", "sentence"),
    [
        (lambda folder: folder / "none.safetensors", "any", "There is no model at"),
        (lambda folder: folder, "any", "There is no model at"),
        (broken, "any", "is damaged or incomplete"),
        (packed, "any", "a packed type that cannot be trained on"),
        (image_to_video, "any", "Use the T2V model"),
        (with_more, "any", "'vace_blocks.0.weight' is missing, unknown or of another shape"),
        (tiny, "wan2.1-14b", "has width 256 and 2 blocks; Wan2.1 14B has width 5120 and 40"),
    ],
)
def test_a_model_that_cannot_be_trained_on_is_refused_in_a_sentence(make, base, sentence, tmp_path):
    with pytest.raises(PusaError) as raised:
        open_base(make(tmp_path), base)
    assert sentence in str(raised.value)


def test_a_gguf_model_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "wan.gguf").write_bytes(b"GGUF")
    with pytest.raises(PusaError, match="GGUF cannot be trained on"):
        open_base(tmp_path / "wan.gguf")


BAD_RUNS = [
    ({}, "parallel.group = 2", 'which only parallel.sharding = "hsdp" uses'),
    ({}, "optimizer.warm_up = 50", "optimizer.warm_up is 50, more than train.steps 4"),
    ({}, "optimizer.final_share = 0.5", 'the schedule "constant" does not fall'),
    ({}, 'optimizer.name = "adamw8bit"\nparallel.sharding = "fsdp2"', "whose state is not shared out"),
    (
        {},
        'model.expert = "high_noise"\nmodel.weights = "wan2.2_t2v_low_noise_14B.safetensors"',
        "is the other expert by its name",
    ),
    ({}, "draw.sigma_min = 0.99999", "No training timestep that counts lies between"),
    (
        {},
        "draw.given_share = 0.5\ndraw.given_frames = ['80']",
        "draw.given_frames has 80, but clip_0.safetensors has 3 latent frames",
    ),
    ({}, 'train.output = "base.safetensors"', "which cannot be made a folder"),
    ({}, 'train.output = "clips/run"', "inside the clips' folder"),
    ({"frames": 1}, "", "Every clip has a single latent frame"),
    ({}, "train.batch = 3\ntrain.micro_batch = 3\ndata.folders = ['nothing']", "There is no folder"),
    ({}, 'model.base = "wan2.1-1.3b"', "Set model.base to what the file is"),
]


@pytest.mark.parametrize(("project", "extra", "sentence"), BAD_RUNS, ids=[row[2] for row in BAD_RUNS])
def test_a_run_that_cannot_work_is_one_sentence_on_the_terminal(project, extra, sentence, tmp_path, capsys):
    pytest.importorskip("accelerate", reason="requirements-train.txt is not installed")
    from pusa_core.training.__main__ import main

    assert main(["lora", str(write_project(tmp_path, extra=extra, **project))]) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said


def told_by(config, capsys) -> str:
    """What the command lora says of a run that it refuses."""
    from pusa_core.training.__main__ import main

    assert main(["lora", str(config)]) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


@pytest.fixture
def never_fills(monkeypatch):
    """Fails where the base model's weights are read."""
    pytest.importorskip("accelerate", reason="requirements-train.txt is not installed")
    from pusa_core.training import trainer

    monkeypatch.setattr(trainer, "prepare", lambda *given: pytest.fail("the base model was read"))


def test_a_caption_of_another_text_encoder_is_refused_before_the_base_is_read(never_fills, tmp_path, capsys):
    config = write_project(tmp_path)
    narrow = TrainingClip(tiny_wan.latent(1, 3, 4, 4)[0], torch.zeros(7, 768), torch.zeros(1, 768), "a cat")
    write_clip(tmp_path / "clips" / "b.safetensors", narrow, "any", "b.mp4")
    assert "The encoded caption in b.safetensors is 768 wide, the model reads 4096" in told_by(config, capsys)


def test_a_clip_with_a_flipped_byte_is_named_before_the_base_is_read_and_skipped_as_set(tmp_path, capsys):
    pytest.importorskip("accelerate", reason="requirements-train.txt is not installed")
    from pusa_core.training.__main__ import main

    config, clip = write_project(tmp_path, steps=2), tmp_path / "clips" / "clip_3.safetensors"
    content = bytearray(clip.read_bytes())
    content[-1] ^= 1
    clip.write_bytes(content)
    assert (
        'clip_3.safetensors is damaged: its content is not what was written. Encode the clip again. Or set data.bad_clips to "skip"'
        in told_by(config, capsys)
    )
    assert main(["lora", str(write_config(tmp_path, steps=2, extra='data.bad_clips = "skip"'))]) == 0
    said = capsys.readouterr().err
    assert "skipped: clip_3.safetensors is damaged" in said
    assert "5 clips in 1 buckets" in said


@pytest.mark.parametrize(
    ("settings", "name"), [('optimizer.name = "adamw8bit"', "adamw8bit"), ('model.quantize = "nf4"', "nf4")]
)
def test_a_missing_bitsandbytes_is_said_before_the_base_is_read(
    never_fills, tmp_path, capsys, monkeypatch, settings, name
):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    said = told_by(write_project(tmp_path, extra=settings), capsys)
    assert "The package bitsandbytes, needed for" in said
    assert name in said


def test_a_torch_that_cannot_share_out_a_lora_is_said_before_the_base_is_read(
    never_fills, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(torch, "__version__", "2.7.1+cu126")
    sharded = 'parallel.sharding = "fsdp2"\nmodel.held_in = "bf16"\ntrain.precision = "bf16"'
    said = told_by(write_project(tmp_path, extra=sharded), capsys)
    assert "This is torch 2.7.1+cu126" in said
    assert "needs 2.8 or newer" in said


def test_two_runs_cannot_share_a_folder_and_stop_ends_the_one_that_runs(tmp_path, capsys):
    pytest.importorskip("accelerate", reason="requirements-train.txt is not installed")
    from pusa_core.training.__main__ import main
    from pusa_core.training.checks import is_running
    from pusa_core.training.loop import STOP

    config = write_project(tmp_path, steps=100000)
    assert main(["stop", str(tmp_path / "run")]) == 1
    assert "No training runs in" in capsys.readouterr().err
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / STOP).touch()  # left by a run that was killed
    running, deadline = start("lora", config), time.monotonic() + 60
    while not is_running(tmp_path / "run") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "Another training runs in" in told_by(config, capsys)
    assert main(["stop", str(tmp_path / "run")]) == 0  # perhaps before its first step
    said = running.communicate(timeout=60)[1]
    assert running.returncode == 0
    assert "Stopped and saved at step" in said


def test_a_full_device_is_a_sentence(never_fills, tmp_path, capsys, monkeypatch):
    from pusa_core.training import trainer

    def full(*given):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(trainer, "prepare", full)
    said = told_by(write_project(tmp_path), capsys)
    assert "The device's memory is full (CUDA out of memory)" in said
    assert "the command plan computes what fits" in said


def test_another_base_model_cannot_continue_a_run(tmp_path, capsys):
    pytest.importorskip("accelerate", reason="requirements-train.txt is not installed")
    from pusa_core.training.__main__ import main

    config = write_project(tmp_path, steps=2)
    assert main(["lora", str(config)]) == 0
    save_file(tiny_wan.weights(2), tmp_path / "base.safetensors")
    assert "holds a run with another base model" in told_by(write_config(tmp_path, steps=4), capsys)


def test_clips_of_another_vae_or_without_empty_caption_are_named(tmp_path):
    pytest.importorskip("accelerate", reason="requirements-train.txt is not installed")
    pytest.importorskip("peft", reason="requirements-train.txt is not installed")
    from pusa_core.training.config import read_config
    from pusa_core.training.trainer import LORA, run_training

    config = write_project(tmp_path, clips=2)
    for path in (tmp_path / "clips").iterdir():
        path.unlink()
    content = {"latents": torch.zeros(48, 3, 4, 4), "prompt_emb": {"context": torch.zeros(1, 7, 4096)}}
    torch.save(content, tmp_path / "clips" / "a.tensors.pth")
    with pytest.raises(PusaError, match=r"a\.tensors\.pth has 48 channels"):
        run_training(LORA, read_config(config))
    content["latents"] = torch.zeros(12, 3, 4, 4)
    torch.save(content, tmp_path / "clips" / "a.tensors.pth")
    with pytest.raises(PusaError, match=r"has 12 channels.* It is a latent of Mochi"):
        run_training(LORA, read_config(config))
    content["latents"] = torch.zeros(16, 3, 4, 4)
    torch.save(content, tmp_path / "clips" / "a.tensors.pth")
    with pytest.raises(PusaError, match="has no encoded empty caption"):
        run_training(LORA, read_config(write_config(tmp_path, extra="data.caption_dropout = 0.001")))
    assert run_training(
        LORA, read_config(write_config(tmp_path, steps=1, extra="data.caption_dropout = 0.0"))
    ).finished


def strings_of(source: Path) -> set[str]:
    """All texts in a Python file; what is put into them is an ellipsis."""
    found = set()
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = ["…" if isinstance(part, ast.FormattedValue) else part.value for part in node.values]
            found.add(re.sub("…+", "…", "".join(parts)).strip())
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value.strip())
    return found


def test_the_table_of_the_docs_says_what_training_says():
    page = (
        (ROOT / "docs" / "TRAINING.md")
        .read_text("utf-8")
        .partition("## What is refused")[2]
        .partition("\n## ")[0]
    )
    rows = [
        line.strip("| ").split(" | ")
        for line in page.splitlines()
        if line.startswith("| ") and "**" not in line
    ]
    sources = [*(ROOT / "pusa_core" / "training").glob("*.py"), ROOT / "nodes" / "host" / "training.py"]
    said = set().union(*map(strings_of, sources))
    sentences = [cells[-1] for cells in rows[1:]]
    assert len(sentences) > 50
    assert [sentence for sentence in sentences if sentence not in said] == []
