"""What a LoRA costs at low VRAM: recomputed in every linear at every step, against merged once by Merge LoRAs.

`rows(profile)` makes the rows for bench_parts.py; run as a script it prints them: bench_merged_loras.py [cpu | gpu].
"""

import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

RANK = 512
STRENGTH = 1.4
SMALL = 1
"""Bytes ComfyUI may load: every layer that can stay away does, and gets its LoRA at each use."""


def rows(profile: Any) -> list[dict[str, Any]]:
    """Seconds of a forward over those without a LoRA, and seconds of the merge over those of a step it saves.

    For two lengths of video, as the recomputation costs the same for few tokens as for many. All variants have weights of
    their own, equal ones, and nothing of them is loaded.
    """
    from bench_parts import FRAMES, Profile, device_of
    from bench_timing import median_seconds, ratio, row

    # the embeddings are paid once for all layers, and four models lie in memory at once
    profile = Profile(**{**vars(profile), "layers": 2 if profile.device == "cpu" else 8})
    device = device_of(profile)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        models, merge_seconds = variants_of(profile, Path(folder))
        try:
            for tokens in (profile.tokens // 4, profile.tokens):
                runs = {name: forward(model, profile, tokens) for name, model in models.items()}
                error = relative_error(runs["merged"](), runs["pusa"]())
                seconds = median_seconds(runs, profile.rounds, device)
                size = f"LoRA of rank {RANK} at low VRAM, a forward of {FRAMES * tokens} tokens, width {profile.width}, {profile.dtype}: "
                base = "no LoRA, low VRAM"
                note = f"{statistics.median(seconds['none']):.3f} s without"
                if not found:
                    reads = reads_of(models["pusa"], runs["pusa"])
                    found.append(row("LoRA reads a step at low VRAM", "matrices of the file", reads, 1.0))
                found += [
                    row(size + "ComfyUI's loader", base, ratio(seconds, "comfyui", "none"), note=note),
                    row(size + "Pusa LoRA Loader", base, ratio(seconds, "pusa", "none")),
                    row(size + "after Merge LoRAs", base, ratio(seconds, "merged", "none"), 1.05),
                    row(size + "after Merge LoRAs", "Pusa LoRA Loader", ratio(seconds, "merged", "pusa")),
                    row(size + "difference of the result", "Pusa LoRA Loader", error, 0.02),
                ]
                saved = statistics.median(seconds["pusa"]) - statistics.median(seconds["none"])
                found.append(
                    row(
                        f"{size}forwards after which Merge LoRAs has paid for itself",
                        "Pusa LoRA Loader",
                        merge_seconds / saved,
                        note=f"{merge_seconds:.2f} s to merge in memory",
                    )
                )
        finally:
            for model in models.values():
                model.detach()
    return found


def variants_of(profile: Any, folder: Path) -> tuple[dict[str, Any], float]:
    """MODELs by name, kept away from the device, and the seconds of the merge."""
    import folder_paths
    from bench_parts import build_model, device_of
    from bench_timing import synchronize

    from comfyui_pusa.nodes.loras import PusaLoraLoader
    from comfyui_pusa.nodes.merge_loras import PusaMergeLoras

    name = write_lora(profile, folder)
    folder_paths.add_model_folder_path("loras", str(folder), is_default=True)
    folder_paths.filename_list_cache.clear()
    import nodes

    lora = PusaLoraLoader.execute(build_model(profile), name, STRENGTH)[0]
    clock = time.process_time if profile.device == "cpu" else time.perf_counter
    start = clock()
    merged = PusaMergeLoras.execute(lora)[0]
    synchronize(device_of(profile))
    seconds = clock() - start
    models = {
        "none": build_model(profile),
        "comfyui": nodes.LoraLoaderModelOnly().load_lora_model_only(build_model(profile), name, STRENGTH)[0],
        "pusa": lora,
        "merged": merged,
    }
    for model in models.values():
        model.patch_model(device_of(profile), lowvram_model_memory=SMALL)
    return models, seconds


def write_lora(profile: Any, folder: Path) -> str:
    """A LoRA for every attention and feed-forward layer in bfloat16, in ComfyUI's key layout. Returns its name."""
    import torch
    from safetensors.torch import save_file

    width, hidden = profile.width, profile.hidden
    sizes = {f"{kind}.{part}": (width, width) for kind in ("self_attn", "cross_attn") for part in "qkvo"}
    sizes |= {"ffn.0": (hidden, width), "ffn.2": (width, hidden)}
    generator = torch.Generator().manual_seed(5)
    state = {}
    for layer in range(profile.layers):
        for name, (outputs, inputs) in sizes.items():
            for side, shape in (("A", (RANK, inputs)), ("B", (outputs, RANK))):
                key = f"diffusion_model.blocks.{layer}.{name}.lora_{side}.weight"
                state[key] = (0.002 * torch.randn(shape, generator=generator)).bfloat16()
    save_file(state, folder / "bench_rank512.safetensors")
    return "bench_rank512.safetensors"


def forward(model: Any, profile: Any, tokens: int) -> Callable[[], Any]:
    """The DiT on [1, 16, F, 4, tokens], as one step of a sampler calls it."""
    import torch
    from bench_parts import FRAMES, device_of

    device, dtype = device_of(profile), getattr(torch, profile.dtype)
    generator = torch.Generator(device).manual_seed(6)
    x = torch.randn(1, 16, FRAMES, 4, tokens, generator=generator, device=device, dtype=dtype)
    context = torch.randn(1, 64, 4096, generator=generator, device=device, dtype=dtype)
    timestep = torch.full((1,), 500.0, device=device)
    return lambda: model.model.diffusion_model(x, timestep, context)


def reads_of(model: Any, run: Callable[[], Any]) -> float:
    """How often a run reads each matrix of the LoRA from its file; the largest count."""
    adapter = next(iter(model.patches.values()))[0][1]
    kind, counted = type(adapter.source.reader.file), Counter()
    read = kind.read

    def counting(file: Any, key: str) -> Any:
        counted[key] += 1
        return read(file, key)

    kind.read = counting
    try:
        run()
    finally:
        kind.read = read
    return float(max(counted.values(), default=0))


def relative_error(result: Any, other: Any) -> float:
    """Root mean square difference over the standard deviation of the other."""
    return ((result.float() - other.float()).pow(2).mean().sqrt() / other.float().std()).item()


def main() -> None:
    """Prints the rows of a profile as JSON on the last line."""
    from bench_parts import PROFILES, prepare_comfyui

    profile = PROFILES[sys.argv[1] if len(sys.argv) > 1 else "cpu"]
    prepare_comfyui(profile)
    import torch

    with torch.inference_mode():
        print(json.dumps(rows(profile)))


if __name__ == "__main__":
    main()
