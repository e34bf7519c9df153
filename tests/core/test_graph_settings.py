"""What nodes are set to, read from the prompt: typed in, by constants behind links, or not known."""

import pytest

from pusa_core.graph import GraphSettings, Unknown, read_graph
from pusa_core.graph.fingerprint import graph_fingerprint
from pusa_core.graph.prompt import Linked, models_before, setting

PROMPT = {
    "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "wan.safetensors"}},
    "2": {"class_type": "EmptyHunyuanLatentVideo", "inputs": {"width": 832, "height": 480, "length": 81, "batch_size": 1}},
    "3": {"class_type": "KSampler", "inputs": {"model": ["1", 0], "latent_image": ["2", 0], "steps": 20, "cfg": 3.5, "sampler_name": "euler"}},
    "4": {"class_type": "CreateVideo", "inputs": {"images": ["3", 0], "fps": 24.0}},
    "5": {"class_type": "PusaDoctor", "inputs": {"model": ["1", 0], "latent": ["2", 0], "cfg": 0.0, "frame_rate": 16}},
    "8": {"class_type": "EmptyHunyuanLatentVideo", "inputs": {"width": 64, "height": 64, "length": 9, "batch_size": 1}},
    "9": {"class_type": "KSampler", "inputs": {"latent_image": ["8", 0], "steps": 3, "cfg": 9.0, "sampler_name": "lcm"}},
}  # fmt: skip


def test_the_settings_of_connected_nodes_are_read_and_no_others():
    assert read_graph(PROMPT, "5") == GraphSettings(
        lengths=(81,),
        sizes=((832, 480),),
        frame_rates=(24.0,),
        steps=(20,),
        cfgs=(3.5,),
        samplers=(("KSampler", "euler"),),
        model_files=("wan.safetensors",),
        classes=frozenset({"UNETLoader", "EmptyHunyuanLatentVideo", "KSampler", "CreateVideo"}),
    )


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


def sampler_with(cfg, **others):
    return {
        "s": node("PusaSampler", cfg=cfg, steps=4, sampler_name="euler"),
        "doc": node("PusaDoctor", model=["s", 0]),
        **others,
    }


CONSTANTS = {
    "a primitive": {"c": node("PrimitiveFloat", value=5.0)},
    "a constant of another pack": {"c": node("easy float", value=5.0)},
    "one more pack's": {"c": node("ImpactFloat", value=5.0)},
    "and one more": {"c": node("INTConstant", value=5)},
    "another name for its value": {"c": node("FloatConstant", number=5.0)},
    "a constant with a widget for what follows a run": {
        "c": node("PrimitiveInt", value=5, control_after_generate="fixed")
    },
    "a reroute": {"c": node("Reroute", **{"": ["d", 0]}), "d": node("PrimitiveFloat", value=5.0)},
    "two reroutes": {
        "c": node("Reroute (rgthree)", any=["r", 0]),
        "r": node("Reroute", **{"": ["5:2", 0]}),
        "5:2": node("PrimitiveFloat", value=5.0),
    },
}


@pytest.mark.parametrize("constants", CONSTANTS.values(), ids=CONSTANTS)
def test_a_constant_behind_a_link_is_read(constants):
    graph = read_graph(sampler_with(["c", 0], **constants), "doc")
    assert graph.cfgs == (5.0,)
    assert graph.unknown == ()


def test_a_name_behind_a_link_is_read():
    prompt = sampler_with(1.0, c=node("PrimitiveString", value="lcm"))
    prompt["s"]["inputs"]["sampler_name"] = ["c", 0]
    assert read_graph(prompt, "doc").samplers == (("PusaSampler", "lcm"),)


COMPUTED = {
    "a formula": {"c": node("MathExpression", expression="a + 1", a=2)},
    "a formula of a constant": {"c": node("Round", value=["d", 0]), "d": node("PrimitiveFloat", value=5.0)},
    "a number computed from one text": {"c": node("StringLength", string="abc")},
    "a text where a number is needed": {"c": node("Literal", value="5.0")},
    "reroutes in a circle": {
        "c": node("Reroute", **{"": ["r", 0]}),
        "r": node("Reroute", **{"": ["c", 0]}),
    },
}


@pytest.mark.parametrize("others", COMPUTED.values(), ids=COMPUTED)
def test_what_a_node_computes_is_said_to_be_unknown(others):
    graph = read_graph(sampler_with(["c", 0], **others), "doc")
    assert graph.cfgs == ()
    (unknown,) = graph.unknown
    assert unknown.setting == "cfg"
    assert unknown.text.startswith("cfg of PusaSampler (node s), which comes from ")


