"""What the zoo can do, measured on clips it never saw: `python demo evaluate` writes the tables of docs/RESULTS.md.

Every number comes from the shipped files, sampled through pusa_core in float32 with fixed seeds; captions and clips are
held out (data.Scene.is_held_out). "Pusa" is the base model with the Pusa LoRA.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from ..pusa_core.bases import WAN
from ..pusa_core.charts import Series, beside, line_chart
from ..pusa_core.conditions import FrameCondition
from ..pusa_core.schedule import flow_sigmas
from ..pusa_core.sweep import best_of, measure
from . import data, zoo
from .causes import finished_from, outlines, velocity_error
from .contact_sheet import Row, contact_sheet
from .measure import jump, observe
from .report import DOCS, table, write_section
from .training.vae import psnr

PAGE = DOCS / "RESULTS.md"
CLIPS = 64
CONTINUED = 16  # pixel frames over which a continuation is compared with the real clip
JUMP_LIMIT = 1.5  # times that of the real clip
DISTILLED_GUIDANCE = 1.0
SHORT, LONG = 5, 9  # latent frames: 17 and 33 pixel frames
ATTRIBUTES = ("colour", "background", "shape", "direction", "all")

log = logging.getLogger("demo")


@dataclass(frozen=True)
class Task:
    """Which latent frames of the real clip are given, and with which noise multiplier."""

    name: str
    given: tuple[tuple[int, float], ...] = ()  # (latent frame, negative from the end; noise multiplier)
    last_given: int = 0  # pixel frame that the generated frames continue


TEXT_TO_VIDEO = Task("text-to-video")
IMAGE_TO_VIDEO = Task("image-to-video", ((0, 0.0),))
START_END = Task("start-end", ((0, 0.0), (-1, 0.0)))
EXTENSION = Task("extension", ((0, 0.0), (1, 0.0)), last_given=4)


@dataclass(frozen=True)
class Scores:
    """One number a clip, for everything that is measured. [N] each; NaN where it does not apply."""

    shown: dict[str, Tensor]  # attribute -> 1 where the clip shows what the caption says
    continuation: Tensor  # PSNR in dB against the true clip, over the frames that follow the last given one
    first_frame: Tensor  # PSNR in dB of the first pixel frame against the true one
    condition_error: Tensor  # mean absolute difference of the given latent frames, in the model's space
    jump_ratio: (
        Tensor  # difference of the last given and the next frame, over that of the real clip after the VAE
    )
    videos: Tensor  # [N, 3, T, H, W]


class Bench:
    """The held-out clips, their latents and the VAE; runs a task on a model and measures the outcome."""

    def __init__(self, clips: int, first: int = 0):
        """first: number of the first of the held-out clips."""
        scenes = data.scenes(data.HELD_OUT_SEED, held_out=True)
        self.scenes = list(itertools.islice(scenes, first, first + clips))
        self.captions = [scene.caption for scene in self.scenes]
        self.vae = zoo.vae()
        self.real = data.render(self.scenes)
        self.latents = zoo.encode(self.vae, self.real)

    def run(self, models: zoo.Pair, task: Task, settings: zoo.Settings) -> Scores:
        """Sample the task once for every clip, and measure."""
        frames = settings.latent_frames
        clean = self.latents[:, :, :frames]
        conditions = [
            FrameCondition(clean[:, :, place % frames, None], place % frames, multiplier)
            for place, multiplier in task.given
        ]
        made = zoo.sample(models, self.captions, settings, conditions)
        videos = zoo.decode(self.vae, made)
        real = self.real[:, :, : videos.shape[2]]
        through_vae = zoo.decode(self.vae, clean[:, :, :3])
        follows = slice(task.last_given + 1, task.last_given + 1 + CONTINUED)
        places = [place % frames for place, _ in task.given]
        error = (
            (made - clean)[:, :, places].abs().flatten(1).mean(1)
            if places
            else torch.full((len(made),), math.nan)
        )
        return Scores(
            shown=self.shown(videos),
            continuation=psnr(videos[:, :, follows], real[:, :, follows]),
            first_frame=psnr(videos[:, :, :1], real[:, :, :1]),
            condition_error=error,
            jump_ratio=jump(videos, task.last_given) / jump(through_vae, task.last_given),
            videos=videos,
        )

    def shown(self, videos: Tensor) -> dict[str, Tensor]:
        """Attribute -> [N], 1 where the measuring program sees in the clip what its caption says."""
        seen = [observe(video).matches(scene) for video, scene in zip(videos, self.scenes, strict=True)]
        return {name: torch.tensor([float(one[name]) for one in seen]) for name in (*ATTRIBUTES, "whole")}


def share(hits: Tensor) -> str:
    """Percentage of ones with its 95 % interval (Wilson). hits: [N], 0 or 1."""
    low, high = wilson(hits)
    return f"{100 * hits.mean():.0f} % ({100 * low:.0f} to {100 * high:.0f})"


def wilson(hits: Tensor) -> tuple[float, float]:
    """95 % score interval of a share. hits: [N], 0 or 1."""
    count, part, z = len(hits), float(hits.mean()), 1.96
    centre = (part + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(part * (1 - part) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return max(0.0, centre - half), min(1.0, centre + half)


def mean(values: Tensor, unit: str = "", digits: int = 1) -> str:
    """Mean with the half width of its 95 % interval (normal). values: [N]."""
    return f"{values.mean():.{digits}f} ± {half_width(values):.{digits}f}{unit}"


def half_width(values: Tensor) -> float:
    """Of the mean's 95 % interval."""
    return 1.96 * float(values.std()) / math.sqrt(len(values))


