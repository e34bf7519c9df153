"""The benchmarks themselves: `bench_parts.py PART PROFILE [VARIANT]` prints rows as JSON on its last line.

Run as a script, so that ComfyUI's `nodes` and not this pack's folder of that name is what `import nodes` finds.
"""

import json
import logging
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MethodType, ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COMFYUI = Path(os.environ.get("COMFYUI_PATH") or ROOT / ".comfyui").resolve()

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Profile:
    """Sizes of what is measured, and where."""

    device: str
    dtype: str
    width: int  # of the forward's blocks; heads are width / 128
    hidden: int  # of their feed-forward
    layers: int
    tokens: int  # of one latent frame in forward and sampler
    modulation_tokens: int  # of one latent frame in modulation alone, always at width 5120
    rounds: int


PROFILES = {
    "cpu": Profile("cpu", "float32", 1024, 5632, 1, 64, 240, 5),
    "gpu": Profile("cuda", "bfloat16", 5120, 13824, 40, 1560, 1560, 7),
}
FRAMES = 21  # latent frames of 81


def main() -> None:
    """Runs one part and prints its rows."""
    part, name = sys.argv[1:3]
    profile = PROFILES[name]
    prepare_comfyui(profile)
    import torch

    if profile.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("The gpu profile needs a CUDA device; torch sees none.")
    with torch.inference_mode():
        rows = globals()[f"part_{part}"](profile, *sys.argv[3:])
    print(json.dumps(rows))


def prepare_comfyui(profile: Profile) -> None:
    """ComfyUI's and the pack's modules importable, as tests/ does it; their log goes nowhere."""
    sys.path[:0] = [str(COMFYUI), str(ROOT / "tests")]
    sys.path.append(str(ROOT / "devtools"))
    import comfy.cli_args

    comfy.cli_args.args.cpu = profile.device == "cpu"
    comfy.cli_args.args.use_pytorch_cross_attention = True
    import utils.extra_config  # noqa: F401  (before nodes.py puts a second `utils` on the path)

    logging.disable(logging.INFO)
    package = ModuleType("comfyui_pusa")
    package.__path__ = [str(ROOT)]
    sys.modules["comfyui_pusa"] = package


def device_of(profile: Profile) -> Any:
    """The profile's torch device."""
    import torch

    return torch.device(profile.device)


# Floors of a device


def part_floors(profile: Profile) -> Rows:
    """Rate of a large matrix product and of a copy, against which the other figures can be read."""
    import torch
    from bench_timing import median_seconds, row

    device, dtype = device_of(profile), getattr(torch, profile.dtype)
    a = torch.randn(8192, 5120, device=device, dtype=dtype)
    b = torch.randn(5120, 5120, device=device, dtype=dtype)
    large = torch.empty(2**29, device=device, dtype=dtype)
    into = torch.empty_like(large)
    seconds = median_seconds({"matmul": lambda: a @ b, "copy": lambda: into.copy_(large)}, 9, device)
    matmul = 2 * 8192 * 5120 * 5120 / statistics.median(seconds["matmul"])
    copy = 2 * large.nbytes / statistics.median(seconds["copy"])
    return [
        row("matrix product 8192 x 5120 x 5120", profile.dtype, matmul / 1e12, unit=" TFLOP/s"),
        row("copy of 1 GiB, read and written", profile.dtype, copy / 1e9, unit=" GB/s"),
    ]


# Modulation alone


