"""Claims that hold for every base: each test goes over pusa_core.bases, so a new base gets them all."""

import re
from fractions import Fraction

import pytest
import torch

from comfyui_pusa.nodes.host import bases, timesteps
from comfyui_pusa.nodes.host.doctor_facts import gather
from comfyui_pusa.nodes.host.expert_switch import switch_experts
from comfyui_pusa.nodes.host.models import base_of, require_base
from pusa_core.bases import BASES
from pusa_core.doctor import diagnose, report
from pusa_core.graph import GraphFaults, GraphSettings
from support import composition
from support.base_models import MODELS, VAES, prompt
from support.comfy_runs import run_node

HEIGHT, WIDTH, FRAMES = 4, 4, 4
PREVIEWED_STEPS = 2

every_base = pytest.mark.parametrize("base", BASES, ids=lambda base: base.id)


@pytest.fixture(scope="module")
def models():
    """models(base) -> its tiny MODEL, built once."""
    made = {}
    return lambda base: made.get(base.id) or made.setdefault(base.id, MODELS[base.id]())


@pytest.fixture(scope="module")
def vaes():
    """vaes(base) -> its tiny VAE, built once."""
    made = {}
    return lambda base: made.get(base.id) or made.setdefault(base.id, VAES[base.id]())


def latent_with(base, multipliers, **more):
    """A LATENT of the base with random frames wherever a multiplier is below 1, and zeros elsewhere."""
    given = torch.randn(
        1, base.channels, len(multipliers), HEIGHT, WIDTH, generator=torch.Generator().manual_seed(9)
    )
    mask = torch.tensor(multipliers) < 1
    return {
        "samples": given * mask[None, None, :, None, None],
        "noise_multipliers": torch.tensor(multipliers),
        **more,
    }


def empty(base, frames=FRAMES):
    """A LATENT with nothing in it."""
    return {"samples": torch.zeros(1, base.channels, frames, HEIGHT, WIDTH)}


def pictures(base, count):
    """`count` random pictures of the latents' size."""
    size = HEIGHT * base.spatial_stride, WIDTH * base.spatial_stride
    return torch.rand(count, *size, 3, generator=torch.Generator().manual_seed(3))


def sampled(pack, base, model, latent, steps=2, cfg=1.0, **more):
    """The samples of Vectorized Timestep Sampler."""
    run = pack["PusaSampler"].execute(
        model, prompt(base.id, 1), prompt(base.id, 2), latent, 5, steps, cfg, 5.0, "euler", 1.0, **more
    )
    return run[0]["samples"]


def core_sampled(base, model, latent, sigmas):
    """The samples of ComfyUI's SamplerCustom."""
    from comfy.samplers import sampler_object
    from comfy_extras.nodes_custom_sampler import SamplerCustom

    prompts = prompt(base.id, 1), prompt(base.id, 2)
    return run_node(SamplerCustom, model, True, 5, 1.0, *prompts, sampler_object("euler"), sigmas, latent)[0][
        "samples"
    ]


@every_base
def test_comfyuis_model_and_latent_format_have_the_bases_numbers(base, models, vaes):
    model, vae = models(base), vaes(base)
    assert base_of(model) is base
    assert model.get_model_object("latent_format").latent_channels == base.channels
    assert vae.latent_channels == base.channels
    for frames in (1, 2, 5):
        assert vae.upscale_ratio[0](frames) == base.video_length(frames)
    assert vae.upscale_ratio[1:] == (base.spatial_stride, base.spatial_stride)


@every_base
def test_its_empty_latent_node_counts_frames_and_pixels_as_the_base_does(base, pack, vaes):
    import nodes as comfy_nodes

    width, height, length = 2 * base.size_multiple, 3 * base.size_multiple, base.video_length(4)
    node = comfy_nodes.NODE_CLASS_MAPPINGS[base.empty_latent_nodes[0]]
    with_vae = (vaes(base),) if base.empty_latent_nodes[0] == "Wan22ImageToVideoLatent" else ()
    samples = run_node(node, *with_vae, width, height, length, 1)[0]["samples"]
    assert samples.shape == (1, base.channels, 4, *base.latent_size(width, height))


@every_base
def test_with_nothing_given_the_run_is_comfyuis_own(base, pack, models):
    model, latent = models(base), empty(base)
    sigmas = pack["PusaScheduler"].execute(2, model=model)[0]
    theirs = core_sampled(base, model, latent, sigmas)
    assert torch.equal(sampled(pack, base, model, latent), theirs)


@every_base
def test_a_frame_with_multiplier_0_is_given_back_to_the_last_bit(base, pack, models):
    latent = latent_with(base, [0.0, 1.0, 0.4, 1.0])
    samples = sampled(pack, base, models(base), latent)
    assert torch.equal(samples[:, :, 0], latent["samples"][:, :, 0])
    for frame in (1, 2, 3):
        assert not torch.equal(samples[:, :, frame], latent["samples"][:, :, frame])


