"""Keys of published files, spelling by spelling, and what a file that does not fit is told."""

import pytest
import torch
from safetensors.torch import save_file

from pusa_core.errors import PusaError
from pusa_core.lora.contents import read_contents
from pusa_core.lora.layouts import parse_key
from pusa_core.lora.matching import APPLY_WHAT_MATCHES, STOP, match, require_match
from pusa_core.lora.weight_files import open_weights
from support import tiny_wan
from support.lora_layouts import LAYERS, layouts, pairs


@pytest.mark.parametrize(
    ("key", "parameter"),
    [
        # Pusa's authors, Kijai, LightX2V, musubi, Wan Fun
        ("blocks.3.self_attn.q.lora_A.default.weight", "blocks.3.self_attn.q.weight"),
        ("pipe.dit.blocks.3.ffn.2.lora_B.default.weight", "blocks.3.ffn.2.weight"),
        ("diffusion_model.blocks.39.cross_attn.o.lora_up.weight", "blocks.39.cross_attn.o.weight"),
        ("diffusion_model.blocks.39.cross_attn.o.alpha", "blocks.39.cross_attn.o.weight"),
        ("lora_unet_blocks_12_cross_attn_k_img.lora_down.weight", "blocks.12.cross_attn.k_img.weight"),
        ("lora_unet__blocks_0_cross_attn_k.lora_down.weight", "blocks.0.cross_attn.k.weight"),
        ("lora_unet_text_embedding_2.lora_up.weight", "text_embedding.2.weight"),
        ("lora_unet_time_projection_1.alpha", "time_projection.1.weight"),
        ("base_model.model.blocks.0.ffn.0.lora_A.weight", "blocks.0.ffn.0.weight"),
        # whole differences
        ("diffusion_model.blocks.0.self_attn.norm_k.diff", "blocks.0.self_attn.norm_k.weight"),
        ("diffusion_model.blocks.0.norm3.diff_b", "blocks.0.norm3.bias"),
        ("diffusion_model.blocks.0.diff_m", "blocks.0.modulation"),
        ("diffusion_model.head.diff_m", "head.modulation"),
        ("diffusion_model.head.head.diff", "head.head.weight"),
        ("diffusion_model.blocks.0.modulation.diff", "blocks.0.modulation"),
        ("lora_unet_blocks_0_modulation.diff", "blocks.0.modulation"),
        ("blocks.0.self_attn.q.lora_B.bias", "blocks.0.self_attn.q.bias"),
        # diffusers' names
        ("transformer.blocks.1.attn1.to_q.lora_A.weight", "blocks.1.self_attn.q.weight"),
        ("transformer.blocks.1.attn1.to_out.0.lora_B.weight", "blocks.1.self_attn.o.weight"),
        ("transformer.blocks.1.attn2.to_v.lora.down.weight", "blocks.1.cross_attn.v.weight"),
        ("transformer.blocks.1.attn2.add_k_proj.lora_A.weight", "blocks.1.cross_attn.k_img.weight"),
        ("transformer.blocks.1.attn2.norm_added_k.diff", "blocks.1.cross_attn.norm_k_img.weight"),
        ("transformer.blocks.1.ffn.net.0.proj.lora_A.weight", "blocks.1.ffn.0.weight"),
        ("transformer.blocks.1.ffn.net.2.lora_A.weight", "blocks.1.ffn.2.weight"),
        ("transformer.blocks.1.norm2.diff", "blocks.1.norm3.weight"),
        ("transformer.blocks.1.scale_shift_table.diff", "blocks.1.modulation"),
        ("transformer.scale_shift_table.diff", "head.modulation"),
        ("transformer.proj_out.lora_A.weight", "head.head.weight"),
        ("transformer.condition_embedder.time_proj.lora_A.weight", "time_projection.1.weight"),
        ("transformer.condition_embedder.text_embedder.linear_1.lora_A.weight", "text_embedding.0.weight"),
        ("transformer.condition_embedder.time_embedder.linear_2.lora_A.weight", "time_embedding.2.weight"),
        ("transformer.condition_embedder.image_embedder.ff.net.2.lora_A.weight", "img_emb.proj.3.weight"),
    ],
)  # fmt: skip
def test_a_key_names_the_parameter_it_changes(key, parameter):
    assert parse_key(key).parameter == parameter