def text_cells(scores: Scores) -> list[str]:
    """A row's cells for text-to-video."""
    return [share(scores.shown[name]) for name in ATTRIBUTES]


def picture_cells(scores: Scores) -> list[str]:
    """A row's cells for a task with given frames."""
    return [
        mean(scores.continuation, " dB"),
        mean(scores.first_frame, " dB"),
        f"{scores.condition_error.mean():.4f}",
        f"{scores.jump_ratio.median():.2f}",
        share((scores.jump_ratio < JUMP_LIMIT).float()),
        share(scores.shown["all"]),
    ]


TEXT_HEAD = [*ATTRIBUTES[:-1], "all of these, and one whole shape"]
PICTURE_HEAD = [
    "continuation",
    "first frame",
    "condition error",
    "jump, median",
    f"jump < {JUMP_LIMIT}",
    "all attributes",
]


@dataclass(frozen=True)
class Section:
    """What one measurement says: its text, and its chart if it is a curve."""

    text: str
    chart: Image.Image | None = None


def base_pair() -> zoo.Pair:
    """The base model alone."""
    return zoo.Pair.single(zoo.dit(zoo.BASE))


def pusa_pair(alpha: float = 1.0) -> zoo.Pair:
    """The base model with the Pusa LoRA."""
    return zoo.Pair.single(zoo.dit(zoo.BASE, {zoo.PUSA: alpha}))


def expert_pair(alpha: float = 1.0, four_steps: bool = False) -> zoo.Pair:
    """Both experts with their Pusa LoRAs (none at alpha 0) and, if asked for, their four-step LoRAs."""
    high, low = {zoo.HIGH_NOISE_PUSA: alpha}, {zoo.LOW_NOISE_PUSA: alpha}
    if four_steps:
        high[zoo.LIGHTX2V_HIGH_NOISE], low[zoo.LIGHTX2V_LOW_NOISE] = 1.0, 1.0
    return zoo.Pair(zoo.dit(zoo.HIGH_NOISE, high), zoo.dit(zoo.LOW_NOISE, low))


def the_claim(bench: Bench) -> Section:
    """Base and Pusa on every task, whole clips of 33 frames."""
    base, pusa = (
        run_tasks(bench, name, pair)
        for name, pair in (("base alone", base_pair()), ("Pusa LoRA", pusa_pair()))
    )
    write_sheets(bench, {"base alone": base, "Pusa LoRA": pusa})
    shown = pusa[TEXT_TO_VIDEO].shown["all"] - base[TEXT_TO_VIDEO].shown["all"]
    closer = pusa[IMAGE_TO_VIDEO].continuation - base[IMAGE_TO_VIDEO].continuation
    real = bench.shown(bench.real)["all"]
    decoded = zoo.decode(bench.vae, bench.latents)
    settings = zoo.Settings(LONG)
    paragraphs = [
        f"{len(bench.scenes)} held-out clips of 33 frames, {settings.steps} steps, guidance {settings.guidance}, shift 5, seed "
        f"{settings.seed}. The measuring program itself finds all attributes in {share(real)} of the real clips, and in "
        f"{share(bench.shown(decoded)['all'])} of them after the VAE (which reconstructs them at {mean(psnr(decoded, bench.real))} dB).",
        *task_tables({"base alone": base, "Pusa LoRA": pusa}),
        f"Pusa LoRA minus base, clip by clip: text-to-video, all attributes {100 * shown.mean():+.0f} ± "
        f"{100 * half_width(shown):.0f} percentage points; image-to-video, continuation {closer.mean():+.1f} ± "
        f"{half_width(closer):.1f} dB.",
    ]
    return Section("\n\n".join(paragraphs))


