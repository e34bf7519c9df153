"""Claims about the clip nodes, with ComfyUI's own VIDEO type and VAE."""

import time
from fractions import Fraction

import pytest
import torch

from pusa_core.errors import PusaError
from support.comfy_runs import largest_difference, run_node
from support.video_files import number_of, steady, write_video

SIZE, LENGTH, LATENT_FRAMES = 32, 33, 9


def empty_latent(frames=LATENT_FRAMES):
    return {"samples": torch.zeros(1, 16, frames, SIZE // 8, SIZE // 8)}


def moving(count, seed=0):
    """A clip of noise, so that no two of its frames are alike: [count, 32, 32, 3]."""
    return torch.rand(count, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(seed))


def run(node, **inputs):
    """What a node's execute returns, as a tuple."""
    return node.execute(**inputs).args


@pytest.fixture
def inject(pack, load_tiny_vae):
    """inject(clip, **inputs) -> (samples, noise_multipliers) of Condition Video Injector, and its VAE as .vae."""
    vae = load_tiny_vae()

    def run_it(clip, **inputs):
        latent = run(pack["PusaConditionVideo"], vae=vae, latent=empty_latent(), video=clip, **inputs)[0]
        return latent["samples"], latent["noise_multipliers"]

    run_it.vae = vae
    return run_it


def assert_given(samples, positions, latents):
    """The latent frames at `positions` are `latents` [1, 16, k, h, w] and all others are empty."""
    torch.testing.assert_close(samples[:, :, list(positions)], latents, atol=1e-5, rtol=0)
    others = [frame for frame in range(samples.shape[2]) if frame not in positions]
    assert samples[:, :, others].eq(0).all()


def test_a_prefix_encodes_to_the_same_latents_as_the_whole_clip_in_less_time(load_tiny_vae):
    vae, clip = load_tiny_vae(), moving(33)
    vae.encode(clip[:13])
    begin = time.perf_counter()
    prefix = vae.encode(clip[:13])
    between = time.perf_counter()
    whole = vae.encode(clip)
    assert between - begin < time.perf_counter() - between
    assert (whole[:, :, :4] - prefix).abs().max() <= 1e-5


def test_extend_gives_the_clips_last_frames(inject):
    clip = moving(40)
    samples, multipliers = inject(clip, task="extend", context_frames=9, noise_multipliers="0..0.4")
    assert_given(samples, (0, 1, 2), inject.vae.encode(clip[-9:]))
    torch.testing.assert_close(multipliers, torch.tensor([0, 0.2, 0.4, 1, 1, 1, 1, 1, 1]))


def test_the_references_extension_is_reproduced_exactly(inject):
    """wan22_14b_v2v_pusa.py: the whole clip encoded once, cond_position 0,1,2,3 taken from the same indices."""
    clip = moving(LENGTH)
    samples, multipliers = inject(
        clip,
        task="extend",
        context_frames=13,
        noise_multipliers="0.2, 0.4, 0.4, 0.4",
        fps=0,
        reference_semantics=True,
    )
    assert_given(samples, (0, 1, 2, 3), inject.vae.encode(clip)[:, :, :4])
    assert torch.equal(multipliers, torch.tensor([0.2, 0.4, 0.4, 0.4, 1, 1, 1, 1, 1]))


def test_the_references_completion_is_reproduced_exactly(inject):
    """wan22_14b_v2v_pusa.py with cond_position 0,20 of 21, noise_multipliers 0.3,0.3."""
    clip = moving(LENGTH + 4)
    for semantics in (False, True):
        samples, multipliers = inject(
            clip,
            task="complete",
            positions="0, 8",
            noise_multipliers="0.3, 0.3",
            reference_semantics=semantics,
        )
        assert_given(samples, (0, 8), inject.vae.encode(clip)[:, :, [0, 8]])
        assert torch.equal(multipliers, torch.tensor([0.3, 1, 1, 1, 1, 1, 1, 1, 0.3]))


def test_prepend_gives_the_clips_first_frames_in_sequence_with_its_first_one_held(inject):
    clip = moving(20)
    samples, multipliers = inject(clip, task="prepend", context_frames=9, noise_multipliers="0")
    in_sequence = inject.vae.encode(torch.cat([clip[:1].expand(16, -1, -1, -1), clip[:9]]))
    assert_given(samples, (7, 8), in_sequence[:, :, -2:])
    assert multipliers.tolist() == [1] * 7 + [0, 0]


def test_custom_moves_a_later_latent_frame_with_the_frames_before_it_encoded(inject):
    clip = moving(30)
    samples, _ = inject(clip, task="custom", positions="0, -1", source_positions="5, 2")
    assert_given(samples, (0, 8), inject.vae.encode(clip[:29])[:, :, [5, 2]])


def test_a_file_is_read_at_sixteen_frames_a_second_and_fitted(inject, tmp_path):
    from comfy_api.input_impl import VideoFromFile

    path = write_video(tmp_path / "clip.mp4", steady(29, 30), rate=Fraction(30), width=96, height=64)
    from_file, _ = inject(VideoFromFile(str(path)), task="extend", context_frames=13)
    import comfy_extras.nodes_video as core

    decoded = run_node(core.GetVideoComponents, VideoFromFile(str(path)))[0]
    nearest = [min(range(29), key=lambda frame: abs(frame / 30 - place / 16)) for place in range(15)]
    by_hand, _ = inject(decoded[nearest], task="extend", context_frames=13)
    one_later, _ = inject(
        decoded[[min(frame + 1, 28) for frame in nearest]], task="extend", context_frames=13
    )
    # newer versions of ComfyUI convert colours a little differently from the decoder used here
    assert largest_difference(from_file, by_hand) < 0.1 * largest_difference(from_file, one_later)


def test_an_image_batch_with_a_frame_rate_is_the_same_as_core_create_video(inject):
    import comfy_extras.nodes_video as core

    clip = moving(40)
    video = run_node(core.CreateVideo, clip, 24.0)[0]
    assert torch.equal(inject(video)[0], inject(clip, frame_rate=24.0)[0])


def test_a_trimmed_video_gives_only_what_it_shows(inject, tmp_path):
    """Newer versions of ComfyUI trim a VIDEO without writing a new file; its stream source is still the whole file."""
    from comfy_api.input_impl import VideoFromFile
    from comfy_api.util import VideoComponents

    class Trimmed(VideoFromFile):
        def get_duration(self):
            return super().get_duration() / 2

        def get_components(self):
            whole = super().get_components()
            return VideoComponents(images=whole.images[:16], audio=None, frame_rate=whole.frame_rate)

    path = write_video(tmp_path / "clip.mp4", steady(32), width=SIZE, height=SIZE)
    trimmed, _ = inject(Trimmed(str(path)), context_frames=5)
    first_half, _ = inject(VideoFromFile(str(path)).get_components().images[:16], context_frames=5)
    assert torch.equal(trimmed, first_half)


def test_injectors_chain_and_leave_what_they_were_given_alone(pack, load_tiny_vae):
    vae, clip, latent = load_tiny_vae(), moving(20), empty_latent()
    node = pack["PusaConditionVideo"]
    first = run(node, vae=vae, latent=latent, video=clip, context_frames=5, noise_multipliers="0.1")[0]
    both = run(
        node, vae=vae, latent=first, video=clip, task="prepend", context_frames=5, noise_multipliers="0.3"
    )[0]
    torch.testing.assert_close(both["noise_multipliers"], torch.tensor([0.1, 0.1, 1, 1, 1, 1, 1, 1, 0.3]))
    assert latent["samples"].eq(0).all()
    assert "noise_multipliers" not in latent
    assert first["noise_multipliers"][-1] == 1


def test_clip_frames_gives_pictures_sound_and_rate(pack, tmp_path):
    from comfy_api.input_impl import VideoFromFile

    path = write_video(tmp_path / "clip.webm", steady(30, 30), kind="vp9.webm", rate=Fraction(30), tone=1.0)
    images, audio, fps, frames = run(
        pack["PusaClipFrames"], video=VideoFromFile(str(path)), width=48, height=32, resize="letterbox"
    )
    assert images.shape == (16, 32, 48, 3)
    assert (fps, frames) == (16.0, 16)
    assert audio["waveform"].shape[:2] == (1, 2)
    images, audio, fps, frames = run(pack["PusaClipFrames"], video=moving(12), fps=0, frame_rate=24)
    assert (len(images), audio, fps, frames) == (12, None, 24.0, 12)


def test_keyframes_are_spread_and_encoded_in_sequence(pack, load_tiny_vae):
    vae, pictures = load_tiny_vae(), moving(3)
    latent = run(
        pack["PusaKeyframes"], vae=vae, latent=empty_latent(), images=pictures, noise_multipliers="0.1..0.3"
    )[0]
    held = [pictures[i : i + 1].expand(17, -1, -1, -1) for i in (1, 2)]
    expected = torch.cat([vae.encode(pictures[:1]), *(vae.encode(still)[:, :, -1:] for still in held)], dim=2)
    assert_given(latent["samples"], (0, 4, 8), expected)
    torch.testing.assert_close(latent["noise_multipliers"][[0, 4, 8]], torch.tensor([0.1, 0.2, 0.3]))


def test_the_frame_injector_encodes_alone_unless_told_otherwise(pack, load_tiny_vae):
    vae, picture = load_tiny_vae(), moving(1)
    node, inputs = pack["PusaConditionFrames"], {"vae": vae, "images": picture, "positions": "4"}
    alone = run(node, latent=empty_latent(), **inputs)[0]["samples"]
    assert_given(alone, (4,), vae.encode(picture))
    in_sequence = run(node, latent=empty_latent(), encode="in sequence", **inputs)[0]["samples"]
    assert_given(in_sequence, (4,), vae.encode(picture.expand(17, -1, -1, -1))[:, :, -1:])


def test_a_transition_holds_both_clips(pack, load_tiny_vae):
    vae, first, second = load_tiny_vae(), moving(20, 1), moving(20, 2)
    latent = run(
        pack["PusaTransition"], vae=vae, latent=empty_latent(), first=first, second=second, context_frames=9
    )[0]
    head = vae.encode(torch.cat([second[:1].expand(16, -1, -1, -1), second[:9]]))[:, :, -2:]
    assert_given(latent["samples"], (0, 1, 2, 7, 8), torch.cat([vae.encode(first[-9:]), head], dim=2))


def test_loop_conditions_return_to_where_they_began(pack, load_tiny_vae):
    vae, clip = load_tiny_vae(), moving(20)
    node = pack["PusaLoopConditions"]
    still = run(node, vae=vae, latent=empty_latent(), video=clip[:1], noise_multipliers="0, 0.4")[0]
    assert still["noise_multipliers"].tolist()[0] == 0
    assert_given(still["samples"][:, :, :1], (0,), vae.encode(clip[:1]))
    closed = run(node, vae=vae, latent=empty_latent(), video=clip, kind="clip", context_frames=9)[0]
    both = run(
        pack["PusaTransition"], vae=vae, latent=empty_latent(), first=clip, second=clip, context_frames=9
    )[0]
    assert torch.equal(closed["samples"], both["samples"])


def test_stitch_gives_a_video_core_can_save(pack, tmp_path):
    import comfy_extras.nodes_video as core
    from comfy_api.input_impl import VideoFromFile

    path = write_video(
        tmp_path / "clip.mp4", steady(30, 30), rate=Fraction(30), width=64, height=48, tone=1.0
    )
    generated = torch.full((29, 48, 64, 3), 0.5)
    for rate, count, expected in (("16 fps", 32, 16.0), ("of the clip", 60, 30.0)):
        video, images, fps, first_generated = run(
            pack["PusaStitch"], generated=generated, first=VideoFromFile(str(path)), output_rate=rate
        )
        assert images.shape == (count, 48, 64, 3)
        assert fps == pytest.approx(expected, abs=0.01)
        assert first_generated == count // 2
        video.save_to(str(tmp_path / "out.mp4"))
        saved = VideoFromFile(str(tmp_path / "out.mp4"))
        assert saved.get_components().images.shape == (count, 48, 64, 3)
        sound = saved.get_components().audio["waveform"]
        assert sound.shape[-1] / 48000 == pytest.approx(2.0, abs=0.05)
        assert sound[..., :40000].abs().max() > 0.3 > 0.02 > sound[..., 60000:].abs().max()
    assert [number_of(frame) for frame in images[:30]] == list(range(30))
    assert run_node(core.GetVideoComponents, video)[2] == pytest.approx(30, abs=0.01)


def test_what_a_model_of_24_frames_a_second_made_is_not_slowed_down(pack, tmp_path):
    """Wan2.2 5B: one second of the clip, and one second made, of which the first 13 frames are the clip's."""
    from comfy_api.input_impl import VideoFromFile

    path = write_video(
        tmp_path / "clip.mp4", steady(30, 30), rate=Fraction(30), width=64, height=48, tone=1.0
    )
    generated = torch.full((13 + 24, 48, 64, 3), 0.5)
    inputs = {"generated": generated, "first": VideoFromFile(str(path)), "generated_fps": 24.0}
    for rate, count in (("of the generated", 48), ("16 fps", 32), ("of the clip", 60)):
        _, images, fps, first_generated = run(pack["PusaStitch"], **inputs, output_rate=rate)
        assert (len(images), first_generated) == (count, count // 2)
        assert len(images) / fps == pytest.approx(2.0, abs=0.01)
    with pytest.raises(PusaError, match="generated_fps is 0"):
        run(pack["PusaStitch"], **inputs | {"generated_fps": 0.0})


@pytest.mark.parametrize(("size", "tag"), [((1280, 720), 1), ((64, 48), 6)])
def test_a_saved_stitched_video_has_tagged_colours(pack, tmp_path, size, tag):
    import av

    width, height = size
    generated = torch.zeros(3, height, width, 3)
    generated[..., 0] = 1.0
    video = run(pack["PusaStitch"], generated=generated)[0]
    video.save_to(str(tmp_path / "a.mp4"), metadata={"prompt": {"1": {}}})
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0))
        assert int(frame.colorspace) == tag
        bright = frame.to_ndarray(format="yuv420p")[height // 2, width // 2]
        assert abs(int(bright) - {1: 63, 6: 81}[tag]) <= 1
        assert container.metadata["prompt"] == '{"1": {}}'


def test_pictures_beyond_the_range_are_the_same_with_and_without_resizing(inject):
    clip = moving(20) * 1.5 - 0.25
    whole, _ = inject(clip, context_frames=5)
    by_hand, _ = inject(clip.clamp(0, 1), context_frames=5)
    assert torch.equal(whole, by_hand)
    with pytest.raises(PusaError, match="Divide 0 to 255 by 255"):
        inject(moving(20) * 255, context_frames=5)


def test_stitch_in_an_odd_clips_size_makes_even_pictures(pack, tmp_path):
    video, images, *_ = run(
        pack["PusaStitch"],
        generated=moving(20),
        first=torch.rand(16, 47, 63, 3),
        size="clip",
        crossfade_frames=3,
    )
    assert images.shape == (16 + 7, 46, 62, 3)
    video.save_to(str(tmp_path / "even.mp4"))


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"video": None}, "No clip came in"),
        ({"video": torch.rand(5, 8, 8, 3)}, "13 frames of the clip are needed, it has 5"),
        ({"video": torch.zeros(0, 8, 8, 3)}, "holds no picture"),
        ({"video": torch.zeros(8, 8, 3)}, "has the shape"),
        ({"noise_multipliers": "0.2, 0.3"}, "2 noise_multipliers for 4 positions"),
        ({"noise_multipliers": "1.5"}, "noise_multiplier is 1.5"),
        ({"context_frames": 33}, "leaves nothing to generate"),
        ({"task": "remix"}, "task is 'remix'"),
        ({"resize": "squeeze"}, "resize is 'squeeze'"),
        ({"fps": -3.0}, "fps is -3"),
        ({"frame_rate": 0.0}, "frame_rate is 0"),
        ({"task": "complete", "positions": "0, 0"}, "given twice"),
        ({"task": "complete", "positions": "9"}, "Position 9 is outside"),
        (
            {"task": "custom", "positions": "0", "source_positions": "-20"},
            "Source position -20 is outside this clip",
        ),
    ],
)
def test_bad_input_is_answered_in_a_sentence(inject, inputs, sentence):
    with pytest.raises(PusaError, match=sentence):
        inject(
            **{"clip": moving(40)}
            | {("clip" if key == "video" else key): value for key, value in inputs.items()}
        )


