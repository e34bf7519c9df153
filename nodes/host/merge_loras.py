"""A run of Merge LoRAs: in memory, or in a file that an earlier run may have written; and what the node says of it."""

from __future__ import annotations

from typing import Any

from ...pusa_core.choices import check_choice
from ...pusa_core.merged_files import (
    SUBFOLDER,
    Sources,
    find_merged,
    merged_metadata,
    merged_path,
    read_sources,
    require_disk,
    size_text,
    stem,
    write_merged,
)
from .folders import model_folders
from .identity import weights_identity
from .lora_patches import lora_facts
from .merge import MergedWeights
from .merged_models import for_a_file, merge_from_file, merge_in_memory
from .progress import progress_over

IN_MEMORY, IN_A_FILE = "in memory", "in a file"
KEEP = (IN_MEMORY, IN_A_FILE)


def merge_loras(model: Any, keep: str, hidden: Any) -> tuple[Any, str]:
    """(MODEL with its LoRAs in the weights, text for the node); hidden: the node's, with the graph and its own id."""
    check_choice("keep", keep, KEEP)
    weights = MergedWeights(model)
    if not weights.patched:
        return model, "This model carries no LoRA. It is passed on as it is."
    sources = _sources(model, hidden)
    merged, told = (_in_memory if keep == IN_MEMORY else _in_a_file)(weights, sources)
    lines = [
        f"Merged into {len(weights.patched)} of {len(weights.originals)} weights: "
        + (", ".join(sources.loras) or "patches of another node"),
        *told,
    ]
    return merged, "\n".join(lines)


def _in_memory(weights: MergedWeights, sources: Sources) -> tuple[Any, list[str]]:
    """The merged MODEL and what the node says of it."""
    merged = merge_in_memory(weights, progress_over(len(weights.originals)))
    return merged, [f"Takes {size_text(weights.nbytes)} of memory beside the base model."]


def _in_a_file(weights: MergedWeights, sources: Sources) -> tuple[Any, list[str]]:
    """The merged MODEL from a file, which is written if no earlier run did, and what the node says of it."""
    digest = weights_identity(weights.model)
    folders = model_folders()
    path = find_merged(folders, digest)
    told = "Found, written by an earlier run"
    if path is None:
        told = "Written"
        path = merged_path(folders[0], sources, digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        require_disk(path.parent, weights.nbytes)
        facts = lora_facts(weights.model)
        metadata = merged_metadata(digest, sources, facts, len(weights.patched), len(weights.originals))
        progress = progress_over(len(weights.originals))
        write_merged(path, weights.names, for_a_file(weights, progress), metadata)
    return merge_from_file(weights, path), [
        f"{told}: {SUBFOLDER}/{path.name}, {size_text(path.stat().st_size)} on disk and as much memory beside the base model.",
        "To save that memory, load this file with Load Diffusion Model instead of the base model, its LoRA loaders and this node.",
    ]


def _sources(model: Any, hidden: Any) -> Sources:
    """Names of the base model and its LoRAs: from the graph, else from what our loaders left and the model's kind."""
    prompt = getattr(hidden, "prompt", None)
    found = read_sources(prompt, str(hidden.unique_id)) if prompt else Sources("")
    loaded = [stem(facts.file) for facts in lora_facts(model)]
    loras = (*found.loras, *(name for name in loaded if name not in found.loras))
    return Sources(found.base or model.model.model_config.unet_config.get("image_model", "model"), loras)
