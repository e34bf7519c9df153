"""Text for the demo models: one fixed vector a word, and a warning for words they never saw."""

import logging
from dataclasses import dataclass
from typing import Any

from comfy_api.latest import ComfyExtension, io, ui

from .words import END_OF_TEXT, VOCABULARY, text_embedding, unknown_words

log = logging.getLogger("ComfyUI-Pusa")


class PusaDemoTextEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaDemoTextEncode",
            display_name="Demo Text Encode",
            category="Pusa/demo",
            description=(
                "Text for the small demo models. They know sentences such as "
                '"a large red circle moving right quickly on a dark background" and no others.'
            ),
            inputs=[
                io.String.Input(
                    "text",
                    multiline=True,
                    tooltip=(
                        "small or large; red, green, blue, yellow or white; circle, square or triangle; moving right, left, "
                        "up or down; slowly or quickly; on a dark, gray or teal background. Empty for no text."
                    ),
                )
            ],
            outputs=[io.Conditioning.Output()],
        )

    @classmethod
    def execute(cls, text: str) -> io.NodeOutput:
        conditioning = [[text_embedding(text), {}]]
        unknown = unknown_words(text)
        if not unknown:
            return io.NodeOutput(conditioning)
        warning = (
            f"The demo models do not know: {', '.join(unknown)}. "
            f"They know: {', '.join(sorted(VOCABULARY - {END_OF_TEXT}))}."
        )
        log.warning(warning)
        return io.NodeOutput(conditioning, ui=ui.PreviewText(warning))


@dataclass(frozen=True)
class DemoClip:
    """The demo's text encoder as a CLIP, for nodes that read texts of their own."""

    fingerprint: str = "demo words"

    def tokenize(self, text: str) -> str:
        """The text itself."""
        return text

    def encode_from_tokens_scheduled(self, text: str) -> list[list[Any]]:
        """The text as CONDITIONING; words that no demo model knows are said in the log."""
        if unknown := unknown_words(text):
            log.warning(f"The demo models do not know: {', '.join(unknown)}.")
        return [[text_embedding(text), {}]]


class PusaDemoClip(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaDemoClip",
            display_name="Demo CLIP",
            category="Pusa/demo",
            description="The text encoder of the small demo models, for Pusa Director.",
            inputs=[],
            outputs=[io.Clip.Output()],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(DemoClip())


class DemoExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [PusaDemoTextEncode, PusaDemoClip]
