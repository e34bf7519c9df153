"""Nodes that only the demo needs; they are never published."""


async def comfy_entrypoint():
    """What ComfyUI calls to learn the demo's nodes. Imported here, so that words.py can be used without ComfyUI."""
    from .text_encode import DemoExtension

    return DemoExtension()
