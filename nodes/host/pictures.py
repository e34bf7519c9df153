"""Pictures that a node shows in the browser by a view of its own."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import ui
from torch import Tensor


def kept_picture(image: Tensor, node: Any) -> dict[str, Any]:
    """{filename, subfolder, type} of an IMAGE [1, H, W, 3] in ComfyUI's temporary folder, as /view takes it; node: the running class."""
    shown = ui.PreviewImage(image, cls=node).as_dict()
    return dict(shown["images"][0])
