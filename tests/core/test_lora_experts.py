"""For which expert a LoRA is, by all that names it, and what two experts' LoRAs say about each other."""

from dataclasses import replace

import pytest

from pusa_core.lora.experts import (
    AUTO,
    HIGH_NOISE,
    LIGHTX2V,
    LOW_NOISE,
    PUSA,
    WAN21,
    LoraFacts,
    contradiction,
    distilled_steps,
    guess_expert,
    mismatch,
    name_in_folder,
)


@pytest.mark.parametrize(
    ("name", "expert"),
    [
        ("high_noise_pusa.safetensors", HIGH_NOISE),
        ("low_noise_pusa.safetensors", LOW_NOISE),
        ("pusa_v1.safetensors", WAN21),
        ("pusa_v1.pt", WAN21),
        ("demo_pusa_v1.safetensors", WAN21),
        ("Wan21_PusaV1_LoRA_14B_rank512_bf16.safetensors", WAN21),
        ("Pusa/Wan22_PusaV1_lora_HIGH_resized_dynamic_avg_rank_98_bf16.safetensors", HIGH_NOISE),
        ("Pusa\\Wan22_PusaV1_lora_LOW_resized_dynamic_avg_rank_98_bf16.safetensors", LOW_NOISE),
        ("wan2.2_t2v_A14b_high_noise_lora_rank64_lightx2v_4step_1217.safetensors", HIGH_NOISE),
        ("wan2.2_t2v_A14b_low_noise_lora_rank64_lightx2v_4step_1217.safetensors", LOW_NOISE),
        ("Wan2.2-Lightning_T2V-v1.1-A14B-4steps-lora_HIGH_fp16.safetensors", HIGH_NOISE),
        ("Wan22_A14B_T2V_LOW_Lightning_4steps_lora_250928_rank64_fp16.safetensors", LOW_NOISE),
        ("Wan2.2-T2V-A14B-4steps-lora-rank64-Seko-V1.1/high_noise_model.safetensors", HIGH_NOISE),
        ("Wan22 HIGH/lora.safetensors", HIGH_NOISE),
        ("wan2.1_t2v_14b_lora_rank64_lightx2v_4step.safetensors", WAN21),
        ("Wan21_T2V_14B_lightx2v_cfg_step_distill_lora_rank32.safetensors", WAN21),
        ("wan22_flow_slow_highres_style.safetensors", None),
        ("high-quality_lowres_lora.safetensors", None),
        ("high_and_low.safetensors", None),
        ("Wan21_PusaV1_low_rank64.safetensors", WAN21),
        ("Wan21_PusaV1_LoRA_14B_LOW_rank64_bf16.safetensors", WAN21),
        ("wan2.1_for_wan2.2_high_noise_lightx2v.safetensors", HIGH_NOISE),
        ("wan2.1_pusa_high_noise.safetensors", HIGH_NOISE),
        ("pusa_low_rank64.safetensors", None),
        ("pusa-low-dim32-high-alpha.safetensors", None),
        ("Wan22_PusaV1_low_rank64_HIGH.safetensors", HIGH_NOISE),
        ("wan22_low_angle_high_key_style.safetensors", None),
        ("wan22_high_speed_low_light.safetensors", None),
        ("wan22_style_low-lr_high_steps.safetensors", None),
        ("Wan22_style_HIGH_v2_rank64.safetensors", HIGH_NOISE),
        ("wan22-style-low-000012.safetensors", LOW_NOISE),
        ("lightx2v_T2V_14B_cfg_step_distill_v2_lora_rank64_bf16.safetensors", None),
    ],
)
def test_published_names_tell_the_expert(name, expert):
    assert guess_expert(name, {}).expert == expert


@pytest.mark.parametrize(
    ("name", "metadata", "expert", "source"),
    [
        ("mine.safetensors", {"base": "wan2.2 t2v high_noise 14B"}, HIGH_NOISE, "metadata"),
        ("mine.safetensors", {"comment": "high quality, low vram"}, None, ""),
        ("mine.safetensors", {"modelspec.title": "Wan2.1 Pusa"}, WAN21, "metadata"),
        ("low_noise.safetensors", {"base": "high_noise"}, LOW_NOISE, "file name"),
        ("low_noise/mine.safetensors", {"base": "high_noise"}, HIGH_NOISE, "metadata"),
        ("low_noise/mine.safetensors", {}, LOW_NOISE, "folder name"),
        ("mine.safetensors", {"ss_tag_frequency": "high_noise"}, None, ""),
    ],
)
def test_the_files_own_name_counts_first_then_metadata_then_the_folder(name, metadata, expert, source):
    guess = guess_expert(name, metadata)
    assert (guess.expert, guess.source) == (expert, source)


