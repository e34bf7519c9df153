"""Claims: what one of several models behind a MODEL has alone, or cannot have, is refused in a sentence or right, and never ignored."""

import json
import logging
from types import MethodType, SimpleNamespace

import comfy.hooks
import folder_paths
import pytest
import torch
from comfy.model_patcher import ModelPatcher

from comfyui_pusa.nodes.host.identity import text_encoder_identity, value_identity
from comfyui_pusa.nodes.host.pusa_alpha import with_pusa_alpha
from comfyui_pusa.nodes.host.sweep import SweepRequest, run_sweep
from pusa_core.errors import PusaError
from support import composition, tiny_wan
from support.base_models import loaded
from support.comfy_runs import (
    SHIFT,
    ksampler,
    ksampler_in_two_stages,
    largest_difference,
    prompt,
    video_latent,
)

GIVEN = (0.0, 0.0, 1.0, 1.0, 1.0)
LONG = {
    "width": 32, "height": 32, "duration": 25.0, "duration_unit": "frames", "window": 17, "overlap": 5, "noise_multipliers": "0..0.2",
    "seed": 3, "steps": 2, "cfg": 1.0, "shift": 5.0, "sampler_name": "euler", "color_match": "off", "resize": "crop", "fps": 16.0, "crf": 0,
    "filename_prefix": "long",
}  # fmt: skip


@pytest.fixture
def switch(pack):
    return lambda high, low: pack["PusaMoESwitch"].execute(high, low, 0.875)[0]


@pytest.fixture
def experts(load_tiny_wan, switch):
    """A switch of two different experts."""
    return switch(load_tiny_wan(10), load_tiny_wan(11))


@pytest.fixture
def vectorized(pack):
    return lambda model, latent: pack["PusaVectorizedTimesteps"].execute(model, latent, SHIFT)[0]


@pytest.fixture
def sampled(pack):
    def sample(model, latent, positive=None, **settings):
        settings = {"steps": 6, "cfg": 3.0, "shift": SHIFT, **settings}
        return pack["PusaSampler"].execute(model, positive or prompt(1), prompt(2), latent, 7, **settings)[0][
            "samples"
        ]

    return sample


@pytest.fixture
def output(tmp_path):
    before = folder_paths.get_output_directory()
    folder_paths.set_output_directory(str(tmp_path))
    yield tmp_path
    folder_paths.set_output_directory(before)


@pytest.fixture
def long_video(pack, load_tiny_wan, load_tiny_vae, output):
    def run(positive, model=None, **settings):
        inputs = {
            "model": model or load_tiny_wan(),
            "vae": load_tiny_vae(),
            "positive": positive,
            "negative": prompt(2),
        }
        return pack["PusaLongVideo"].execute(**inputs | LONG | settings)[1]

    return run


def with_hook_lora(strength, seed=105, keyframe=None):
    weights = {
        f"diffusion_model.{key.replace('.default', '')}": value for key, value in tiny_wan.lora(seed).items()
    }
    hooks = comfy.hooks.create_hook_lora(weights, strength, 0.0)
    if keyframe is not None:
        keyframes = comfy.hooks.HookKeyframeGroup()
        keyframes.add(comfy.hooks.HookKeyframe(strength=keyframe, start_percent=0.0))
        hooks.set_keyframes_on_hooks(keyframes)
    return comfy.hooks.set_hooks_for_conditioning(prompt(1), hooks)


def test_timesteps_of_different_latents_on_two_experts_are_refused(load_tiny_wan, switch, vectorized):
    first, second = video_latent(GIVEN), video_latent((0.5, 1.0, 1.0, 0.5, 1.0))
    model = switch(vectorized(load_tiny_wan(10), first), vectorized(load_tiny_wan(11), second))
    with pytest.raises(PusaError, match="vectorized timesteps of different latents"):
        ksampler(model, first)
    alike = switch(vectorized(load_tiny_wan(10), first), vectorized(load_tiny_wan(11), first))
    after = ksampler(vectorized(switch(load_tiny_wan(10), load_tiny_wan(11)), first), first)
    assert largest_difference(ksampler(alike, first), after) < 1e-5 * after.abs().max()


def test_steps_of_a_stage_are_refused_where_a_second_sampler_would_count_them_anew(
    pack, load_tiny_wan, vectorized
):
    latent = video_latent(GIVEN)

    def staged(**end):
        return vectorized(pack["PusaStages"].execute(load_tiny_wan(10), load_tiny_wan(11), **end)[0], latent)

    with pytest.raises(PusaError, match=r"would be counted anew\. Set steps to 0 and until_sigma"):
        ksampler_in_two_stages(staged(steps=2), latent, 3)
    whole = ksampler(staged(until_sigma=0.95), latent)
    assert largest_difference(ksampler_in_two_stages(staged(until_sigma=0.95), latent, 3), whole) < 1e-4