def text_kept(bench: Bench) -> Section:
    """Whether the Pusa LoRA costs anything in text-to-video: the same noise with and without it, both clip lengths."""
    rows, differences = [], []
    pairs = {"base alone": base_pair(), "Pusa LoRA": pusa_pair()}
    for frames in (SHORT, LONG):
        length = WAN.video_length(frames)
        hits = {}
        for name, pair in pairs.items():
            scores = bench.run(pair, TEXT_TO_VIDEO, zoo.Settings(frames))
            hits[name] = scores.shown["all"]
            rows.append([f"{length} frames", name, *text_cells(scores)])
            log.info("%s frames, %s", length, name)
        change = hits["Pusa LoRA"] - hits["base alone"]
        differences.append(
            f"{100 * change.mean():+.1f} ± {100 * half_width(change):.1f} points at {length} frames"
        )
    return Section(
        f"{len(bench.scenes)} held-out clips, the same noise with and without the LoRA.\n\n"
        + table(["length", "model", *TEXT_HEAD], rows)
        + f"\n\nPusa LoRA minus base, clip by clip, last column: {', '.join(differences)}."
    )


def run_tasks(bench: Bench, name: str, pair: zoo.Pair) -> dict[Task, Scores]:
    """Every task once, on whole clips."""
    scores = {}
    for task in (TEXT_TO_VIDEO, IMAGE_TO_VIDEO, START_END, EXTENSION):
        scores[task] = bench.run(pair, task, zoo.Settings(LONG))
        log.info("%s, %s", name, task.name)
    return scores


def task_tables(scores: Mapping[str, Mapping[Task, Scores]]) -> list[str]:
    """Paragraphs with the tables of run_tasks, by the models' names."""
    text_rows = [[name, *text_cells(of_task[TEXT_TO_VIDEO])] for name, of_task in scores.items()]
    picture_rows = [
        [task.name, name, *picture_cells(of_task[task])]
        for task in (IMAGE_TO_VIDEO, START_END, EXTENSION)
        for name, of_task in scores.items()
    ]
    return [
        "Text-to-video:",
        table(["model", *TEXT_HEAD], text_rows),
        "With given frames (noise multiplier 0):",
        table(["task", "model", *PICTURE_HEAD], picture_rows),
    ]


def write_sheets(bench: Bench, scores: Mapping[str, Mapping[Task, Scores]], clips: int = 6) -> None:
    """Two contact sheets: text-to-video and image-to-video, each clip by base and Pusa beside the real one."""
    for task, file in ((TEXT_TO_VIDEO, "zoo_text_to_video.png"), (IMAGE_TO_VIDEO, "zoo_image_to_video.png")):
        rows = []
        for number, scene in enumerate(bench.scenes[:clips]):
            caption = scene.caption.replace(" moving", "\nmoving").replace(" on a", "\non a").split("\n")
            if task is IMAGE_TO_VIDEO:
                rows.append(Row("real clip", caption, _bytes(bench.real[number])))
            for name, of_task in scores.items():
                given = frozenset((0,)) if task is IMAGE_TO_VIDEO else frozenset()
                notes = [] if task is IMAGE_TO_VIDEO else caption
                rows.append(Row(name, notes, _bytes(of_task[task].videos[number]), given))
        contact_sheet(rows, DOCS / file)


def _bytes(video: Tensor):
    """[3, T, H, W] in [-1, 1] as [T, H, W, 3], 0 to 255."""
    return ((video.permute(1, 2, 3, 0) + 1) * 127.5).round().byte().numpy()


def multipliers(bench: Bench) -> Section:
    """Image-to-video with more or less noise on the given frame."""
    pair, rows, charts = pusa_pair(), [], []
    for value in (0.0, 0.2, 0.5, 0.8):
        scores = bench.run(pair, replace(IMAGE_TO_VIDEO, given=((0, value),)), zoo.Settings(SHORT))
        rows.append([f"{value:g}", *picture_cells(scores)])
        charts.append((value, scores))
        log.info("multiplier %s", value)
    text = _short_note(bench) + table(["multiplier", *PICTURE_HEAD], rows)
    return Section(text, _curve("noise multiplier of the given frame", charts))


