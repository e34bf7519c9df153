"""The patched forward of Wan's blocks: same bits as ComfyUI's, only where it is known to be right, gone after a run."""

import copy
from types import MethodType

import comfy.ldm.wan.model
import comfy.model_management
import pytest
import torch
from comfy.ldm.wan.model import repeat_e

from comfyui_pusa.nodes.host import forward as wan_forward
from comfyui_pusa.nodes.host.expert_switch import switch_experts
from comfyui_pusa.nodes.host.timesteps import vectorize_timesteps
from support.comfy_runs import ksampler, video_latent

MULTIPLIERS = (0.0, 0.4, 1.0, 1.0, 0.7)


@pytest.fixture
def comfyui_forward(monkeypatch):
    """comfyui_forward(model, multipliers): a patched clone that keeps ComfyUI's own block forward."""

    def patch(model, multipliers=MULTIPLIERS, shift=5.0):
        return wan_forward.without_forward(vectorize_timesteps(model, torch.tensor(multipliers), shift))

    return patch


def vectorized(model, multipliers=MULTIPLIERS):
    return vectorize_timesteps(model, torch.tensor(multipliers), 5.0)


def test_a_run_gives_the_same_bits_as_comfyuis_forward(load_tiny_wan, comfyui_forward):
    latent = video_latent(MULTIPLIERS)
    ours, theirs = vectorized(load_tiny_wan()), comfyui_forward(load_tiny_wan())
    assert wan_forward.has_patched_forward(ours)
    assert not wan_forward.has_patched_forward(theirs)
    assert torch.equal(ksampler(ours, latent), ksampler(theirs, latent))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("autograd", [False, True])
def test_one_forward_gives_the_same_bits_in_every_precision(load_tiny_wan, dtype, autograd):
    model = load_tiny_wan()
    generator = torch.Generator().manual_seed(3)
    with torch.inference_mode(False), torch.set_grad_enabled(autograd):
        wan = copy.deepcopy(model.model.diffusion_model).to(dtype)
        wan.patch_embedding.float()  # as ComfyUI builds it
        for parameter in wan.parameters():
            parameter.data = parameter.data.clone()
        x = torch.randn(2, 16, 5, 4, 6, generator=generator).to(dtype)
        timestep = 1000 * torch.rand(2, 5, generator=generator)
        context = torch.randn(2, 7, 4096, generator=generator).to(dtype)
        theirs = wan(x, timestep, context)
        for block in wan.blocks:
            block.forward = MethodType(wan_forward.by_frame_forward, block)
        ours = wan(x, timestep, context)
    assert torch.equal(ours, theirs)


def test_the_input_of_a_block_is_left_as_it_is(load_tiny_wan):
    block = load_tiny_wan().model.diffusion_model.blocks[0]
    x, e, context = torch.randn(1, 12, 256), torch.randn(1, 3, 6, 256), torch.randn(1, 5, 256)
    freqs = torch.randn(1, 12, 1, 64, 2, 2)
    before = x.clone()
    out = wan_forward.by_frame_forward(block, x, e, freqs, context)
    assert torch.equal(x, before)
    assert out.data_ptr() != x.data_ptr()


@pytest.mark.parametrize("by", ["replaced", "hook"])
def test_what_another_pack_keeps_of_attention_stays_as_it_was(load_tiny_wan, by):
    block = copy.deepcopy(load_tiny_wan().model.diffusion_model.blocks[0])
    attention, kept = block.self_attn, []
    if by == "hook":
        attention.register_forward_hook(lambda module, given, out: kept.append((out, out.clone())))
    else:
        theirs = type(attention).forward

        def keeping(self, *args, **kwargs):
            out = theirs(self, *args, **kwargs)
            kept.append((out, out.clone()))
            return out

        attention.forward = MethodType(keeping, attention)
    x, e, context = torch.randn(1, 12, 256), torch.randn(1, 3, 6, 256), torch.randn(1, 5, 256)
    with torch.inference_mode():
        wan_forward.by_frame_forward(block, x, e, torch.randn(1, 12, 1, 64, 2, 2), context)
    [(out, as_it_was)] = kept
    assert torch.equal(out, as_it_was)


