import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pusa_core.bases import base_of_channels
from pusa_core.errors import PusaError
from pusa_core.frozen_frames import share_of_operations
from pusa_core.operations import (
    MODELS,
    TEXT_TOKENS,
    WAN_21_14B,
    WAN_22_A14B,
    Architecture,
    Run,
    activation_bytes,
    attention_share,
    fitting,
    forward_operations,
    kept_bytes,
    parameters,
    run_operations,
    small_steps,
    steps_of,
)
from pusa_core.progressive import small_size
from pusa_core.progressive import small_steps as steps_of_the_node
from pusa_core.schedule import flow_sigmas
from pusa_core.wan_dit import WanConfig, WanDiT

TINY = Architecture("tiny", 256, 512, 2)
P480, P720 = (832, 480), (1280, 720)


def model_of(architecture: Architecture, device: str = "meta") -> WanDiT:
    config = WanConfig(architecture.width, architecture.hidden, architecture.layers, architecture.channels)
    with torch.device(device):
        return WanDiT(config)


@pytest.mark.parametrize(
    ("architecture", "frames", "height", "width"),
    [(TINY, 3, 8, 12), (WAN_21_14B, 2, 8, 8), (WAN_21_14B, 21, 60, 104), (MODELS[-1], 2, 4, 6)],
)
def test_the_closed_form_counts_what_torch_counts(architecture, frames, height, width):
    """On the meta device, so that also the 14B shape at 480p is counted, by the model itself."""
    model = model_of(architecture)
    x = torch.zeros(1, architecture.channels, frames, height, width, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x, torch.zeros(1, frames, device="meta"), torch.zeros(1, TEXT_TOKENS, 4096, device="meta"))
    assert counter.get_total_flops() == forward_operations(architecture, frames, height * width // 4)


@pytest.mark.parametrize("architecture", [TINY, *MODELS], ids=lambda model: model.name)
def test_parameters_are_those_of_the_model(architecture):
    assert parameters(architecture) == sum(weight.numel() for weight in model_of(architecture).parameters())


def test_the_widest_moment_of_a_forward_is_at_least_what_the_plan_says():
    run = Run(TINY, 256, 256, length=17)
    model = model_of(TINY, "cpu")
    x = torch.zeros(1, 16, run.frames, 32, 32)
    with (
        torch.no_grad(),
        torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True, acc_events=True
        ) as profiled,
    ):
        model(x, torch.zeros(1), torch.zeros(1, TEXT_TOKENS, 4096))
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    in_use, most = 0, 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        in_use += event.nbytes()
        most = max(most, in_use)
    bound = activation_bytes(run, bytes_each=4)
    assert bound <= most <= 4 * bound


def test_a_run_is_steps_times_prompts_times_a_forward():
    run = Run(WAN_22_A14B, *P480)
    assert run_operations(run) == 30 * 2 * forward_operations(WAN_22_A14B, 21, 1560)
    assert run_operations(dataclasses.replace(run, steps=4, cfg=1.0)) == 4 * forward_operations(
        WAN_22_A14B, 21, 1560
    )


def test_experts_share_the_steps_at_the_boundary():
    assert [step.expert for step in steps_of(Run(WAN_22_A14B, *P480, steps=4))] == [0, 0, 1, 1]
    assert [step.expert for step in steps_of(Run(WAN_21_14B, *P480, steps=4))] == [0, 0, 0, 0]


@pytest.mark.parametrize("frozen", [1, 4, 11])
def test_the_caches_share_is_that_of_the_frozen_frame_page(frozen):
    """A single expert and a whole number of refreshes: nearly the share that docs/PERFORMANCE.md gives (which leaves out the text)."""
    run = Run(WAN_21_14B, *P480, steps=8, frozen=frozen, every=4)
    plain = run_operations(dataclasses.replace(run, frozen=0, every=1))
    assert run_operations(run) / plain == pytest.approx(
        share_of_operations(21, frozen, 1560, 5120, 13824, 4), abs=1e-3
    )


def test_the_cache_begins_anew_with_each_expert_and_each_size():
    steps = steps_of(Run(WAN_22_A14B, *P480, steps=4, frozen=4, every=4))
    assert [step.is_reuse for step in steps] == [False, True, False, True]
    run = Run(WAN_21_14B, *P480, steps=4, frozen=4, every=4, small=0.5, small_above=0.875)
    assert [step.is_reuse for step in steps_of(run)] == [False, True, False, True]


def test_half_the_size_is_a_quarter_of_the_tokens_and_less_of_the_operations():
    run = Run(WAN_22_A14B, *P480, small=0.5)
    steps = steps_of(run)
    assert small_steps(steps) == 13, "sigma is 0.875 or more in 13 of 30 steps at shift 5"
    assert {step.tokens for step in steps} == {1560, 390}
    small, whole = (forward_operations(WAN_22_A14B, 21, tokens) for tokens in (390, 1560))
    assert small < whole / 4


def test_sizes_that_do_not_divide_are_rounded_to_whole_tokens_the_lower_of_two():
    assert [fitting(pixels, 16) for pixels in (352, 360, 361, 368, 1)] == [22, 22, 23, 23, 1]


def test_without_frozen_frames_or_reuse_nothing_is_kept():
    run = Run(WAN_21_14B, *P480)
    assert kept_bytes(run) == 0
    assert kept_bytes(dataclasses.replace(run, frozen=4)) == 0
    one = dataclasses.replace(run, frozen=4, every=4, cfg=1.0)
    assert kept_bytes(one) == 2 * 4 * 1560 * 5120 * 40 * 2
    assert kept_bytes(dataclasses.replace(one, cfg=3.0)) == 2 * kept_bytes(one)


def test_attention_is_most_of_the_work_at_720p():
    assert attention_share(WAN_21_14B, 21, 3600) > 0.6 > attention_share(WAN_21_14B, 21, 1560)


def test_values_that_make_no_run_are_refused():
    with pytest.raises(PusaError, match="21 latent frames"):
        Run(WAN_21_14B, *P480, frozen=21)
    with pytest.raises(PusaError, match="small is 0"):
        Run(WAN_21_14B, *P480, small=0)


@pytest.mark.parametrize("architecture", MODELS)
@pytest.mark.parametrize("share", [0.5, 2 / 3])
@pytest.mark.parametrize("size", [P480, P720])
def test_the_plan_counts_the_steps_and_tokens_that_pusa_progressive_runs_small(architecture, share, size):
    base = base_of_channels(architecture.channels)
    grid = base.spatial_stride * 2
    width, height = (fitting(length, architecture.grid) * grid // base.spatial_stride for length in size)
    small = small_size(height, width, share, base)
    for steps, until in ((4, 0.875), (30, 0.75), (4, 0.0)):
        run = Run(architecture, *size, steps=steps, small=share, small_above=until)
        few = [step for step in steps_of(run) if step.is_small]
        assert len(few) == steps_of_the_node(flow_sigmas(steps), until)
        assert all(step.tokens == small[0] * small[1] // 4 for step in few)
