"""The node that tries settings on the user's own picture."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..pusa_core.sweep import MOST_TILES, tile_text
from . import inputs
from .host.pictures import kept_picture
from .host.schema import advanced, of_today, search_words
from .host.sweep import SweepRequest, run_sweep


class PusaSweep(io.ComfyNode):
    """A grid of settings tried on one picture: contact sheet, video, and the best trade-off."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaSweep",
            display_name="Pusa Sweep",
            category="Pusa/tools",
            **search_words("XY plot", "grid", "compare settings", "noise multiplier", "best settings"),
            description=(
                "Answers which noise multiplier, alpha, steps or seed suit your picture: makes a small video for every combination, measures "
                "likeness, motion and flicker, and marks the best trade-off. Click a tile to take its values over. Finished tiles are kept, "
                "so a stopped sweep goes on, and a wider one makes only what is new."
            ),
            is_output_node=True,
            **of_today(has_intermediate_output=True),
            inputs=[
                io.Model.Input("model", tooltip=inputs.MODEL_TIP),
                inputs.positive(),
                inputs.negative(),
                inputs.vae(),
                io.Image.Input("image", tooltip="The picture to begin with, one; it is given at video frame 0."),
                io.String.Input("multipliers", default="0, 0.2, 0.4", tooltip="Noise multipliers to try, 0 (kept as given) to 1 (ignored), with commas. Each is a column."),
                io.String.Input("alphas", default="", tooltip="Alphas of the Pusa LoRAs on the model to try, -20 to 20, with commas (1.0, 1.4); with two experts both get it. Empty leaves them as they were loaded."),
                io.String.Input("steps", default="30", tooltip="Numbers of steps to try, 1 to 1000, with commas: 30 without a distilled LoRA, 4 with LightX2V."),
                io.String.Input("seeds", default="0, 1", tooltip=f"Seeds to try, 0 and up, with commas: two at least, 4 with 4 steps. All lists together may make {MOST_TILES} tiles at most."),
                io.Int.Input("width", default=416, min=16, max=2048, step=16, tooltip="Pixels of a tile, a multiple of 16 (of 32 for Wan2.2 5B and LTX-Video). Small is quick; half of the final size tells enough."),
                io.Int.Input("height", default=240, min=16, max=2048, step=16, tooltip="Pixels of a tile, a multiple of 16 (of 32 for Wan2.2 5B and LTX-Video)."),
                io.Int.Input("length", default=33, min=1, max=1001, step=4, tooltip="Video frames of a tile, 1 more than a multiple of the model's group: 4 for Wan, 6 for Mochi, 8 for LTX-Video."),
                inputs.cfg("Guidance: 3.0 without a distilled LoRA, 1.0 with LightX2V."),
                inputs.shift(),
                inputs.sampler_name("euler is the reference's."),
                inputs.resize("How a picture of other proportions becomes the tile's size: crop the sides, letterbox with black, or stretch.", **advanced()),
                io.String.Input("folder", default="pusa_sweep", tooltip="Folder inside ComfyUI's output folder where finished tiles are kept (about 1 MB each). Delete it to make them again.", **advanced()),
            ],
            outputs=[
                io.Image.Output(display_name="sheet", tooltip="All tiles: first, middle and last frame, with what was measured."),
                io.Video.Output(display_name="video", tooltip="All tiles playing side by side, to Save Video."),
                io.String.Output(display_name="best_multiplier", tooltip="The multiplier of the best trade-off, to noise_multipliers of Condition Frame Injector."),
                io.String.Output(display_name="report", tooltip="What was measured of every tile, and why one is the best."),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
        )  # fmt: skip

    @classmethod
    def execute(cls, *given: Any, **named: Any) -> io.NodeOutput:
        sweep = run_sweep(SweepRequest(*given, **named))
        shown = {
            "text": [sweep.report],
            "pusa_sheet": [kept_picture(sweep.sheet.image, cls)],
            "pusa_tiles": [
                {
                    **vars(tile),
                    "seed": str(tile.seed),
                    "place": place,
                    "label": tile_text(tile),
                    "best": tile is sweep.best,
                }
                for tile, place in zip(sweep.tiles, sweep.sheet.places, strict=True)
            ],
        }
        return io.NodeOutput(
            sweep.sheet.image, sweep.video, f"{sweep.best.multiplier:g}", sweep.report, ui=shown
        )
