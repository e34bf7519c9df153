"""ComfyUI-Pusa: per-frame timesteps for Wan video models, as ordinary ComfyUI nodes."""

from .nodes import PusaExtension

WEB_DIRECTORY = "./js"

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]


async def comfy_entrypoint() -> PusaExtension:
    """Called by ComfyUI's loader."""
    return PusaExtension()