def test_a_stage_that_would_never_run_is_refused(pack, load_tiny_wan, experts):
    stages = pack["PusaStages"].execute
    three = stages(load_tiny_wan(10), load_tiny_wan(11), 0.7)[0]
    with pytest.raises(
        PusaError, match=r"until_sigma is 0\.9, but the last model of earlier only begins below 0\.7"
    ):
        stages(three, load_tiny_wan(12), 0.9)
    with pytest.raises(PusaError, match="so it would never run"):
        stages(experts, load_tiny_wan(12), 0.875)
    assert stages(three, load_tiny_wan(12), 0.3)


def test_a_lora_behind_stages_must_fit_every_model(pack, load_tiny_wan, tiny_lora_file):
    fewer = loaded(
        {key: value for key, value in tiny_wan.weights(11).items() if not key.startswith("blocks.1.")}
    )
    staged = pack["PusaStages"].execute(load_tiny_wan(10), fewer, 0.9)[0]
    with pytest.raises(PusaError, match="On model 2 behind the switch or the stages: "):
        pack["PusaLoraLoader"].execute(staged, tiny_lora_file(101), 1.4)
    assert pack["PusaLoraLoader"].execute(staged, tiny_lora_file(101), 1.4, on_mismatch="apply what matches")


SETTINGS = {
    "EasyCache": lambda model: composition.easy_cache(model, 1000.0),
    "LazyCache": lambda model: composition.lazy_cache(model, 1000.0),
    "windows": lambda model: composition.context_windows(model, 9, 4),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_same_node_on_the_first_expert_and_after_the_switch_is_refused(
    name, load_tiny_wan, switch, sampled
):
    put = SETTINGS[name]
    twice = put(switch(put(load_tiny_wan(10)), load_tiny_wan(11)))
    with pytest.raises(PusaError, match="Keep only the node behind the switch: it acts on all models"):
        sampled(twice, video_latent(GIVEN))


def attention_changed(model):
    """As Enhance A Video does: the attention's forward of every block, by another pack."""
    model = model.clone()

    def forward(attention, x, freqs, transformer_options={}):  # noqa: B006 (ComfyUI's own signature)
        return 1.5 * type(attention).forward(attention, x, freqs, transformer_options=transformer_options)

    for index, block in enumerate(model.model.diffusion_model.blocks):
        model.add_object_patch(
            f"diffusion_model.blocks.{index}.self_attn.forward", MethodType(forward, block.self_attn)
        )
    return model


def test_an_attention_patch_after_the_frozen_cache_stays_on_both_experts_and_the_cache_steps_aside(
    pack, experts, vectorized, caplog
):
    latent = video_latent(GIVEN)
    per_frame = vectorized(experts, latent)
    with caplog.at_level(logging.INFO, "ComfyUI-Pusa"):
        ours = ksampler(attention_changed(pack["PusaFrozenFrameCache"].execute(per_frame, 2)[0]), latent)
    theirs = ksampler(attention_changed(per_frame), latent)
    assert largest_difference(ours, theirs) < 1e-5 * theirs.abs().max()
    assert any("aside" in record.message or "without" in record.message for record in caplog.records)


def test_the_frozen_cache_steps_aside_in_either_order_with_the_sampler(pack, load_tiny_wan, vectorized):
    latent = video_latent(GIVEN)
    cached = attention_changed(pack["PusaFrozenFrameCache"].execute(load_tiny_wan(10), 2)[0])
    theirs = ksampler(vectorized(attention_changed(load_tiny_wan(10)), latent), latent)
    assert (
        largest_difference(ksampler(vectorized(cached, latent), latent), theirs) < 1e-5 * theirs.abs().max()
    )


def test_progressive_on_a_later_model_alone_is_refused(pack, load_tiny_wan, switch):
    later = pack["PusaProgressive"].execute(load_tiny_wan(11), "1/2", 0.5)[0]
    with pytest.raises(
        PusaError, match="Pusa Progressive acts on a whole run, and on a later model it would do nothing"
    ):
        switch(load_tiny_wan(10), later)
    with pytest.raises(PusaError, match="Connect it after Pusa Stages"):
        pack["PusaStages"].execute(load_tiny_wan(10), later, 0.5)
    assert switch(pack["PusaProgressive"].execute(load_tiny_wan(10), "1/2", 0.5)[0], later), (
        "the same on both"
    )


@pytest.mark.parametrize("rolled", ["high", "low"])
def test_loop_model_on_one_expert_alone_is_refused(pack, load_tiny_wan, switch, sampled, rolled):
    def roll(model, name):
        return pack["PusaLoopModel"].execute(model, 2)[0] if name == rolled else model

    model = switch(roll(load_tiny_wan(10), "high"), roll(load_tiny_wan(11), "low"))
    with pytest.raises(PusaError, match=r"has Loop Model, or another roll\. Put Loop Model once, after"):
        sampled(model, video_latent((1.0,) * 5))


def test_loop_model_is_refused_where_windows_would_each_return(
    pack, load_tiny_wan, load_tiny_vae, experts, long_video
):
    with pytest.raises(PusaError, match="each window would return to its own start"):
        long_video(prompt(1), pack["PusaLoopModel"].execute(experts, 2)[0])
    project = json.dumps({"version": 1, "window": 17, "overlap": 5, "windows": [{"id": "w1", "prompt": "a"}]})
    settings = {
        "name": "films/first", "width": 32, "height": 32, "fps": 16.0, "seed": 3, "steps": 2, "cfg": 1.0, "shift": 5.0, "sampler_name": "euler",
        "crf": 0, "quality": "final", "draft_scale": 0.5, "draft_steps": 0, "draft_multiplier": 0.7,
    }  # fmt: skip
    rolling = pack["PusaLoopModel"].execute(load_tiny_wan(), 2)[0]
    with pytest.raises(PusaError, match="each window would return to its own start"):
        pack["PusaDirector"].execute(
            model=rolling, clip=object(), vae=load_tiny_vae(), project=project, **settings
        )


def test_pictures_of_one_latent_are_refused_where_there_are_several(
    pack, load_tiny_wan, load_tiny_vae, long_video, output
):
    small = video_latent((0.0, 1.0, 1.0, 1.0, 1.0))
    model = pack["PusaProgressive"].execute(load_tiny_wan(), "1/2", 0.9, small)[0]
    with pytest.raises(PusaError, match="Take latent_small out"):
        long_video(prompt(1), model)
    picture = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(1))
    request = SweepRequest(
        model, prompt(1), prompt(2), load_tiny_vae(), picture, multipliers="0, 0.4", steps="4", seeds="3",
        width=64, height=64, length=9, cfg=1.0,
    )  # fmt: skip
    with pytest.raises(PusaError, match="Take latent_small out"):
        run_sweep(request)


