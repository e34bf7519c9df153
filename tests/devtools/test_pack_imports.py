import importlib
import sys

import pytest
import torch

from support import tiny_wan


def test_the_pack_has_one_set_of_modules_whatever_name_imports_it():
    import pusa_core.errors

    assert pusa_core.errors is importlib.import_module("comfyui_pusa.pusa_core.errors")
    assert pusa_core is sys.modules["comfyui_pusa.pusa_core"]


def test_the_name_nodes_is_left_to_comfyui(pack_root):
    assert str(pack_root) not in sys.path
    assert "tests" not in sys.modules


def test_the_tiny_model_is_the_one_the_golden_latents_were_made_with(goldens):
    spec = importlib.util.spec_from_file_location("golden_tiny_wan", goldens / "tiny_wan.py")
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    for ours, reference in [
        (tiny_wan.weights(10), theirs.weights(10)),
        (tiny_wan.lora(101), theirs.lora(101)),
        ({"context": tiny_wan.context(1)}, {"context": theirs.context(1)}),
        ({"latent": tiny_wan.latent(1001, 5, 8, 8)}, {"latent": theirs.latent(1001, 5, 8, 8)}),
    ]:
        assert ours.keys() == reference.keys()
        for name, value in reference.items():
            assert torch.equal(ours[name], value), name


def test_an_unknown_module_of_the_pack_is_an_import_error():
    with pytest.raises(ModuleNotFoundError, match="pusa_core"):
        importlib.import_module("pusa_core.no_such_module")