@every_base
def test_multipliers_that_are_almost_1_give_almost_the_plain_run(base, models):
    model, x = models(base), empty(base)["samples"] + 0.3
    patched = timesteps.vectorize_timesteps(model, torch.full((FRAMES,), 1 - 1e-7), 5.0)
    plain = timesteps.vectorize_timesteps(model, torch.ones(FRAMES), 5.0)
    latent = {"samples": x}
    sigmas = torch.tensor([1.0, 0.5])
    ours, theirs = (core_sampled(base, one, latent, sigmas) for one in (patched, plain))
    torch.testing.assert_close(ours, theirs, atol=2e-5 * theirs.abs().max().item(), rtol=0)


@every_base
def test_the_model_is_as_it_was_after_a_run(base, pack, models):
    model = models(base)
    before = core_sampled(base, model, empty(base), torch.tensor([1.0, 0.5]))
    sampled(pack, base, model, latent_with(base, [0.0, 1.0, 1.0, 1.0]))
    assert torch.equal(core_sampled(base, model, empty(base), torch.tensor([1.0, 0.5])), before)
    assert not model.object_patches


@every_base
def test_pictures_go_where_they_are_put_in_both_units(base, pack, vaes):
    vae, images = vaes(base), pictures(base, 1)
    inject = pack["PusaConditionFrames"].execute
    alone = vae.encode(images)[:, :, 0]
    by_latent = inject(vae, empty(base), images, "-1", "0.3")[0]
    last = str(base.video_length(FRAMES) - 1)
    by_video = inject(vae, empty(base), images, last, "0.3", position_unit="video frame")[0]
    for latent in (by_latent, by_video):
        torch.testing.assert_close(latent["samples"][:, :, -1], alone)
        torch.testing.assert_close(latent["noise_multipliers"], torch.tensor([1, 1, 1, 0.3]))


@every_base
@pytest.mark.parametrize("unit", ["latent frame", "video frame"])
def test_a_position_outside_is_refused_with_the_length_that_holds_it(base, unit, pack, vaes):
    outside = FRAMES if unit == "latent frame" else base.video_length(FRAMES)
    needed = base.video_length(FRAMES + 1)
    with pytest.raises(ValueError, match=rf"Position {outside} is outside.*length to {needed} or more"):
        pack["PusaConditionFrames"].execute(
            vaes(base), empty(base), pictures(base, 1), str(outside), "0.3", position_unit=unit
        )


@every_base
def test_context_frames_that_are_no_whole_length_are_refused_with_those_that_are(base, pack, vaes):
    below, above = base.video_length(2), base.video_length(3)
    with pytest.raises(
        ValueError, match=f"context_frames is {below + 1}.*groups of {base.groups}.*use {below} or {above}"
    ):
        pack["PusaConditionVideo"].execute(
            vaes(base), empty(base), pictures(base, above), context_frames=below + 1, fps=0.0
        )


@every_base
def test_a_clip_extends_and_leads_into_another(base, pack, vaes):
    vae, clip = vaes(base), pictures(base, base.video_length(3))
    context = base.video_length(2)
    extended = pack["PusaConditionVideo"].execute(vae, empty(base), clip, context_frames=context, fps=0.0)[0]
    assert (extended["noise_multipliers"] < 1).tolist() == [True, True, False, False]
    between = pack["PusaTransition"].execute(
        vae, empty(base, 5), clip, clip, context_frames=context, fps=0.0, noise_multipliers="0.1"
    )[0]
    assert (between["noise_multipliers"] < 1).tolist() == [True, True, False, False, True]


@every_base
def test_keyframes_and_loops_are_placed_and_sampled(base, pack, models, vaes):
    vae, images = vaes(base), pictures(base, 3)
    spread = pack["PusaKeyframes"].execute(vae, empty(base), images[:2], noise_multipliers="0")[0]
    still = pack["PusaLoopConditions"].execute(vae, empty(base), images[:1], noise_multipliers="0")[0]
    for latent in (spread, still):
        assert (latent["noise_multipliers"] < 1).tolist() == [True, False, False, True]
        samples = sampled(pack, base, models(base), latent, steps=1)
        for frame in (0, 3):
            assert torch.equal(samples[:, :, frame], latent["samples"][:, :, frame])
    decoded = pack["PusaLoopDecode"].execute(vae, still, "still at both ends")[0]
    assert len(decoded) == base.video_length(3)


