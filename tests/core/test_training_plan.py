"""Claims: what the plan counts is what the model has, and the documented table is what the plan makes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("peft", reason="requirements-train.txt is not installed")

from pusa_core.errors import PusaError
from pusa_core.training import plan as module
from pusa_core.training.__main__ import main
from pusa_core.training.plan import Plan, block_cost, markdown_table, need, parameters
from pusa_core.wan_dit import WanBlock

ROOT = Path(__file__).resolve().parents[2]


def test_parameters_are_those_of_the_published_models():
    counts = {
        base: sum(parameters(base, 512)[:2]) / 1e9 for base in ("wan2.1-1.3b", "wan2.2-5b", "wan2.1-14b")
    }
    assert counts == pytest.approx({"wan2.1-1.3b": 1.42, "wan2.2-5b": 5.0, "wan2.1-14b": 14.3}, rel=0.01)
    assert parameters("wan2.1-14b", 512)[2] == 2_453_667_840


@pytest.mark.parametrize(("dim", "ffn_dim", "frames", "tokens"), [(256, 512, 3, 16), (1536, 8960, 21, 1560)])
def test_operations_forward_are_the_textbooks(dim, ffn_dim, frames, tokens):
    total, text = frames * tokens, module.TEXT_TOKENS
    linear = 2 * total * (4 * dim**2 + 2 * dim**2 + 2 * dim * ffn_dim) + 2 * text * 2 * dim**2
    attention = 4 * total * dim * (total + text)
    cost = block_cost(dim, ffn_dim, None, frames, tokens)
    assert cost.forward == linear + attention
    assert cost.backward == 2 * cost.forward - 2 * text * 2 * dim**2  # the text needs no gradient


def test_kept_activations_are_those_a_real_block_keeps():
    """Counted on fake tensors and on real ones; the written-out attention of CPUs also keeps its softmax weights, left out in both."""
    frames, tokens, dim = 3, 16, 256
    block, kept = WanBlock(dim, 512), {}
    own = {parameter.untyped_storage().data_ptr() for parameter in block.parameters()}
    total = frames * tokens

    def keep(tensor):
        storage = tensor.untyped_storage()
        is_softmax = (
            tensor.ndim >= 3 and tensor.shape[-2] == total and tensor.shape[-1] in (total, module.TEXT_TOKENS)
        )
        if storage.data_ptr() not in own and not is_softmax:
            kept[storage.data_ptr()] = (storage.nbytes(), storage)
        return tensor

    x = torch.randn(1, total, dim, requires_grad=True)
    context = torch.randn(1, module.TEXT_TOKENS, dim, dtype=torch.bfloat16)
    with (
        torch.autocast("cpu", torch.bfloat16),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        block(x, torch.randn(1, frames, 6, dim), torch.randn(total, 64), context)
    real = sum(size for size, _ in kept.values())
    assert block_cost(dim, 512, None, frames, tokens).saved == pytest.approx(real, rel=0.05)


def test_sharding_offload_checkpointing_and_smaller_clips_need_less():
    plan = Plan("wan2.1-1.3b", 32)
    whole = need(plan).memory
    assert need(replace(plan, devices=8, sharding="fsdp2")).memory < whole
    offloaded = need(replace(plan, sharding="fsdp2", cpu_offload=True))
    assert offloaded.memory < whole
    assert offloaded.ram > 2 * sum(parameters("wan2.1-1.3b", 32)[:1])
    assert need(replace(plan, checkpointing=False)).memory > 2 * whole
    assert need(replace(plan, length=17)).memory < whole
    assert need(replace(plan, held_in="nf4")).weights < need(plan).weights / 2
    assert need(replace(plan, rank=None)).trained > 16e9


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [({"width": 100}, "multiples of 16"), ({"length": 80}, r"4n \+ 1"), ({"cpu_offload": True}, "needs sharding"), ({"rank": None, "held_in": "nf4"}, "4-bit")],
)  # fmt: skip
def test_impossible_plans_are_refused(settings, sentence):
    with pytest.raises(PusaError, match=sentence):
        Plan(**settings)


def test_the_documented_table_is_what_the_plan_makes():
    """One model's rows, as all of them take a while."""
    rows = markdown_table(("wan2.2-5b",)).splitlines()
    text = (ROOT / "docs" / "TRAINING.md").read_text("utf-8").splitlines()
    assert len(rows) == 7
    assert set(rows) <= set(text)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--devices", "0"], "devices is 0; use 1 or more"),
        (["--micro-batch", "0"], "micro_batch is 0; use 1 or more"),
        (["--rank", "-4"], "rank is -4; use 1 or more"),
        (["--teraflops", "-3"], "teraflops is -3.0; use what one device reaches"),
        (["--teraflops", "0"], "teraflops is 0.0; use what one device reaches"),
        (["--held-in", "nf4", "--sharding", "fsdp2"], "4-bit weights are not shared out"),
    ],
)
def test_numbers_that_no_training_has_are_refused(arguments, sentence, capsys):
    assert main(["plan", *arguments]) == 1
    assert sentence in capsys.readouterr().err