def test_the_base_model_runs_comfyuis_forward_after_a_run(load_tiny_wan):
    model = load_tiny_wan()
    plain_latent = video_latent((1.0,) * 5)
    before = ksampler(model, plain_latent)
    ksampler(vectorized(model), video_latent(MULTIPLIERS))
    assert torch.equal(ksampler(model, plain_latent), before)
    comfy.model_management.unload_all_models()
    for block in model.model.diffusion_model.blocks:
        assert block.forward.__func__ is comfy.ldm.wan.model.WanAttentionBlock.forward


def test_every_run_of_a_queue_has_the_patched_forward(load_tiny_wan):
    """Also while the clone of the run before is still loaded, whose forward is on the blocks."""
    model, latent = load_tiny_wan(), video_latent(MULTIPLIERS)
    for _ in range(3):
        patched = vectorized(model)
        assert wan_forward.has_patched_forward(patched)
        ksampler(patched, latent)


def test_multipliers_of_one_keep_comfyuis_forward(load_tiny_wan):
    patched = vectorized(vectorized(load_tiny_wan()), (1.0,) * 5)
    assert not wan_forward.has_patched_forward(patched)


def test_the_second_expert_runs_the_patched_forward_on_its_own_blocks(load_tiny_wan, comfyui_forward):
    high, low = load_tiny_wan(10), load_tiny_wan(11)
    switched = vectorized(switch_experts(high, low, 0.875))
    from comfyui_pusa.nodes.host.expert_switch import experts_of

    carried = experts_of(switched).low_after(switched)
    for index, block in enumerate(low.model.diffusion_model.blocks):
        patch = carried.object_patches[f"diffusion_model.blocks.{index}.forward"]
        assert patch.__func__ is wan_forward.by_frame_forward
        assert patch.__self__ is block
    latent = video_latent(MULTIPLIERS)
    theirs = comfyui_forward(switch_experts(load_tiny_wan(10), load_tiny_wan(11), 0.875))
    assert torch.equal(ksampler(switched, latent), ksampler(theirs, latent))


def test_a_method_that_another_node_patched_after_the_switch_is_bound_to_each_expert(load_tiny_wan):
    """As NAG nodes do: an object patch of cross_attn.forward, bound to the module it was made from."""
    from comfyui_pusa.nodes.host.expert_switch import experts_of

    switched = switch_experts(load_tiny_wan(10), load_tiny_wan(11), 0.875).clone()
    module = switched.model.diffusion_model.blocks[0].cross_attn

    def forward(attention, x, context, **kwargs):
        return type(attention).forward(attention, x, context, **kwargs)

    switched.add_object_patch("diffusion_model.blocks.0.cross_attn.forward", MethodType(forward, module))
    low = experts_of(switched).low_after(switched)
    patch = low.object_patches["diffusion_model.blocks.0.cross_attn.forward"]
    assert patch.__self__ is low.model.diffusion_model.blocks[0].cross_attn


def test_a_module_that_another_node_put_in_after_the_switch_is_refused(load_tiny_wan):
    from comfyui_pusa.nodes.host.expert_switch import experts_of
    from comfyui_pusa.pusa_core.errors import PusaError

    switched = switch_experts(load_tiny_wan(10), load_tiny_wan(11), 0.875).clone()
    switched.add_object_patch("diffusion_model.blocks.0", switched.model.diffusion_model.blocks[0])
    with pytest.raises(PusaError, match="before the switch"):
        experts_of(switched).low_after(switched)


# Where it must step aside


def other_signature(self, x, e, freqs, context, context_img_len=257, transformer_options={}, bias=None):  # noqa: B006
    """A block forward with an argument more."""


def other_words(self, x, e, freqs, context, context_img_len=257, transformer_options={}):  # noqa: B006
    """A block forward that uses a name nobody has seen yet."""
    return self.brand_new(x)


def other_bits(self, x, e, freqs, context, context_img_len=257, transformer_options={}):  # noqa: B006
    """A block forward of known names that computes something else."""
    return x


