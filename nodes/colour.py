"""Nodes about colour: matching generated frames to given ones, and the report on drift."""

from __future__ import annotations

from comfy_api.latest import io, ui
from torch import Tensor

from ..pusa_core.colour import (
    METHODS,
    MONGE_KANTOROVICH,
    colour_drift,
    match_colours,
    window_starts,
)
from ..pusa_core.drift_plot import plot_drift
from .host.schema import search_words

METHOD_TIP = (
    "monge-kantorovich: the gentlest linear map between the two sets of colours, mixed channels included. "
    "mean and std: lightness and the two colour axes (CIELAB) each on their own."
)


class PusaColorMatch(io.ComfyNode):
    """Generated frames in the colours of the frames they continue."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaColorMatch",
            display_name="Color Match",
            category="Pusa/colour",
            **search_words("color correction", "colour match", "seam"),
            description=(
                "Gives generated frames the colours of the given ones, so that an extension does not step in tint or saturation "
                "at the seam. For an extension, connect the given frames to reference and set matched_frames to their number."
            ),
            inputs=[
                io.Image.Input("images", tooltip="The generated frames."),
                io.Image.Input(
                    "reference",
                    tooltip="Frames with the right colours: those that were given, or the start picture. Any size and number.",
                ),
                io.Combo.Input(
                    "method", options=list(METHODS), default=MONGE_KANTOROVICH, tooltip=METHOD_TIP
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="0 (no change) to 1 (full match).",
                ),
                io.Int.Input(
                    "matched_frames",
                    default=0,
                    min=0,
                    max=100000,
                    tooltip="Number of frames at the start of images that show what the reference shows: 13 for an extension by 13 frames. They are compared, and the change is applied to all. 0 compares all.",
                ),
                io.Boolean.Input(
                    "protect_first_frame",
                    default=False,
                    tooltip="Leave frame 0 exactly as it is, for a start picture that was kept clean.",
                ),
            ],
            outputs=[io.Image.Output(display_name="images", tooltip="The frames with matched colours.")],
        )

    @classmethod
    def execute(
        cls,
        images: Tensor,
        reference: Tensor,
        method: str = MONGE_KANTOROVICH,
        strength: float = 1.0,
        matched_frames: int = 0,
        protect_first_frame: bool = False,
    ) -> io.NodeOutput:
        return io.NodeOutput(
            match_colours(images, reference, method, strength, matched_frames, protect_first_frame)
        )


class PusaColorDrift(io.ComfyNode):
    """How far the colours of a video move, window by window."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaColorDrift",
            display_name="Color Drift Report",
            category="Pusa/colour",
            description=(
                "Measures how far the mean colour of each frame moves from the reference (CIEDE2000, Delta E), with lightness and "
                "saturation per window of a long video. About 1 is just visible side by side, 5 is plainly another colour."
            ),
            inputs=[
                io.Image.Input("images", tooltip="The frames of the video."),
                io.Int.Input(
                    "window",
                    default=81,
                    min=1,
                    max=100000,
                    tooltip="Frames of one window, as in Long Video; one line of the report each.",
                ),
                io.Int.Input(
                    "overlap",
                    default=13,
                    min=0,
                    max=100000,
                    tooltip="Frames that neighbouring windows share, below window.",
                ),
                io.Image.Input(
                    "reference",
                    optional=True,
                    tooltip="What the colours are compared with; without it, the first frame.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="report", tooltip="One line per window."),
                io.Image.Output(display_name="plot", tooltip="Delta E over the frames."),
            ],
        )

    @classmethod
    def execute(
        cls, images: Tensor, window: int = 81, overlap: int = 13, reference: Tensor | None = None
    ) -> io.NodeOutput:
        starts = window_starts(len(images), window, overlap)
        differences, drifts = colour_drift(images, images[:1] if reference is None else reference, starts)
        report = "\n".join(f"window {number}: {drift}" for number, drift in enumerate(drifts, 1))
        return io.NodeOutput(report, plot_drift(differences, starts), ui=ui.PreviewText(report))
