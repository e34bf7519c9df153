"""Claims: a configuration is read or refused in a sentence, and draws depend on seed, step and sample alone."""

import pytest
import torch

from pusa_core.errors import PusaError
from pusa_core.training.batches import Batches
from pusa_core.training.cache_files import ClipEntry
from pusa_core.training.config import OptimizerSettings, config_of, config_text, read_config
from pusa_core.training.draw import TimestepDraw, draw_noise, drops_caption
from pusa_core.training.loss import timestep_table
from pusa_core.training.packages import package

LEAST = {"model": {"weights": "wan.safetensors"}, "data": {"folders": ["clips"]}}


def with_setting(key, value):
    table = {name: dict(section) for name, section in LEAST.items()}
    section, _, name = key.partition(".")
    table.setdefault(section, {})[name] = value
    return table


def test_two_settings_are_enough_and_the_rest_is_the_authors(tmp_path):
    config = config_of(LEAST, tmp_path)
    assert config.model.weights == str(tmp_path / "wan.safetensors")
    assert config.data.folders == (str(tmp_path / "clips"),)
    assert (config.lora.rank, config.draw.shift, config.optimizer.learning_rate, config.train.batch) == (
        512,
        5.0,
        1e-5,
        8,
    )
    assert config.draw == TimestepDraw()


def test_what_is_written_is_read_back(tmp_path):
    config = config_of(with_setting("draw.given_frames", ["0", "0, -1"]), tmp_path)
    (tmp_path / "run.toml").write_text(config_text(config), encoding="utf-8")
    assert read_config(tmp_path / "run.toml") == config


BAD = [
    ("model.base", "wan3", "model.base is 'wan3'; use one of 'wan2.1-1.3b'"),
    ("model.base", "wan2.2-14b", "Set model.expert to"),
    ("model.expert", "high_noise", "has no experts"),
    ("model.weights", "", "model.weights is empty"),
    ("model.held_in", "int8", "use one of 'bf16'"),
    ("model.quantize", "int4", "use one of 'none', 'nf4'"),
    ("model.wieghts", "x", "did you mean weights?"),
    ("modl.weights", "x", "did you mean model?"),
    ("data.folders", [], "data.folders is empty"),
    ("data.folders", "clips", "write a list"),
    ("data.bad_clips", "ignore", "use one of 'stop', 'skip'"),
    ("data.caption_dropout", 1.0, "use a share from 0"),
    ("lora.rank", 0, "lora.rank is 0; use 1 or more"),
    ("lora.rank", 8.5, "write a whole number"),
    ("lora.rank", True, "write a whole number"),
    ("lora.targets", ["q", "x"], "lora.targets has 'x'"),
    ("lora.targets", [], "lora.targets is empty"),
    ("draw.shift", 0.5, "draw.shift is 0.5; use 1 or more"),
    ("draw.equal_share", 1.5, "a share of the clips"),
    ("draw.sigma_min", 1.0, "use 0 <= sigma_min < sigma_max <= 1"),
    ("draw.given_frames", ["first"], "'first' in positions is not a whole number"),
    ("draw.given_multipliers", [0.5], "has 1 entries; write exactly 2"),
    ("draw.given_multipliers", [0.5, 0.2], "the least and the largest"),
    ("optimizer.name", "sgd", "use one of 'adamw'"),
    ("optimizer.learning_rate", 0, "use a number above 0"),
    ("optimizer.learning_rate", "1e-5", "write a number"),
    ("optimizer.betas", [0.9, 1.0], "two numbers from 0 to below 1"),
    ("optimizer.schedule", "step", "use one of 'constant'"),
    ("train.steps", 0, "train.steps is 0; use 1 or more"),
    ("train.keep", 1, "train.keep is 1; use 2 or more"),
    ("train.micro_batch", 3, "must be a multiple of micro_batch"),
    ("train.checkpointing", "yes", "write true or false"),
    ("train.precision", "fp16", "use one of 'bf16', 'fp32'"),
    ("train.precision", "fp32", 'Set model.held_in to "fp32" too'),
    ("train.ema", 1.0, "0.999 is usual"),
    ("parallel.sharding", "deepspeed", "use one of 'none', 'fsdp2', 'hsdp'"),
    ("parallel.sharding", "hsdp", "set parallel.group"),
    ("parallel.cpu_offload", True, "needs parallel.sharding"),
    ("sample.noise_multiplier", 2.0, "use 0 (kept clean) to 1"),
    ("train", 5, "write it as a section"),
]


@pytest.mark.parametrize(("key", "value", "sentence"), BAD, ids=[f"{key}={value!r}" for key, value, _ in BAD])
def test_a_bad_setting_is_refused_in_a_sentence(key, value, sentence, tmp_path):
    table = with_setting(key, value) if "." in key else {**LEAST, key: value}
    with pytest.raises(PusaError) as raised:
        config_of(table, tmp_path)
    assert sentence in str(raised.value)


