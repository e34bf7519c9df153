"""Claims: latent frames follow prompts of their own in one run, on every expert, and all else stays as it was."""

from dataclasses import replace
from types import MethodType

import pytest
import torch

from comfyui_pusa.nodes.host.prompts_by_frame import AttendByFrame, check_prompts_by_frame, joined_prompts
from comfyui_pusa.nodes.host.sampling import SamplingRequest, sample_video
from comfyui_pusa.pusa_core.errors import PusaError
from support import composition, tiny_wan

FRAMES, CHANGE = 5, 2
FREE, GIVEN = [1.0] * FRAMES, [0.0, 0.3, 1.0, 1.0, 1.0]


def text(seed: int, length: int = 5) -> list:
    return [[tiny_wan.context(seed)[:, :length], {}]]


def request(model, multipliers, **more) -> SamplingRequest:
    samples = torch.zeros(1, 16, FRAMES, 4, 4)
    samples[:, :, torch.tensor(multipliers) < 1] = 0.5
    latent = {"samples": samples, "noise_multipliers": torch.tensor(multipliers)}
    return SamplingRequest(model, text(1), text(2), latent, 3, 2, **more)


def followed(plain: SamplingRequest, *texts, starts=(0, CHANGE)) -> torch.Tensor:
    positive, prompts = joined_prompts(texts, starts, FRAMES)
    return sample_video(replace(plain, positive=positive, prompts=prompts))["samples"]


def test_tokens_of_a_frame_attend_to_its_own_prompt_alone():
    q, texts = torch.rand(2, FRAMES * 3, 8), [torch.rand(2, n, 8) for n in (4, 7)]
    joined = torch.cat([*texts, *texts], 1)  # ComfyUI repeats a text to the length of another

    def attend(q, k, v):
        return torch.softmax(q @ k.transpose(1, 2), 2) @ v

    prompts = [0, 0, 1, 1, 0]
    found = AttendByFrame(prompts, (4, 7), (0, 1), None)(attend, q, joined, joined)
    for frame, prompt in enumerate(prompts):
        one = slice(3 * frame, 3 * frame + 3)
        torch.testing.assert_close(found[:1, one], attend(q[:1, one], texts[prompt][:1], texts[prompt][:1]))
    torch.testing.assert_close(found[1:], attend(q[1:], joined[1:], joined[1:])), "the negative is one text"


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("multipliers", [FREE, GIVEN])
def test_the_same_prompt_twice_is_the_prompt_once(load_tiny_wan, multipliers, cfg):
    plain = request(load_tiny_wan(), multipliers, cfg=cfg)
    found = followed(plain, text(1), text(1))
    torch.testing.assert_close(found, sample_video(plain)["samples"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("lengths", [(6, 6), (6, 9)])
@pytest.mark.parametrize("experts", [1, 2])
def test_it_is_what_split_cross_attention_gives(pack, load_tiny_wan, lengths, experts):
    def split(model):
        model = model.clone()
        for index, block in enumerate(model.model.diffusion_model.blocks):

            def attend(cross, x, context, *more, **named):
                at = x.shape[1] * CHANGE // FRAMES
                halves = (x[:, :at], context[:, : lengths[0]]), (x[:, at:], context[:, lengths[0] :])
                return torch.cat([type(cross).forward(cross, *half, *more, **named) for half in halves], 1)

            model.add_object_patch(
                f"diffusion_model.blocks.{index}.cross_attn.forward", MethodType(attend, block.cross_attn)
            )
        return model

    def made(change):
        models = [change(load_tiny_wan(seed)) for seed in (10, 11)[:experts]]
        return models[0] if experts == 1 else pack["PusaMoESwitch"].execute(*models)[0]

    texts = [text(seed, length) for seed, length in zip((1, 9), lengths, strict=True)]
    plain = request(made(lambda model: model), GIVEN, cfg=1.0)
    joined = [[torch.cat([one[0][0] for one in texts], 1), {}]]
    by_hand = sample_video(replace(plain, model=made(split), positive=joined))["samples"]
    torch.testing.assert_close(followed(plain, *texts), by_hand, atol=1e-5, rtol=1e-5)
    assert not torch.equal(by_hand, sample_video(plain)["samples"])


@pytest.mark.parametrize(
    "change",
    [
        composition.compiled,
        composition.compiled_by_block,
        composition.easy_cache,
        composition.lazy_cache,
        composition.block_patch,
        composition.attention_override,
        lambda model: composition.context_windows(model, length=9, overlap=4),
    ],
    ids=["compile", "compile of blocks", "EasyCache", "LazyCache", "block patch", "attention override", "context windows"],
)  # fmt: skip
def test_beside_what_else_changes_the_model_each_frame_reads_its_prompt(load_tiny_wan, change):
    torch._dynamo.reset()
    plain = request(change(load_tiny_wan()), GIVEN, cfg=3.0)
    once = sample_video(plain)["samples"]
    torch.testing.assert_close(followed(plain, text(1), text(1)), once, atol=1e-4, rtol=1e-4)
    other = followed(plain, text(1), text(9))
    assert not torch.allclose(other, once, atol=1e-3), "the second prompt is read"
    again = followed(replace(plain, model=change(load_tiny_wan())), text(1), text(9))
    assert torch.equal(other, again)


def test_a_second_text_of_another_pack_is_told(load_tiny_wan):
    with pytest.raises(PusaError, match="Take the node out that adds tokens"):
        followed(request(composition.attention_patch(load_tiny_wan()), FREE, cfg=1.0), text(1), text(9))


def test_the_model_is_left_as_it_was(load_tiny_wan):
    plain = request(load_tiny_wan(), FREE, cfg=1.0)
    before = sample_video(plain)["samples"]
    followed(plain, text(1), text(9))
    assert torch.equal(sample_video(plain)["samples"], before)


def test_as_many_tokens_of_text_as_of_video_are_refused(load_tiny_wan):
    four = [text(seed) for seed in (1, 9, 3, 4)]
    with pytest.raises(PusaError, match="as many tokens as its video, 20"):
        followed(request(load_tiny_wan(), FREE, cfg=1.0), *four, starts=(0, 1, 2, 3))


def test_what_takes_frames_out_or_turns_them_is_refused(pack, load_tiny_wan):
    check_prompts_by_frame(load_tiny_wan())
    for node in ("PusaFrozenFrameCache", "PusaLoopModel"):
        with pytest.raises(PusaError, match="Take it out, or set prompts_by to window"):
            check_prompts_by_frame(pack[node].execute(load_tiny_wan())[0])
