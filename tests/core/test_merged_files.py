"""Merged models on disk: names a reader understands, files that are whole or not there."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from pusa_core.errors import PusaError
from pusa_core.merged_files import (
    DIGEST,
    NAME_LENGTH,
    Sources,
    find_merged,
    merged_path,
    read_sources,
    require_disk,
    size_text,
    write_merged,
)
from pusa_core.safetensors_stream import DTYPE_NAMES


def prompt(**nodes):
    return {name: {"class_type": "Node", "inputs": inputs} for name, inputs in nodes.items()}


def test_sources_are_read_up_the_model_links_first_loader_first():
    graph = prompt(
        a={"unet_name": "wan2.2\\high noise.safetensors", "weight_dtype": "default"},
        b={"model": ["a", 0], "lora_name": "pusa/one.safetensors"},
        c={"model": ["b", 0], "shift": 5.0},
        d={"model": ["c", 0], "lora_name": "two.pt"},
        e={"model": ["d", 0]},
        other={"unet_name": "low.safetensors"},
    )
    assert read_sources(graph, "e") == Sources("high noise", ("one", "two"))


@pytest.mark.parametrize(
    "graph",
    [
        {},
        prompt(e={}),
        prompt(e={"model": ["gone", 0]}),
        prompt(e={"model": ["f", 0]}, f={"model": ["e", 0]}),
        prompt(e={"model": ["f", 0]}, f={"unet_name": ["g", 0]}),
    ],
)
def test_an_unreadable_graph_names_nothing(graph):
    assert read_sources(graph, "e") == Sources("")


def test_names_fit_every_file_system():
    assert Sources("a b/c:d*?", ("ä<>|",)).name == "a_b_c_d_+ä"
    assert Sources("").name == "model"
    assert len(Sources("x" * 500).name) == NAME_LENGTH
    longest = merged_path(Path("m"), Sources("模" * 200, ("型" * 200,)), "0" * 16).name
    assert len(f"{longest}.part".encode()) <= 255
    assert longest.startswith("模" * 60)
    assert merged_path(Path("m"), Sources("wan", ("pusa",)), "0" * 16) == Path(
        f"m/pusa_merged/wan+pusa_{'0' * 16}.safetensors"
    )


def test_every_type_and_shape_is_read_back_as_it_was(tmp_path):
    weights = {
        f"{name}.{size}": torch.ones(size).to(dtype)
        for dtype, name in DTYPE_NAMES.items()
        for size in ((), (0,), (3,), (5, 7), (2, 3, 1, 2, 2))
    }
    order = sorted(weights, key=lambda key: -weights[key].dtype.itemsize)
    path = tmp_path / "new" / "all.safetensors"
    write_merged(path, order, ((key, weights[key]) for key in order), {DIGEST: "ab", "text": "é\n" * 50})
    read = load_file(path)
    assert read.keys() == weights.keys()
    for key, weight in weights.items():
        assert (read[key].dtype, read[key].shape) == (weight.dtype, weight.shape)
        assert torch.equal(read[key].double(), weight.double())
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {DIGEST: "ab", "text": "é\n" * 50}


def test_nothing_is_left_when_a_weight_cannot_be_computed(tmp_path):
    def weights():
        yield "a", torch.ones(4)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_merged(tmp_path / "x.safetensors", ["a", "b"], weights(), {})
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_found_by_what_it_holds_in_any_folder(tmp_path):
    digest = "0123456789abcdef"
    folders = [tmp_path / "one", tmp_path / "two"]
    assert find_merged(folders, digest) is None
    path = merged_path(folders[1], Sources("wan"), digest)
    write_merged(path, ["a"], iter([("a", torch.ones(2))]), {DIGEST: digest})
    assert find_merged(folders, digest) == path
    impostor = merged_path(folders[0], Sources("wan"), digest)
    write_merged(impostor, ["a"], iter([("a", torch.ones(2))]), {DIGEST: "f" * 16})
    assert find_merged(folders, digest) == path
    path.write_bytes(path.read_bytes()[:-1])
    assert find_merged(folders, digest) is None


def test_a_disk_too_small_is_refused_with_what_is_needed(tmp_path):
    require_disk(tmp_path, 1)
    with pytest.raises(PusaError, match=r"needs 1000000000\.0 GB in .* are free there.*Free some space"):
        require_disk(tmp_path, 10**18)


def test_sizes_are_told_in_gb_and_mb():
    assert [size_text(size) for size in (0, 13_100_000, 28_600_000_000)] == ["0.0 MB", "13.1 MB", "28.6 GB"]
