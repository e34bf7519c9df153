"""Claims: a run that cannot work is refused in a sentence before anything large is read, and importing the package costs nothing."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from pusa_core.errors import PusaError
from pusa_core.training.base_weights import open_base
from support import tiny_wan
from support.training_runs import ROOT, write_config, write_project


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
    content["latents"] = torch.zeros(16, 3, 4, 4)
    torch.save(content, tmp_path / "clips" / "a.tensors.pth")
    with pytest.raises(PusaError, match="has no encoded empty caption"):
        run_training(LORA, read_config(write_config(tmp_path, steps=20, extra="data.caption_dropout = 0.9")))
    assert run_training(
        LORA, read_config(write_config(tmp_path, steps=1, extra="data.caption_dropout = 0.0"))
    ).finished
