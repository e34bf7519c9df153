"""Claims about context windows of newer ComfyUI: a window that does not start at 0 is given one earlier frame, with its own timestep."""

from types import SimpleNamespace

import torch
from comfy.patcher_extension import WrappersMP

from comfyui_pusa.nodes.host import frozen_cache
from comfyui_pusa.nodes.host.windows import frames_of_call
from comfyui_pusa.pusa_core.schedule import flow_sigmas
from support import by_hand
from support.comfy_runs import SHIFT, custom_sampler, largest_difference, video_latent
from support.composition import vectorized

MULTIPLIERS = (0.0, 0.2, 0.3, 1.0, 0.6)


def window(frames, **more):
    """A double of IndexListContextWindow of 0.21 and later."""
    return SimpleNamespace(index_list=list(frames), **more)


def test_the_frames_of_a_call_begin_with_the_anchor():
    assert frames_of_call({}) is None
    assert frames_of_call({"context_window": window([0, 1])}) == [0, 1]
    assert frames_of_call({"context_window": window([3, 4], causal_anchor_index=None)}) == [3, 4]
    assert frames_of_call({"context_window": window([3, 4], causal_anchor_index=-1)}) == [3, 4]
    assert frames_of_call({"context_window": window([3, 4], causal_anchor_index=2)}) == [2, 3, 4]
    assert frames_of_call({"context_window": window([1, 2], causal_anchor_index=0)}) == [0, 1, 2]


def test_every_frame_of_a_window_with_an_anchor_has_its_own_timestep(load_tiny_wan):
    """Seen: "Vectorized timesteps were applied for 5 latent frames, the model was given (2, 16, 4, 4, 4)"."""
    latent, seen = video_latent(MULTIPLIERS), []

    def windowed(executor, model, conds, x, timestep, options):
        frames = [2, 3, 4]
        options = {**options, "transformer_options": {**options["transformer_options"]}}
        options["transformer_options"]["context_window"] = window(frames[1:], causal_anchor_index=2)
        found = executor(model, conds, x[:, :, frames], timestep, options)
        seen.append((x, timestep, found[0]))
        return [torch.nn.functional.pad(one, (0, 0, 0, 0, 2, 0)) for one in found]

    model = load_tiny_wan().clone()
    model.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, "double", windowed)
    sigmas = flow_sigmas(3, SHIFT)
    custom_sampler(vectorized(model, latent), latent, sigmas)
    side = by_hand.Side(10, multipliers=MULTIPLIERS)
    part = by_hand.Part(by_hand.Setup((side,)), side, sigmas, latent["samples"], latent["samples"], None)
    assert len(seen) == 3
    for x, timestep, found in seen:
        theirs = part.of_frames(x, timestep, 1, (2, 3, 4))
        assert largest_difference(found, theirs) < 1e-5 * theirs.abs().max()


def test_the_frozen_frame_cache_keeps_the_anchor_by_its_own_multiplier():
    run = frozen_cache.RunMemory(frozen_cache.Plan(2, 0.0, 1.0, 0.0), [0.0, 1.0, 0.0, 1.0, 1.0], 1.0, 0.0)
    options = {"uuids": ["a"], "sigmas": torch.ones(1), frozen_cache.TOKENS_PER_FRAME: 4}
    x = torch.zeros(1, 16, 3, 4, 4)
    with_anchor = run.call(x, options | {"context_window": window([3, 4], causal_anchor_index=2)})
    assert (with_anchor.frozen.tolist(), with_anchor.free.tolist()) == ([0], [1, 2])
    without = run.call(x, options | {"context_window": window([1, 2, 3])})
    assert (without.frozen.tolist(), without.free.tolist()) == ([1], [0, 2])
