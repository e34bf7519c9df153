"""The doctor's rules: a right graph gets nothing, every fault is named once with a reason and a remedy."""

from dataclasses import replace

import pytest

from pusa_core.doctor import Facts, ModelFacts, diagnose, implied_shift, report
from pusa_core.findings import Finding
from pusa_core.graph import GraphFaults, GraphSettings, Unknown
from pusa_core.lora.experts import HIGH_NOISE, LIGHTX2V, LOW_NOISE, PUSA, WAN21, LoraFacts
from pusa_core.schedule import flow_sigmas

PUSA_HIGH = LoraFacts(PUSA, "pusa_high", "f1", 1.5, 400, 400, 98, 98, 1.5, 1.5, HIGH_NOISE, "file name", None)
PUSA_LOW = replace(PUSA_HIGH, file="pusa_low", fingerprint="f2", strength=1.4, expert=LOW_NOISE)
PUSA_21 = replace(PUSA_HIGH, file="pusa_v1", fingerprint="f3", strength=1.4, expert=WAN21)
LIGHT_HIGH = replace(
    PUSA_HIGH, loader=LIGHTX2V, file="light_high", fingerprint="f4", strength=1.0, distilled_steps=4
)
LIGHT_LOW = replace(LIGHT_HIGH, file="light_low", fingerprint="f5", expert=LOW_NOISE)

FREE = (1.0,) * 21
FIRST_FRAME = (0.2, *FREE[1:])


def sigmas(steps, shift=5.0):
    return tuple(flow_sigmas(steps, shift).tolist())


WAN21_RIGHT = Facts(
    model=ModelFacts(loras=(PUSA_21,)),
    latent_shape=(1, 16, 21, 60, 104),
    noise_multipliers=FIRST_FRAME,
    sigmas=sigmas(30),
    cfg=3.0,
    sampler_name="euler",
    stochastic_samplers=frozenset({"dpmpp_sde", "euler_ancestral", "lcm"}),
    pusa_samplers=frozenset({"euler", "euler_ancestral", "lcm"}),
)
WAN22_RIGHT = replace(
    WAN21_RIGHT,
    model=ModelFacts(loras=(PUSA_HIGH, LIGHT_HIGH)),
    low_noise=ModelFacts(loras=(PUSA_LOW, LIGHT_LOW)),
    sigmas=sigmas(4),
    cfg=1.0,
)
START_END = (0.2, *FREE[1:-1], 0.5)
EXTENSION = (0.0, 0.3, 0.5, 0.7, *FREE[4:])

RIGHT = {
    "Wan2.1 image-to-video": WAN21_RIGHT,
    "Wan2.2 image-to-video with LightX2V": WAN22_RIGHT,
    "Wan2.2 without distillation": replace(
        WAN22_RIGHT,
        model=ModelFacts(loras=(PUSA_HIGH,)),
        low_noise=ModelFacts(loras=(PUSA_LOW,)),
        sigmas=sigmas(30),
        cfg=3.0,
    ),
    "start and end frame": replace(WAN22_RIGHT, noise_multipliers=START_END),
    "the authors' extension": replace(WAN22_RIGHT, noise_multipliers=EXTENSION),
    "text-to-video without any LoRA": replace(WAN21_RIGHT, model=ModelFacts(), noise_multipliers=None),
    "cfg of the experts' own": replace(WAN22_RIGHT, cfg=3.5, high_noise_cfg=1.0, low_noise_cfg=1.0),
    "LoRAs of other loaders": replace(WAN21_RIGHT, model=ModelFacts(other_patches=400)),
    "interpolated to 32 pictures a second": replace(WAN21_RIGHT, frame_rate=32.0),
    "long with context windows": replace(
        WAN21_RIGHT,
        latent_shape=(1, 16, 41, 60, 104),
        noise_multipliers=(0.2,) + (1.0,) * 40,
        has_context_windows=True,
    ),
    "PusaSampler with its own euler_ancestral": replace(
        WAN21_RIGHT, sampler_name="", graph=GraphSettings(samplers=(("PusaSampler", "euler_ancestral"),))
    ),
    "rate of the video not known": replace(WAN21_RIGHT, frame_rate=0.0),
    "pictures where the multipliers say": replace(WAN21_RIGHT, filled=(frozenset({0}),)),
    "two pictures in one place": replace(
        WAN21_RIGHT, latent_shape=(2, 16, 21, 60, 104), filled=(frozenset({0}), frozenset({0}))
    ),
    "a whole video as the latent": replace(
        WAN21_RIGHT, noise_multipliers=None, filled=(frozenset(range(21)),)
    ),
    "partial denoise": replace(WAN21_RIGHT, sigmas=tuple(flow_sigmas(20, 5.0, 0.6).tolist())),
}


