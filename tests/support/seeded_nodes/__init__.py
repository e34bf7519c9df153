"""Test-only nodes: what a golden file was made from, as LATENT and CONDITIONING, from seeds."""

import importlib.util
import json
from pathlib import Path

import torch
from comfy.latent_formats import Wan21
from comfy_api.latest import ComfyExtension, io


def support(name: str):
    """A module of tests/support, which is no package in the server."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).resolve().parents[1] / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tiny_wan = support("tiny_wan")
support("narrow_vae").teach()


class SeededText(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeededText",
            category="tests",
            inputs=[io.Int.Input("seed", default=1)],
            outputs=[io.Conditioning.Output()],
        )

    @classmethod
    def execute(cls, seed: int) -> io.NodeOutput:
        return io.NodeOutput([[tiny_wan.context(seed), {}]])


class SeededLatent(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeededLatent",
            category="tests",
            inputs=[
                io.Int.Input("seed", default=1),
                io.Int.Input("frames", default=5),
                io.Int.Input("size", default=8),
                io.String.Input(
                    "multipliers", default="{}", tooltip="JSON: latent frame -> noise multiplier"
                ),
            ],
            outputs=[io.Latent.Output()],
        )

    @classmethod
    def execute(cls, seed: int, frames: int, size: int, multipliers: str) -> io.NodeOutput:
        given = Wan21().process_out(tiny_wan.latent(seed, frames, size, size))
        samples, noise_multipliers = torch.zeros_like(given), torch.ones(frames)
        for position, multiplier in json.loads(multipliers).items():
            samples[:, :, int(position)] = given[:, :, int(position)]
            noise_multipliers[int(position)] = multiplier
        return io.NodeOutput({"samples": samples, "noise_multipliers": noise_multipliers})


class SeededExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [SeededText, SeededLatent]


async def comfy_entrypoint() -> SeededExtension:
    return SeededExtension()
