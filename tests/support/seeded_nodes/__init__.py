"""Test-only nodes: what a golden file was made from, as LATENT and CONDITIONING, from seeds; and a node that works until it is cancelled."""

import importlib.util
import json
import time
from pathlib import Path

import torch
from comfy import model_management
from comfy.latent_formats import Mochi, Wan21
from comfy_api.latest import ComfyExtension, io


def support(name: str):
    """A module of tests/support, which is no package in the server."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).resolve().parents[1] / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tiny_wan, tiny_mochi = support("tiny_wan"), support("tiny_mochi")
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
        return io.NodeOutput(with_frames(given, multipliers))


def with_frames(given: torch.Tensor, multipliers: str) -> dict:
    """The LATENT with those frames of `given` that have a multiplier in the JSON text."""
    samples, noise_multipliers = torch.zeros_like(given), torch.ones(given.shape[2])
    for position, multiplier in json.loads(multipliers).items():
        samples[:, :, int(position)] = given[:, :, int(position)]
        noise_multipliers[int(position)] = multiplier
    return {"samples": samples, "noise_multipliers": noise_multipliers}


class SeededMochi(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeededMochi",
            category="tests",
            inputs=[io.Int.Input("seed", default=1)],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(cls, seed: int) -> io.NodeOutput:
        return io.NodeOutput(tiny_mochi.model(seed))


class SeededMochiText(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeededMochiText",
            category="tests",
            inputs=[io.Int.Input("seed", default=1), io.Int.Input("tokens", default=17)],
            outputs=[io.Conditioning.Output()],
        )

    @classmethod
    def execute(cls, seed: int, tokens: int) -> io.NodeOutput:
        return io.NodeOutput(tiny_mochi.prompt(seed, tokens))


class SeededMochiLatent(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeededMochiLatent",
            category="tests",
            inputs=[
                io.Int.Input("seed", default=1),
                io.Int.Input("frames", default=5),
                io.Int.Input("height", default=8),
                io.Int.Input("width", default=8),
                io.String.Input("multipliers", default="{}"),
            ],
            outputs=[io.Latent.Output()],
        )

    @classmethod
    def execute(cls, seed: int, frames: int, height: int, width: int, multipliers: str) -> io.NodeOutput:
        given = Mochi().process_out(tiny_mochi.latent(seed, frames, height, width))
        return io.NodeOutput(with_frames(given, multipliers))


class UntilCancelled(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UntilCancelled",
            category="tests",
            inputs=[io.Image.Input("images")],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, images: torch.Tensor) -> io.NodeOutput:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            model_management.throw_exception_if_processing_interrupted()
            time.sleep(0.02)
        raise TimeoutError("nobody cancelled")


class SeededExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [SeededText, SeededLatent, SeededMochi, SeededMochiText, SeededMochiLatent, UntilCancelled]


async def comfy_entrypoint() -> SeededExtension:
    return SeededExtension()