@pytest.mark.parametrize(
    ("forward", "reason"),
    [(other_signature, "bias"), (other_words, "brand_new"), (other_bits, "other bits")],
)
def test_a_changed_block_forward_is_noticed(load_tiny_wan, monkeypatch, caplog, forward, reason):
    block_class = comfy.ldm.wan.model.WanAttentionBlock
    forward = type(forward)(forward.__code__, globals(), forward.__name__, forward.__defaults__)
    forward.__module__ = block_class.__module__
    model = load_tiny_wan()
    monkeypatch.setattr(block_class, "forward", forward)
    wan_forward.reason_against_blocks.cache_clear()
    wan_forward._say_once.cache_clear()
    try:
        with caplog.at_level("INFO", logger="ComfyUI-Pusa"):
            first, second = vectorized(model), vectorized(model)
        assert reason in wan_forward.reason_against(model)
    finally:
        wan_forward.reason_against_blocks.cache_clear()
    assert not wan_forward.has_patched_forward(first)
    assert not wan_forward.has_patched_forward(second)
    assert sum(reason in record.message for record in caplog.records) == 1


def test_a_model_class_it_does_not_know_keeps_its_forward(load_tiny_wan, monkeypatch):
    model = load_tiny_wan()

    class OtherWan(comfy.ldm.wan.model.WanModel):
        pass

    monkeypatch.setattr(model.model.diffusion_model, "__class__", OtherWan)
    assert "OtherWan" in wan_forward.reason_against(model)


def test_a_forward_that_another_pack_replaced_stays(load_tiny_wan):
    model = load_tiny_wan()
    block = model.model.diffusion_model.blocks[1]
    block.forward = MethodType(lambda self, x, **kwargs: x, block)
    assert "replaced the forward of its blocks" in wan_forward.reason_against(model)


def test_a_forward_that_another_node_patched_stays(load_tiny_wan):
    model = load_tiny_wan().clone()
    theirs = MethodType(lambda self, x, **kwargs: x, model.model.diffusion_model.blocks[0])
    model.add_object_patch("diffusion_model.blocks.0.forward", theirs)
    patched = vectorized(model)
    assert patched.object_patches["diffusion_model.blocks.0.forward"] is theirs
    assert not wan_forward.has_patched_forward(patched)


def test_one_switch_leaves_every_model_its_own_forward(load_tiny_wan, monkeypatch):
    monkeypatch.setattr(wan_forward, "ENABLED", False)
    assert not wan_forward.has_patched_forward(vectorized(load_tiny_wan()))


def test_patches_inside_a_block_go_to_comfyuis_forward(load_tiny_wan, monkeypatch):
    block = load_tiny_wan().model.diffusion_model.blocks[0]
    monkeypatch.setattr(type(block), "forward", lambda self, x, *args, **kwargs: "theirs")
    given = (torch.randn(1, 12, 256), torch.randn(1, 3, 6, 256), None, None)
    options = {"patches": {"attn2_patch": [lambda args: args["x"]]}}
    assert wan_forward.by_frame_forward(block, *given, transformer_options=options) == "theirs"


@pytest.mark.parametrize(("tokens", "frames"), [(13, 3), (12, 1)])
def test_tokens_that_are_not_frames_go_to_comfyuis_forward(load_tiny_wan, monkeypatch, tokens, frames):
    block = load_tiny_wan().model.diffusion_model.blocks[0]
    monkeypatch.setattr(type(block), "forward", lambda self, x, *args, **kwargs: "theirs")
    assert (
        wan_forward.by_frame_forward(
            block, torch.randn(1, tokens, 256), torch.randn(1, frames, 6, 256), None, None
        )
        == "theirs"
    )


def test_trials_do_not_need_the_attention_that_is_installed(monkeypatch):
    """xformers and SageAttention cannot run on the CPU; the trial blocks are there, whatever device will sample."""
    from comfy.ldm.modules.attention import wrap_attn

    from comfyui_pusa.nodes.host import frozen_cache

    @wrap_attn
    def on_a_gpu_only(*args, **kwargs):
        raise NotImplementedError("No operator found for this attention on the CPU")

    monkeypatch.setattr(comfy.ldm.wan.model, "optimized_attention", on_a_gpu_only)
    trials = (wan_forward.reason_against_blocks, frozen_cache.reason_against_attention)
    try:
        for trial in trials:
            trial.cache_clear()
        assert wan_forward.reason_against_blocks(comfy.ldm.wan.model.WanAttentionBlock) is None
        assert frozen_cache.reason_against_attention() is None
    finally:
        for trial in trials:
            trial.cache_clear()