@pytest.mark.parametrize(
    "key", ["", "alpha", ".alpha", "blocks.0.self_attn.q.weight", "blocks.0.hada_w1_a", "epoch"]
)
def test_a_key_of_no_lora_is_unknown(key):
    assert parse_key(key) is None


@pytest.fixture
def contents_of(tmp_path):
    """contents_of(weights) -> LoraContents of a file that holds them."""

    def make(weights, name="lora.safetensors"):
        save_file({key: value.contiguous() for key, value in weights.items()}, tmp_path / name)
        return read_contents(open_weights(str(tmp_path / name)))

    return make


@pytest.mark.parametrize("layout", layouts(), ids=lambda layout: layout.name)
def test_every_layout_matches_the_model_whole(layout, contents_of):
    found = match(contents_of(layout.weights()), tiny_wan.shapes())
    assert {change.parameter for change in found.applied} == {f"{layer}.weight" for layer in LAYERS}
    assert not found.unmatched_keys


def test_rank_and_scale_are_read_for_each_layer(contents_of):
    own = pairs(ranks=lambda layer: 1 + layer, alpha=lambda layer: 2.0 + layer)
    weights = {}
    for layer, pair in own.items():
        weights |= {
            f"{layer}.lora_down.weight": pair.down,
            f"{layer}.lora_up.weight": pair.up,
            f"{layer}.alpha": torch.tensor(pair.alpha),
        }
    contents = contents_of(weights)
    assert sorted(contents.ranks) == list(range(1, len(own) + 1))
    assert sorted(contents.scales) == pytest.approx(sorted((2.0 + n) / (1 + n) for n in range(len(own))))


def test_without_alpha_the_scale_is_one(contents_of):
    assert set(contents_of(layouts()[0].weights()).scales) == {1.0}


def wan_shapes(width=5120, hidden=13824, blocks=40, channels=16, image=False):
    """Shapes of a released Wan model, in the parts that LoRAs change."""
    found = {"patch_embedding.weight": (width, channels, 1, 2, 2), "head.head.weight": (64, width)}
    for block in (f"blocks.{i}" for i in range(blocks)):
        for attention in ("self_attn", "cross_attn"):
            found |= {f"{block}.{attention}.{part}.weight": (width, width) for part in "qkvo"}
        if image:
            found |= {f"{block}.cross_attn.{part}_img.weight": (width, width) for part in "kv"}
        found |= {f"{block}.ffn.0.weight": (hidden, width), f"{block}.ffn.2.weight": (width, hidden)}
    return found


SHAPES_14B = wan_shapes()
SHAPES_1B = wan_shapes(1536, 8960, 30)
SHAPES_I2V = wan_shapes(channels=36, image=True)


class ShapesOnly:
    """A LoRA file of real size without its data."""

    def __init__(self, shapes, rank=4, extra=()):
        from pusa_core.lora.weight_files import TensorInfo

        self.path = "lora.safetensors"
        self.metadata = {}
        self.tensors = {key: TensorInfo((1, 1), torch.bfloat16) for key in extra}
        for name, (rows, *columns) in shapes.items():
            layer = name.removesuffix(".weight")
            self.tensors[f"{layer}.lora_A.weight"] = TensorInfo((rank, *columns), torch.bfloat16)
            self.tensors[f"{layer}.lora_B.weight"] = TensorInfo(
                (rows, rank, *[1] * (len(columns) - 1)), torch.bfloat16
            )


