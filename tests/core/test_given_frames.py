"""What nodes say of the frames they were given, and of those that were lost on the way."""

import json
import random
from pathlib import Path

import pytest
import torch

from pusa_core.given_frames import filled_frames, given_text, told, told_of_windows
from pusa_core.graph import read_faults, read_graph
from pusa_core.graph.latents import carried_into, latent_input
from pusa_core.graph.loops import wrong_decodings
from pusa_core.graph.prompt import class_of, inputs_of
from pusa_core.long_video import plan_windows
from pusa_core.project.plan import Defaults, window_multipliers
from pusa_core.project.straight import Guidance, straight_plan

FREE = "No given frames: plain text-to-video."


@pytest.mark.parametrize(
    ("multipliers", "text"),
    [
        (None, FREE),
        ((), FREE),
        ((1.0, 1.0), FREE),
        ((0.2, 1.0, 1.0), "1 given frame: latent frame 0 (video frame 0) at 0.2."),
        ((1.0, 0.0), "1 given frame: latent frame 1 (video frames 1 to 4) at 0."),
        (
            (0.0, 0.4, 0.4, 0.4, 1.0, 0.4),
            "5 given frames: latent frame 0 (video frame 0) at 0; latent frames 1 to 3 (video frames 1 to 12) at 0.4; "
            "latent frame 5 (video frames 17 to 20) at 0.4.",
        ),
        ((0.3, 0.3), "2 given frames: latent frames 0 to 1 (video frames 0 to 4) at 0.3."),
        (torch.tensor([1.0, 0.1]), "1 given frame: latent frame 1 (video frames 1 to 4) at 0.1."),
    ],
)
def test_given_frames_are_counted_placed_and_grouped(multipliers, text):
    assert given_text(multipliers) == text


def node(kind, /, **inputs):
    return {"class_type": kind, "inputs": inputs}


def ksampler(model, latent):
    return node("KSampler", model=[model, 0], latent_image=[latent, 0], sampler_name="euler", steps=4)


def injector(latent, positions="0"):
    return node(
        "PusaConditionFrames", vae=["vae", 0], latent=[latent, 0], images=["pic", 0], positions=positions
    )


def graph(**changes):
    """Image-to-video with Vectorized Timestep Sampler `s` and a doctor `doc`; changes add or replace nodes."""
    return {
        "m": node("UNETLoader", unet_name="wan.safetensors"),
        "empty": node("EmptyHunyuanLatentVideo", width=64, height=64, length=17),
        "inj": injector("empty"),
        "s": node("PusaSampler", model=["m", 0], latent=["inj", 0], shift=5.0, sampler_name="euler"),
        "doc": node("PusaDoctor", model=["m", 0], latent=["inj", 0]),
        **changes,
    }


def apply(latent, model="m"):
    return node("PusaVectorizedTimesteps", model=[model, 0], latent=[latent, 0], shift=5.0)


def sampler_on(latent, model="m", **others):
    return graph(
        s=node("PusaSampler", model=[model, 0], latent=[latent, 0], shift=5.0, sampler_name="euler"),
        doc=node("PusaDoctor", model=[model, 0], latent=[latent, 0]),
        **others,
    )


def core_sampler_on(latent, applied, **others):
    return graph(
        ap=apply(applied),
        s=ksampler("ap", latent),
        doc=node(
            "PusaDoctor", model=["ap", 0], latent=[latent, 0], cfg=0.0, sampler_name="", frame_rate=16.0
        ),
        **others,
    )


def given(*frames, count=5, batch=1):
    """A LATENT with something in these latent frames, and their multipliers 0."""
    samples = torch.zeros(batch, 16, count, 2, 2)
    multipliers = torch.ones(count)
    for frame in frames:
        samples[:, :, frame], multipliers[frame] = 1.0, 0.0
    return {"samples": samples, "noise_multipliers": multipliers}


def without_multipliers(latent):
    return {"samples": latent["samples"]}