def modulate(x, norm, shift, scale):
    """A double of 0.38's (comfy/ldm/wan/model.py), its kernel by its documented formula: y = norm(x) * (1 + scale) + shift."""
    if comfy.model_management.in_training or not x.is_cuda or x.numel() < 16 * 1024 * 1024:
        return torch.addcmul(repeat_e(shift, x), norm(x), 1 + repeat_e(scale, x))
    return comfy.quant_ops.ck.adaln(x, scale, shift, norm.eps)


class BlockOf038(comfy.ldm.wan.model.WanAttentionBlock):
    """WanAttentionBlock as 0.38 writes it: norms and modulation in one function."""

    def forward(self, x, e, freqs, context, context_img_len=257, transformer_options={}):  # noqa: B006
        patches = transformer_options.get("patches", {})
        if e.ndim < 4:
            e = (comfy.model_management.cast_to(self.modulation, dtype=x.dtype, device=x.device) + e).chunk(
                6, dim=1
            )
        else:
            e = (
                comfy.model_management.cast_to(self.modulation, dtype=x.dtype, device=x.device).unsqueeze(0)
                + e
            ).unbind(2)
        x = x.contiguous()
        y = self.self_attn(
            modulate(x, self.norm1, e[0], e[1]), freqs, transformer_options=transformer_options
        )
        x = torch.addcmul(x, y, repeat_e(e[2], x))
        del y
        x = x + self.cross_attn(
            self.norm3(x), context, context_img_len=context_img_len, transformer_options=transformer_options
        )
        if "attn2_patch" in patches:
            for p in patches["attn2_patch"]:
                x = p({"x": x, "transformer_options": transformer_options})
        y = self.ffn(modulate(x, self.norm2, e[3], e[4]))
        return torch.addcmul(x, y, repeat_e(e[5], x))


@pytest.fixture
def core_of_038(monkeypatch):
    """The pack on a ComfyUI whose blocks call `modulate`."""
    monkeypatch.setattr(comfy.ldm.wan.model, "WanAttentionBlock", BlockOf038)
    monkeypatch.setattr(wan_forward, "core_modulate", modulate)
    monkeypatch.setattr(comfy.model_management, "in_training", False, raising=False)
    wan_forward.reason_against_blocks.cache_clear()
    yield
    wan_forward.reason_against_blocks.cache_clear()


def test_blocks_of_038_are_patched_with_the_same_bits(core_of_038, monkeypatch):
    shapes = []

    def counted(x, norm, shift, scale):
        shapes.append((tuple(x.shape), tuple(shift.shape)))
        return modulate(x, norm, shift, scale)

    assert wan_forward.reason_against_blocks(BlockOf038) is None
    monkeypatch.setattr(wan_forward, "core_modulate", counted)
    assert wan_forward.agrees_on_a_trial_block(BlockOf038)
    assert set(shapes) == {
        ((6, 4, 32), (6, 1, 32))
    }  # two videos of three frames: nothing is repeated to the tokens


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("another word", "modulate uses fused_norm, which it does not know"),
        ("another size", "changes its way at another size"),
        ("none in the model's module", "have a modulate of their own"),
    ],
)
def test_a_modulate_that_is_not_known_leaves_comfyuis_forward(core_of_038, monkeypatch, change, reason):
    def with_another_word(x, norm, shift, scale):
        return comfy.fused_norm(x, norm, shift, scale)

    def at_another_size(x, norm, shift, scale):
        if x.numel() < 4096:
            return torch.addcmul(shift, norm(x), 1 + scale)
        return torch.addcmul(shift, norm(x), 1 + scale)

    theirs = {"another word": with_another_word, "another size": at_another_size}.get(change)
    monkeypatch.setattr(wan_forward, "core_modulate", theirs)
    if theirs is not None:
        monkeypatch.setitem(BlockOf038.forward.__globals__, "modulate", theirs)
    assert reason in wan_forward.reason_against_blocks(BlockOf038)
