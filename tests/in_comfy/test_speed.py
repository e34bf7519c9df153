"""Claims: Speed or Quality hands out model, steps and cfg of one way and loads nothing of the other."""

import pytest

WAYS = {"fast_steps": 4, "fast_cfg": 1.0, "full_steps": 30, "full_cfg": 3.0}


@pytest.mark.parametrize(("fast", "handed_out"), [(True, ("quick", 4, 1.0)), (False, ("slow", 30, 3.0))])
def test_one_switch_sets_all_three(pack, fast, handed_out):
    made = pack["PusaSpeed"].execute(fast=fast, fast_model="quick", full_model="slow", **WAYS)
    assert made.args == handed_out


@pytest.mark.parametrize(("fast", "wanted"), [(True, "fast_model"), (False, "full_model")])
def test_only_the_chosen_model_is_asked_for(pack, fast, wanted):
    status = pack["PusaSpeed"].check_lazy_status
    assert status(fast=fast, fast_model=None, full_model=None, **WAYS) == [wanted]
    assert status(fast=fast, **{wanted: "loaded"}, **WAYS) == []


def test_a_missing_model_is_a_sentence(pack):
    with pytest.raises(Exception, match="nothing is connected to full_model"):
        pack["PusaSpeed"].execute(fast=False, fast_model="quick", full_model=None, **WAYS)
