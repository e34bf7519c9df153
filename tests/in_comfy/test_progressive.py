"""Claims: Pusa Progressive runs the first steps small with given frames encoded for that size, and leaves what it must not touch."""

import pytest
import torch

from comfyui_pusa.nodes.host.features import features_of
from comfyui_pusa.nodes.host.identity import model_identity
from comfyui_pusa.pusa_core.errors import PusaError
from comfyui_pusa.pusa_core.injections import INJECTIONS
from comfyui_pusa.pusa_core.schedule import flow_sigmas
from support import composition
from support.comfy_runs import (
    HEIGHT,
    STEPS,
    WIDTH,
    custom_sampler,
    ksampler,
    ksampler_in_two_stages,
    largest_difference,
    plain,
    prompt,
    video_latent,
)

GIVEN = (0.0, 0.3, 1.0, 1.0, 1.0)
SMALL_STEPS = 3  # of 6 at shift 5: 1, 0.9615, 0.9091 are above 0.875


@pytest.fixture
def progressive(pack, load_tiny_wan):
    """progressive(**settings) -> the tiny MODEL after the node."""
    return lambda **settings: pack["PusaProgressive"].execute(load_tiny_wan(), **settings)[0]


@pytest.fixture
def injected(pack, load_tiny_vae):
    """injected() -> a LATENT of 5 frames at 32 x 32 with pictures at frames 0 and 1, from Condition Frame Injector."""

    def inject(vae=None):
        empty = {"samples": torch.zeros(1, 16, len(GIVEN), HEIGHT, WIDTH)}
        pictures = torch.rand(2, 32, 32, 3, generator=torch.Generator().manual_seed(3))
        return pack["PusaConditionFrames"].execute(vae or load_tiny_vae(), empty, pictures, "0, 1", "0, 0.3")[
            0
        ]

    return inject