def alphas(bench: Bench) -> Section:
    """The strength of the Pusa LoRA."""
    rows, charts = [], []
    for alpha in (0.0, 0.7, 1.0, 1.4, 2.0):
        pair = pusa_pair(alpha)
        from_text = bench.run(pair, TEXT_TO_VIDEO, zoo.Settings(SHORT))
        scores = bench.run(pair, IMAGE_TO_VIDEO, zoo.Settings(SHORT))
        rows.append([f"{alpha:g}", share(from_text.shown["all"]), *picture_cells(scores)])
        charts.append((alpha, scores))
        log.info("alpha %s", alpha)
    text = _short_note(bench) + table(["alpha", "text-to-video, all attributes", *PICTURE_HEAD], rows)
    return Section(text, _curve("alpha of the Pusa LoRA", charts))


SWEPT = (0.0, 0.2, 0.4)
"""Pusa Sweep's own multipliers."""

SWEEP_SEEDS = tuple(range(7, 15))
SWEEP_CLIPS, SWEEP_FIRST = 32, 128
"""Clips that nobody looked at while the rule of pusa_core/sweep/choice.py was made; that was done on those before."""

NEAR_BEST = 0.3  # dB


def sweep(_: Bench) -> Section:
    """Pusa Sweep with all the steps."""
    return swept(pusa_pair(), zoo.Settings(SHORT))


def sweep_in_four_steps(_: Bench) -> Section:
    """Pusa Sweep with the four-step LoRA, which makes a sweep quick."""
    pair = zoo.Pair.single(zoo.dit(zoo.BASE, {zoo.PUSA: 1.0, zoo.LIGHTX2V: 1.0}))
    return swept(pair, zoo.Settings(SHORT, steps=4, guidance=DISTILLED_GUIDANCE))


def swept(pair: zoo.Pair, settings: zoo.Settings) -> Section:
    """Whether the multiplier that Pusa Sweep marks is the one whose continuation is nearest to the true clip."""
    bench = Bench(SWEEP_CLIPS, SWEEP_FIRST)
    truth, found = [], []  # by seed and multiplier: [N] dB, and what the node measures
    for seed in SWEEP_SEEDS:
        for value in SWEPT:
            task = replace(IMAGE_TO_VIDEO, given=((0, value),))
            scores = bench.run(pair, task, replace(settings, seed=seed))
            truth.append(scores.continuation)
            clips = zip(scores.videos, bench.real, strict=True)
            found.append([measure(_frames(made), _frames(real)[0]) for made, real in clips])
            log.info("sweep, seed %s, multiplier %s", seed, value)
    rows = []
    for seeds in (1, 2, 4, len(SWEEP_SEEDS)):
        of_tiles = [value for _ in range(seeds) for value in SWEPT]
        mean_truth = torch.stack(truth[: len(of_tiles)]).unflatten(0, (seeds, -1)).mean(0)  # [multipliers, N]
        marked = []
        for clip in range(SWEEP_CLIPS):
            choice = best_of([of_tile[clip] for of_tile in found[: len(of_tiles)]], of_tiles)
            marked.append(SWEPT.index(of_tiles[choice.number]))
        rules = {"the marked one": torch.tensor(marked)}
        rules |= {f"always {value:g}": torch.full((SWEEP_CLIPS,), n) for n, value in enumerate(SWEPT)}
        for name, chosen in rules.items():
            loss = mean_truth.amax(0) - mean_truth.gather(0, chosen[None])[0]
            rows.append([str(seeds), name, share((loss <= NEAR_BEST).float()), f"{loss.mean():.2f} dB"])
    text = (
        f"{SWEEP_CLIPS} held-out clips of 17 frames (numbers {SWEEP_FIRST} to {SWEEP_FIRST + SWEEP_CLIPS - 1}; the rule was made on earlier "
        f"ones), multipliers {', '.join(f'{value:g}' for value in SWEPT)}, {settings.steps} steps, guidance {settings.guidance:g}. The "
        "continuation is the mean over the seeds of its PSNR against the true clip. The node itself never sees the true clip.\n\n"
    )
    head = ["seeds", "multiplier", f"within {NEAR_BEST} dB of the best", "behind the best, mean"]
    return Section(text + table(head, rows))


def _frames(video: Tensor) -> Tensor:
    """[3, T, H, W] in [-1, 1] as ComfyUI's pictures [T, H, W, 3], 0 to 1."""
    return (video.permute(1, 2, 3, 0) + 1) / 2


