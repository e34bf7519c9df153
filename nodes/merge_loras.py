"""The node that puts a MODEL's LoRAs into its weights once, instead of at every step."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui

from ..pusa_core.choices import check_choice
from ..pusa_core.merged_files import (
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
from .host.folders import model_folders
from .host.identity import weights_identity
from .host.lora_patches import lora_facts
from .host.merge import MergedWeights, for_a_file, merge_from_file, merge_in_memory
from .host.progress import progress_over
from .host.schema import search_words

IN_MEMORY, IN_A_FILE = "in memory", "in a file"
KEEP = (IN_MEMORY, IN_A_FILE)


class PusaMergeLoras(io.ComfyNode):
    """The same model with its LoRAs in the weights."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaMergeLoras",
            display_name="Merge LoRAs",
            category="Pusa",
            **search_words("bake LoRA", "fuse LoRA", "low VRAM", "save merged model"),
            description=(
                "Puts the LoRAs on a model into its weights once. For a model larger than the VRAM, where ComfyUI otherwise "
                "computes every weight with its LoRA anew at every step. Costs one more model: in RAM, or on disk as well."
            ),
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The model with all its LoRAs, from any loader; for Wan2.2 one node for each expert, before Wan2.2 MoE Switch.",
                ),
                io.Combo.Input(
                    "keep",
                    options=list(KEEP),
                    default=IN_MEMORY,
                    tooltip=(
                        "in memory: merged once a session; takes one more model in RAM, 14 GB (fp8) to 28 GB (bf16) for a 14B "
                        "expert. in a file: as much on disk, in models/diffusion_models/pusa_merged; written once, found again by "
                        "every later run, and Load Diffusion Model can load it without the base model. Delete it by hand."
                    ),
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model",
                    tooltip="The model with the LoRAs in its weights and none left to apply.",
                )
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
        )

    @classmethod
    def execute(cls, model: Any, keep: str = IN_MEMORY) -> io.NodeOutput:
        check_choice("keep", keep, KEEP)
        weights = MergedWeights(model)
        if not weights.patched:
            return io.NodeOutput(
                model, ui=ui.PreviewText("This model carries no LoRA. It is passed on as it is.")
            )
        sources = _sources(model, cls.hidden)
        merged, told = (_in_memory if keep == IN_MEMORY else _in_a_file)(weights, sources)
        lines = [
            f"Merged into {len(weights.patched)} of {len(weights.originals)} weights: "
            + (", ".join(sources.loras) or "patches of another node"),
            *told,
        ]
        return io.NodeOutput(merged, ui=ui.PreviewText("\n".join(lines)))


def _in_memory(weights: MergedWeights, sources: Sources) -> tuple[Any, list[str]]:
    """The merged MODEL and what the node says of it."""
    merged = merge_in_memory(weights, progress_over(len(weights.names)))
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
        write_merged(path, weights.names, for_a_file(weights, progress_over(len(weights.names))), metadata)
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
