"""Short runs of ComfyUI's own samplers on the tiny Wan model, by the nodes a user would connect."""

from collections.abc import Sequence

import torch
from torch import Tensor

from support import tiny_wan

FRAMES, HEIGHT, WIDTH = 5, 4, 4
STEPS, CFG, SHIFT, SEED = 6, 3.0, 5.0, 77


def prompt(seed: int) -> list:
    """A CONDITIONING with a random text embedding."""
    return [[tiny_wan.context(seed), {}]]


def video_latent(
    multipliers: Sequence[float], batch: int = 1, seed: int = 900, size: tuple[int, int] = (HEIGHT, WIDTH)
) -> dict:
    """A LATENT in ComfyUI's space with given frames wherever the multiplier is below 1, and zeros elsewhere."""
    shape = (batch, 16, len(multipliers), *size)
    given = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    mask = torch.tensor(multipliers) < 1
    return {
        "samples": given * mask[None, None, :, None, None],
        "noise_multipliers": torch.tensor(multipliers, dtype=torch.float32),
    }


def ksampler(
    model, latent: dict, sampler: str = "euler", cfg: float = CFG, seed: int = SEED, steps: int = STEPS
) -> Tensor:
    """Samples of ComfyUI's KSampler with the scheduler `simple`."""
    import nodes

    out = nodes.KSampler().sample(model, seed, steps, cfg, sampler, "simple", prompt(1), prompt(2), latent)
    return out[0]["samples"]


def ksampler_in_two_stages(
    model, latent: dict, switch_at: int, sampler: str = "euler", cfg: float = CFG, steps: int = STEPS
) -> Tensor:
    """Samples of two KSamplerAdvanced nodes, the second one without noise of its own."""
    import nodes

    common = {"steps": steps, "cfg": cfg, "sampler_name": sampler, "scheduler": "simple"}
    common |= {"positive": prompt(1), "negative": prompt(2)}
    first = nodes.KSamplerAdvanced().sample(
        model, "enable", SEED, latent_image=latent, start_at_step=0, end_at_step=switch_at,
        return_with_leftover_noise="enable", **common,
    )[0]  # fmt: skip
    second = nodes.KSamplerAdvanced().sample(
        model, "disable", SEED, latent_image=first, start_at_step=switch_at, end_at_step=1000,
        return_with_leftover_noise="disable", **common,
    )[0]  # fmt: skip
    return second["samples"]


def custom_sampler(
    model, latent: dict, sigmas: Tensor, sampler="euler", cfg: float = CFG, seed: int = SEED
) -> tuple[Tensor, Tensor]:
    """(output, denoised_output) samples of SamplerCustomAdvanced; sampler: a name of KSampler's or a SAMPLER."""
    import comfy.samplers
    from comfy_extras.nodes_custom_sampler import Noise_RandomNoise, SamplerCustomAdvanced

    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(prompt(1), prompt(2))
    guider.set_cfg(cfg)
    sampler = comfy.samplers.sampler_object(sampler) if isinstance(sampler, str) else sampler
    out = run_node(SamplerCustomAdvanced, Noise_RandomNoise(seed), guider, sampler, sigmas, latent)
    return out[0]["samples"], out[1]["samples"]


def run_node(node_class: type, *arguments) -> Sequence:
    """Outputs of a core node, of the old kind (before 0.3.67) or of the new one."""
    if hasattr(node_class, "execute"):
        return node_class.execute(*arguments)
    return getattr(node_class(), node_class.FUNCTION)(*arguments)


def plain(model, shift: float = SHIFT):
    """The model with only the shift set, by ComfyUI's ModelSamplingSD3 node."""
    from comfy_extras.nodes_model_advanced import ModelSamplingSD3

    return run_node(ModelSamplingSD3, model, shift)[0]


def largest_difference(a: Tensor, b: Tensor) -> float:
    """Largest absolute difference of two tensors."""
    return (a - b).abs().max().item()
