"""Smaller LoRA files: how near they stay, what is written, and the command line."""

import math
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pusa_core.errors import PusaError
from pusa_core.lora.__main__ import main
from pusa_core.lora.contents import read_contents
from pusa_core.lora.experts import HIGH_NOISE, guess_expert
from pusa_core.lora.matching import match
from pusa_core.lora.resize import Target, difference_norms, resize, sha256, shrink
from pusa_core.lora.weight_files import open_weights
from support import tiny_wan
from support.lora_layouts import DOWN_UP, LAYERS, Layout, pairs, prefixed


def factors(seed, rows=30, columns=20, rank=8):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(rows, rank, generator=generator, dtype=torch.float64),
        torch.randn(rank, columns, generator=generator, dtype=torch.float64),
    )


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), rank=st.integers(1, 8))
def test_no_factors_of_that_rank_are_nearer(seed, rank):
    """Eckart-Young: the error is the norm of the singular values left out."""
    up, down = factors(seed)
    new_up, new_down = shrink(up, down, Target(rank=rank))
    left_out = torch.linalg.svdvals(up @ down)[rank:]
    error = torch.linalg.matrix_norm(up @ down - new_up @ new_down)
    assert new_up.shape == (30, rank)
    torch.testing.assert_close(error, left_out.square().sum().sqrt(), atol=1e-9, rtol=1e-9)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), energy=st.floats(0.01, 1.0))
def test_energy_keeps_that_share_and_not_a_rank_more(seed, energy):
    up, down = factors(seed)
    new_up, _ = shrink(up, down, Target(energy=energy))
    squares = torch.linalg.svdvals(up @ down)[:8].square()
    share = squares.cumsum(0) / squares.sum()
    rank = new_up.shape[1]
    assert share[rank - 1] >= energy - 1e-9
    assert rank == 1 or share[rank - 2] < energy + 1e-9


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), rank=st.integers(1, 8))
def test_the_reported_error_is_that_of_the_whole_matrices(seed, rank):
    up, down = factors(seed)
    new_up, new_down = (part.bfloat16().double() for part in shrink(up, down, Target(rank=rank)))
    error, whole = difference_norms(up, down, new_up, new_down)
    assert math.sqrt(error) == pytest.approx(
        torch.linalg.matrix_norm(up @ down - new_up @ new_down).item(), rel=1e-6, abs=1e-6
    )
    assert math.sqrt(whole) == pytest.approx(torch.linalg.matrix_norm(up @ down).item())


@pytest.fixture
def source(tmp_path):
    """A LoRA of rank 16 with .alpha and whole differences, and its pairs."""
    own = pairs(ranks=lambda layer: 16, alpha=lambda layer: 8.0)
    weights = Layout("", prefixed("diffusion_model."), *DOWN_UP, own).weights()
    weights["diffusion_model.blocks.0.diff_m"] = torch.ones(1, 6, tiny_wan.WIDTH)
    weights["diffusion_model.blocks.0.norm3.diff_b"] = torch.ones(tiny_wan.WIDTH)
    weights["diffusion_model.patch_embedding.lora_down.weight"] = torch.randn(16, 16, 1, 2, 2)
    weights["diffusion_model.patch_embedding.lora_up.weight"] = torch.randn(tiny_wan.WIDTH, 16, 1, 1, 1)
    path = tmp_path / "high_noise_pusa.safetensors"
    save_file(weights, path, {"trainer": "test"})
    return path, own


def contents_of(path):
    return read_contents(open_weights(str(path)))


def test_the_written_file_is_the_best_of_its_rank_and_fits_the_model(source, tmp_path):
    path, own = source
    out = tmp_path / "small.safetensors"
    result = resize(contents_of(path), str(out), Target(rank=4))
    found = match(contents_of(out), tiny_wan.shapes())
    assert not found.unmatched_keys
    assert {change.parameter for change in found.applied} >= {f"{layer}.weight" for layer in LAYERS}
    written = load_file(out)
    for layer, pair in own.items():
        name = f"diffusion_model.{layer}"
        down, up = written[f"{name}.lora_A.weight"], written[f"{name}.lora_B.weight"]
        scale = written[f"{name}.alpha"].item() / down.shape[0]
        best = torch.linalg.svdvals(pair.difference)[4:].square().sum().sqrt()
        error = torch.linalg.matrix_norm(pair.difference - scale * up.double() @ down.double())
        assert (down.shape[0], error.item()) == (4, pytest.approx(best.item(), rel=1e-3))
    assert torch.equal(written["diffusion_model.blocks.0.diff_m"], torch.ones(1, 6, tiny_wan.WIDTH))
    assert torch.equal(written["diffusion_model.blocks.0.norm3.diff_b"], torch.ones(tiny_wan.WIDTH))
    assert written["diffusion_model.patch_embedding.lora_A.weight"].shape == (4, 16, 1, 2, 2)
    assert (result.layers, result.rank_min, result.rank_max) == (len(own) + 1, 4, 4)