JOINED = dict(inj2=injector("empty", "-1"))
LOST = {
    "RebatchLatents": (
        sampler_on("rb", rb=node("RebatchLatents", latents=["inj", 0], batch_size=1)),
        "The frames given by PusaConditionFrames (node inj) are lost in RebatchLatents (node rb).",
    ),
    "LatentCompositeMasked": (
        sampler_on("lc", lc=node("LatentCompositeMasked", destination=["empty", 0], source=["inj", 0], x=0, y=0)),
        "The frames given by PusaConditionFrames (node inj) are lost in LatentCompositeMasked (node lc).",
    ),
    "RebatchLatents behind a reroute and another injector": (
        sampler_on(
            "rr",
            inj2=injector("inj", "-1"),
            rb=node("RebatchLatents", latents=["inj2", 0], batch_size=1),
            rr=node("Reroute", **{"": ["rb", 0]}),
        ),
        "The frames given by PusaConditionFrames (node inj) and PusaConditionFrames (node inj2) are lost in RebatchLatents (node rb).",
    ),
    "a node of another pack": (
        sampler_on("x", x=node("TheirLatentFilter", latent=["inj", 0])),
        "The frames given by PusaConditionFrames (node inj) are lost on the way, in TheirLatentFilter (node x).",
    ),
    "one of two nodes of another pack": (
        sampler_on("y", x=node("TheirFilter", latent=["inj", 0]), y=node("TheirCrop", samples=["x", 0])),
        "The frames given by PusaConditionFrames (node inj) are lost on the way, in TheirCrop (node y) or TheirFilter (node x).",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("prompt", "what"), LOST.values(), ids=LOST)
def test_multipliers_lost_on_the_way_are_named_on_the_node_and_by_the_doctor(prompt, what):
    first, *warnings = told(without_multipliers(given(0)), prompt, "s").splitlines()
    assert first == FREE
    assert len(warnings) == 1, warnings
    assert warnings[0].startswith(f"Warning: {what} ")
    assert [one.what for one in read_faults(prompt, "doc", without=True).lost] == [what]


def test_a_latent_from_a_file_is_known_by_its_pictures():
    prompt = sampler_on("ll", ll=node("LoadLatent", latent="lat.latent"))
    first, warning = told(without_multipliers(given(0)), prompt, "s").splitlines()
    assert first == FREE
    assert warning.startswith(
        "Warning: The latent holds pictures in latent frame 0 and nothing in the others"
    )
    assert "after Load Latent" in warning


def test_latent_batch_of_frames_in_other_places_is_named():
    prompt = sampler_on("lb", **JOINED, lb=node("LatentBatch", samples1=["inj", 0], samples2=["inj2", 0]))
    latent = given(0, batch=2)
    latent["samples"][1] = given(-1)["samples"][0]
    first, warning = told(latent, prompt, "s").splitlines()
    assert first == "1 given frame: latent frame 0 (video frame 0) at 0."
    assert warning.startswith(
        "Warning: The frames given by PusaConditionFrames (node inj2) are lost in LatentBatch (node lb). It joins two latents"
    )
    assert [one.what for one in read_faults(prompt, "doc").lost] == [
        "The frames given by PusaConditionFrames (node inj2) are lost in LatentBatch (node lb)."
    ]
    # an API prompt that the node is not told: the samples alone say it
    assert "Item 2 of the batch holds nothing in latent frame 0" in told(latent, None, "s")


OTHER = {
    "Apply gets the empty latent, KSampler the injected one": (
        core_sampler_on("inj", "empty"),
        given(),
        "count as free",
    ),
    "Apply gets the injected latent, KSampler the empty one": (
        core_sampler_on("empty", "inj"),
        given(0),
        "its empty frames are kept",
    ),
}


OTHER["Apply gets the empty latent, the sampler behind a guider the injected one"] = (
    graph(
        ap=apply("empty"),
        g=node("CFGGuider", model=["ap", 0], cfg=3.0),
        s=node("SamplerCustomAdvanced", guider=["g", 0], latent_image=["inj", 0], sampler=["x", 0]),
    ),
    given(),
    "count as free",
)


@pytest.mark.parametrize(("prompt", "latent", "why"), OTHER.values(), ids=OTHER)
def test_apply_on_another_latent_than_the_sampled_one_is_named_on_it_and_by_the_doctor(prompt, latent, why):
    what = f"PusaVectorizedTimesteps (node ap) was given another latent than the one that {class_of(prompt, 's')} (node s) samples."
    (finding,) = read_faults(prompt, "doc").other_latents
    assert finding.what == what
    assert why in finding.why
    assert what in told(latent, prompt, "ap").splitlines()[1]


def test_a_doctor_beside_apply_sees_it_without_a_sampler():
    prompt = core_sampler_on("inj", "empty")
    del prompt["s"]
    (finding,) = read_faults(prompt, "doc").other_latents
    assert "PusaDoctor (node doc) samples" in finding.what


RIGHT = {
    "the node's own latent": (graph(), "s"),
    "a chain of injectors": (sampler_on("inj2", inj2=injector("inj", "-1")), "s"),
    "Apply and sampler on one latent": (core_sampler_on("inj", "inj"), "ap"),
    "Apply before a node that keeps them": (
        core_sampler_on("mask", "inj", mask=node("SetLatentNoiseMask", samples=["inj", 0], mask=["m", 0])),
        "ap",
    ),
    "Apply before a guider": (
        graph(
            ap=apply("inj"),
            g=node("CFGGuider", model=["ap", 0], cfg=3.0),
            s=node("SamplerCustomAdvanced", guider=["g", 0], latent_image=["inj", 0], sampler=["x", 0]),
        ),
        "ap",
    ),
    "a second sampler on the first one's latent": (
        graph(ap=apply("inj"), s=ksampler("ap", "inj"), s2=ksampler("ap", "s")),
        "ap",
    ),
    "Apply before Vectorized Timestep Sampler, which sets its own": (
        sampler_on("inj", "ap", ap=apply("empty")),
        "s",
    ),
    "another pack's filter that keeps them": (
        sampler_on("x", x=node("TheirLatentFilter", latent=["inj", 0])),
        "s",
    ),
    "the destination of a composite": (
        sampler_on("lc", lc=node("LatentCompositeMasked", destination=["inj", 0], source=["empty", 0])),
        "s",
    ),
    "a batch of two pictures in one place": (
        sampler_on(
            "lb", inj2=injector("empty"), lb=node("LatentBatch", samples1=["inj", 0], samples2=["inj2", 0])
        ),
        "s",
    ),
}


@pytest.mark.parametrize(("prompt", "asking"), RIGHT.values(), ids=RIGHT)
def test_a_right_graph_gets_its_frames_and_no_warning(prompt, asking):
    assert told(given(0), prompt, asking) == "1 given frame: latent frame 0 (video frame 0) at 0."
    faults = read_faults(prompt, "doc")
    assert (faults.lost, faults.other_latents, faults.overridden) == ((), (), ())


def test_pictures_encoded_anew_end_the_way_back():
    prompt = graph(
        dec=node("VAEDecode", samples=["s", 0], vae=["vae", 0]),
        enc=node("VAEEncode", pixels=["dec", 0], vae=["vae", 0]),
        s2=node("PusaSampler", model=["m", 0], latent=["enc", 0], sampler_name="euler"),
    )
    assert carried_into(prompt, "s2").injectors == frozenset()
    assert told({"samples": torch.ones(1, 16, 5, 2, 2)}, prompt, "s2") == FREE


def test_text_to_video_is_said_and_nothing_else():
    assert told({"samples": torch.zeros(1, 16, 5, 2, 2)}, sampler_on("empty"), "s") == FREE


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("LatentBatch", ("samples1", "samples2")),
        ("LatentComposite", ("samples_to", "samples_from")),
        ("BatchLatentsNode", ("latents.latent0", "latents.latent1")),
        ("BatchImagesMasksLatentsNode", ("inputs.input0", "inputs.input1")),
    ],
)
def test_of_latents_that_are_joined_the_first_ones_multipliers_stay(kind, names):
    joined = node(kind, **dict(zip(names, (["inj", 0], ["inj2", 0]), strict=True)))
    carried = carried_into(sampler_on("j", **JOINED, j=joined), "s")
    assert carried.injectors == {"inj"}
    assert carried.lost == (("inj2", "j"),)