@every_base
def test_first_steps_run_small_with_frames_from_any_injector(base, pack, models, vaes):
    vae, images = vaes(base), pictures(base, 3)
    clip = pictures(base, base.video_length(3))
    shared = {"context_frames": base.video_length(2), "noise_multipliers": "0"}
    latents = [
        pack["PusaConditionFrames"].execute(vae, empty(base), images[:1], "0", "0")[0],
        pack["PusaKeyframes"].execute(vae, empty(base), images[:2], noise_multipliers="0")[0],
        pack["PusaLoopConditions"].execute(vae, empty(base), images[:1], noise_multipliers="0")[0],
        pack["PusaConditionVideo"].execute(vae, empty(base), clip, **shared)[0],
        pack["PusaTransition"].execute(vae, empty(base, 5), clip, clip.flip(0), **shared)[0],
    ]
    model = pack["PusaProgressive"].execute(models(base), "1/2", 0.5)[0]
    for latent in latents:
        samples, given = sampled(pack, base, model, latent, steps=3), latent["noise_multipliers"] == 0
        assert torch.equal(samples[:, :, given], latent["samples"][:, :, given])
        assert bool(torch.isfinite(samples).all())
        assert not torch.equal(samples, sampled(pack, base, models(base), latent, steps=3))


@every_base
def test_a_long_video_is_made_of_whole_windows(base, pack, models, vaes, tmp_path, monkeypatch):
    import folder_paths

    monkeypatch.setattr(folder_paths, "get_output_directory", lambda: str(tmp_path))
    side, window, overlap = 2 * base.size_multiple, base.video_length(3), base.video_length(2)
    frames = 2 * window - overlap
    settings = (
        side,
        side,
        frames,
        "frames",
        window,
        overlap,
        "0.1",
        1,
        1,
        1.0,
        5.0,
        "euler",
        "off",
        "crop",
        base.fps,
        16,
    )
    video, report_text = (
        pack["PusaLongVideo"]
        .execute(models(base), prompt(base.id, 1), prompt(base.id, 2), vaes(base), *settings, "video/long")
        .args
    )
    parts = video.get_components()
    assert parts.images.shape == (frames, side, side, 3)
    assert float(parts.frame_rate) == base.fps
    assert f"frames {window} to {frames - 1}, after {overlap} given frames" in report_text


@every_base
def test_a_prefix_of_a_clip_has_the_latents_of_the_whole_clip(base, vaes):
    encode = bases.host_of(base).encoder(vaes(base))
    clip = pictures(base, base.video_length(3))
    whole, prefix = encode(clip), encode(clip[: base.video_length(2)])
    torch.testing.assert_close(prefix, whole[:, :, :2], atol=1e-4, rtol=0)


@every_base
def test_a_clip_is_read_at_the_rate_it_is_asked_for_whatever_the_base(base, pack):
    assert Fraction(base.fps).denominator == 1  # the nodes' fps inputs take it
    assert pack["PusaClipFrames"].execute(pictures(base, 5), fps=base.fps, frame_rate=base.fps)[3] == 5


@every_base
def test_a_latent_of_another_base_is_refused_in_words(base, pack, models, vaes):
    other = next(one for one in BASES if one is not base)
    sentence = (
        rf"The latent has {other.channels} channels, this model works with {base.channels}\. {other.channels} channels belong to "
        rf"{re.escape(other.title)}\. For {re.escape(base.title)} use {re.escape(base.empty_latent)}"
    )
    with pytest.raises(ValueError, match=sentence):
        sampled(pack, base, models(base), empty(other))
    with pytest.raises(ValueError, match=f"The latent has {other.channels} channels"):
        pack["PusaConditionFrames"].execute(vaes(base), empty(other), pictures(other, 1), "0", "0.2")


@every_base
def test_the_schedule_is_that_of_the_base_unless_one_is_named(base, pack, models):
    from comfy.samplers import calculate_sigmas

    model = models(base)
    given = pack["PusaScheduler"].execute(10, model=model)[0]
    flow = pack["PusaScheduler"].execute(10)[0]
    if base.schedule == "flow":
        assert torch.equal(given, flow)
    else:
        theirs = calculate_sigmas(model.get_model_object("model_sampling"), "linear_quadratic", 10)
        torch.testing.assert_close(given, theirs, atol=1e-6, rtol=0)
        assert torch.equal(pack["PusaScheduler"].execute(10, schedule="flow", model=model)[0], flow)


@every_base
def test_a_preview_shows_a_free_frame(base, pack, models, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "comfyui_pusa.nodes.host.sampling.step_callback",
        lambda model, steps: lambda step, x0, x, total: seen.append(x0.clone()),
    )
    latent = latent_with(base, [0.0, 1.0, 1.0, 0.0])
    sampled(pack, base, models(base), latent, steps=PREVIEWED_STEPS)
    held = models(base).model.process_latent_in(latent["samples"])
    assert len(seen) == PREVIEWED_STEPS
    # rolled so that latent frame 2, the free one, comes first
    torch.testing.assert_close(seen[0][:, :, 1], held[:, :, 3])


