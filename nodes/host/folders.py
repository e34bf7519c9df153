"""ComfyUI's folders: models, input, output, and the names that users see of them."""

from __future__ import annotations

from pathlib import Path

import folder_paths

from ...pusa_core.errors import PusaError


def input_folder() -> Path:
    """ComfyUI's input folder."""
    return Path(folder_paths.get_input_directory())


def output_folder() -> Path:
    """ComfyUI's output folder."""
    return Path(folder_paths.get_output_directory())


def output_file(prefix: str, width: int, height: int, suffix: str) -> tuple[Path, str, str]:
    """(path, bare name, subfolder) of the next free file in the output folder that begins with `prefix`, as ComfyUI counts them."""
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
        prefix, folder_paths.get_output_directory(), width, height
    )
    path = Path(folder) / f"{name}_{counter:05}_{suffix}"
    while path.exists():  # ComfyUI counts from 1 again where the prefix ends in a slash
        counter += 1
        path = path.with_name(f"{name}_{counter:05}_{suffix}")
    return path, name, subfolder


def lora_names() -> list[str]:
    """Files in models/loras, as the loaders list them."""
    return folder_paths.get_filename_list("loras")


def find_lora(lora_name: str) -> str | None:
    """The path of a file in models/loras, None where there is none of that name."""
    return folder_paths.get_full_path("loras", lora_name)


def lora_path(lora_name: str) -> str:
    """The path of a file in models/loras."""
    path = find_lora(lora_name)
    if path is None:
        raise PusaError(
            f"There is no {lora_name} in models/loras. Choose a file that is there, or refresh the list (R)."
        )
    return path


def model_folders() -> list[Path]:
    """The folders of Load Diffusion Model, those named diffusion_models first (ComfyUI's own list begins with the older `unet`)."""
    folders = [Path(folder) for folder in folder_paths.get_folder_paths("diffusion_models")]
    return sorted(folders, key=lambda folder: folder.name != "diffusion_models")


def model_names() -> list[str]:
    """Files that Load Diffusion Model lists."""
    return folder_paths.get_filename_list("diffusion_models")


def model_path(name: str) -> str:
    """The path of a file that Load Diffusion Model lists."""
    path = folder_paths.get_full_path("diffusion_models", name)
    if path is None:
        raise PusaError(
            f"There is no {name} in models/diffusion_models. Choose a file that is there, or refresh the list (R)."
        )
    return path
