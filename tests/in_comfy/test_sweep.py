"""Claims: a sweep's tiles are the runs that the other nodes make, finished ones are kept, and a cancel loses nothing."""

import pytest
import torch

from comfyui_pusa.nodes.host.lora_patches import lora_facts
from comfyui_pusa.nodes.host.pusa_alpha import with_pusa_alpha
from comfyui_pusa.nodes.host.sweep import SweepRequest, TileRuns, read_samples, run_sweep
from pusa_core.bases import WAN
from pusa_core.errors import PusaError
from pusa_core.sweep import Tile
from support import tiny_wan
from support.comfy_runs import prompt
from support.loaded_weights import loaded_weights

SIDE, LENGTH = 32, 9


@pytest.fixture
def output(tmp_path, monkeypatch):
    """ComfyUI's output folder, empty."""
    import folder_paths

    monkeypatch.setattr(folder_paths, "get_output_directory", lambda: str(tmp_path))
    return tmp_path


@pytest.fixture
def lora_file(models):
    """A Pusa LoRA of the tiny model's blocks, in models/loras."""
    import folder_paths
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(5)
    weights = {}
    for layer in (f"blocks.{block}.self_attn.{name}" for block in range(2) for name in "qkvo"):
        weights[f"{layer}.lora_A.default.weight"] = 0.1 * torch.randn(4, tiny_wan.WIDTH, generator=generator)
        weights[f"{layer}.lora_B.default.weight"] = 0.1 * torch.randn(tiny_wan.WIDTH, 4, generator=generator)
    save_file(weights, models / "loras" / "tiny_sweep_pusa.safetensors")
    folder_paths.filename_list_cache.clear()
    return "tiny_sweep_pusa.safetensors"