@every_base
def test_a_noise_mask_keeps_what_it_covers(base, pack, models):
    multipliers = [0.0, 1.0, 1.0, 1.0]
    latent = latent_with(base, multipliers)
    latent["samples"] = latent["samples"] + (latent["samples"] == 0) * 0.7
    mask = torch.ones(1, 1, FRAMES, HEIGHT, WIDTH)
    mask[:, :, 2] = 0
    samples = sampled(pack, base, models(base), {**latent, "noise_mask": mask})
    torch.testing.assert_close(samples[:, :, 2], latent["samples"][:, :, 2], atol=1e-5, rtol=0)
    assert torch.equal(samples[:, :, 0], latent["samples"][:, :, 0])


@every_base
def test_context_windows_take_the_multipliers_of_their_frames(base, pack, models):
    latent = latent_with(base, [0.0, 1.0, 1.0, 0.0, 1.0, 1.0])
    windowed = composition.context_windows(models(base), 17, 4)
    handler = windowed.model_options["context_handler"]
    handler.context_length, handler.context_overlap = 4, 2
    samples = sampled(pack, base, windowed, latent, steps=1)
    for frame in (0, 3):
        assert torch.equal(samples[:, :, frame], latent["samples"][:, :, frame])


@every_base
def test_the_doctor_knows_its_sizes_lengths_and_schedule(base, pack, models):
    model, latent = models(base), latent_with(base, [0.2, 1.0, 1.0, 1.0])
    latent["samples"] = torch.zeros(
        1, base.channels, 4, *(2 * base.size_multiple // base.spatial_stride for _ in range(2))
    )
    latent["samples"][:, :, 0] = 1.0

    def findings(graph, sigmas):
        facts = gather(model, latent, sigmas, base.cfg, "euler", base.fps, graph, GraphFaults())
        assert f"{2 * base.size_multiple} x {2 * base.size_multiple}" in report(facts, diagnose(facts))
        return [one.what for one in diagnose(facts) if "Pusa LoRA" not in one.what]

    sigmas = pack["PusaScheduler"].execute(base.steps, model=model)[0]
    right = GraphSettings(lengths=(base.trained_length,), sizes=((2 * base.size_multiple,) * 2,))
    assert findings(right, sigmas) == []
    wrong = GraphSettings(lengths=(base.trained_length + 1,), sizes=((base.size_multiple + 8,) * 2,))
    assert findings(wrong, sigmas) == [
        f"The size {base.size_multiple + 8} x {base.size_multiple + 8} is not a multiple of {base.size_multiple}.",
        f"The length {base.trained_length + 1} is not {base.lengths}.",
    ]
    if base.schedule != "flow":
        assert findings(right, pack["PusaScheduler"].execute(base.steps)[0]) == [
            "The sigmas are not of the linear-quadratic schedule."
        ]


@every_base
def test_features_that_need_wans_forward_work_or_are_refused_in_a_sentence(base, pack, models):
    able = require_base(models(base)).has_wan_forward
    for node, arguments in (("PusaLoopModel", (2,)), ("PusaFrozenFrameCache", ())):
        if able:
            patched = pack[node].execute(models(base), *arguments)[0]
            samples = (
                sampled(pack, base, patched, latent_with(base, [0.0, 1.0, 1.0, 1.0]))
                if node != "PusaLoopModel"
                else sampled(pack, base, patched, empty(base))
            )
            assert bool(torch.isfinite(samples).all())
        else:
            with pytest.raises(
                ValueError, match=rf"works inside Wan's forward, which {re.escape(base.title)} does not"
            ):
                pack[node].execute(models(base), *arguments)


@every_base
def test_two_experts_are_for_bases_that_have_them(base, models):
    model = models(base)
    if base.boundary is not None:
        assert switch_experts(model, model.clone(), base.boundary) is not None
    else:
        with pytest.raises(
            ValueError, match=rf"high_noise is {re.escape(base.title)}, which has no two experts"
        ):
            switch_experts(model, model.clone(), 0.875)


@every_base
def test_the_node_says_which_video_frames_are_given(base, pack, models):
    from pusa_core.given_frames import told

    latent = latent_with(base, [0.2, 1.0, 1.0, 0.2])
    first, last = base.first_pixel_frame(3), base.video_length(4) - 1
    assert f"latent frame 3 (video frames {first} to {last}) at 0.2" in told(latent, None, "1")


def test_every_base_has_a_tiny_model_and_a_vae_here_and_a_half_in_the_host():
    ids = [base.id for base in BASES]
    assert list(MODELS) == list(VAES) == ids == [host.base.id for host in bases.HOSTS]