def part_modulation(profile: Profile) -> Rows:
    """What one block does to [1, L, 5120] besides its layers: two shifts and scales, two gates."""
    import torch
    from bench_timing import median_seconds, ratio, row
    from comfy.ldm.wan.model import repeat_e

    from comfyui_pusa.pusa_core.modulation import gated, modulated

    device, dtype, width = device_of(profile), torch.bfloat16, 5120
    length = FRAMES * profile.modulation_tokens
    generator = torch.Generator(device).manual_seed(0)

    def draw(*shape: int) -> Any:
        return torch.randn(shape, generator=generator, device=device, dtype=dtype)

    x, y, e, parameter = (
        draw(1, length, width),
        draw(1, length, width),
        draw(1, FRAMES, 6, width),
        draw(1, 6, width),
    )
    e_scalar = e[:, 0].contiguous()

    def comfyui(e: Any) -> Any:
        six = (parameter + e).chunk(6, dim=1) if e.ndim < 4 else (parameter.unsqueeze(0) + e).unbind(2)
        first = torch.addcmul(repeat_e(six[0], x), x, 1 + repeat_e(six[1], x))
        state = torch.addcmul(x, y, repeat_e(six[2], x))
        second = torch.addcmul(repeat_e(six[3], x), state, 1 + repeat_e(six[4], x))
        return first, second, torch.addcmul(state, y, repeat_e(six[5], x))

    def by_frame() -> Any:
        six = (parameter.unsqueeze(0) + e).unbind(2)
        first = modulated(x, six[0], six[1])
        state = gated(x, y, six[2])
        second = modulated(state, six[3], six[4])
        return first, second, gated(state, y, six[5])

    # in place works in what the norms and attention returned, which is there anyway and written anew in every block
    norm, other_norm, update = x.clone(), x.clone(), y.clone()

    def in_place() -> Any:
        six = (parameter.unsqueeze(0) + e).unbind(2)
        first = modulated(norm, six[0], six[1], in_place=True)
        state = gated(x, update, six[2], out=update)
        second = modulated(other_norm, six[3], six[4], in_place=True)
        return first, second, gated(state, y, six[5], out=state)

    def copied_in_float32() -> Any:
        """The cost of a forward that gives every token a float32 embedding of its own and modulates in float32."""
        tokens = e.float().repeat_interleave(profile.modulation_tokens, dim=1)
        six = (parameter.float().unsqueeze(0) + tokens).unbind(2)
        first = (x.float() * (1 + six[1]) + six[0]).to(dtype)
        state = x + (y.float() * six[2]).to(dtype)
        second = (state.float() * (1 + six[4]) + six[3]).to(dtype)
        return first, second, state + (y.float() * six[5]).to(dtype)

    theirs, ours = comfyui(e), by_frame()
    same = all(torch.equal(a, b) for a, b in zip(theirs, ours, strict=True))
    first, _, last = in_place()
    same &= torch.equal(first, theirs[0]) and torch.equal(last, theirs[2])
    del theirs, ours, first, last
    variants: dict[str, Callable[[], object]] = {
        "scalar": lambda: comfyui(e_scalar),
        "by_frame": lambda: comfyui(e),
        "patched": by_frame,
        "in_place": in_place,
        "copied": copied_in_float32,
    }
    seconds = median_seconds(variants, profile.rounds, device)
    base = "ComfyUI, scalar timestep"
    size = f"modulation alone, width 5120, {length} tokens, bfloat16: "
    return [
        row(size + "broadcast", base, ratio(seconds, "patched", "scalar"), 1.05),
        row(size + "broadcast in place", base, ratio(seconds, "in_place", "scalar"), 0.7),
        row(size + "ComfyUI, timestep by frame", base, ratio(seconds, "by_frame", "scalar")),
        row(
            size + "float32 copies for every token (the reference's way)",
            base,
            ratio(seconds, "copied", "scalar"),
        ),
        row(size + "bits that differ from ComfyUI's", "ComfyUI, timestep by frame", float(not same), 0.0),
    ]


# The whole forward


def build_model(profile: Profile, seed: int = 0) -> Any:
    """A MODEL of the profile's shape with random weights, through ComfyUI's own loader."""
    import comfy.sd
    import torch

    from support import tiny_wan

    shape = (tiny_wan.WIDTH, tiny_wan.HIDDEN, tiny_wan.LAYERS)
    tiny_wan.WIDTH, tiny_wan.HIDDEN, tiny_wan.LAYERS = profile.width, profile.hidden, profile.layers
    generator = torch.Generator().manual_seed(seed)
    dtype = getattr(torch, profile.dtype)
    try:
        weights = {
            name: torch.empty(size, dtype=dtype).normal_(0, 0.02, generator=generator)
            for name, size in tiny_wan.shapes().items()
        }
    finally:
        tiny_wan.WIDTH, tiny_wan.HIDDEN, tiny_wan.LAYERS = shape
    return comfy.sd.load_diffusion_model_state_dict(weights, {"dtype": dtype})