def test_folders_further_up_say_nothing():
    assert name_in_folder("/home/high/models/loras/mine.safetensors") == "loras/mine.safetensors"
    assert name_in_folder("C:\\low\\models\\loras\\mine.safetensors") == "loras/mine.safetensors"


@pytest.mark.parametrize(
    ("name", "steps"), [("x_4step_1217.safetensors", 4), ("A14B-8steps-lora", 8), ("lightx2v_rank64", 4)]
)
def test_the_name_tells_the_steps(name, steps):
    assert distilled_steps(name) == steps


def test_a_choice_against_the_file_is_a_sentence_and_auto_is_none():
    guess = guess_expert("low_noise_pusa.safetensors", {})
    assert "says low-noise" in contradiction("low_noise_pusa.safetensors", HIGH_NOISE, guess)
    assert contradiction("low_noise_pusa.safetensors", LOW_NOISE, guess) is None
    assert contradiction("low_noise_pusa.safetensors", AUTO, guess) is None
    assert contradiction("mine.safetensors", HIGH_NOISE, guess_expert("mine.safetensors", {})) is None


PUSA_HIGH = LoraFacts(
    PUSA, "high_noise_pusa", "f1", 1.5, 400, 400, 512, 512, 1.5, 1.5, HIGH_NOISE, "file name", None
)
PUSA_LOW = replace(PUSA_HIGH, file="low_noise_pusa", fingerprint="f2", expert=LOW_NOISE)
PUSA_21 = replace(PUSA_HIGH, file="pusa_v1", fingerprint="f3", expert=WAN21)
LIGHT_HIGH = replace(PUSA_HIGH, loader=LIGHTX2V, file="light_high", fingerprint="f4", distilled_steps=4)
LIGHT_LOW = replace(LIGHT_HIGH, file="light_low", fingerprint="f5", expert=LOW_NOISE)
LIGHT_21 = replace(LIGHT_HIGH, file="light_21", fingerprint="f6", expert=WAN21)
UNNAMED = replace(PUSA_HIGH, file="mine", fingerprint="f7", expert=None)
UNNAMED_2 = replace(UNNAMED, file="mine2", fingerprint="f8")


@pytest.mark.parametrize(
    ("high", "low"),
    [
        ((), ()),
        ((PUSA_HIGH,), (PUSA_LOW,)),
        ((PUSA_HIGH, LIGHT_HIGH), (LIGHT_LOW, PUSA_LOW)),
        ((PUSA_HIGH, LIGHT_21), (PUSA_LOW, LIGHT_21)),  # Wan2.1's LightX2V on both experts is in common use
        ((UNNAMED,), (UNNAMED_2,)),
    ],
)
def test_experts_with_the_right_loras_get_no_sentence(high, low):
    assert mismatch(high, low) == []


@pytest.mark.parametrize(
    ("high", "low", "sentences"),
    [
        ((PUSA_LOW,), (PUSA_HIGH,), ["low_noise_pusa and high_noise_pusa are swapped"]),
        ((PUSA_HIGH,), (PUSA_HIGH,), ["high_noise_pusa is a high-noise LoRA, but it is loaded on the low-noise expert"]),
        ((UNNAMED,), (UNNAMED,), ["The same Pusa file, mine, is loaded on both experts"]),
        ((PUSA_21,), (PUSA_LOW,), ["pusa_v1 is Pusa's LoRA for Wan2.1"]),
        ((PUSA_HIGH,), (), ["The high-noise expert has a Pusa LoRA and the low-noise expert has none"]),
        ((PUSA_HIGH,), (PUSA_LOW, LIGHT_LOW), ["The low-noise expert has a LightX2V LoRA and the high-noise expert has none"]),
        ((PUSA_HIGH, LIGHT_LOW), (PUSA_LOW, LIGHT_LOW), ["light_low is a low-noise LoRA, but it is loaded on the high-noise expert"]),
    ],
)  # fmt: skip
def test_each_mistake_is_one_sentence(high, low, sentences):
    found = mismatch(high, low)
    assert len(found) == len(sentences)
    assert all(sentence in text for sentence, text in zip(sentences, found, strict=True))


def test_the_wan21_file_on_both_experts_is_named_once_for_each_reason():
    found = mismatch((PUSA_21,), (PUSA_21,))
    assert ["same Pusa file" in found[0], "for Wan2.1" in found[1], len(found)] == [True, True, 2]