def steps(bench: Bench) -> Section:
    """The number of steps."""
    pair, rows, charts = pusa_pair(), [], []
    for count in (2, 4, 10, 30):
        from_text = bench.run(pair, TEXT_TO_VIDEO, zoo.Settings(SHORT, steps=count))
        scores = bench.run(pair, IMAGE_TO_VIDEO, zoo.Settings(SHORT, steps=count))
        rows.append([str(count), share(from_text.shown["all"]), *picture_cells(scores)])
        charts.append((count, scores))
        log.info("%s steps", count)
    text = _short_note(bench) + table(["steps", "text-to-video, all attributes", *PICTURE_HEAD], rows)
    return Section(text, _curve("steps", charts))


def models_compared(bench: Bench) -> Section:
    """The expert pair against the single model, and the four-step LoRAs against plain steps."""
    four_single = zoo.Pair.single(zoo.dit(zoo.BASE, {zoo.PUSA: 1.0, zoo.LIGHTX2V: 1.0}))
    four = zoo.Settings(SHORT, steps=4, guidance=DISTILLED_GUIDANCE)
    cases: list[tuple[str, zoo.Pair, zoo.Settings]] = [
        ("Wan2.1 + Pusa, 16 steps", pusa_pair(), zoo.Settings(SHORT)),
        ("Wan2.2 experts + Pusa, 16 steps", expert_pair(), zoo.Settings(SHORT)),
        ("Wan2.1 + Pusa, 4 steps, guidance 1", pusa_pair(), four),
        ("Wan2.1 + Pusa + 4-step LoRA, 4 steps, guidance 1", four_single, four),
        ("Wan2.2 experts + Pusa, 4 steps, guidance 1", expert_pair(), four),
        ("Wan2.2 experts + Pusa + 4-step LoRAs, 4 steps, guidance 1", expert_pair(four_steps=True), four),
    ]
    rows = []
    for name, pair, settings in cases:
        from_text = bench.run(pair, TEXT_TO_VIDEO, settings)
        scores = bench.run(pair, IMAGE_TO_VIDEO, settings)
        rows.append(
            [name, share(from_text.shown["direction"]), share(from_text.shown["all"]), *picture_cells(scores)]
        )
        log.info("%s", name)
    head = ["models", "text-to-video, direction", "text-to-video, all attributes", *PICTURE_HEAD]
    return Section(_short_note(bench) + table(head, rows))


def _short_note(bench: Bench) -> str:
    settings = zoo.Settings(SHORT)
    return (
        f"{len(bench.scenes)} held-out clips of 17 frames, {settings.steps} steps and guidance {settings.guidance} unless the "
        "table says otherwise; image-to-video with multiplier 0 unless it says otherwise.\n\n"
    )


def _curve(x_label: str, points: Sequence[tuple[float, Scores]]) -> Image.Image:
    """The continuation's PSNR over one setting, with its 95 % intervals."""
    values = [(x, float(scores.continuation.mean())) for x, scores in points]
    line = Series("continuation", values, [half_width(scores.continuation) for _, scores in points])
    return line_chart(
        "Image-to-video, 17 frames", x_label, "dB against the true clip", [line], width=420, height=330
    )


def levels(bench: Bench) -> Section:
    """What the Pusa LoRA costs where all frames share one noise level, as in text-to-video, level by level."""
    base, pusa = zoo.dit(zoo.BASE), zoo.dit(zoo.BASE, {zoo.PUSA: 1.0})
    rows = []
    for sigma in (1.0, 0.97, 0.94, 0.83, 0.62, 0.36, 0.1):
        cells = [f"{sigma:g}"]
        for frames in (SHORT, LONG):
            clean = bench.latents[:, :, :frames]
            before, after = (velocity_error(model, clean, bench.captions, sigma) for model in (base, pusa))
            change = 100 * (after / before - 1)
            cells += [f"{before.mean():.4f}", mean(change, " %")]
        rows.append(cells)
        log.info("sigma %s", sigma)
    head = ["sigma", "17 frames: base", "Pusa LoRA against it", "33 frames: base", "Pusa LoRA against it"]
    return Section(
        f"{len(bench.scenes)} held-out clips. Mean square error of the velocity where all frames of a clip share one noise level, the same "
        "noise for both models; its change is clip by clip.\n\n" + table(head, rows)
    )