def small_latent(multipliers=GIVEN):
    return video_latent(multipliers, seed=901, size=(HEIGHT // 2, WIDTH // 2))


def sizes_seen(model):
    """(MODEL, list): the size of the latent that the DiT is called with at each step, in their order."""
    from comfy.patcher_extension import WrappersMP

    seen = []

    steps = []

    def note(executor, x, *args, **kwargs):
        sigmas = kwargs.get("transformer_options", args[-1])["sigmas"]
        if not any(sigmas is one for one in steps):  # both prompts of a step, in one call or two
            steps.append(sigmas)
            seen.append(tuple(x.shape[-2:]))
        return executor(x, *args, **kwargs)

    model = model.clone()
    model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "seen", note)
    return model, seen


@pytest.mark.parametrize("settings", [{"size": "full"}, {"size": "full", "until_sigma": 0.0}])
def test_full_size_is_the_run_without_the_node_to_the_last_bit(
    load_tiny_wan, progressive, injected, settings
):
    latent = injected()
    theirs = composition.pusa_sampler(load_tiny_wan(), latent)
    assert torch.equal(composition.pusa_sampler(progressive(**settings), latent), theirs)


def test_a_schedule_that_starts_below_the_level_is_the_run_without_the_node_to_the_last_bit(
    pack, load_tiny_wan, progressive
):
    latent, sigmas = video_latent(GIVEN), torch.tensor([0.8, 0.5, 0.0])
    theirs = custom_sampler(composition.vectorized(load_tiny_wan(), latent), latent, sigmas)[0]
    ours = custom_sampler(
        composition.vectorized(progressive(latent_small=small_latent()), latent), latent, sigmas
    )[0]
    assert torch.equal(ours, theirs)


def test_steps_above_the_level_run_at_half_the_sides_and_the_others_at_full_size(progressive, injected):
    model, seen = sizes_seen(progressive())
    composition.pusa_sampler(model, injected())
    half, whole = (HEIGHT // 2, WIDTH // 2), (HEIGHT, WIDTH)
    assert seen == [half] * SMALL_STEPS + [whole] * (STEPS - SMALL_STEPS)


@pytest.mark.parametrize("sampler", composition.SAMPLERS)
def test_a_frame_kept_clean_keeps_every_bit(progressive, injected, sampler):
    latent = injected()
    ours = composition.SAMPLERS[sampler](progressive(), latent)
    assert torch.equal(ours[:, :, 0], latent["samples"][:, :, 0])
    assert not torch.equal(ours[:, :, 1:], latent["samples"][:, :, 1:])
    assert torch.isfinite(ours).all()


def test_the_sampler_and_apply_with_core_samplers_give_the_same(progressive, injected):
    latent = injected()
    by_hand = composition.sampler_custom_advanced(progressive(), latent)
    assert largest_difference(composition.pusa_sampler(progressive(), latent), by_hand) < 1e-5


def test_injected_frames_are_encoded_at_the_small_size_as_an_injector_would(
    pack, progressive, injected, load_tiny_vae
):
    """The same as connecting latent_small by hand, made by the same injector from pictures of that size."""
    from comfyui_pusa.pusa_core.images import STRETCH, fit_images

    vae = load_tiny_vae()
    pictures = torch.rand(2, 32, 32, 3, generator=torch.Generator().manual_seed(3))
    empty = {"samples": torch.zeros(1, 16, len(GIVEN), HEIGHT // 2, WIDTH // 2)}
    small = pack["PusaConditionFrames"].execute(
        vae, empty, fit_images(pictures, 16, 16, STRETCH), "0, 1", "0, 0.3"
    )[0]
    latent = injected(vae)
    theirs = composition.pusa_sampler(progressive(latent_small=small), latent)
    assert torch.equal(composition.pusa_sampler(progressive(), latent), theirs)


def test_a_seed_gives_the_same_video_and_the_latent_stays_as_it_was(progressive, injected):
    latent = injected()
    before = latent["samples"].clone()
    first = composition.pusa_sampler(progressive(), latent)
    assert torch.equal(composition.pusa_sampler(progressive(), latent), first)
    assert torch.equal(latent["samples"], before)
    assert INJECTIONS in latent


def test_text_to_video_needs_no_latent(progressive):
    latent = video_latent((1.0,) * 5)
    assert torch.isfinite(composition.pusa_sampler(progressive(), latent)).all()
    without_pusa = ksampler(plain(progressive()), latent)
    assert (
        largest_difference(without_pusa, ksampler(composition.vectorized(progressive(), latent), latent))
        < 1e-5
    )


def test_two_samplers_in_a_row_give_what_one_gives(progressive, injected):
    latent = injected()
    model = composition.vectorized(progressive(), latent)
    one = ksampler(model, latent)
    model, seen = sizes_seen(model)
    two = ksampler_in_two_stages(model, latent, SMALL_STEPS)
    assert largest_difference(one, two) < 1e-5 * one.abs().max()
    assert (HEIGHT // 2, WIDTH // 2) in seen


def test_progress_counts_to_the_end_and_previews_have_the_size_of_the_video(progressive):
    latent, told = video_latent((1.0,) * 5), []
    import comfy.samplers

    guider = comfy.samplers.CFGGuider(progressive())
    guider.set_conds(prompt(1), prompt(2))
    noise = torch.randn(latent["samples"].shape)
    guider.sample(
        noise,
        latent["samples"],
        comfy.samplers.sampler_object("euler"),
        flow_sigmas(STEPS),
        callback=lambda step, x0, x, total: told.append((step, total, tuple(x0.shape[-2:]))),
    )
    assert told == [(step, STEPS, (HEIGHT, WIDTH)) for step in range(STEPS)]


def test_settings_and_the_small_frames_are_part_of_a_models_identity(progressive):
    models = [
        progressive(),
        progressive(until_sigma=0.8),
        progressive(size="2/3"),
        progressive(latent_small=small_latent()),
    ]
    assert len({model_identity(model) for model in models}) == 4
    assert model_identity(models[0]) == model_identity(progressive())


def test_windows_of_a_long_video_run_small_first(pack, progressive, load_tiny_vae, tmp_path):
    import folder_paths

    folder_paths.set_output_directory(str(tmp_path))
    try:
        model, seen = sizes_seen(progressive())
        pictures = {name: torch.rand(1, 32, 32, 3) for name in ("start", "end", "anchor")}
        result = pack["PusaLongVideo"].execute(
            model=model, vae=load_tiny_vae(), positive=prompt(1), negative=prompt(2), width=32, height=32, duration=25.0,
            duration_unit="frames", window=17, overlap=5, noise_multipliers="0..0.2", seed=3, steps=4, cfg=1.0, shift=5.0,
            sampler_name="euler", color_match="off", resize="crop", fps=16.0, crf=0, filename_prefix="long", **pictures,
        )  # fmt: skip
    finally:
        folder_paths.set_output_directory(str(folder_paths.base_path + "/output"))
    assert len(result[0].get_components().images) == 25
    assert seen == [(2, 2), (2, 2), (4, 4), (4, 4)] * 2


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("after apply", "Connect it before Apply Vectorized Timesteps"),
        ("another pack's frame", "Connect latent_small of Pusa Progressive: the same frames injected into an empty latent of 16 x 16"),
        ("size", r"Make latent_small 16 x 16, as long as the video"),
        ("multipliers", "Use the same injectors for both"),
        ("mask", "Connect latent_small: the same content encoded at 16 x 16"),
        ("dpm_fast", "The sampler dpm_fast chooses its own levels"),
        ("uni_pc", "Give each of the sizes two steps or more"),
        ("stage of steps", r"Set its steps to 0 and until_sigma instead"),
        ("denoise", "Connect latent_small: the same content encoded at 16 x 16"),
    ],
)  # fmt: skip
def test_what_cannot_be_divided_is_said(pack, load_tiny_wan, progressive, what, said):
    with pytest.raises(PusaError, match=said):
        run_that_cannot_be_divided(what, pack, load_tiny_wan, progressive)


def run_that_cannot_be_divided(what, pack, load_tiny_wan, progressive):
    latent, sampler, sigmas = video_latent(GIVEN), "euler", flow_sigmas(STEPS)
    small = {"latent_small": small_latent()}
    if what == "after apply":
        model = pack["PusaProgressive"].execute(composition.vectorized(load_tiny_wan(), latent))[0]
    elif what == "another pack's frame":
        model = composition.vectorized(progressive(), latent)
    elif what == "size":
        model = composition.vectorized(progressive(latent_small=latent), latent)
    elif what == "multipliers":
        other = small_latent((0.0, 0.4, 1.0, 1.0, 1.0))
        model = composition.vectorized(progressive(latent_small=other), latent)
    elif what == "stage of steps":
        staged = pack["PusaStages"].execute(progressive(**small), load_tiny_wan(11), 0.0, 2)[0]
        model = composition.vectorized(staged, latent)
    elif what in ("denoise", "mask"):
        latent, model = video_latent((1.0,) * 5), progressive()
        latent["samples"] = torch.randn(latent["samples"].shape)
        if what == "mask":
            latent["noise_mask"] = torch.ones(1, HEIGHT, WIDTH)
        else:
            sigmas = torch.tensor([0.95, 0.9, 0.5, 0.0])
    else:
        model = composition.vectorized(progressive(**small), latent)
        sampler = what
        if what == "uni_pc":
            sigmas = flow_sigmas(2)
    custom_sampler(model, latent, sigmas, sampler)


def test_content_of_a_run_with_less_than_all_noise_comes_from_latent_small(progressive):
    latent, small = video_latent((1.0,) * 5), small_latent((1.0,) * 5)
    latent["samples"], small["samples"] = (torch.randn(one["samples"].shape) for one in (latent, small))
    sigmas = torch.tensor([0.95, 0.9, 0.5, 0.0])
    one = custom_sampler(progressive(latent_small=small), latent, sigmas)[0]
    other = custom_sampler(
        progressive(latent_small=small | {"samples": small["samples"] + 1}), latent, sigmas
    )[0]
    assert torch.isfinite(one).all()
    assert not torch.equal(one, other)


def test_what_a_mask_keeps_is_the_latents_own_at_full_size(progressive):
    """Also where a first sampler's steps would all run small: its last one is full size."""
    latent, small = video_latent((1.0,) * 5), small_latent((1.0,) * 5)
    latent["samples"], small["samples"] = (torch.randn(one["samples"].shape) for one in (latent, small))
    mask = torch.ones(1, HEIGHT, WIDTH)
    mask[:, :, 0] = 0
    latent["noise_mask"] = mask
    model = composition.vectorized(progressive(latent_small=small), latent)
    for made in (ksampler(model, latent), ksampler_in_two_stages(model, latent, SMALL_STEPS)):
        assert torch.isfinite(made).all()
    kept, own = ksampler(model, latent)[..., 0], latent["samples"][..., 0]
    assert largest_difference(kept, own) < 1e-4


def test_a_run_that_was_stopped_leaves_nothing_behind(progressive, injected, monkeypatch):
    import comfy.model_management

    latent = injected()
    whole = composition.pusa_sampler(progressive(), latent)

    def stop():
        raise comfy.model_management.InterruptProcessingException

    with monkeypatch.context() as patched:
        patched.setattr(comfy.model_management, "throw_exception_if_processing_interrupted", stop)
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            composition.pusa_sampler(progressive(), latent)
    assert torch.equal(composition.pusa_sampler(progressive(), latent), whole)


def test_the_node_leaves_the_model_it_was_given_as_it_is(pack, load_tiny_wan):
    model = load_tiny_wan()
    pack["PusaProgressive"].execute(model)
    assert features_of(model) == ()
    assert not model.wrappers or not any(model.wrappers.values())
