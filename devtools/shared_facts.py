"""`python -m devtools.shared_facts` writes js/generated_facts.js: what Python and the browser must agree on, from pusa_core.

The JavaScript mirrors read that file instead of repeating a number, a pattern or a list; tests/devtools/test_shared_facts.py fails where it is
stale, and tests/js compare what both sides make of it.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from pusa_core import clips, experts, frames, keyframes, loop, merged_files, node_names, schedule  # noqa: E402
from pusa_core.bases import BASES, Base  # noqa: E402
from pusa_core.graph import latents, loops, models, settings  # noqa: E402
from pusa_core.lora import experts as lora_experts  # noqa: E402
from pusa_core.project import plan as project_plan  # noqa: E402
from pusa_core.project import text as project_text  # noqa: E402

FILE = ROOT / "js" / "generated_facts.js"
HEAD = """// Facts that Python and the browser share. Written by `python -m devtools.shared_facts` from pusa_core: change them there.
"""


def shared_facts() -> list[tuple[str, Any, str]]:
    """(name in JavaScript, value, one line that says what it is) of every fact."""
    return [
        ("BASES", [base_facts(base) for base in BASES], "The bases, see pusa_core/bases: what counts frames, and how a graph shows which one it is for. The first one is Wan's."),
        ("LATENT_FRAME", frames.LATENT_FRAME, "What a position counts, as the nodes call it."),
        ("VIDEO_FRAME", frames.VIDEO_FRAME, "What a position counts, as the nodes call it."),
        ("CLIP_TASKS", clips.TASKS, "Tasks of the video injector: extend, prepend, complete, custom."),
        ("LOOPS", loop.LOOPS, "Kinds of a loop with given frames."),
        ("SPACINGS", keyframes.SPACINGS, "Spacings of the keyframe spreader."),
        ("TIMESTEPS", schedule.TIMESTEPS, "The DiT embeds timestep = 1000 * sigma."),
        ("SHIFT", schedule.SHIFT, "Shift that Pusa was trained with and LightX2V distilled for."),
        ("OF_THE_BASE", schedule.OF_THE_BASE, "The choice of schedule that leaves it to the model."),
        ("LINEAR_QUADRATIC", schedule.LINEAR_QUADRATIC, "Mochi's schedule, as the nodes call it."),
        ("THRESHOLD", schedule.THRESHOLD, "Share of the picture that the first half of the linear-quadratic schedule makes."),
        ("MAX_STEPS", schedule.MAX_STEPS, "Most steps that the nodes take."),
        ("BOUNDARY_T2V", experts.BOUNDARY_T2V, "Sigma where Wan2.2 text-to-video changes from the high-noise to the low-noise expert."),
        ("INJECTORS", node_names.INJECTORS, "Nodes that give frames to a latent."),
        ("FRAME_AWARE", node_names.FRAME_AWARE, "Nodes that give every latent frame timesteps of its own."),
        ("SAMPLER", node_names.SAMPLER, "The pack's own sampler node."),
        ("APPLY", node_names.APPLY, "The node that patches a model for core's samplers."),
        ("LOOP_MODEL", node_names.LOOP_MODEL, "The node that turns a loop along time while it is sampled."),
        ("LOOP_DECODE", node_names.LOOP_DECODE, "The node that decodes a loop."),
        ("LOOP_LATENTS", loops.LOOP_LATENTS, "Kinds of a loop's latent, as it decodes them."),
        ("SCHEDULER", node_names.SCHEDULER, "The node that makes the reference's schedule."),
        ("DOCTOR", node_names.DOCTOR, "The node that checks a graph."),
        ("SWEEP", node_names.SWEEP, "The node that tries settings on one picture."),
        ("DIRECTOR", node_names.DIRECTOR, "The node that makes a long video from a project."),
        ("FOLDER", node_names.FOLDER, "The node that works through a folder of pictures."),
        ("LONG_VIDEO", node_names.LONG_VIDEO, "The node that makes a long video."),
        ("VIDEO_MAKERS", node_names.VIDEO_MAKERS, "Nodes that write a video of their own."),
        ("SWITCH", node_names.SWITCH, "The node that joins Wan2.2's two experts."),
        ("SPEED", node_names.SPEED, "The node that chooses between a distilled and a full model, with their steps and cfg."),
        ("SPEED_WAYS", node_names.SPEED_WAYS, "Its ways, with `fast` on and off."),
        ("SPEED_OUTPUTS", node_names.SPEED_OUTPUTS, "What it hands out; each way has an input for it, such as fast_steps."),
        ("PUSA_LOADER", node_names.PUSA_LOADER, "The loader of Pusa's LoRAs."),
        ("LIGHTX2V_LOADER", node_names.LIGHTX2V_LOADER, "The loader of LightX2V's LoRAs."),
        ("LOADERS", node_names.LOADERS, "The pack's LoRA loaders: Pusa's and LightX2V's."),
        ("HIGH_NOISE", lora_experts.HIGH_NOISE, "An expert, as the nodes call it."),
        ("LOW_NOISE", lora_experts.LOW_NOISE, "An expert, as the nodes call it."),
        ("WAN21", lora_experts.WAN21, "The model without experts, as the nodes call it."),
        ("AUTO", lora_experts.AUTO, "The choice of expert that leaves it to the file."),
        ("EXPERT_NAME_PATTERNS", dict(lora_experts.NAME_PATTERNS), "What a file name says that is for an expert."),
        ("EXPERT_WHOLE_TERMS", lora_experts.WHOLE_TERMS, "An expert named in full, which counts in a Wan2.1 file's name too."),
        ("WAN21_PATTERN", lora_experts.WAN21_PATTERN, "What a file name says that is for Wan2.1."),
        ("WAN22_PATTERN", lora_experts.WAN22_PATTERN, "What a file name says that is for Wan2.2."),
        ("MERGED_FOLDER", merged_files.SUBFOLDER, "Folder of the files that Merge LoRAs writes."),
        ("NO_VIDEO", settings.NO_VIDEO, "Nodes whose rate is not that of a video that plays."),
        ("LATENT_INPUT", latents.LATENT_INPUT, "Inputs that a latent comes through."),
        ("DROPPING", sorted(latents.DROPPING), "ComfyUI's nodes that make a new latent and take over the samples alone."),
        ("KEPT_INPUTS", latents.KEPT_INPUTS, "Of a node that joins latents, the input whose multipliers stay."),
        ("SAMPLING_PATCH", models.SAMPLING_PATCH, "Nodes that replace a model's sampling."),
        ("PROJECT_VERSION", project_text.VERSION, "Version of the Director's project text."),
        ("PROJECT_DEFAULTS", {name: getattr(project_text.Project, name) for name in ("window", "overlap", "noise_multipliers", "colour", "resize", "prompts_by")}, "What a project has where its text does not say."),
        ("CLIP_DEFAULTS", {name: getattr(project_text.ClipUse, name) for name in ("frames", "multiplier")}, "What a project's clip has where its text does not say."),
        ("SEED_STEPS", {"retake": project_plan.RETAKE, "candidate": project_plan.CANDIDATE}, "What a retake and a candidate add to a window's seed."),
        ("PROJECT_COLOURS", project_text.COLOURS, "What each window's colours are brought to."),
        ("PROMPT_STEPS", project_text.PROMPT_STEPS, "What follows a prompt as a whole: a window, or each latent frame of it."),
        ("PROJECT_RESIZES", project_text.RESIZES, "How pictures of other proportions become the video's size."),
        ("EXPERT_CHOICES", project_text.EXPERTS, "Experts that a window's LoRA can be for."),
        ("MOST_WINDOWS", project_text.MOST_WINDOWS, "Most windows of a project."),
        ("MOST_CANDIDATES", project_text.MOST_CANDIDATES, "Most candidates of a window."),
    ]  # fmt: skip


def base_facts(base: Base) -> dict[str, Any]:
    """What the browser needs of a base."""
    return {
        "id": base.id,
        "short": base.short,
        "stride": base.temporal_stride,
        "groups": base.groups,
        "lengths": base.lengths,
        "sizeMultiple": base.size_multiple,
        "fps": base.fps,
        "trainedLength": base.trained_length,
        "schedule": base.schedule,
        "latentNodes": base.empty_latent_nodes,
        "files": re.compile(base.model_pattern, re.IGNORECASE),
    }


def file_text() -> str:
    """js/generated_facts.js."""
    parts = [
        f"/** {doc} */\nexport const {name} = {in_script(value)};\n" for name, value, doc in shared_facts()
    ]
    return "\n".join([HEAD, *parts])


def in_script(value: Any) -> str:
    """A value as JavaScript writes it: numbers, texts, lists, patterns, and objects of these."""
    if isinstance(value, re.Pattern):
        flags = "i" if value.flags & re.IGNORECASE else ""
        return f"/{value.pattern.replace('/', chr(92) + '/')}/{flags}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(in_script, value))}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name}: {in_script(one)}" for name, one in value.items()) + " }"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value)


if __name__ == "__main__":
    FILE.write_text(file_text(), encoding="utf-8", newline="\n")