@pytest.mark.parametrize(
    ("file", "model", "reason"),
    [
        (ShapesOnly(SHAPES_14B), SHAPES_1B, "The LoRA is for Wan 14B (width 5120) and the model is Wan 1.3B (width 1536)"),
        (ShapesOnly(SHAPES_1B), SHAPES_14B, "The LoRA is for Wan 1.3B (width 1536) and the model is Wan 14B (width 5120)"),
        (ShapesOnly({k: v for k, v in SHAPES_I2V.items() if (k in SHAPES_14B and "patch" not in k) or "img" in k}), SHAPES_14B, "It is an image-to-video LoRA and the model is text-to-video"),
        (ShapesOnly(SHAPES_I2V), SHAPES_14B, "it is an image-to-video LoRA and the model is text-to-video"),
        (ShapesOnly(wan_shapes(blocks=41)), SHAPES_14B, "The LoRA has 41 or more blocks and the model has 40"),
        (ShapesOnly({}, extra=["lora_te1_text_model_encoder.alpha"]), SHAPES_14B, "text encoder"),
        (ShapesOnly({"double_blocks.0.img_mod.lin.weight": (8, 8)}), SHAPES_14B, "Flux or HunyuanVideo"),
        (ShapesOnly({"vace_blocks.0.after_proj.weight": (8, 8)}), SHAPES_14B, "VACE"),
        (ShapesOnly(SHAPES_14B, extra=["blocks.0.self_attn.q.dora_scale"]), SHAPES_14B, "DoRA"),
        (ShapesOnly({}, extra=["blocks.0.self_attn.q.lora_magnitude_vector"]), SHAPES_14B, "it is a DoRA file in PEFT's layout, which neither this node nor ComfyUI reads"),
        (ShapesOnly({}, extra=["lora_unet_blocks_0_ffn_0.hada_w1_a", "lora_unet_blocks_0_ffn_0.hada_w2_a"]), SHAPES_14B, "it is a LoHa file, which ComfyUI's own Load LoRA node reads"),
        (ShapesOnly({}, extra=["lycoris_blocks_0_ffn_0.lokr_w1"]), SHAPES_14B, "it is a LoKr file"),
        (ShapesOnly({}, extra=["lycoris_blocks_0_ffn_0.oft_blocks"]), SHAPES_14B, "it is an OFT file"),
        (ShapesOnly({}, extra=["lora_unet_blocks_0_ffn_0.lora_mid.weight"]), SHAPES_14B, "core matrix (Tucker)"),
        (ShapesOnly({}, extra=["blocks.0.self_attn.k.ia3_l"]), SHAPES_14B, "it is an IA3 file"),
        (ShapesOnly({"txt_in.individual_token_refiner.blocks.0.mlp.weight": (8, 8)}), SHAPES_14B, "it is a LoRA for HunyuanVideo"),
        (ShapesOnly({"down_blocks.0.attentions.0.to_q.weight": (8, 8)}), SHAPES_14B, "which no Wan model can use"),
        (ShapesOnly({"blocks.0.attn.qkv_x.weight": (8, 8)}), SHAPES_14B, "Mochi (Pusa V0.5)"),
        (ShapesOnly({"control_adapter.conv.weight": (8, 8)}), SHAPES_14B, "Wan Fun or control variant"),
        (ShapesOnly({}, extra=["blocks.0.self_attn.q.weight", "blocks.0.modulation"]), SHAPES_14B, "whole model, not a LoRA"),
        (ShapesOnly(SHAPES_14B), {"input_blocks.0.0.weight": (4, 4)}, "The model is not a Wan model"),
    ],
)  # fmt: skip
def test_the_likely_reason_is_named(file, model, reason):
    with pytest.raises(PusaError) as caught:
        require_match(match(read_contents(file), model), STOP)
    assert reason in str(caught.value)


def test_the_first_three_keys_are_shown_and_no_more(contents_of):
    weights = layouts()[0].weights()
    odd = {f"blocks.0.something.{i}.lora_{side}.weight": torch.ones(4, 4) for i in range(4) for side in "AB"}
    found = match(contents_of(weights | odd), tiny_wan.shapes())
    with pytest.raises(PusaError, match=r"8 of 48 keys") as caught:
        require_match(found, STOP)
    assert str(caught.value).count("something") == 3
    assert len(require_match(found, APPLY_WHAT_MATCHES).applied) == len(LAYERS)


def test_a_long_key_is_shortened_and_control_characters_are_escaped(contents_of):
    key = "blocks\x1b[31m." + "x" * 5000
    with pytest.raises(PusaError) as caught:
        require_match(match(contents_of({key: torch.ones(1)}), tiny_wan.shapes()), STOP)
    assert len(str(caught.value)) < 600
    assert "\x1b" not in str(caught.value)


def test_a_layer_with_both_matrices_and_a_difference_has_both_changes(contents_of):
    layer, pair = next(iter(pairs().items()))
    weights = {
        f"{layer}.lora_A.weight": pair.down,
        f"{layer}.lora_B.weight": pair.up,
        f"{layer}.diff": torch.ones(pair.up.shape[0], pair.down.shape[1]),
        f"{layer}.diff_b": torch.ones(pair.up.shape[0]),
    }
    found = match(contents_of(weights), tiny_wan.shapes())
    assert [(change.parameter, change.rank) for change in found.applied] == [
        (f"{layer}.weight", 8),
        (f"{layer}.weight", None),
        (f"{layer}.bias", None),
    ]