def test_files_that_are_not_toml_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(PusaError, match="There is no file"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "a.toml").write_text('[model]\nweights = "C:\\models\\wan"', encoding="utf-8")
    with pytest.raises(PusaError, match="is not TOML"):
        read_config(tmp_path / "a.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PusaError, match="is not UTF-8"):
        read_config(tmp_path / "b.toml")


def test_a_batch_that_the_devices_cannot_share_is_refused(tmp_path):
    train = config_of(with_setting("train.batch", 6), tmp_path).train
    assert train.accumulation(2) == 3
    with pytest.raises(PusaError, match="cannot be shared by 4 devices"):
        train.accumulation(4)


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    import sys

    for name in ("peft", "bitsandbytes"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        PusaError, match=r"peft, needed for training, .* -m pip install -r requirements-train.txt"
    ):
        package("peft")
    with pytest.raises(PusaError, match=r"adamw8bit.* -m pip install bitsandbytes"):
        package("bitsandbytes")


def test_the_learning_rate_warms_up_and_falls():
    settings = OptimizerSettings(learning_rate=1.0, warm_up=10, schedule="cosine", final_share=0.1)
    rates = [settings.learning_rate_at(step, 100) for step in range(101)]
    assert rates[0] == pytest.approx(0.1, abs=0.01)
    assert max(rates) == rates[9] or max(rates) == rates[10]
    assert rates[100] == pytest.approx(0.1)
    assert OptimizerSettings(learning_rate=0.5).learning_rate_at(70, 100) == 0.5


# Draws


def many(draw, count=2000, frames=9):
    return torch.stack([draw.draw(frames, 0, step, 0)[0] for step in range(count)])


def test_draws_depend_on_seed_step_and_sample_alone():
    draw = TimestepDraw()
    torch.manual_seed(0)
    first = draw.draw(5, 1, 2, 3)[0], draw_noise((2, 2), 1, 2, 3), drops_caption(0.5, 1, 2, 3)
    torch.manual_seed(9)
    again = draw.draw(5, 1, 2, 3)[0], draw_noise((2, 2), 1, 2, 3), drops_caption(0.5, 1, 2, 3)
    assert all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in zip(first, again, strict=True))
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
        assert not torch.equal(draw.draw(5, *other)[0], first[0])
        assert not torch.equal(draw_noise((2, 2), *other), first[1])


def test_frames_draw_independent_rows_of_the_authors_table():
    sigmas = many(TimestepDraw())
    assert set(sigmas.flatten().tolist()) <= set(timestep_table()[0].tolist())
    assert torch.corrcoef(sigmas.T).fill_diagonal_(0).abs().max() < 0.1
    assert sigmas.mean() == pytest.approx(0.748, abs=0.01)


def test_a_share_of_the_clips_has_one_level_for_all_frames():
    sigmas = many(TimestepDraw(equal_share=0.3))
    assert (sigmas == sigmas[:, :1]).all(1).float().mean() == pytest.approx(0.3, abs=0.04)


def test_given_frames_are_cleaner_than_the_others_which_share_one_level():
    draw = TimestepDraw(given_share=1.0, given_frames=("0, -1",), given_multipliers=(0.0, 0.4))
    sigmas = many(draw, 200)
    assert (sigmas[:, 1:-1] == sigmas[:, 1:2]).all()
    assert (sigmas[:, [0, -1]] <= 0.4 * sigmas[:, 1:2] + 1e-6).all()
    clean = TimestepDraw(given_share=1.0, given_multipliers=(0.0, 0.0))
    levels, learned = clean.draw(5, 0, 0, 0)
    assert levels[0] == 0
    assert learned.tolist() == [False, True, True, True, True]


def test_a_range_holds_all_draws():
    sigmas = many(TimestepDraw(sigma_min=0.875), 200)
    assert sigmas.min() >= 0.875


# Batches


def entries(*counts):
    return tuple(
        ClipEntry(None, (16, frames, 4, 4), f"{frames}-{i}", "", 4096, True)
        for frames, count in counts
        for i in range(count)
    )


def test_every_batch_has_one_shape_and_an_epoch_shows_every_clip():
    batches = Batches(entries((3, 5), (5, 9)), batch=4, seed=1)
    assert batches.steps_an_epoch == 2 + 3
    for epoch in range(3):
        shown = [batches.of_step(5 * epoch + step) for step in range(5)]
        assert all(len({entry.shape for entry in clips}) == 1 for clips in shown)
        assert all(len(clips) == 4 for clips in shown)
        assert {entry.digest for clips in shown for entry in clips} == {
            entry.digest for entry in batches.entries
        }


def test_epochs_differ_and_a_single_clip_fills_a_batch():
    batches = Batches(entries((3, 16)), batch=4, seed=1)
    first, second = ([e.digest for s in range(4) for e in batches.of_step(4 * n + s)] for n in range(2))
    assert first != second
    assert sorted(first) == sorted(second)
    assert len(Batches(entries((3, 1)), batch=8, seed=0).of_step(5)) == 8
