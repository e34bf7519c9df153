"""Claims about every clip node on every kind of file that people have (support/awkward_media.py)."""

import re

import pytest
import torch

from pusa_core.errors import PusaError
from support.awkward_media import rows
from support.video_files import number_of

SIZE = 32
SHARED = 5


def averages(pictures):
    """In place of a VAE's encoder, which is slow here: [N, H, W, 3] -> [1, 16, F, H/8, W/8], the mean of each latent frame's block."""
    grid = torch.nn.functional.avg_pool2d(pictures[..., :3].movedim(-1, 1).float(), 8)
    groups = [grid[:1], *grid[1:].split(4)]
    latent = torch.stack([group.mean(0) for group in groups], dim=1)  # [3, F, h, w]
    return latent.repeat(6, 1, 1, 1)[None, :16]


def empty_latent():
    return {"samples": torch.zeros(1, 16, 9, SIZE // 8, SIZE // 8)}


def injectors(pack, vae, clip):
    """(node, frames of the clip it needs, its output latent) of every node that makes conditions of a clip."""
    given = {"vae": vae, "latent": empty_latent()}
    yield (
        "PusaConditionVideo",
        1,
        lambda: pack["PusaConditionVideo"].execute(
            **given, video=clip, task="custom", positions="-1, 0", source_positions="0, 0"
        ),
    )
    yield (
        "PusaTransition",
        SHARED,
        lambda: pack["PusaTransition"].execute(**given, first=clip, second=clip, context_frames=SHARED),
    )
    yield (
        "PusaLoopConditions",
        SHARED,
        lambda: pack["PusaLoopConditions"].execute(**given, video=clip, kind="clip", context_frames=SHARED),
    )


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.name}{row.suffix}")
def test_every_clip_node_reads_it_right_or_says_why_not(row, pack, load_tiny_vae, tmp_path):
    from comfy_api.input_impl import VideoFromFile

    clip = VideoFromFile(str(row.make(tmp_path / f"clip{row.suffix}")))
    vae, right = load_tiny_vae(), row.right
    vae.encode = averages
    generated = torch.full((9, 48, 64, 3), 0.5)
    if right.refused:
        for node, _, run in injectors(pack, vae, clip):
            with pytest.raises(PusaError, match=right.refused):
                run()
            assert node
        for run in (
            lambda: pack["PusaClipFrames"].execute(clip),
            lambda: pack["PusaStitch"].execute(generated, first=clip, overlap_frames=1),
        ):
            with pytest.raises(PusaError, match=right.refused):
                run()
        return

    shown = pack["PusaClipFrames"].execute(clip)
    images, audio, fps, count = shown.args
    assert (fps, count) == (16.0, len(images))
    assert images.shape[1:3] == (right.size[1], right.size[0])
    assert (audio is None) == (right.sound is None)
    if right.numbers is not None:
        assert [number_of(pixels) for pixels in images] == list(right.numbers)
    said = shown.ui.as_dict()["text"][0]
    assert re.search(right.said, said) if right.said else not said

    for name, needed, run in injectors(pack, vae, clip):
        if count < needed:
            with pytest.raises(PusaError, match=f"{needed} frames of .* are needed, it has {count}"):
                run()
            continue
        from_file = run()
        of_pictures = next(of for node, _, of in injectors(pack, vae, images) if node == name)
        torch.testing.assert_close(
            from_file.args[0]["samples"], of_pictures().args[0]["samples"], atol=1e-5, rtol=0
        )

    stitched = pack["PusaStitch"].execute(generated, first=clip, overlap_frames=1)
    video, frames, fps, first_generated = stitched.args
    assert (fps, first_generated) == (16.0, count)
    assert len(frames) == count + len(generated) - 1
    assert frames.shape[1:3] == (48, 64)
    if right.numbers is not None and right.size == (64, 48):
        assert [number_of(pixels) for pixels in frames[:count]] == list(right.numbers)
    sound = video.get_components().audio
    assert (sound is None) == (right.sound is None)
    if sound is not None:
        assert sound["waveform"].shape[-1] == round(len(frames) / 16 * sound["sample_rate"])