def forward_variants(profile: Profile) -> dict[str, Callable[[], object]]:
    """The DiT's forward on [1, 16, 21, H, W]: scalar timestep, one for each frame, the same patched, and token copies."""
    import comfy.ldm.wan.model
    import torch

    from comfyui_pusa.nodes.host.forward import by_frame_forward

    device, dtype = device_of(profile), getattr(torch, profile.dtype)
    wan = build_model(profile).model.diffusion_model.to(device)
    size = (1, 16, FRAMES, 4, profile.tokens)  # 4 x tokens / (2 x 2) tokens a frame
    x = torch.randn(size, device=device, dtype=dtype)
    context = torch.randn(1, 64, 4096, device=device, dtype=dtype)
    timestep = torch.linspace(0, 999, FRAMES, device=device)[None]
    block_class = comfy.ldm.wan.model.WanAttentionBlock

    def copied(
        self: Any,
        x: Any,
        e: Any,
        freqs: Any,
        context: Any,
        context_img_len: Any = 257,
        transformer_options: Any = None,
    ) -> Any:
        """A block's forward as in part_modulation's copied_in_float32."""
        tokens = e.float().repeat_interleave(x.shape[1] // e.shape[1], dim=1)
        six = (self.modulation.float().unsqueeze(0) + tokens).unbind(2)
        y = self.self_attn((self.norm1(x).float() * (1 + six[1]) + six[0]).to(x.dtype), freqs)
        x = x + (y.float() * six[2]).to(x.dtype)
        x = x + self.cross_attn(self.norm3(x), context)
        y = self.ffn((self.norm2(x).float() * (1 + six[4]) + six[3]).to(x.dtype))
        return x + (y.float() * six[5]).to(x.dtype)

    def run(t: Any, forward: Any) -> Callable[[], object]:
        def go() -> object:
            for block in wan.blocks:
                block.forward = MethodType(forward, block)
            return wan(x, t, context)

        return go

    return {
        "scalar": run(timestep[:, 0], block_class.forward),
        "by_frame": run(timestep, block_class.forward),
        "patched": run(timestep, by_frame_forward),
        "copied": run(timestep, copied),
    }


def part_forward(profile: Profile) -> Rows:
    """Time of a forward with a timestep for every latent frame."""
    from bench_timing import median_seconds, ratio, row

    if profile.device == "cpu":  # the embedding of the timesteps is paid once for all layers
        profile = Profile(**{**vars(profile), "layers": 4, "rounds": 4})
    seconds = median_seconds(forward_variants(profile), profile.rounds, device_of(profile))
    base = "scalar timestep"
    size = f"forward, {profile.layers} layers of width {profile.width}, {FRAMES * profile.tokens} tokens, {profile.dtype}: "
    note = f"{statistics.median(seconds['scalar']):.3f} s scalar"
    return [
        row(size + "patched", base, ratio(seconds, "patched", "scalar"), 1.01, note=note),
        row(size + "ComfyUI, timestep by frame", base, ratio(seconds, "by_frame", "scalar")),
        row(size + "float32 copies for every token", base, ratio(seconds, "copied", "scalar")),
        row(size + "patched", "ComfyUI, timestep by frame", ratio(seconds, "patched", "by_frame"), 1.01),
    ]


def part_forward_peak(profile: Profile, variant: str = "") -> Any:
    """Peak of a forward over its weights and input; one fresh process for each variant."""
    from bench_timing import in_fresh_process, peak_bytes, row

    longer = profile if profile.device == "cuda" else Profile(**{**vars(profile), "tokens": 400})
    if variant:
        return peak_bytes(device_of(profile), forward_variants(longer)[variant])
    name = "gpu" if profile.device == "cuda" else "cpu"
    peaks = {
        variant: in_fresh_process(__file__, "forward_peak", name, variant)
        for variant in ("scalar", "by_frame", "patched", "copied")
    }
    size = f"peak memory of a forward of {FRAMES * longer.tokens} tokens: "
    note = f"{peaks['scalar'] / 2**20:.0f} MiB scalar"
    return [
        row(size + "patched", "scalar timestep", peaks["patched"] / peaks["scalar"], 1.005, note=note),
        row(size + "ComfyUI, timestep by frame", "scalar timestep", peaks["by_frame"] / peaks["scalar"]),
        row(size + "float32 copies for every token", "scalar timestep", peaks["copied"] / peaks["scalar"]),
    ]


# Samplers


def video(profile: Profile, multipliers: list[float]) -> dict[str, Any]:
    """A LATENT of the profile's size with given frames wherever the multiplier is below 1."""
    import torch

    shape = (1, 16, len(multipliers), 4, profile.tokens)
    given = torch.randn(shape, generator=torch.Generator().manual_seed(4))
    values = torch.tensor(multipliers)
    return {"samples": given * (values < 1)[None, None, :, None, None], "noise_multipliers": values}


def part_sampler(profile: Profile) -> Rows:
    """PusaSampler against KSampler: as many tokens, steps and guidance; one process, by turns."""
    import nodes
    from bench_timing import median_seconds, ratio, row

    from comfyui_pusa.nodes.sampling import PusaSampler
    from support.comfy_runs import plain, prompt

    if profile.device == "cpu":  # as in part_forward
        profile = Profile(**{**vars(profile), "layers": 4, "rounds": 9})
    model = build_model(profile)
    latent = video(profile, [0.0] + [1.0] * (FRAMES - 1))
    bare = {"samples": latent["samples"] * 0}
    text = prompt(1), prompt(2)
    steps = 2

    def ours() -> object:
        return PusaSampler.execute(model, *text, latent, 7, steps=steps, cfg=1.0)

    def theirs() -> object:
        return nodes.KSampler().sample(plain(model), 7, steps, 1.0, "euler", "simple", *text, bare)

    seconds = median_seconds({"pusa": ours, "ksampler": theirs}, profile.rounds, device_of(profile))
    note = f"{statistics.median(seconds['ksampler']) / steps:.3f} s a step of KSampler"
    return [
        row(
            "PusaSampler, a step, first frame given",
            "KSampler, scalar timestep",
            ratio(seconds, "pusa", "ksampler"),
            1.01,
            note=note,
        )
    ]


def part_profile(profile: Profile) -> Rows:
    """What torch does in one step: operations, reads back from the device, memory asked for, and where the time goes.

    One step is a run of three less a run of two; before: vectorized timesteps on ComfyUI's own forward, after: on ours.
    """
    import torch
    from bench_timing import row

    from comfyui_pusa.nodes.host.forward import without_forward
    from comfyui_pusa.nodes.host.timesteps import vectorize_timesteps
    from support.comfy_runs import ksampler, plain

    if profile.device == "cpu":
        profile = Profile(**{**vars(profile), "layers": 2})
    model = build_model(profile)
    latent = video(profile, [0.0] + [1.0] * (FRAMES - 1))
    after = vectorize_timesteps(model, latent["noise_multipliers"], 5.0)
    before = without_forward(after)
    names = {
        "scalar timestep": (plain(model), {"samples": latent["samples"]}),
        "vectorized, ComfyUI's forward (before)": (before, latent),
        "vectorized, patched (after)": (after, latent),
    }
    activities = [torch.profiler.ProfilerActivity.CPU]
    activities += [torch.profiler.ProfilerActivity.CUDA] if profile.device == "cuda" else []

    def profiled(patched: Any, latent: Any, steps: int) -> dict[str, tuple[int, float, float]]:
        with torch.profiler.profile(activities=activities, profile_memory=True, acc_events=True) as found:
            ksampler(patched, latent, steps=steps, cfg=1.0)
        return {
            event.key: (
                event.count,
                event.self_cpu_time_total + getattr(event, "self_device_time_total", 0),
                max(event.self_cpu_memory_usage + getattr(event, "self_device_memory_usage", 0), 0),
            )
            for event in found.key_averages()
            if event.key.startswith("aten::")
        }

    rows = []
    base: dict[str, float] = {}
    for name, (patched, given) in names.items():
        ksampler(patched, given, steps=2, cfg=1.0)
        two, three = profiled(patched, given, 2), profiled(patched, given, 3)
        step = {
            key: tuple(a - b for a, b in zip(three[key], two.get(key, (0, 0, 0)), strict=True))
            for key in three
        }
        figures = {
            "operations": sum(count for count, _, _ in step.values()),
            "reads back to the CPU": step.get("aten::_local_scalar_dense", (0,))[0],
            "memory asked for": sum(memory for _, _, memory in step.values()),
        }
        base = base or figures
        spent = sum(time for _, time, _ in three.values())
        most = sorted(three.items(), key=lambda item: -item[1][1])[:5]
        shares = ", ".join(f"{key[6:]} {values[1] / spent:.1%}" for key, values in most)
        for what, value in figures.items():
            in_mib = value / 2**20 if what.startswith("memory") else value
            scalar = base[what] / 2**20 if what.startswith("memory") else base[what]
            unit = " MiB" if what.startswith("memory") else ""
            note = f"time: {shares}" if what == "operations" else ""
            rows.append(
                row(f"a step, {name}: {what}", f"scalar timestep: {scalar:.4g}", in_mib, unit=unit, note=note)
            )
    return rows


# Encoding, loading, switching


def part_prefix_encode(profile: Profile) -> Rows:
    """Encoding only the frames that are given, in a random Wan VAE of width 16."""
    import comfy.sd
    import torch
    from bench_timing import median_seconds, ratio, row
    from comfy.ldm.wan.vae import WanVAE

    inner = WanVAE(dim=16, z_dim=16, temperal_downsample=[False, True, True])
    generator = torch.Generator().manual_seed(7)
    weights = {
        key: torch.randn(value.shape, generator=generator) / max(value[0].numel(), 1) ** 0.5
        for key, value in inner.state_dict().items()
    }
    vae = comfy.sd.VAE(sd=weights)
    pixels = torch.rand(81, 64, 64, 3, generator=generator)
    frames = 13
    same = torch.equal(vae.encode(pixels[:frames]), vae.encode(pixels)[:, :, : (frames + 3) // 4])
    variants = {
        "whole": lambda: vae.encode(pixels),
        "prefix": lambda: vae.encode(pixels[:frames]),
        "one": lambda: vae.encode(pixels[:1]),
    }
    seconds = median_seconds(variants, 3, device_of(profile))
    base = "encode of all 81"
    return [
        row("encode of 13 of 81 frames", base, ratio(seconds, "prefix", "whole"), 0.2),
        row("encode of 1 of 81 frames", base, ratio(seconds, "one", "whole"), 0.03),
        row("encode of 13 of 81 frames: latents that differ", base, float(not same), 0.0),
    ]


def part_lora_load(profile: Profile, variant: str = "", file: str = "") -> Any:
    """Peak of loading a LoRA and the model with it, over the size of the LoRA's file."""
    import comfy.model_management
    import torch
    from bench_timing import in_fresh_process, peak_resident_bytes, row
    from safetensors.torch import save_file

    layers = 2
    small = Profile(**{**vars(profile), "layers": layers})
    if variant:
        import comfy.sd
        import comfy.utils
        import folder_paths

        from comfyui_pusa.nodes.loras import PusaLoraLoader

        path = Path(file)
        folder_paths.add_model_folder_path("loras", str(path.parent), is_default=True)
        model = build_model(small)

        def load() -> None:
            if variant == "pusa":
                patched = PusaLoraLoader.execute(model, path.name, 1.4)[0]
            else:
                state = comfy.utils.load_torch_file(file, safe_load=True)
                keys = {key.replace(".default", ""): value for key, value in state.items()}
                keys = {f"diffusion_model.{key}": value for key, value in keys.items()}
                patched = comfy.sd.load_lora_for_models(model, None, keys, 1.4, 0)[0]
            comfy.model_management.load_models_gpu([patched])

        return peak_resident_bytes(load)
    width, hidden, rank = small.width, small.hidden, 512
    sizes = {f"self_attn.{part}": (width, width) for part in "qkvo"}
    sizes |= {"ffn.0": (hidden, width), "ffn.2": (width, hidden)}
    state = {}
    for layer in range(layers):
        for name, (rows, columns) in sizes.items():
            state[f"blocks.{layer}.{name}.lora_A.default.weight"] = torch.randn(rank, columns) * 0.01
            state[f"blocks.{layer}.{name}.lora_B.default.weight"] = torch.randn(rows, rank) * 0.01
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pusa_wan2.1_rank512.safetensors"
        save_file(state, path)
        size = path.stat().st_size
        name = "gpu" if profile.device == "cuda" else "cpu"
        peaks = {
            variant: in_fresh_process(__file__, "lora_load", name, variant, str(path))
            for variant in ("pusa", "comfyui")
        }
    note = f"file of {size / 2**20:.0f} MiB, {peaks['pusa'] / 2**20:.0f} against {peaks['comfyui'] / 2**20:.0f} MiB"
    return [
        row(
            "Pusa LoRA Loader, load and patch: peak",
            "ComfyUI's LoRA loader",
            peaks["pusa"] / peaks["comfyui"],
            note=note,
        )
    ]


def two_samplers(high: Any, low: Any, latent: Any, switch_at: int) -> None:
    """Both experts as users ran them before: KSamplerAdvanced twice, four steps, the step of the change by hand."""
    import nodes

    from support.comfy_runs import plain, prompt

    for model, noise, first, end, leftover in (
        (high, "enable", 0, switch_at, "enable"),
        (low, "disable", switch_at, 1000, "disable"),
    ):
        latent = nodes.KSamplerAdvanced().sample(
            plain(model), noise, 7, 4, 1.0, "euler", "simple", prompt(1), prompt(2), latent, first, end, leftover
        )[0]  # fmt: skip


def one_sampler(high: Any, low: Any, latent: Any) -> None:
    """The same by Wan2.2 MoE Switch and one KSampler."""
    import nodes

    from comfyui_pusa.nodes.host.expert_switch import switch_experts
    from support.comfy_runs import plain, prompt

    model = plain(switch_experts(high, low, 0.8))
    nodes.KSampler().sample(model, 7, 4, 1.0, "euler", "simple", prompt(1), prompt(2), latent)


def part_merged_loras(profile: Profile) -> Rows:
    """A LoRA at low VRAM, recomputed in every linear, against Merge LoRAs."""
    import bench_merged_loras

    return bench_merged_loras.rows(profile)


def part_expert_switch(profile: Profile) -> Rows:
    """Wan2.2 MoE Switch in one KSampler against two KSamplerAdvanced: time, both experts loaded."""
    from bench_timing import median_seconds, ratio, row

    high, low = build_model(profile, 0), build_model(profile, 1)
    latent = {"samples": video(profile, [1.0] * FRAMES)["samples"] * 0}
    variants = {
        "switch": lambda: one_sampler(high, low, latent),
        "two": lambda: two_samplers(high, low, latent, 3),
    }
    seconds = median_seconds(variants, 5, device_of(profile))
    what = "both experts by Wan2.2 MoE Switch, time"
    return [row(what, "two KSamplerAdvanced", ratio(seconds, "switch", "two"), 1.02)]


def part_expert_memory(profile: Profile, variant: str = "", experts: str = "1.04") -> Any:
    """Most weights that ComfyUI's manager has on the device at once, and its loads, over three queue runs.

    The device is the CPU under another name (cpu:0) whose free memory is the bytes given minus what the manager loaded, so
    that its own code decides what to free: room for a little more than one expert, and for both.
    """
    from bench_timing import in_fresh_process, row

    if not variant:
        rows = []
        for experts, size in (("1.04", "one expert"), ("2.5", "both experts")):
            for name, label in (("switch", "Wan2.2 MoE Switch"), ("two", "two KSamplerAdvanced")):
                most, loads = in_fresh_process(__file__, "expert_memory", "cpu", name, experts)
                limit = 1.05 if name == "switch" and experts == "1.04" else None
                note = f"loads in three queue runs: {', '.join(map(str, loads))}"
                what = f"weights on a device with room for {size}: {label}"
                rows.append(row(what, "one expert", most, limit, note=note))
        return rows
    import comfy.model_management as manager
    import torch
    from comfy.patcher_extension import CallbacksMP, WrappersMP

    device = torch.device("cpu", 0)
    models = [build_model(profile, seed) for seed in (0, 1)]
    loads: list[Any] = []
    loaded: list[int] = []

    def on_device() -> int:
        return sum(entry.model_loaded_memory() for entry in manager.current_loaded_models)

    def seen(executor: Any, *args: Any, **kwargs: Any) -> Any:
        loaded.append(on_device())
        return executor(*args, **kwargs)

    for model in models:
        model.load_device = device
        model.add_callback(CallbacksMP.ON_LOAD, lambda *_: loads.append(_))
        model.add_wrapper(WrappersMP.APPLY_MODEL, seen)
    size = models[0].model_size()
    room = float(experts) * size
    manager.vram_state = manager.VRAMState.NORMAL_VRAM
    manager.is_device_cpu = lambda device: False
    manager.minimum_inference_memory = lambda: 0
    manager.extra_reserved_memory = lambda: 0
    manager.get_free_memory = lambda device=None, torch_free_too=False: (
        (room - on_device(), 0) if torch_free_too else room - on_device()
    )
    for model in models:  # the manager is asked about weights alone
        model.model.memory_required = lambda *args, **kwargs: 0
    short = Profile(**{**vars(profile), "tokens": 4})
    latent = {"samples": video(short, [1.0] * FRAMES)["samples"] * 0}
    counts = []
    for _ in range(3):
        before = len(loads)
        if variant == "switch":
            one_sampler(*models, latent)
        else:
            two_samplers(*models, latent, 3)
        counts.append(len(loads) - before)
    return max(loaded) / size, counts


def part_frozen_cache(profile: Profile) -> Rows:
    """Pusa Frozen Frame Cache: time and operations for 1, 4 and 11 given frames of 21."""
    from bench_timing import median_seconds, ratio, row

    from comfyui_pusa.nodes.frozen_cache import PusaFrozenFrameCache
    from comfyui_pusa.nodes.sampling import PusaSampler
    from comfyui_pusa.pusa_core.frozen_frames import share_of_operations
    from support.comfy_runs import prompt

    model = build_model(profile)
    text = prompt(1), prompt(2)
    steps, every = 8, 4
    rows = []
    for given in (1, 4, 11):
        latent = video(profile, [0.0] * given + [1.0] * (FRAMES - given))
        cached = PusaFrozenFrameCache.execute(model, every, 0.0, 1.0, 0.0)[0]
        variants = {
            "plain": lambda latent=latent: PusaSampler.execute(model, *text, latent, 7, steps=steps, cfg=1.0),
            "cache": lambda latent=latent, cached=cached: PusaSampler.execute(
                cached, *text, latent, 7, steps=steps, cfg=1.0
            ),
        }
        seconds = median_seconds(variants, 2, device_of(profile))
        note = f"{share_of_operations(FRAMES, given, 1560, 5120, 13824, every):.3f} of the operations at 14B, 480p"
        rows.append(
            row(
                f"frozen-frame cache, {given} of {FRAMES} frames given, refresh every {every}",
                "no cache",
                ratio(seconds, "cache", "plain"),
                note=note,
            )
        )
    return rows


def part_progressive(profile: Profile) -> Rows:
    """Pusa Progressive: time of 4 and 30 steps with those above the boundary at half of the sides, beside their operations."""
    from bench_timing import median_seconds, ratio, row

    from comfyui_pusa.nodes.progressive import PusaProgressive
    from comfyui_pusa.nodes.sampling import PusaSampler
    from comfyui_pusa.pusa_core.operations import (
        WAN_22_A14B,
        Architecture,
        Run,
        forward_operations,
        run_operations,
    )
    from comfyui_pusa.pusa_core.progressive import UNTIL, small_steps
    from comfyui_pusa.pusa_core.schedule import flow_sigmas
    from support.comfy_runs import prompt

    model = build_model(profile)
    text = prompt(1), prompt(2)
    latent = video(profile, [0.0] + [1.0] * (FRAMES - 1))
    samples = latent["samples"]
    small = {**latent, "samples": samples[..., ::2, ::2].contiguous()}
    divided = PusaProgressive.execute(model, "1/2", UNTIL, small)[0]
    here = Architecture("bench", profile.width, profile.hidden, profile.layers)
    rows = []
    for steps in (4, 30):
        variants = {
            name: lambda used=used, steps=steps: PusaSampler.execute(
                used, *text, latent, 7, steps=steps, cfg=1.0
            )
            for name, used in (("full", model), ("progressive", divided))
        }
        seconds = median_seconds(variants, 2, device_of(profile))
        few = small_steps(flow_sigmas(steps), UNTIL)
        whole, part = (
            forward_operations(here, FRAMES, tokens) for tokens in (profile.tokens, profile.tokens // 4)
        )
        shares = [(few * part + (steps - few) * whole) / (steps * whole)]
        for size in ((832, 480), (1280, 720)):
            runs = [Run(WAN_22_A14B, *size, steps=steps, cfg=1.0, small=share) for share in (0.5, 1.0)]
            shares.append(run_operations(runs[0]) / run_operations(runs[1]))
        note = "{:.3f} of the operations of this model, {:.3f} and {:.3f} at 14B, 480p and 720p".format(
            *shares
        )
        name = f"progressive, {few} of {steps} steps at half size"
        rows.append(row(name, "full size", ratio(seconds, "progressive", "full"), note=note))
    return rows


def part_frozen_zoo(profile: Profile) -> Rows:
    """Pusa Frozen Frame Cache on the demo's trained model: error of the free frames, beside that of taking fewer steps.

    Held-out scenes, their first frames given clean. Errors are root mean squares over the latent's standard deviation:
    against the run without the cache, and of both runs against the true video.
    """
    import comfy.sd
    import comfy.utils
    import folder_paths
    import torch
    from bench_timing import row

    sys.path.append(str(ROOT))  # behind ComfyUI, whose `nodes` is already imported below
    import nodes  # noqa: F401
    from demo.data import HELD_OUT_SEED, render, scenes
    from demo.nodes.words import text_embedding

    from comfyui_pusa.nodes.frozen_cache import PusaFrozenFrameCache
    from comfyui_pusa.nodes.loras import PusaLoraLoader
    from comfyui_pusa.nodes.sampling import PusaSampler

    models = ROOT / "demo" / "models"
    folder_paths.add_model_folder_path("loras", str(models / "loras"), is_default=True)
    model = comfy.sd.load_diffusion_model(str(models / "diffusion_models" / "demo_wan2.1_t2v.safetensors"))
    model = PusaLoraLoader.execute(model, "demo_pusa_v1.safetensors", 1.0)[0]
    vae = comfy.sd.VAE(sd=comfy.utils.load_torch_file(str(models / "vae" / "demo_wan_vae.safetensors")))
    steps, count = 12, 8
    generator = scenes(HELD_OUT_SEED, held_out=True)
    chosen = [next(generator) for _ in range(count)]
    truths = [vae.encode((render([scene], 33)[0].permute(1, 2, 3, 0) + 1) / 2) for scene in chosen]
    spread = torch.stack(truths).std()

    def run(model: Any, index: int, given: int, steps: int = steps) -> Any:
        truth = truths[index]
        multipliers = torch.tensor([0.0] * given + [1.0] * (truth.shape[2] - given))
        samples = truth * (multipliers < 1)[None, None, :, None, None]
        latent = {"samples": samples, "noise_multipliers": multipliers}
        text = [[text_embedding(chosen[index].caption), {}]], [[text_embedding(""), {}]]
        return PusaSampler.execute(model, *text, latent, index, steps=steps, cfg=3.0)[0]["samples"][
            :, :, given:
        ]

    def error(a: Any, b: Any) -> float:
        return ((a - b).pow(2).mean().sqrt() / spread).item()

    rows = []
    for given in (1, 2, 5):
        plain = [run(model, index, given) for index in range(count)]
        variants = {
            f"refresh every {every}": partial(
                run, PusaFrozenFrameCache.execute(model, every, 0.0, 1.0, 0.0)[0]
            )
            for every in (2, 4)
        }
        variants[f"no cache, {steps * 3 // 4} steps"] = partial(run, model, steps=steps * 3 // 4)
        for what, variant in variants.items():
            found = [variant(index=index, given=given) for index in range(count)]
            moved = [error(result, other) for result, other in zip(found, plain, strict=True)]
            further = [
                error(result, truths[index][:, :, given:]) - error(plain[index], truths[index][:, :, given:])
                for index, result in enumerate(found)
            ]
            spread_of_mean = statistics.stdev(further) / count**0.5
            note = (
                f"{count} scenes, worst {max(moved):.4f}; further from the true video by "
                f"{statistics.mean(further):+.4f} +- {2 * spread_of_mean:.4f}"
            )
            name = f"demo zoo, {given} of 9 frames given: {what}"
            rows.append(row(name, f"{steps} steps, no cache", statistics.mean(moved), note=note))
    return rows


if __name__ == "__main__":
    main()