@pytest.mark.parametrize("setter", ["s", "ap", "long"])
@pytest.mark.parametrize("between", [False, True])
def test_a_sampling_patch_in_front_is_named_where_it_has_no_effect(setter, between):
    model = "lora" if between else "ms"
    prompt = graph(
        ms=node("ModelSamplingSD3", model=["m", 0], shift=8.0),
        lora=node("LoraLoaderModelOnly", model=["ms", 0], lora_name="a"),
        s=node("PusaSampler", model=[model, 0], latent=["inj", 0], shift=5.0, sampler_name="euler"),
        ap=apply("inj", model),
        long=node("PusaLongVideo", model=[model, 0], shift=5.0),
    )
    text = (
        told(given(0), prompt, setter) if setter != "long" else told_of_windows([[0.0, 1.0]], prompt, "long")
    )
    assert "Warning: ModelSamplingSD3 (node ms) sets shift 8, which has no effect." in text
    only = {name: prompt[name] for name in ("m", "empty", "inj", "ms", "lora", setter, "doc")}
    (finding,) = read_faults(only, "doc").overridden
    assert finding.what.startswith("ModelSamplingSD3 (node ms) sets shift 8")
    assert "own shift 5" in finding.why


def test_apply_with_another_shift_before_vectorized_timestep_sampler_is_named():
    prompt = sampler_on("inj", "ap", ap=apply("inj"))
    prompt["ap"]["inputs"]["shift"] = 8.0
    (finding,) = read_faults(prompt, "doc").overridden
    assert finding.what == "PusaVectorizedTimesteps (node ap) sets shift 8, which has no effect."