def test_a_sweep_gives_pusa_progressive_its_picture_at_the_small_size(
    pack, load_tiny_wan, load_tiny_vae, output
):
    picture = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(1))
    model = pack["PusaProgressive"].execute(load_tiny_wan(), "1/2", 0.9)[0]
    request = SweepRequest(
        model, prompt(1), prompt(2), load_tiny_vae(), picture, multipliers="0, 0.4", steps="4", seeds="3",
        width=64, height=64, length=9, cfg=1.0,
    )  # fmt: skip
    assert run_sweep(request).report.startswith("Best trade-off")


@pytest.mark.parametrize(
    "control",
    [{"concat_latent_image": torch.zeros(1, 32, 7, 4, 4)}, {"vace_frames": [torch.zeros(1, 32, 5, 4, 4)]}],
    ids=["Fun", "VACE"],
)
def test_control_frames_of_one_video_are_refused_by_windows(long_video, control):
    with pytest.raises(PusaError, match="control frames of one video, which windows cannot share out"):
        long_video([[prompt(1)[0][0], control]])


@pytest.mark.parametrize("extra", ["reference_latents", "time_dim_concat"])
def test_pictures_of_the_full_size_beside_progressive_are_refused(pack, load_tiny_wan, sampled, extra):
    value = torch.zeros(1, 16, 1, 8, 8)
    prompts = [[tiny_wan.context(1), {extra: [value] if extra == "reference_latents" else value}]]
    model = pack["PusaProgressive"].execute(load_tiny_wan(), "1/2", 0.9)[0]
    with pytest.raises(PusaError, match=f"carries {extra}, pictures of the full size"):
        sampled(model, {"samples": torch.zeros(1, 16, 5, 8, 8)}, prompts, cfg=1.0)


def test_a_pusa_lora_that_is_merged_on_one_expert_alone_is_not_swept(
    pack, load_tiny_wan, tiny_lora_file, switch
):
    def with_lora(model):
        return pack["PusaLoraLoader"].execute(model, tiny_lora_file(101), 1.4)[0]

    pack["PusaMergeLoras"].hidden = None
    low = pack["PusaMergeLoras"].execute(with_lora(load_tiny_wan(11)), "in memory")[0]
    with pytest.raises(
        PusaError, match="on one of the models Merge LoRAs has put the Pusa LoRA into the weights"
    ):
        with_pusa_alpha(switch(with_lora(load_tiny_wan(10)), low), 0.5)