@pytest.mark.parametrize("facts", RIGHT.values(), ids=RIGHT)
def test_a_right_graph_gets_no_finding(facts):
    findings = diagnose(facts)
    assert findings == []
    assert report(facts, findings).startswith("Nothing to report.\nLooked at: ")


def graph(**settings):
    return replace(WAN21_RIGHT, graph=GraphSettings(**settings))


def loras(high, low=None, facts=WAN22_RIGHT):
    return replace(
        facts, model=ModelFacts(loras=high), low_noise=None if low is None else ModelFacts(loras=low)
    )


WRONG = {
    "image-to-video base": (replace(WAN21_RIGHT, model=ModelFacts(refusal="36 channels")), "not a Wan text-to-video model"),
    "low expert of another kind": (replace(WAN22_RIGHT, low_noise=ModelFacts(refusal="no")), "The low-noise model is not"),
    "no Pusa LoRA": (replace(WAN21_RIGHT, model=ModelFacts()), "the model has no Pusa LoRA"),
    "LoRA in part": (loras((replace(PUSA_21, matched=380),), facts=WAN21_RIGHT), "380 of 400 layers"),
    "cut-off LoRA": (loras((replace(PUSA_21, matched=30, layers=30),), facts=WAN21_RIGHT), "changes 30 layers"),
    "LoRA twice": (loras((PUSA_21, PUSA_21), facts=WAN21_RIGHT), "loaded twice"),
    "alpha 0": (loras((replace(PUSA_21, strength=0.0),), facts=WAN21_RIGHT), "alpha of pusa_v1 is 0"),
    "alpha 3": (loras((replace(PUSA_21, strength=3.0),), facts=WAN21_RIGHT), "alpha of pusa_v1 is 3"),
    "strength negative": (loras((PUSA_HIGH, replace(LIGHT_HIGH, strength=-1.0)), (PUSA_LOW, LIGHT_LOW)), "strength of light_high is -1"),
    "swapped Pusa": (loras((PUSA_LOW, LIGHT_HIGH), (PUSA_HIGH, LIGHT_LOW)), "pusa_low and pusa_high are swapped"),
    "Wan2.1 file in Wan2.2": (loras((PUSA_21, LIGHT_HIGH), (PUSA_LOW, LIGHT_LOW)), "Pusa's LoRA for Wan2.1"),
    "LightX2V on one expert": (loras((PUSA_HIGH, LIGHT_HIGH), (PUSA_LOW,)), "the low-noise expert has none"),
    "missing expert": (loras((PUSA_HIGH,), facts=WAN21_RIGHT), "The low-noise expert is missing"),
    "both on one model": (loras((PUSA_HIGH, PUSA_LOW), facts=WAN21_RIGHT), "both a high-noise and a low-noise"),
    "boundary": (replace(WAN22_RIGHT, boundary=0.5, sigmas=None), "boundary between the experts is 0.5"),
    "idle expert": (replace(WAN22_RIGHT, sigmas=(0.8, 0.5, 0.0)), "No step runs on the high-noise expert"),
    "LightX2V with cfg": (replace(WAN22_RIGHT, cfg=3.0), "runs with cfg 3"),
    "LightX2V with cfg on one expert": (replace(WAN22_RIGHT, high_noise_cfg=3.0), "LightX2V on the high-noise expert runs with cfg 3"),
    "LightX2V with too many steps": (replace(WAN22_RIGHT, sigmas=sigmas(8)), "8 steps; it was distilled for 4"),
    "four steps without LightX2V": (replace(WAN21_RIGHT, sigmas=sigmas(4)), "4 steps without LightX2V"),
    "cfg 1 without LightX2V": (replace(WAN21_RIGHT, cfg=1.0), "cfg 1 without LightX2V"),
    "shift 1": (replace(WAN21_RIGHT, sigmas=sigmas(30, 1.0)), "shift of about 1.0"),
    "shift 8 with LightX2V": (replace(WAN22_RIGHT, sigmas=sigmas(4, 8.0)), "shift of about 8.0"),
    "no steps": (replace(WAN21_RIGHT, sigmas=(1.0,)), "hold no step"),
    "image latent": (replace(WAN21_RIGHT, latent_shape=(1, 16, 60, 104), noise_multipliers=None), "of a picture"),
    "channels of the 5B model": (replace(WAN21_RIGHT, latent_shape=(1, 48, 21, 60, 104)), "48 channels"),
    "size of the latent": (replace(WAN21_RIGHT, latent_shape=(1, 16, 21, 61, 104)), "832 x 488 is not a multiple of 16"),
    "size typed in": (graph(sizes=((850, 480),)), "850 x 480 is not a multiple of 16"),
    "length": (graph(lengths=(80,)), "The length 80 is not 4n + 1"),
    "too long": (replace(WAN21_RIGHT, latent_shape=(1, 16, 41, 60, 104), noise_multipliers=None), "41 latent frames"),
    "frame rate": (replace(WAN21_RIGHT, frame_rate=24.0), "The frame rate is 24"),
    "frame rate of a node": (graph(frame_rates=(25.0,)), "The frame rate is 25"),
    "stochastic sampler": (replace(WAN21_RIGHT, sampler_name="dpmpp_sde"), "dpmpp_sde adds fresh noise"),
    "stochastic core sampler": (replace(graph(samplers=(("KSamplerSelect", "lcm"),), classes=frozenset({"PusaVectorizedTimesteps"})), sampler_name=""), "lcm adds fresh noise"),
    "multiplier 0.9": (replace(WAN21_RIGHT, noise_multipliers=(*FREE[:-1], 0.9)), "frame 20 has the noise multiplier 0.9"),
    "first frame 0.6": (replace(WAN21_RIGHT, noise_multipliers=(0.6, *FREE[1:])), "The first frame has the noise multiplier 0.6"),
    "first frame 0 on Wan2.2": (replace(WAN22_RIGHT, noise_multipliers=(0.0, *FREE[1:])), "multiplier 0, on Wan2.2"),
    "multipliers of another latent": (replace(WAN21_RIGHT, noise_multipliers=FIRST_FRAME[:-1]), "21 frames and 20 noise multipliers"),
    "vectorized for another latent": (replace(WAN21_RIGHT, vectorized=START_END), "another latent than the one that is sampled"),
    "pictures without multipliers": (replace(WAN21_RIGHT, noise_multipliers=None, filled=(frozenset({0}),)), "holds pictures in latent frame 0 and nothing in the others, but no noise multipliers"),
    "a batch of frames in other places": (replace(WAN21_RIGHT, latent_shape=(2, 16, 21, 60, 104), filled=(frozenset({0}), frozenset({20}))), "Item 2 of the batch holds nothing in latent frame 0"),
    "a given frame that was cleared": (replace(WAN21_RIGHT, filled=(frozenset(),)), "The latent holds nothing in latent frame 0"),
    "multipliers lost in a node": (replace(WAN21_RIGHT, noise_multipliers=None, filled=(frozenset({0}),), faults=GraphFaults(lost=(Finding("lost in B", "so", "do"),))), "lost in B"),
    "Apply without the given frames": (replace(WAN21_RIGHT, faults=GraphFaults(other_latents=(Finding("another latent", "so", "do"),))), "another latent"),
    "Apply with other frames, said once": (replace(WAN21_RIGHT, vectorized=START_END, faults=GraphFaults(other_latents=(Finding("another latent", "so", "do"),))), "another latent"),
    "sampling patch without effect": (replace(WAN21_RIGHT, faults=GraphFaults(overridden=(Finding("has no effect", "so", "do"),))), "has no effect"),
    "plain sampler": (replace(graph(samplers=(("KSampler", "euler"),), classes=frozenset({"KSampler"})), sampler_name=""), "nothing gives them timesteps of their own"),
}  # fmt: skip