def sides(bench: Bench) -> Section:
    """Text-to-video of 17 frames with the Pusa LoRA on one side of the experts' boundary only."""
    base, pusa = zoo.dit(zoo.BASE), zoo.dit(zoo.BASE, {zoo.PUSA: 1.0})
    pairs = {
        "base at all levels": zoo.Pair(base, base),
        "Pusa LoRA at all levels": zoo.Pair(pusa, pusa),
        "Pusa LoRA below 0.875 only": zoo.Pair(base, pusa),
        "Pusa LoRA above 0.875 only": zoo.Pair(pusa, base),
    }
    scores = {name: bench.run(pair, TEXT_TO_VIDEO, zoo.Settings(SHORT)) for name, pair in pairs.items()}
    first = next(iter(scores.values())).shown["all"]
    rows = [
        [name, *text_cells(one), mean(100 * (one.shown["all"] - first), " points")]
        for name, one in scores.items()
    ]
    return Section(
        f"{len(bench.scenes)} held-out clips, the same noise.\n\n"
        + table(["model", *TEXT_HEAD, "against the base, clip by clip"], rows)
    )


def circles(bench: Bench) -> Section:
    """How uneven the outline of circles is, and at which noise level it becomes so."""
    chosen = [number for number, scene in enumerate(bench.scenes) if scene.shape == "circle"]
    captions = [bench.captions[number] for number in chosen]
    clean = bench.latents[chosen, :, :SHORT]
    base, pusa = zoo.dit(zoo.BASE), zoo.dit(zoo.BASE, {zoo.PUSA: 1.0})
    single = zoo.Pair.single(base)
    settings = zoo.Settings(SHORT)
    sigmas = flow_sigmas(settings.steps, settings.shift)
    clips = {
        "real clips": bench.real[chosen, :, : WAN.video_length(SHORT)],
        "after the VAE": clean,
        **{
            f"real clip with noise {float(sigmas[step]):.2f}, finished by the base": finished_from(
                base, clean, captions, step
            )
            for step in (14, 12, 9, 5, 2)
        },
        "base, text-to-video": zoo.sample(single, captions, settings),
        "the same with 50 steps": zoo.sample(single, captions, replace(settings, steps=50)),
        "the same with guidance 1": zoo.sample(single, captions, replace(settings, guidance=1.0)),
        "Pusa LoRA, text-to-video": zoo.sample(zoo.Pair.single(pusa), captions, settings),
    }
    found = outlines(bench.vae, clips)
    rows = [[name, mean(100 * values[~values.isnan()], " %")] for name, values in found.items()]
    return Section(
        f"{len(chosen)} held-out clips of circles, 17 frames. Spread of the outline's distance from the shape's centre, relative to the mean distance.\n\n"
        + table(["clip", "unevenness"], rows)
    )


SECTIONS: dict[str, tuple[str, Callable[[Bench], Section]]] = {
    "claim": ("The claim: with vectorized timesteps the base alone fails, the Pusa LoRA does not", the_claim),
    "text": ("Text-to-video with and without the Pusa LoRA, more clips", text_kept),
    "multipliers": ("Noise multiplier of the given frame", multipliers),
    "alphas": ("Strength of the Pusa LoRA", alphas),
    "steps": ("Number of steps", steps),
    "sweep": ("Pusa Sweep: whether it marks the right multiplier", sweep),
    "sweep4": ("Pusa Sweep in four steps", sweep_in_four_steps),
    "levels": ("What the LoRA costs where all frames share one noise level", levels),
    "sides": ("Text-to-video of 17 frames with the LoRA above or below one noise level", sides),
    "circles": ("Where lumpy circles come from", circles),
    "models": ("Expert pair and four-step LoRAs", models_compared),
}


CURVES = ("multipliers", "alphas", "steps")  # the sections with a chart; drawn together


def main(arguments: Sequence[str]) -> None:
    """Measure the named sections, or all, and write them into docs/RESULTS.md."""
    parser = argparse.ArgumentParser(prog="python demo evaluate", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"default: all; {' '.join(SECTIONS)}")
    parser.add_argument(
        "--clips", type=int, default=CLIPS, help="held-out clips for every row (default %(default)s)"
    )
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.sections) - set(SECTIONS)):
        parser.error(f"{unknown[0]} is not a section; choose from {', '.join(SECTIONS)}")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    bench = Bench(options.clips)
    charts = []
    for name in options.sections or SECTIONS:
        title, measure = SECTIONS[name]
        section = measure(bench)
        write_section(PAGE, name, f"## {title}\n\n{section.text}")
        charts += [section.chart] if section.chart else []
    if len(charts) == len(CURVES):
        beside(charts).save(DOCS / "zoo_curves.png")