def test_a_pusa_lora_on_one_stage_alone_is_said_by_the_node_and_the_doctor(
    pack, load_tiny_wan, tiny_lora_file
):
    def with_lora(model):
        return pack["PusaLoraLoader"].execute(model, tiny_lora_file(101), 1.4)[0]

    def told(earlier, later):
        joined = pack["PusaStages"].execute(earlier, later, 0.875)
        said = joined.ui.as_dict()["text"][0] if joined.ui else ""
        return joined[0], said

    def report(model):
        return pack["PusaDoctor"].execute(model, video_latent(GIVEN), cfg=3.0, sampler_name="euler")[0]

    pack["PusaDoctor"].hidden = None
    one, said = told(with_lora(load_tiny_wan(10)), load_tiny_wan(11))
    assert said.startswith("Warning: Model 1 of the stages has a Pusa LoRA and model 2 has none.")
    assert "Model 1 of the stages has a Pusa LoRA and model 2 has none." in report(one)
    both, said = told(with_lora(load_tiny_wan(10)), with_lora(load_tiny_wan(11)))
    plain, _ = told(load_tiny_wan(10), load_tiny_wan(11))
    for model in (both, with_lora(plain)):
        assert not said
        assert "of the stages has" not in report(model)
        assert "Looked at: 2 stages" in report(model)


def test_prompts_of_several_times_are_refused_by_one_run(pack, load_tiny_wan, sampled):
    timed = pack["PusaPromptTime"].execute
    two = timed(prompt(3), 2.0, timed(prompt(1), 0.0)[0])[0]
    with pytest.raises(
        PusaError, match=r"The prompts begin at 0, 2 s \(Prompt at Time\).*Connect them to Long Video"
    ):
        sampled(load_tiny_wan(), video_latent(GIVEN), two)
    one = sampled(load_tiny_wan(), video_latent(GIVEN), timed(prompt(1), 2.0)[0])
    assert torch.equal(one, sampled(load_tiny_wan(), video_latent(GIVEN)))


def test_a_hook_lora_counts_by_its_strength_keyframes_and_weights_and_a_run_changes_nothing(
    load_tiny_wan, sampled
):
    given = with_hook_lora(0.2)
    name = value_identity(given)
    assert value_identity(with_hook_lora(0.2)) == name
    others = [with_hook_lora(0.9), with_hook_lora(0.2, seed=106), with_hook_lora(0.2, keyframe=0.3)]
    assert len({name, *map(value_identity, others)}) == 4
    for conditioning in (given, others[2]):
        before = value_identity(conditioning)
        sampled(load_tiny_wan(), video_latent(GIVEN), conditioning, steps=2)
        assert value_identity(conditioning) == before


def test_a_long_video_keeps_windows_of_the_same_hook_lora_alone(long_video):
    given = with_hook_lora(0.2)
    assert "kept" not in long_video(given)
    assert long_video(given).count("kept") == 2
    assert long_video(with_hook_lora(0.2)).count("kept") == 2
    assert "kept" not in long_video(with_hook_lora(5.0))


def text_encoder():
    """What ComfyUI's CLIP is to text_encoder_identity: a model behind its patcher, and settings."""
    layer = torch.nn.Linear(4, 4)
    torch.nn.init.constant_(layer.weight, 0.5), torch.nn.init.constant_(layer.bias, 0.1)
    model = torch.nn.ModuleDict({"layer": layer})
    patcher = ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))
    return SimpleNamespace(
        cond_stage_model=model, patcher=patcher, layer_idx=None, tokenizer_options={}, apply_hooks_to_conds=None, use_clip_schedule=False
    )  # fmt: skip


@pytest.mark.parametrize("place", ["apply_hooks_to_conds", "forced_hooks"])
def test_hooks_on_a_text_encoder_count_in_its_name(place):
    clip = text_encoder()
    names = [text_encoder_identity(clip)]
    for strength in (0.5, 0.9):
        setattr(
            clip if place == "apply_hooks_to_conds" else clip.patcher,
            place,
            with_hook_lora(strength)[0][1]["hooks"],
        )
        names.append(text_encoder_identity(clip))
    assert len(set(names)) == 3


def test_a_text_encoder_has_the_same_name_while_a_lora_is_merged_into_it():
    clip = text_encoder()
    plain = text_encoder_identity(clip)
    clip.patcher.add_patches({"layer.weight": ("diff", (torch.full((4, 4), 0.25),))})
    patched = text_encoder_identity(clip)
    clip.patcher.patch_model()
    assert float(clip.cond_stage_model["layer"].weight[0, 0]) == 0.75
    assert text_encoder_identity(clip) == patched != plain
    clip.patcher.unpatch_model()
    assert text_encoder_identity(clip) == patched