@pytest.mark.parametrize(("facts", "what"), WRONG.values(), ids=WRONG)
def test_a_fault_is_named_alone(facts, what):
    findings = diagnose(facts)
    assert [what in finding.what for finding in findings] == [True], findings
    (finding,) = findings
    assert finding.why
    assert finding.fix
    text = report(facts, findings)
    assert text.startswith(f"1 finding.\n1. {finding.what}\n   Why: {finding.why}\n   Fix: {finding.fix}\n")


@pytest.mark.parametrize(
    "file", ["pusa_merged/wan+pusa-0123456789abcdef.safetensors", "mine\\pusa_merged\\wan.safetensors"]
)
def test_a_file_of_merge_loras_is_not_said_to_lack_its_lora(file):
    without = replace(WAN21_RIGHT, model=ModelFacts())
    assert diagnose(without)
    assert not diagnose(replace(without, graph=replace(without.graph, model_files=(file,))))
    assert diagnose(replace(without, graph=replace(without.graph, model_files=("pusa_merged.safetensors",))))


@pytest.mark.parametrize(
    "name", ["SkyReels-V2-DF-1.3B-540P.safetensors", "wan\\Wan2_1-SkyReels-V2-DF-1_3B_fp32.safetensors"]
)
def test_a_model_trained_with_timesteps_by_frame_is_not_said_to_lack_a_lora(name):
    without = replace(WAN21_RIGHT, model=ModelFacts())
    assert not diagnose(replace(without, graph=replace(without.graph, model_files=(name,))))
    assert diagnose(
        replace(without, graph=replace(without.graph, model_files=("SkyReels-V2-T2V-14B.safetensors",)))
    )