def test_titles_from_the_browser_name_the_nodes():
    prompt = sampler_with(["c", 0], c=node("MathExpression", a=1, b=2))
    prompt["s"]["_meta"] = {"title": "My sampler"}
    assert read_graph(prompt, "doc").unknown == (
        Unknown("cfg", "cfg of My sampler (node s), which comes from MathExpression (node c)"),
    )
    assert setting(prompt, "s", "cfg") == Linked("c")


RATES = {
    "a video": (node("CreateVideo", images=["s", 0], fps=24.0), (24.0,)),
    "a WEBM": (node("SaveWEBM", images=["s", 0], fps=24.0), (24.0,)),
    "Video Combine": (node("VHS_VideoCombine", images=["s", 0], frame_rate=24, format="video/h264-mp4"), (24.0,)),
    "Long Video": (node("PusaLongVideo", model=["s", 0], fps=24.0), (24.0,)),
    "Pusa Director": (node("PusaDirector", model=["s", 0], fps=24.0), (24.0,)),
    "an unknown rate": (node("CreateVideo", images=["s", 0], fps=0), ()),
    "an animated picture": (node("SaveAnimatedWEBP", images=["s", 0], fps=6.0), ()),
    "an animated PNG": (node("SaveAnimatedPNG", images=["s", 0], fps=6.0), ()),
    "a GIF by Video Combine": (node("VHS_VideoCombine", images=["s", 0], frame_rate=8, format="image/gif"), ()),
    "a clip that is read": (node("PusaConditionVideo", latent=["s", 0], fps=30.0), ()),
    "a clip that is read whole": (node("PusaTransition", latent=["s", 0], fps=0.0), ()),
}  # fmt: skip


@pytest.mark.parametrize(("content", "rates"), RATES.values(), ids=RATES)
def test_only_the_rate_at_which_a_video_plays_counts(content, rates):
    assert read_graph(sampler_with(3.0, v=content), "doc").frame_rates == rates


def test_the_fingerprint_changes_with_every_setting_and_not_with_the_seed():
    def prompt(cfg=5.0, seed=1, title="A"):
        one = sampler_with(cfg)
        one["s"]["inputs"]["seed"] = seed
        one["s"]["_meta"] = {"title": title}
        return one

    same = graph_fingerprint(prompt())
    assert graph_fingerprint(prompt(seed=2)) == same
    assert graph_fingerprint({**prompt(), "s": {**prompt()["s"], "is_changed": [1.0]}}) == same
    others = (prompt(cfg=1.0), prompt(title="B"), sampler_with(["c", 0], c=node("PrimitiveFloat", value=5.0)))
    assert len({same, *map(graph_fingerprint, others)}) == 4


@pytest.mark.parametrize(("fast", "steps", "cfg"), [(True, 4, 1.0), (False, 30, 3.0)])
def test_speed_or_quality_is_read_for_the_way_it_takes(fast, steps, cfg):
    speed = node(
        "PusaSpeed",
        fast=fast,
        fast_model=["q", 0],
        full_model=["f", 0],
        fast_steps=4,
        fast_cfg=1.0,
        full_steps=30,
        full_cfg=3.0,
    )
    prompt = {
        "s": node("PusaSampler", model=["v", 0], steps=["v", 1], cfg=["v", 2], sampler_name="euler"),
        "v": speed,
        "q": node("PusaLightX2VLoader", model=["f", 0]),
        "f": node("UNETLoader", unet_name="wan.safetensors"),
        "doc": node("PusaDoctor", model=["s", 0]),
    }
    graph = read_graph(prompt, "doc")
    assert (graph.steps, graph.cfgs, graph.unknown) == ((steps,), (cfg,), ())
    assert models_before(prompt, "s") == (["v", "q", "f"] if fast else ["v", "f"])


def test_a_speed_that_only_the_run_decides_is_unknown():
    prompt = {
        "s": node("PusaSampler", steps=["v", 1]),
        "v": node("PusaSpeed", fast=["x", 0], fast_steps=4),
        "x": node("Switch"),
    }
    assert setting(prompt, "s", "steps") == Linked("v")


def test_what_another_doctor_was_told_does_not_count():
    prompt = sampler_with(3.0, doc2=node("PusaDoctor", model=["s", 0], cfg=9.0, sampler_name="lcm"))
    graph = read_graph(prompt, "doc")
    assert (graph.cfgs, graph.samplers) == ((3.0,), (("PusaSampler", "euler"),))