def test_a_sampling_patch_with_the_same_shift_or_before_a_core_sampler_is_left_alone():
    same = graph(ms=node("ModelSamplingSD3", model=["m", 0], shift=5.0))
    same["s"]["inputs"]["model"] = ["ms", 0]
    core = graph(ms=node("ModelSamplingSD3", model=["m", 0], shift=8.0), s=ksampler("ms", "empty"))
    for prompt in (same, core):
        assert read_faults(prompt, "doc").overridden == ()


def loop_graph(kind, decoded, rolls):
    """A loop from a picture, sampled with or without Loop Model by `s` and decoded by `d`."""
    loop = node("PusaLoopConditions", vae=["vae", 0], latent=["empty", 0], video=["pic", 0], kind=kind)
    return sampler_on(
        "loop",
        "roll" if rolls else "m",
        loop=loop,
        roll=node("PusaLoopModel", model=["m", 0], roll_per_step=2),
        rr=node("Reroute", **{"": ["s", 0]}),
        d=node("PusaLoopDecode", vae=["vae", 0], samples=["rr", 0], kind=decoded),
    )


@pytest.mark.parametrize(
    ("kind", "decoded", "rolls", "sentences"),
    [
        ("rolled still", "rolled", True, ()),
        ("still", "still at both ends", False, ()),
        ("still", "rolled", True, ()),
        (
            "rolled still",
            "rolled",
            False,
            (
                "gives a rolled still, but PusaSampler (node s) samples without Loop Model",
                "decodes a rolled loop, but",
            ),
        ),
        ("still", "rolled", False, ("decodes a rolled loop, but PusaSampler (node s) samples without",)),
        ("still", "still at both ends", True, ("decodes a still at both ends, but PusaSampler",)),
    ],
)
def test_a_loop_of_which_one_part_is_missing_is_named(kind, decoded, rolls, sentences):
    prompt = loop_graph(kind, decoded, rolls)
    found = [one.what for one in read_faults(prompt, "doc").loops]
    assert len(found) == len(sentences)
    assert all(sentence in what for sentence, what in zip(sentences, found, strict=True))
    warned = "samples without Loop Model" in told(given(0), prompt, "s")
    assert warned == any("gives a rolled still" in sentence for sentence in sentences)
    assert [one.what for one in wrong_decodings(prompt, "d")] == [what for what in found if "decodes" in what]


def test_filled_frames_are_those_with_anything_in_them():
    samples = torch.zeros(2, 16, 3, 2, 2)
    samples[0, 3, 1, 0, 1] = -1e-6
    assert filled_frames({"samples": samples}) == (frozenset({1}), frozenset())
    assert filled_frames({"samples": torch.ones(1, 16, 2, 2)}) == ()