def test_broken_files_are_answered_in_a_sentence(inject, tmp_path):
    from comfy_api.input_impl import VideoFromFile

    path = tmp_path / "broken.mp4"
    path.write_bytes(b"\0" * 2000)
    with pytest.raises(PusaError, match=r"The clip 'broken.mp4' cannot be read as a video \(Invalid data"):
        inject(VideoFromFile(str(path)))


def test_a_graph_with_clips_as_video_and_as_images_passes_the_servers_check(pack):
    """IMAGE and VIDEO both fit the clip sockets."""
    import asyncio

    from comfy_execution.graph_utils import GraphBuilder
    from execution import validate_prompt

    graph = GraphBuilder(prefix="")
    images = graph.node("EmptyImage", width=32, height=32, batch_size=20, color=0)
    video = graph.node("CreateVideo", images=images.out(0), fps=24.0)
    for clip in (images, video):
        frames = graph.node(
            "PusaClipFrames", video=clip.out(0), fps=16.0, width=0, height=0, resize="crop", frame_rate=24.0
        )
        stitched = graph.node(
            "PusaStitch", generated=frames.out(0), first=clip.out(0), overlap_frames=5, crossfade_frames=0,
            output_rate="16 fps", size="generated", resize="crop", loop=False, frame_rate=24.0,
        )  # fmt: skip
        graph.node("SaveVideo", video=stitched.out(0), filename_prefix="x", format="auto", codec="auto")
    valid, error, _, node_errors = asyncio.run(validate_prompt("test", graph.finalize(), None))
    assert valid, node_errors or error
