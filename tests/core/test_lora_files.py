"""Broken and hostile LoRA files: each is refused with a sentence, quickly, and nothing in it runs."""

import json
import pickle
import struct
import time
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file

from pusa_core.errors import PusaError
from pusa_core.lora import weight_files
from pusa_core.lora.contents import read_contents, require_finite_contents
from pusa_core.lora.weight_files import MAX_KEYS, fingerprint, open_weights

LIMIT_S = 2.0


def pair(layer="blocks.0.self_attn.q", rank=4, width=16, fill=0.5):
    return {
        f"{layer}.lora_A.weight": torch.full((rank, width), fill),
        f"{layer}.lora_B.weight": torch.full((width, rank), fill),
    }


def refusal(path: Path) -> str:
    """The sentence with which the file is refused; it must come in time."""
    begun = time.process_time()  # of this process: other work on the machine does not count
    with pytest.raises(PusaError) as caught:
        require_finite_contents(read_contents(open_weights(str(path))))
    assert time.process_time() - begun < LIMIT_S
    return str(caught.value)


def with_header(header: dict, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


class Runs:
    """A pickle that writes a file when it is loaded by a loader that runs code."""

    def __init__(self, witness: Path):
        self.witness = witness

    def __reduce__(self):
        return (Path.touch, (self.witness,))


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(save(pair())[:-7])
    assert "damaged or incomplete" in refusal(path)


def test_a_file_cut_off_in_its_header_is_refused(tmp_path):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(save(pair())[:40])
    assert "only part of one" in refusal(path)


@pytest.mark.parametrize(
    "content", [b"", b"x", b"<!DOCTYPE html><html>not found</html>", b"PK\x03\x04" + bytes(64), bytes(64)]
)
def test_what_is_no_safetensors_file_is_refused(content, tmp_path):
    path = tmp_path / "page.safetensors"
    path.write_bytes(content)
    assert "not a safetensors file" in refusal(path)


@pytest.mark.parametrize(
    "header",
    [
        {"a.lora_A.weight": {"dtype": "F32", "shape": [2**62], "data_offsets": [0, 8]}},
        {"a.lora_A.weight": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}},
        {"a.lora_A.weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 2**63]}},
        {"a.lora_A.weight": {"dtype": "EVIL", "shape": [2], "data_offsets": [0, 8]}},
        {"a.lora_A.weight": {"data_offsets": "not a table"}},
    ],
)
def test_a_header_that_lies_is_refused(header, tmp_path):
    path = tmp_path / "lies.safetensors"
    path.write_bytes(with_header(header, bytes(8)))
    assert "damaged or incomplete" in refusal(path)


def test_a_header_of_many_megabytes_is_refused_unread(tmp_path):
    path = tmp_path / "long.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 99 * 2**20) + b"{")
        file.truncate(100 * 2**20)
    assert "table of contents of 99 MiB" in refusal(path)


def test_a_hundred_thousand_keys_are_refused(tmp_path):
    path = tmp_path / "many.safetensors"
    entries = {
        f"blocks.{i}.self_attn.q.lora_A.weight": {
            "dtype": "F32",
            "shape": [1],
            "data_offsets": [4 * i, 4 * i + 4],
        }
        for i in range(100_000)
    }
    path.write_bytes(with_header(entries, bytes(400_000)))
    assert f"100000 tensors; no Wan LoRA has more than {MAX_KEYS}" in refusal(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_values_that_are_no_numbers_are_refused(value, dtype, tmp_path):
    weights = {key: tensor.to(dtype) for key, tensor in pair().items()}
    weights["blocks.0.self_attn.q.lora_B.weight"][3, 2] = value
    path = tmp_path / "nan.safetensors"
    save_file(weights, path)
    assert "'blocks.0.self_attn.q.lora_B.weight' holds values that are not numbers" in refusal(path)


def test_nan_in_fp8_is_refused(tmp_path):
    weights = {key: tensor.to(torch.float8_e4m3fn) for key, tensor in pair().items()}
    weights["blocks.0.self_attn.q.lora_A.weight"].view(torch.uint8)[1, 1] = 0x7F
    path = tmp_path / "nan.safetensors"
    save_file(weights, path)
    assert "not numbers" in refusal(path)


def test_an_alpha_that_is_no_number_is_refused(tmp_path):
    path = tmp_path / "alpha.safetensors"
    save_file(pair() | {"blocks.0.self_attn.q.alpha": torch.tensor(float("nan"))}, path)
    assert "'blocks.0.self_attn.q.alpha' is nan" in refusal(path)


def test_matrices_that_cannot_be_multiplied_are_refused(tmp_path):
    path = tmp_path / "shapes.safetensors"
    save_file(pair() | {"blocks.0.self_attn.q.lora_B.weight": torch.zeros(16, 5)}, path)
    assert "[16, 5]" in refusal(path)
    assert "cannot be multiplied" in refusal(path)


@pytest.mark.parametrize("missing", ["A", "B"])
def test_half_a_pair_is_refused(missing, tmp_path):
    path = tmp_path / "half.safetensors"
    save_file({key: tensor for key, tensor in pair().items() if f"lora_{missing}" not in key}, path)
    assert "has no partner" in refusal(path)


def test_integers_are_refused(tmp_path):
    path = tmp_path / "int8.safetensors"
    save_file({key: tensor.to(torch.int8) for key, tensor in pair().items()}, path)
    assert "as integers" in refusal(path)


def test_two_spellings_of_one_layer_are_refused(tmp_path):
    path = tmp_path / "twice.safetensors"
    save_file(pair() | pair("diffusion_model.blocks.0.self_attn.q"), path)
    assert "changes blocks.0.self_attn.q.weight twice" in refusal(path)


@pytest.mark.parametrize(
    "layer",
    [
        "../../../etc/passwd",
        "blocks.0/../../self_attn.q",
        "C:\\Windows\\system32",
        "blocks..0",
        "__class__.__init__\x00",
        "blocks.0.self_attn.q\n",
    ],
)
def test_keys_with_path_tricks_name_no_layer(layer, tmp_path):
    path = tmp_path / "path.safetensors"
    save_file(pair(layer), path)
    contents = read_contents(open_weights(str(path)))
    assert not contents.changes
    assert len(contents.unknown) == 2


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt"])
def test_code_in_a_pickle_does_not_run(suffix, tmp_path):
    witness = tmp_path / "witness"
    path = tmp_path / f"evil{suffix}"
    torch.save({"blocks.0.self_attn.q.lora_A.weight": Runs(witness)}, path)
    assert "can carry code" in refusal(path)
    path.write_bytes(pickle.dumps(Runs(witness)))
    assert "can carry code" in refusal(path)
    assert not witness.exists()


def test_a_broken_pt_file_is_refused(tmp_path):
    path = tmp_path / "broken.pt"
    torch.save(pair(), path)
    path.write_bytes(path.read_bytes()[:-200])
    assert "damaged" in refusal(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("hello.txt", "hello")
    assert "damaged" in refusal(path)


@pytest.mark.parametrize(
    "content", [[1, 2], {}, {"a": 1}, {1: torch.zeros(1)}, {"a": torch.zeros(1).expand(10**6)}]
)
def test_a_pt_file_without_plain_weights_is_refused(content, tmp_path):
    path = tmp_path / "other.pt"
    torch.save(content, path)
    assert "Use the .safetensors version" in refusal(path)


def test_a_pt_file_may_hold_its_weights_under_state_dict(tmp_path):
    path = tmp_path / "wrapped.pt"
    torch.save({"state_dict": pair(), "step": 900}, path)
    assert len(read_contents(open_weights(str(path))).changes) == 1


@pytest.mark.parametrize("name", ["missing.safetensors", "missing.pt"])
def test_a_missing_file_is_refused(name, tmp_path):
    assert "There is no file" in refusal(tmp_path / name)


def test_another_kind_of_file_is_refused(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    assert "is not a LoRA file" in refusal(path)


def test_files_of_equal_keys_and_shapes_have_different_fingerprints(tmp_path):
    for name, fill in (("high", 0.25), ("low", 0.5), ("copy_of_low", 0.5)):
        save_file(pair(fill=fill), tmp_path / name)
    high, low, copy = (fingerprint(str(tmp_path / name)) for name in ("high", "low", "copy_of_low"))
    assert high != low
    assert low == copy


def test_a_tensor_is_read_as_it_was_saved_and_a_changed_file_is_noticed(tmp_path):
    path = tmp_path / "good.safetensors"
    weights = {key: torch.randn(tensor.shape) for key, tensor in pair().items()}
    save_file(weights, path, {"note": "made for a test"})
    file = open_weights(str(path))
    assert dict(file.metadata) == {"note": "made for a test"}
    assert all(torch.equal(file.read(key), tensor) for key, tensor in weights.items())
    save_file(pair(rank=8), path)
    with pytest.raises(PusaError, match="Queue the workflow again"):
        file.read("blocks.0.self_attn.q.lora_A.weight")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float8_e4m3fn])
def test_every_tensor_is_read_from_its_own_bytes(dtype, tmp_path):
    """Odd sizes, a number without dimensions, an integer .alpha, a header that is no multiple of eight."""
    weights = {
        "blocks.0.ffn.0.lora_A.weight": torch.randn(3, 5).to(dtype),
        "blocks.0.ffn.0.lora_B.weight": torch.randn(7, 3).to(dtype),
        "blocks.0.ffn.0.alpha": torch.tensor(6),
        "blocks.0.ffn.0.diff_b": torch.randn(7),
        "note": torch.zeros(0),
    }
    path = tmp_path / "odd.safetensors"
    save_file(weights, path)
    file = open_weights(str(path))
    for key, tensor in weights.items():
        assert file.read(key).dtype == tensor.dtype
        assert torch.equal(file.read(key).double(), tensor.double())
    assert read_contents(file).changes[0].alpha == 6.0


def test_the_table_of_contents_is_read_once(tmp_path, monkeypatch):
    path = tmp_path / "once.safetensors"
    save_file(pair(), path)
    file = open_weights(str(path))
    monkeypatch.setattr(weight_files, "safe_open", None)  # whoever opens it again fails
    for key in file.tensors:
        file.read(key)


def test_a_file_that_is_cut_off_behind_its_stamp_is_noticed(tmp_path, monkeypatch):
    path = tmp_path / "cut.safetensors"
    save_file(pair(), path)
    file = open_weights(str(path))
    monkeypatch.setattr(weight_files, "require_unchanged", lambda path, stamp: None)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(PusaError, match="changed or removed"):
        [file.read(key) for key in file.tensors]


def test_a_file_whose_numbers_are_known_to_be_finite_is_not_read_again_until_it_changes(
    tmp_path, monkeypatch
):
    path = tmp_path / "known.safetensors"
    save_file(pair(fill=0.25), path)
    read, kind = [], weight_files.SafetensorsFile
    original = kind.read
    monkeypatch.setattr(kind, "read", lambda file, key: (read.append(key), original(file, key))[1])

    def check():
        read.clear()
        require_finite_contents(read_contents(open_weights(str(path))))
        return len(read)

    assert [check(), check()] == [2, 0]
    save_file(pair(rank=8, fill=0.25), path)
    assert [check(), check()] == [2, 0]


def test_a_damaged_file_is_refused_every_time(tmp_path):
    path = tmp_path / "nan.safetensors"
    save_file(pair(fill=float("nan")), path)
    for _ in range(2):
        assert "not numbers" in refusal(path)


def test_a_pt_file_of_an_old_pytorch_is_read(tmp_path):
    path = tmp_path / "old.pt"
    torch.save(pair(), path, _use_new_zipfile_serialization=False)
    contents = read_contents(open_weights(str(path)))
    require_finite_contents(contents)
    assert [change.rank for change in contents.changes] == [4]


def test_a_large_pt_file_of_an_old_pytorch_says_what_it_is_and_how_to_convert_it(tmp_path, monkeypatch):
    path = tmp_path / "old.pt"
    torch.save(pair(), path, _use_new_zipfile_serialization=False)
    monkeypatch.setattr(weight_files, "MAX_LEGACY_BYTES", 100)
    said = refusal(path)
    assert "format of PyTorch before 1.6" in said
    assert "safetensors.torch.save_file" in said
    assert "code" not in said


def test_code_in_a_pt_file_of_an_old_pytorch_does_not_run(tmp_path):
    witness, path = tmp_path / "witness", tmp_path / "old.pt"
    torch.save({"a": Runs(witness)}, path, _use_new_zipfile_serialization=False)
    assert "can carry code" in refusal(path)
    assert not witness.exists()