@pytest.fixture(scope="module")
def picture():
    return torch.rand(1, 40, 40, 3, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def request_of(load_tiny_wan, load_tiny_vae, picture, output):
    """request_of(**changes) -> a small SweepRequest."""

    def build(model=None, **changes):
        given = {
            "multipliers": "0, 0.4", "steps": "2", "seeds": "3", "width": SIDE, "height": SIDE, "length": LENGTH, "cfg": 1.0,
        }  # fmt: skip
        model = model if model is not None else load_tiny_wan(10)
        return SweepRequest(model, prompt(1), prompt(2), load_tiny_vae(), picture, **{**given, **changes})

    return build


def kept(output):
    return sorted(output.rglob("*.safetensors"))


def counted(monkeypatch):
    """A list that grows by one with every run of a sampler."""
    from comfyui_pusa.nodes.host import sweep

    runs, sample = [], sweep.sample_video
    monkeypatch.setattr(sweep, "sample_video", lambda *given: runs.append(1) or sample(*given))
    return runs


def test_a_tile_is_what_injector_and_sampler_make(pack, request_of, load_tiny_vae, picture):
    request = request_of()
    runs = TileRuns(request, WAN, [Tile(0.4, None, 2, 3)])
    (frames,) = list(runs.frames())
    empty = {"samples": torch.zeros(1, 16, 3, SIDE // 8, SIDE // 8)}
    latent = pack["PusaConditionFrames"].execute(load_tiny_vae(), empty, picture, "0", "0.4")[0]
    out = pack["PusaSampler"].execute(
        request.model, request.positive, request.negative, latent, 3, 2, 1.0, 5.0, "euler", 1.0
    )
    expected = load_tiny_vae().decode(out[0]["samples"]).reshape(-1, SIDE, SIDE, 3)
    assert torch.equal(frames, expected)


def test_finished_tiles_are_kept_and_a_wider_grid_makes_only_what_is_new(request_of, output, monkeypatch):
    runs = counted(monkeypatch)
    first = run_sweep(request_of())
    assert (len(runs), len(kept(output))) == (2, 2)
    again = run_sweep(request_of())
    assert len(runs) == 2
    assert torch.equal(first.sheet.image, again.sheet.image)
    assert (first.report, first.choice) == (again.report, again.choice)
    run_sweep(request_of(multipliers="0, 0.4, 0.8"))
    assert len(runs) == 3


@pytest.mark.parametrize(
    "change", [{"cfg": 2.0}, {"shift": 3.0}, {"length": 5}, {"width": 48}, {"sampler_name": "heun"}]
)
def test_another_setting_is_another_tile(request_of, output, monkeypatch, change):
    runs = counted(monkeypatch)
    run_sweep(request_of(multipliers="0"))
    run_sweep(request_of(multipliers="0", **change))
    assert (len(runs), len(kept(output))) == (2, 2)


def test_a_cancel_stops_within_one_model_call_and_loses_no_finished_tile(request_of, output, monkeypatch):
    import comfy.model_management as manager

    calls = []
    request = request_of(multipliers="0, 0.4, 0.8")

    def cancel_in_the_second_tile(module, given, result):
        calls.append(1)
        if len(calls) == 3:
            manager.interrupt_current_processing()

    handle = request.model.model.diffusion_model.register_forward_hook(cancel_in_the_second_tile)
    try:
        with pytest.raises(manager.InterruptProcessingException):
            run_sweep(request)
    finally:
        handle.remove()
        manager.interrupt_current_processing(False)
    assert len(calls) == 3
    assert len(kept(output)) == 1
    runs = counted(monkeypatch)
    run_sweep(request)
    assert len(runs) == 2


def test_a_file_cut_off_is_made_again(request_of, output, monkeypatch):
    run_sweep(request_of(multipliers="0"))
    (file,) = kept(output)
    whole = read_samples(file)
    file.write_bytes(file.read_bytes()[:40])
    runs = counted(monkeypatch)
    run_sweep(request_of(multipliers="0"))
    assert len(runs) == 1
    assert torch.equal(read_samples(file), whole)


def test_an_alpha_is_the_loaders_own(pack, load_tiny_wan, lora_file):
    model = load_tiny_wan(10)
    loaded, other = (pack["PusaLoraLoader"].execute(model, lora_file, alpha)[0] for alpha in (1.4, 0.5))
    changed = with_pusa_alpha(loaded, 0.5)
    assert [facts.strength for facts in lora_facts(changed)] == [0.5]
    assert [facts.strength for facts in lora_facts(loaded)] == [1.4]
    key = "diffusion_model.blocks.0.self_attn.q.weight"
    for one, expected in (
        (changed, other),
        (loaded, pack["PusaLoraLoader"].execute(model, lora_file, 1.4)[0]),
    ):
        assert torch.equal(*(loaded_weights(patcher)[key] for patcher in (one, expected)))
    assert changed.patches_uuid != loaded.patches_uuid
    assert with_pusa_alpha(loaded, 0.5).patches_uuid == changed.patches_uuid


def test_a_lora_that_was_merged_has_no_alpha_any_more(pack, load_tiny_wan, lora_file):
    load = lambda model, alpha: pack["PusaLoraLoader"].execute(model, lora_file, alpha)[0]  # noqa: E731
    merged = pack["PusaMergeLoras"].execute(load(load_tiny_wan(10), 1.4), "in memory").args[0]
    with pytest.raises(
        PusaError, match=r"no LoRA on this model \(merged LoRAs are in the weights for good\)"
    ):
        with_pusa_alpha(merged, 0.5)
    assert [facts.strength for facts in lora_facts(with_pusa_alpha(load(merged, 1.4), 0.5))] == [1.4, 0.5]


def test_alphas_reach_both_experts(pack, load_tiny_wan, lora_file, request_of, output):
    high, low = (pack["PusaLoraLoader"].execute(load_tiny_wan(seed), lora_file, 1.4)[0] for seed in (10, 11))
    switched = pack["PusaMoESwitch"].execute(high, low, 0.875)[0]
    by_hand = [pack["PusaLoraLoader"].execute(load_tiny_wan(seed), lora_file, 0.5)[0] for seed in (10, 11)]
    expected = pack["PusaMoESwitch"].execute(*by_hand, 0.875)[0]
    settings = {"multipliers": "0.4", "steps": "4"}
    swept = TileRuns(request_of(switched, **settings), WAN, [Tile(0.4, 0.5, 4, 3)])
    plain = TileRuns(request_of(expected, folder="other", **settings), WAN, [Tile(0.4, None, 4, 3)])
    (found,), (wanted,) = list(swept.frames()), list(plain.frames())
    assert torch.equal(found, wanted)
    assert not torch.equal(
        found, next(TileRuns(request_of(switched, folder="third"), WAN, [Tile(0.4, None, 4, 3)]).frames())
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"alphas": "1.0"}, "alphas are given, but Pusa LoRA Loader put no LoRA on this model"),
        ({"width": 40}, "The size is 40 x 32; Wan needs multiples of 16"),
        ({"length": 10}, r"The length 10 is not 4n \+ 1, which Wan needs\. Use 9 or 13"),
        ({"sampler_name": "dpmpp_sde"}, "sampler_name is 'dpmpp_sde'"),
        ({"folder": "../elsewhere"}, "lies outside ComfyUI's"),
        ({"multipliers": "2"}, "'2' in multipliers is not a number"),
    ],
)
def test_what_cannot_run_is_refused_before_the_first_tile(request_of, output, monkeypatch, changes, sentence):
    runs = counted(monkeypatch)
    with pytest.raises(ValueError, match=sentence):
        run_sweep(request_of(**changes))
    assert not runs


def test_two_pictures_are_refused(request_of, picture):
    from dataclasses import replace

    with pytest.raises(ValueError, match="image got 2 pictures"):
        run_sweep(replace(request_of(), image=picture.repeat(2, 1, 1, 1)))


def test_the_node_gives_sheet_video_and_what_a_click_needs(
    pack, load_tiny_wan, load_tiny_vae, picture, output
):
    out = pack["PusaSweep"].execute(
        load_tiny_wan(10), prompt(1), prompt(2), load_tiny_vae(), picture, multipliers="0, 0.4", steps="1", seeds="18446744073709551615",
        width=SIDE, height=SIDE, length=LENGTH, cfg=1.0,
    )  # fmt: skip
    sheet, video, best, report = out.args
    assert sheet.ndim == 4
    parts = video.get_components()
    assert (len(parts.images), float(parts.frame_rate)) == (LENGTH, WAN.fps)
    assert best in ("0", "0.4")
    assert report.startswith(f"Best trade-off: multiplier {best}, 1 step, seed 18446744073709551615.")
    shown = out.ui if isinstance(out.ui, dict) else out.ui.as_dict()
    assert [tile["multiplier"] for tile in shown["pusa_tiles"]] == [0.0, 0.4]
    assert shown["pusa_tiles"][0]["seed"] == "18446744073709551615"
    assert sum(tile["best"] for tile in shown["pusa_tiles"]) == 1
    assert set(shown["pusa_sheet"][0]) == {"filename", "subfolder", "type"}