def test_pictures_that_a_noise_mask_keeps_are_not_lost():
    latent = {**without_multipliers(given(0)), "noise_mask": torch.ones(1, 1, 5, 16, 16)}
    assert filled_frames(latent) == ()
    assert told(latent, sampler_on("empty"), "s") == FREE


def test_a_long_video_says_it_once_for_windows_alike():
    picture = torch.zeros(1, 8, 8, 3)
    windows = plan_windows(285, 81, 13)
    guidance = Guidance("0.2", end=picture, end_multiplier=0.5)
    tables = window_multipliers(straight_plan(windows, guidance, Defaults(), [("", "")] * 4))
    assert told_of_windows(tables).splitlines() == [
        "Window 1: no given frames: plain text-to-video.",
        "Windows 2 to 3: 4 given frames: latent frames 0 to 3 (video frames 0 to 12) at 0.2.",
        "Window 4: 5 given frames: latent frames 0 to 3 (video frames 0 to 12) at 0.2; latent frame 20 (video frames 77 to 80) at 0.5.",
    ]


SAMPLERS = ("PusaSampler", "PusaLongVideo", "SamplerCustom")
SHIPPED = [
    file
    for file in sorted((Path(__file__).resolve().parents[2] / "workflows" / "api").glob("*.json"))
    if any(f'"{sampler}"' in file.read_text("utf-8") for sampler in SAMPLERS)  # training's has none
]


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_no_shipped_graph_gets_a_warning(file):
    prompt = json.loads(file.read_text("utf-8"))
    samplers = [each for each in prompt if class_of(prompt, each) in SAMPLERS]
    assert samplers
    for sampler in samplers:
        inputs = inputs_of(prompt, sampler)
        doctor = node("PusaDoctor", model=inputs["model"], latent=inputs.get(latent_input(prompt, sampler)))
        faults = read_faults({**prompt, "doc": doctor}, "doc")
        assert (faults.lost, faults.other_latents, faults.overridden) == ((), (), ()), file.stem


CLASSES = [
    *("PusaConditionFrames", "PusaSampler", "PusaVectorizedTimesteps", "PusaLongVideo", "PusaDoctor", "KSampler"),
    *("RebatchLatents", "LatentCompositeMasked", "LatentBatch", "Reroute", "ModelSamplingSD3", "PrimitiveFloat", "Gone"),
]  # fmt: skip
INPUTS = [
    "model",
    "latent",
    "latent_image",
    "samples1",
    "samples2",
    "destination",
    "source",
    "cfg",
    "shift",
    "",
    "fps",
]


@pytest.mark.parametrize("seed", range(40))
def test_no_graph_whatever_its_links_is_too_much(seed):
    pick = random.Random(seed)
    ids = [str(number) for number in range(30)]

    def value():
        return pick.choice(
            [[pick.choice([*ids, "99"]), 0], 5, 0.5, "x", None, True, [1, 2], ["1"], {"__value__": [1]}]
        )

    prompt = {
        each: {
            "class_type": pick.choice(CLASSES),
            "inputs": {name: value() for name in pick.sample(INPUTS, pick.randint(0, 6))},
        }
        for each in ids
    }
    for each in ids:
        read_graph(prompt, each)
        read_faults(prompt, each, without=pick.random() < 0.5)
        told(given(0), prompt, each)


def test_latents_joined_again_and_again_are_followed_once():
    chain = {
        str(n): node("LatentBatch", samples1=[str(n - 1), 0], samples2=[str(n - 1), 0]) for n in range(1, 60)
    }
    prompt = sampler_on("59", **{"0": node("RepeatLatentBatch", samples=["inj", 0], amount=2)}, **chain)
    assert carried_into(prompt, "s").injectors == {"inj"}


def test_a_multiplier_of_1_is_the_users_own_choice():
    latent = {**given(0), "noise_multipliers": torch.ones(5)}
    prompt = sampler_on("x", x=node("TheirLatentFilter", latent=["inj", 0]))
    assert told(latent, prompt, "s") == FREE