def test_several_faults_are_all_named():
    facts = replace(
        WAN22_RIGHT, cfg=3.0, sigmas=sigmas(8), frame_rate=24.0, latent_shape=(1, 16, 21, 61, 104)
    )
    assert report(facts, diagnose(facts)).startswith("4 findings.")


@pytest.mark.parametrize("shift", [1.0, 3.0, 5.0, 8.0, 12.0])
@pytest.mark.parametrize("steps", [2, 4, 30, 50])
def test_the_shift_is_read_off_the_sigmas(steps, shift):
    assert implied_shift(sigmas(steps, shift)) == pytest.approx(shift, rel=1e-3)


@pytest.mark.parametrize("levels", [(1.0, 0.0), (0.9, 0.5, 0.0), (1.0, 1.0, 0.0)])
def test_no_shift_is_claimed_where_none_can_be_read(levels):
    assert implied_shift(levels) is None


def test_what_only_the_run_decides_is_named_unless_the_doctor_was_told():
    cfg, steps = (
        Unknown("cfg", "cfg of A (node 1), which comes from B (node 2)"),
        Unknown("steps", "steps of A"),
    )
    facts = replace(WAN21_RIGHT, cfg=0.0, sigmas=None, graph=GraphSettings(unknown=(cfg, steps)))
    lines = report(facts, []).splitlines()
    assert lines[:3] == [
        "Nothing to report from what is known.",
        "Not known before the run: cfg of A (node 1), which comes from B (node 2).",
        "Not known before the run: steps of A.",
    ]
    told = replace(facts, cfg=3.0, sigmas=sigmas(30))
    assert report(told, []).startswith("Nothing to report.\nLooked at: ")