def test_a_rank_that_is_large_enough_loses_nothing(source, tmp_path):
    path, _ = source
    result = resize(contents_of(path), str(tmp_path / "same.safetensors"), Target(rank=999))
    assert (result.rank_max, result.relative_error < 1e-5) == (16, True)


def test_metadata_says_from_what_it_was_made(source, tmp_path):
    path, _ = source
    out = tmp_path / "renamed.safetensors"
    result = resize(contents_of(path), str(out), Target(energy=0.9))
    with safe_open(out, framework="pt") as file:
        metadata = file.metadata()
    assert metadata["trainer"] == "test"
    assert metadata["pusa_source"] == path.name
    assert metadata["pusa_source_sha256"] == sha256(str(path))
    assert float(metadata["pusa_relative_error"]) == pytest.approx(result.relative_error, abs=1e-6)
    assert 0.0 < result.relative_error <= math.sqrt(1 - 0.9) + 1e-3
    assert guess_expert(out.name, metadata).expert == HIGH_NOISE


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float8_e4m3fn])
def test_the_files_own_type_is_kept_and_fp8_becomes_bf16(dtype, tmp_path):
    path, out = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    save_file(Layout("", prefixed(""), *DOWN_UP, pairs(dtype=dtype)).weights(), path)
    resize(contents_of(path), str(out), Target(rank=4))
    kept = load_file(out)["diffusion_model.blocks.0.ffn.0.lora_A.weight"].dtype
    assert kept == (torch.bfloat16 if dtype == torch.float8_e4m3fn else dtype)


def test_nothing_is_left_behind_when_it_fails(source, tmp_path):
    path, _ = source

    def fail(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resize(contents_of(path), str(tmp_path / "out.safetensors"), Target(rank=4), progress=fail)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize(
    "target", [{}, {"rank": 4, "energy": 0.9}, {"rank": 0}, {"energy": 0.0}, {"energy": 1.5}]
)
def test_a_target_that_means_nothing_is_refused(target):
    with pytest.raises(PusaError, match=r"--rank|--energy"):
        Target(**target)


def test_the_commands_print_what_they_found(source, tmp_path, capsys):
    path, _ = source
    out = tmp_path / "small.safetensors"
    assert main(["resize", str(path), str(out), "--rank", "4", "--dtype", "bf16"]) == 0
    said = capsys.readouterr()
    assert "21 layers, rank 4" in said.out
    assert "relative error 0." in said.out
    assert said.err.endswith("23/23 layers\n")
    assert main(["inspect", str(out)]) == 0
    said = capsys.readouterr().out
    for line in (
        "Rank: 4",
        "Layers: 21 pairs, 2 whole differences",
        "Expert: high-noise (from the metadata)",
        "All values are finite.",
    ):
        assert line in said


def test_a_refusal_is_a_sentence_and_an_exit_code(source, tmp_path, capsys):
    path, _ = source
    assert main(["inspect", str(tmp_path / "missing.safetensors")]) == 1
    assert "There is no file" in capsys.readouterr().err
    assert main(["resize", str(path), str(path), "--rank", "4"]) == 1
    assert "is there already" in capsys.readouterr().err
    assert main(["resize", str(path), str(tmp_path / "out.pt"), "--rank", "4"]) == 1
    assert "must end in .safetensors" in capsys.readouterr().err


def test_python_m_runs_it_from_the_packs_folder(source, pack_root):
    path, _ = source
    done = subprocess.run(
        [sys.executable, "-m", "pusa_core.lora", "inspect", str(path)],
        cwd=pack_root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "All values are finite." in done.stdout) == (0, True), done.stderr
