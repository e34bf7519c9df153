"""Nodes that only the demo needs; they are never published."""

import hashlib

import torch
from comfy_api.latest import ComfyExtension, io

TEXT_WIDTH = 4096
END = "</s>"


def word_vector(word: str) -> torch.Tensor:
    """The embedding of one word, [4096], derived from the word alone (as the small models were trained)."""
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:7], "little")
    return torch.randn(TEXT_WIDTH, generator=torch.Generator().manual_seed(seed))


class PusaDemoTextEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PusaDemoTextEncode",
            display_name="Demo Text Encode",
            category="Pusa/demo",
            description="Text for the small demo models, which know only the words they were trained on.",
            inputs=[
                io.String.Input(
                    "text", multiline=True, tooltip="A sentence of the demo's vocabulary; empty for none."
                )
            ],
            outputs=[io.Conditioning.Output()],
        )

    @classmethod
    def execute(cls, text: str) -> io.NodeOutput:
        words = [*text.lower().split(), END]
        return io.NodeOutput([[torch.stack([word_vector(word) for word in words])[None], {}]])


class DemoExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [PusaDemoTextEncode]


async def comfy_entrypoint() -> DemoExtension:
    """What ComfyUI calls to learn the demo's nodes."""
    return DemoExtension()
