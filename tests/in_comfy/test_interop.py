"""Beside packs that take the forward or the weights over, with doubles of how they do it (docs/COMPOSITION.md: the packs)."""

import logging
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from types import MethodType

import comfy.k_diffusion.sampling
import comfy.ldm.wan.model
import comfy.samplers
import comfy.sd
import pytest
import torch
from comfy.patcher_extension import WrappersMP

from comfyui_pusa.nodes.host.expert_switch import switch_experts
from comfyui_pusa.nodes.host.frozen_cache import cache_frozen_frames
from comfyui_pusa.nodes.host.identity import model_identity
from comfyui_pusa.nodes.host.lora_patches import parameter_shapes
from comfyui_pusa.pusa_core.errors import PusaError
from support import composition, tiny_wan
from support.comfy_runs import ksampler, video_latent
from support.composition import vectorized

GIVEN = (0.0, 1.0, 1.0, 1.0, 1.0)


def split_over(ranks: int, splits_modulation: bool):
    """A double of the calling convention of sequence-parallel packs (read in raylight's Wan forward): it stands in for
    `forward_orig`, gives each block a share of the tokens and of the rotations, and all of the modulation.

    Here one process plays all ranks: the blocks run once for each share, and attention sees its share alone. With
    splits_modulation the modulation is written out for the tokens and split too, as [B, tokens of the rank, 6, C].
    """

    def forward_orig(self, x, t, context, clip_fea=None, freqs=None, transformer_options=None, **kwargs):
        x = self.patch_embedding(x.float()).to(x.dtype)
        grid = x.shape[2:]
        x = x.flatten(2).transpose(1, 2)
        embed = comfy.ldm.wan.model.sinusoidal_embedding_1d
        e = self.time_embedding(embed(self.freq_dim, t.flatten()).to(x.dtype)).reshape(
            t.shape[0], -1, self.dim
        )
        modulation = self.time_projection(e).unflatten(2, (6, self.dim))
        if splits_modulation:
            modulation = modulation.repeat_interleave(x.shape[1] // modulation.shape[1], dim=1)
        context = self.text_embedding(context)
        shares = []
        for number in range(ranks):
            local, rotation = x.chunk(ranks, 1)[number], freqs.chunk(ranks, 1)[number]
            part = modulation.chunk(ranks, 1)[number] if splits_modulation else modulation
            for block in self.blocks:
                local = block(
                    local, e=part, freqs=rotation, context=context, transformer_options=transformer_options
                )
            shares.append(local)
        x = torch.cat(shares, 1)
        return self.unpatchify(self.head(x, e), grid)

    return forward_orig


def with_forward(model, forward_orig):
    model = model.clone()
    model.add_object_patch(
        "diffusion_model.forward_orig", MethodType(forward_orig, model.model.diffusion_model)
    )
    return model


@pytest.mark.parametrize("splits_modulation", [False, True])
def test_a_forward_that_is_replaced_but_whole_gives_what_comfyuis_gives(load_tiny_wan, splits_modulation):
    latent = video_latent(GIVEN)
    replaced = with_forward(load_tiny_wan(), split_over(1, splits_modulation))
    ours = ksampler(vectorized(replaced, latent), latent)
    torch.testing.assert_close(ours, ksampler(vectorized(load_tiny_wan(), latent), latent), atol=1e-5, rtol=0)


def test_tokens_split_with_their_timesteps_run(load_tiny_wan):
    latent = video_latent(GIVEN)
    model = with_forward(load_tiny_wan(), split_over(2, splits_modulation=True))
    assert torch.isfinite(ksampler(vectorized(model, latent), latent)).all()


@pytest.mark.parametrize("ranks", [2, 5, 10])
def test_tokens_split_over_gpus_without_their_timesteps_are_refused(load_tiny_wan, ranks):
    """In silence, nearly all tokens would get another frame's timestep (20 tokens here, 4 a frame)."""
    latent = video_latent(GIVEN)
    model = with_forward(load_tiny_wan(), split_over(ranks, splits_modulation=False))
    with pytest.raises(PusaError, match="splits the video over several GPUs"):
        ksampler(vectorized(model, latent), latent)


class Gpus:
    """A double of xDiT's groups: every rank is a thread of this process, and gathering waits for all of them."""

    def __init__(self, world: int):
        self.world = world
        self.here = threading.local()
        self.barrier = threading.Barrier(world, timeout=300)
        self.pieces: dict[int, torch.Tensor] = {}
        self.module = types.ModuleType("xfuser.core.distributed")
        self.module.get_sequence_parallel_world_size = lambda: self.world
        self.module.get_sequence_parallel_rank = lambda: self.here.rank

    def share(self, x: torch.Tensor) -> torch.Tensor:
        """This rank's piece along dimension 1, filled up with zeros to equal pieces."""
        missing = -x.shape[1] % self.world
        filled = torch.cat((x, x.new_zeros((x.shape[0], missing, *x.shape[2:]))), 1)
        return filled.chunk(self.world, 1)[self.here.rank]

    def gather(self, x: torch.Tensor, length: int) -> torch.Tensor:
        """All ranks' pieces in a row, without what they were filled up with."""
        self.pieces[self.here.rank] = x
        self.barrier.wait()
        whole = torch.cat([self.pieces[rank] for rank in range(self.world)], 1)[:, :length]
        self.barrier.wait()
        return whole

    def on_each(self, work):
        """work() on all ranks at once; the result of rank 0."""

        def run(rank):
            self.here.rank = rank
            try:
                with torch.no_grad():
                    return work()
            except BaseException:
                self.barrier.abort()
                raise

        with ThreadPoolExecutor(self.world) as threads:
            runs = [threads.submit(run, rank) for rank in range(self.world)]
        for failed in filter(None, (each.exception() for each in runs)):
            if not isinstance(failed, threading.BrokenBarrierError):  # the others broke off for it
                raise failed
        return runs[0].result()


def parallel_forward(gpus: Gpus):
    """raylight's calling convention with all ranks at work: shares of tokens and rotations, all of the modulation, attention over all."""

    def attention(self, x, freqs, transformer_options=None):
        rotate, heads = comfy.ldm.wan.model.apply_rope1, (*x.shape[:2], self.num_heads, self.head_dim)
        query = rotate(self.norm_q(self.q(x)).view(heads), freqs).flatten(2)
        key = rotate(self.norm_k(self.k(x)).view(heads), freqs).flatten(2)
        length = gpus.length
        key, value = gpus.gather(key, length), gpus.gather(self.v(x), length)
        return self.o(
            comfy.ldm.wan.model.optimized_attention(
                query, key, value, heads=self.num_heads, transformer_options=transformer_options
            )
        )

    def forward_orig(self, x, t, context, clip_fea=None, freqs=None, transformer_options=None, **kwargs):
        x = self.patch_embedding(x.float()).to(x.dtype)
        grid = x.shape[2:]
        x = x.flatten(2).transpose(1, 2)
        gpus.length = x.shape[1]
        embed = comfy.ldm.wan.model.sinusoidal_embedding_1d
        e = self.time_embedding(embed(self.freq_dim, t.flatten()).to(x.dtype)).reshape(
            t.shape[0], -1, self.dim
        )
        modulation = self.time_projection(e).unflatten(2, (6, self.dim))
        context = self.text_embedding(context)

        def blocks():
            local, rotation = gpus.share(x), gpus.share(freqs)
            for block in self.blocks:
                local = block(
                    local,
                    e=modulation,
                    freqs=rotation,
                    context=context,
                    transformer_options=transformer_options,
                )
            return gpus.gather(local, gpus.length)

        return self.unpatchify(self.head(gpus.on_each(blocks), e), grid)

    return forward_orig, attention


# The threads of the double share a model, and under dynamic VRAM ComfyUI casts a weight in no thread of its own.
@pytest.mark.core(dynamic_vram=False)
@pytest.mark.parametrize("ranks", [1, 2, 3, 5, 10, 20])
def test_tokens_split_over_gpus_get_the_timesteps_of_their_frames(load_tiny_wan, monkeypatch, ranks):
    """20 tokens, 4 a frame: shares of half frames, whole ones, single tokens, and (3) the last share filled up."""
    latent, gpus = video_latent((0.0, 0.3, 1.0, 1.0, 1.0)), Gpus(ranks)
    theirs = ksampler(vectorized(load_tiny_wan(), latent), latent)
    monkeypatch.setitem(sys.modules, "xfuser.core.distributed", gpus.module)
    forward_orig, attention = parallel_forward(gpus)
    model = with_forward(load_tiny_wan(), forward_orig)
    for index, block in enumerate(model.model.diffusion_model.blocks):
        model.add_object_patch(
            f"diffusion_model.blocks.{index}.self_attn.forward", MethodType(attention, block.self_attn)
        )
    ours = ksampler(vectorized(model, latent), latent)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_a_share_that_is_not_by_the_convention_is_refused_beside_xdit_too(load_tiny_wan, monkeypatch):
    gpus = Gpus(4)
    gpus.here.rank = 0
    monkeypatch.setitem(sys.modules, "xfuser.core.distributed", gpus.module)
    latent = video_latent(GIVEN)
    model = with_forward(load_tiny_wan(), split_over(2, splits_modulation=False))
    with pytest.raises(PusaError, match="splits the video over several GPUs"):
        ksampler(vectorized(model, latent), latent)


def test_the_same_split_runs_where_all_frames_share_one_timestep(load_tiny_wan):
    latent = video_latent((1.0,) * 5)
    model = with_forward(load_tiny_wan(), split_over(2, splits_modulation=False))
    assert torch.isfinite(ksampler(vectorized(model, latent), latent)).all()


def load_packed(seed: int):
    """A MODEL as GGUF loaders make it: its state dict holds packed bytes, whose shape is not the weight's."""
    options = {"custom_operations": composition.quantized_ops()}
    return comfy.sd.load_diffusion_model_state_dict(tiny_wan.weights(seed), options)


def test_a_pusa_lora_matches_every_layer_of_packed_weights(pack, tiny_lora_file, load_tiny_wan):
    model = load_packed(10)
    assert parameter_shapes(model) == parameter_shapes(load_tiny_wan())
    loaded = pack["PusaLoraLoader"].execute(model=model, lora_name=tiny_lora_file(101))
    assert "12 of 12 matched" in loaded.ui.as_dict()["text"][0]


def test_packed_weights_have_an_identity_of_their_own():
    assert model_identity(load_packed(10)) == model_identity(load_packed(10))
    assert model_identity(load_packed(10)) != model_identity(load_packed(11))


@pytest.fixture
def sampler_pack(monkeypatch):
    """A double of how RES4LYF adds samplers: a noisy one, and its twin without noise, under KSampler's names."""

    def sample_twin(model, x, sigmas, extra_args=None, callback=None, disable=None):
        return comfy.k_diffusion.sampling.sample_euler(model, x, sigmas, extra_args, callback, disable)

    def sample_twin_ode(*args, **kwargs):
        return sample_twin(*args, **kwargs)

    for function in (sample_twin, sample_twin_ode):
        monkeypatch.setattr(comfy.k_diffusion.sampling, function.__name__, function, raising=False)
    names = ["twin", "twin_ode"]
    monkeypatch.setattr(comfy.samplers.KSampler, "SAMPLERS", comfy.samplers.KSampler.SAMPLERS + names)


def test_a_noisy_sampler_of_another_pack_is_refused_for_its_twin_without_noise(load_tiny_wan, sampler_pack):
    latent = video_latent(GIVEN)
    model = vectorized(load_tiny_wan(), latent)
    with pytest.raises(PusaError, match="Choose twin_ode"):
        ksampler(model, latent, sampler="twin")
    torch.testing.assert_close(ksampler(model, latent, sampler="twin_ode"), ksampler(model, latent))


def test_a_forward_for_one_timestep_is_told_from_its_error(load_tiny_wan):
    """A double of TeaCache and MagCache: for each model call they put in a forward that embeds a [B] timestep."""
    latent = video_latent(GIVEN)

    def scalar_forward(self, x, t, context, **kwargs):
        return x * torch.outer(t, torch.ones(1)).mean()

    def replacing(apply_model, args):
        wan = model.model.diffusion_model
        wan.forward_orig = MethodType(scalar_forward, wan)
        try:
            return apply_model(args["input"], args["timestep"], **args["c"])
        finally:
            del wan.forward_orig

    model = load_tiny_wan().clone()
    model.set_model_unet_function_wrapper(replacing)
    with pytest.raises(
        PusaError, match=r"replaced by .*test_interop, which takes one timestep for all latent frames"
    ):
        ksampler(vectorized(model, latent), latent)
    assert torch.isfinite(ksampler(model, latent)).all()  # the pack's own way stays


def embedding_patch(model):
    """A double of KJNodes' NAG node: it embeds the negative text by this model and keeps the result in a closure."""
    model = model.clone()
    embedded = model.model.diffusion_model.text_embedding(tiny_wan.context(55))

    def forward(attention, x, context, **kwargs):
        plain = type(attention).forward
        return plain(attention, x, context, **kwargs) - 0.1 * plain(
            attention, x, embedded.expand(len(x), -1, -1).to(x), **kwargs
        )

    for index, block in enumerate(model.model.diffusion_model.blocks):
        name = f"diffusion_model.blocks.{index}.cross_attn.forward"
        model.add_object_patch(name, MethodType(forward, block.cross_attn))
    return model


def test_what_one_expert_computed_is_refused_for_the_other(load_tiny_wan):
    latent, experts = video_latent(GIVEN), (load_tiny_wan(10), load_tiny_wan(11))
    before = switch_experts(*map(embedding_patch, experts), 0.875)
    assert torch.isfinite(ksampler(vectorized(before, latent), latent)).all()
    after = embedding_patch(switch_experts(*experts, 0.875))
    with pytest.raises(PusaError, match="Connect that node before the switch, once for each expert"):
        ksampler(vectorized(after, latent), latent)


def test_a_compile_wrapper_of_another_pack_after_the_switch_runs(load_tiny_wan, caplog):
    """It carries ComfyUI's key and none of its compiled modules, as KJNodes' TorchCompileModelAdvanced does."""
    latent, experts = video_latent(GIVEN), (load_tiny_wan(10), load_tiny_wan(11))

    def passing(executor, *args, **kwargs):
        return executor(*args, **kwargs)

    plain = switch_experts(*experts, 0.875)
    compiled = plain.clone()
    compiled.add_wrapper_with_key(WrappersMP.APPLY_MODEL, "torch.compile", passing)
    with caplog.at_level(logging.INFO, "ComfyUI-Pusa"):
        ours = ksampler(vectorized(compiled, latent), latent)
    assert torch.equal(ours, ksampler(vectorized(plain, latent), latent))
    assert "The low-noise expert runs uncompiled" in caplog.text


def test_the_frozen_frame_cache_steps_aside_for_a_later_attention_patch(load_tiny_wan, caplog):
    """As KJNodes' Enhance A Video: self_attn.forward of its own, over that of the cache."""
    latent = video_latent(GIVEN)

    def forward(attention, x, freqs, **kwargs):
        return 1.1 * type(attention).forward(attention, x, freqs, **kwargs)

    def enhanced(model):
        model = model.clone()
        for index, block in enumerate(model.model.diffusion_model.blocks):
            name = f"diffusion_model.blocks.{index}.self_attn.forward"
            model.add_object_patch(name, MethodType(forward, block.self_attn))
        return model

    with caplog.at_level(logging.INFO, "ComfyUI-Pusa"):
        ours = ksampler(
            vectorized(enhanced(cache_frozen_frames(load_tiny_wan(), 2, 0.0, 1.0, 0.0)), latent), latent
        )
    assert torch.equal(ours, ksampler(vectorized(enhanced(load_tiny_wan()), latent), latent))
    assert "steps aside: another node patched diffusion_model.blocks.0.self_attn.forward" in caplog.text
