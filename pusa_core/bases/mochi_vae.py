"""python -m pusa_core.bases.mochi_vae ENCODER DECODER OUT: genmo's two halves of Mochi's VAE as one file for Load VAE."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import PusaError

ENCODER_KEY, DECODER_KEY = "layers.4.layers.1.attn_block.attn.qkv.weight", "blocks.2.blocks.3.stack.5.weight"
"""Keys by which ComfyUI tells the halves (comfy/sd.py), with or without their prefix."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Join the files; 0 when it worked, 1 with a sentence on stderr when it did not."""
    parser = argparse.ArgumentParser("python -m pusa_core.bases.mochi_vae", description=__doc__)
    parser.add_argument(
        "encoder", type=Path, help="encoder.safetensors of genmo/mochi-1-preview or Pusa-V0.5"
    )
    parser.add_argument("decoder", type=Path, help="decoder.safetensors of the same")
    parser.add_argument(
        "out", type=Path, help="the file to write, such as ComfyUI/models/vae/mochi_vae.safetensors"
    )
    options = parser.parse_args(arguments)
    try:
        join(options.encoder, options.decoder, options.out)
    except PusaError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{options.out} holds both halves. Load it with Load VAE.\n")
    return 0


def join(encoder: Path, decoder: Path, out: Path) -> None:
    """Write one file with the keys encoder.* and decoder.*; an existing file is never overwritten."""
    if out.exists():
        raise PusaError(f"{out} exists already. Choose another name, or delete it first.")
    weights = {
        **half(encoder, "encoder.", ENCODER_KEY),
        **half(decoder, "decoder.", DECODER_KEY),
    }
    unfinished = out.with_name(out.name + ".part")
    save_file(weights, unfinished)
    unfinished.replace(out)


def half(path: Path, prefix: str, telling_key: str) -> dict[str, Tensor]:
    """The weights of a half with their prefix; refuses a file that is not this half of Mochi's VAE."""
    name = prefix.rstrip(".")
    if not path.is_file():
        raise PusaError(f"There is no file {path}. Give the path of {name}.safetensors.")
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise PusaError(f"{path} is no whole safetensors file ({error}). Download it again.") from error
    prefixed = {key if key.startswith(prefix) else prefix + key: value for key, value in weights.items()}
    if prefix + telling_key not in prefixed:
        raise PusaError(
            f"{path} is not the {name} of Mochi's VAE: it has no {telling_key}. The command takes the encoder first, then the decoder."
        )
    return prefixed


if __name__ == "__main__":
    sys.exit(main())
