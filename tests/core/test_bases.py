"""Claims: each base counts its own frames, and no other module names a stride."""

import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pusa_core.bases import BASES, MOCHI, WAN, WAN22_5B, base_of_channels
from pusa_core.clips import plan_clip, plan_transition
from pusa_core.encoding import encode_frames, encode_keyframe
from pusa_core.errors import PusaError
from pusa_core.frames import resolve_position
from pusa_core.keyframes import keyframe_positions
from pusa_core.long_video import plan_windows
from pusa_core.loop import decode_loop, decode_still_loop
from pusa_core.schedule import THRESHOLD, linear_quadratic_sigmas, sigmas_of

ROOT = Path(__file__).resolve().parents[2]
every_base = pytest.mark.parametrize("base", BASES, ids=lambda base: base.id)


@every_base
@given(frames=st.integers(1, 2000))
def test_pixel_frames_lie_in_their_latent_frames_and_whole_lengths_hold_them(base, frames):
    held = base.latent_frame_of(frames)
    assert base.first_pixel_frame(held) <= frames < base.video_length(held + 1)
    assert base.latent_frame_count(base.video_length(held + 1)) == held + 1
    whole = base.whole_length(frames)
    assert whole - base.temporal_stride < frames <= whole
    assert base.is_whole(whole)
    below, above = base.neighbours(frames)
    assert base.is_whole(below)
    assert base.is_whole(above)
    assert below <= frames < above


@every_base
def test_its_training_length_is_whole_and_its_numbers_fit_together(base):
    assert base.is_whole(base.trained_length)
    assert base.size_multiple % base.spatial_stride == 0
    assert base_of_channels(base.channels) is base
    assert re.search(base.model_pattern, base.vae_file, re.IGNORECASE)


def test_published_lengths_make_the_published_latent_frames():
    assert WAN.latent_frame_count(81) == 21
    assert WAN22_5B.latent_frame_count(121) == 31
    assert MOCHI.latent_frame_count(163) == 28


def test_a_latent_of_no_base_is_refused_with_those_that_are():
    with pytest.raises(
        PusaError, match=r"A latent of 4 channels .* Known are: .*16 channels.*48 channels.*12 channels"
    ):
        base_of_channels(4)


@every_base
def test_a_position_in_video_frames_is_counted_by_the_base(base):
    assert resolve_position(base.video_length(3) - 1, 5, "video frame", base) == 2
    assert keyframe_positions(1, 5, "seconds", f"{base.video_length(3) / base.fps}", base.fps, base) == [3]


@every_base
def test_an_extension_gives_whole_latent_frames_of_the_base(base):
    context = base.video_length(3)
    assert plan_clip("extend", 8, context, base=base).positions == (0, 1, 2)
    tail, head = plan_transition(8, context, base)
    assert (tail.positions, head.positions) == ((0, 1, 2), (6, 7))
    with pytest.raises(
        PusaError, match=f"groups of {base.groups}: use {context} or {context + base.temporal_stride}"
    ):
        plan_clip("extend", 8, context + 1, base=base)


@every_base
def test_frames_are_encoded_up_to_the_last_one_used(base):
    seen = []

    def encode(pictures):
        seen.append(len(pictures))
        return torch.zeros(1, base.channels, base.latent_frame_count(len(pictures)), 1, 1)

    latents = encode_frames(encode, torch.zeros(base.video_length(6), 1, 1, 3), [0, 2], base=base)
    assert len(latents) == 2
    encode_keyframe(encode, torch.zeros(1, 1, 1, 3), 9, "in sequence", base)
    assert seen == [base.video_length(3), base.video_length(5)]


@every_base
def test_a_loop_decodes_to_whole_groups(base):
    def decode(latent):
        return torch.zeros(base.video_length(latent.shape[2]), 1, 1, 3)

    latent = torch.zeros(1, base.channels, 6, 1, 1)
    assert len(decode_loop(decode, latent, base)) == 6 * base.temporal_stride
    assert len(decode_still_loop(decode, latent, base)) == base.video_length(5)


@every_base
def test_windows_of_a_long_video_are_whole(base):
    plan = plan_windows(1000, base.trained_length, base.video_length(4), base=base)
    assert all(base.is_whole(window.length) for window in plan)
    assert all(base.is_whole(window.given) for window in plan[1:])
    assert plan[-1].end == 1000
    with pytest.raises(
        PusaError, match=f"{base.short} needs 1 more than a multiple of {base.temporal_stride}: use"
    ):
        plan_windows(1000, base.trained_length + 1, base.video_length(4), base=base)


@every_base
def test_the_schedule_of_a_base_falls_from_noise_to_clean(base):
    for steps in (1, 2, 7, base.steps):
        sigmas = sigmas_of("of the base", base, steps)
        assert len(sigmas) == steps + 1
        assert (float(sigmas[0]), float(sigmas[-1])) == (1.0, 0.0)
        assert bool((sigmas[1:] < sigmas[:-1]).all())


@given(steps=st.integers(2, 200))
def test_half_of_the_linear_quadratic_steps_make_the_threshold(steps):
    sigmas = linear_quadratic_sigmas(steps)
    assert float(sigmas[steps // 2]) == pytest.approx(1 - THRESHOLD, abs=1e-6)


def test_less_denoise_takes_the_end_of_a_longer_linear_quadratic_schedule():
    assert torch.equal(linear_quadratic_sigmas(10, 0.5), linear_quadratic_sigmas(20)[-11:])


NAMED = re.compile(
    r"\bSTRIDE\b|\bPATCH_PIXELS\b|\bWAN_FPS\b|\bWAN_CHANNELS\b|(?<![\w.])% 4\b|(?<![\w.])// 4\b|\* 4 [-+] [13]\b|\b4 \* \w+ [-+] [13]\b|// 8\b|/ 8\b"
)
ELSEWHERE = {
    "pusa_core/safetensors_stream.py",  # eight bytes of a header
    "pusa_core/wan_dit.py",  # a DiT of its own for comparisons and training, with Wan's patches
}


def test_no_other_module_names_a_stride():
    found = []
    for folder in ("pusa_core", "nodes", "js"):
        for file in sorted((ROOT / folder).rglob("*")):
            name = file.relative_to(ROOT).as_posix()
            if (
                file.suffix not in (".py", ".js")
                or "/bases/" in name
                or name in ELSEWHERE
                or name == "js/generated_facts.js"
            ):
                continue
            for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
                code = (
                    line.split("#")[0]
                    if file.suffix == ".py"
                    else line.split("//")[0]
                    if line.lstrip().startswith("//")
                    else line
                )
                if NAMED.search(code):
                    found.append(f"{name}:{number}: {line.strip()}")
    assert not found
