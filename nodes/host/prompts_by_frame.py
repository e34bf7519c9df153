"""Several prompts in one run: the tokens of a latent frame attend to that frame's prompt, in every cross-attention of Wan's.

The texts lie one behind the other in one conditioning; no call is added. The way is ComfyUI's optimized_attention_override, which
all of its attention functions ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from ...pusa_core.errors import PusaError
from .features import Aspect, features_of, models_of
from .forward import tokens_per_frame
from .models import require_wan_forward
from .windows import frames_of_call

OVERRIDE = "optimized_attention_override"
POSITIVE = 0  # ComfyUI's number of it in cond_or_uncond


@dataclass(frozen=True)
class PromptsByFrame:
    """Which prompt every latent frame follows, and how many tokens each has."""

    prompt_of: tuple[int, ...]  # of each latent frame of the video
    lengths: tuple[int, ...]  # tokens of each prompt

    @contextmanager
    def during(self, options: dict[str, Any], x: Tensor, context: Tensor) -> Iterator[None]:
        """In the transformer_options of one model call, and out again.

        x: [B, C, F, H, W], what it is given; context: [B, L, D], its texts.
        """
        frames = frames_of_call(options) or range(x.shape[2])
        if context.shape[1] == len(frames) * tokens_per_frame(*x.shape[-2:]):
            raise PusaError(
                f"The prompts of this window have as many tokens as its video, {context.shape[1]}, so that one cannot be told from the other. Make "
                "the window longer, shorter or of another size, or set prompts_by to window."
            )
        prompts = [self.prompt_of[frame] for frame in frames]
        kinds = options.get("cond_or_uncond") or [POSITIVE]
        before = options.get(OVERRIDE)
        options[OVERRIDE] = AttendByFrame(prompts, self.lengths, tuple(kinds), before)
        try:
            yield
        finally:
            if before is None:
                del options[OVERRIDE]
            else:
                options[OVERRIDE] = before


@dataclass(frozen=True)
class AttendByFrame:
    """Attention for one model call: cross-attention of the positive by frame, all other attention as it was."""

    prompts: Sequence[int]  # of the latent frames of the call
    lengths: tuple[int, ...]
    kinds: tuple[int, ...]  # of the equal parts of the batch
    before: Callable[..., Tensor] | None

    def __call__(
        self, function: Callable[..., Tensor], q: Tensor, k: Tensor, v: Tensor, *more: Any, **named: Any
    ) -> Tensor:
        def attend(*parts: Tensor) -> Tensor:
            return (
                self.before(function, *parts, *more, **named)
                if self.before
                else function(*parts, *more, **named)
            )

        if q.ndim != 3 or k.shape[1] == q.shape[1]:  # self-attention
            return attend(q, k, v)
        of_one_frame, rest = divmod(q.shape[1], len(self.prompts))
        if rest or (POSITIVE in self.kinds and k.shape[1] % sum(self.lengths)):
            raise PusaError(
                f"Several prompts in one window need whole latent frames, but the model was given {q.shape[1]} tokens for {len(self.prompts)} "
                "of them. Take the node out that adds tokens or splits the video, or set prompts_by to window."
            )
        found = []
        for kind, *parts in zip(self.kinds, *(one.chunk(len(self.kinds)) for one in (q, k, v)), strict=True):
            found.append(self._by_frame(attend, *parts, of_one_frame) if kind == POSITIVE else attend(*parts))
        return torch.cat(found)

    def _by_frame(
        self, attend: Callable[..., Tensor], q: Tensor, k: Tensor, v: Tensor, of_one_frame: int
    ) -> Tensor:
        texts = [
            tuple(one[:, end - length : end] for one in (k, v))
            for end, length in zip(accumulate(self.lengths), self.lengths, strict=True)
        ]
        found = q.new_empty(*q.shape[:2], v.shape[2])
        frames = q.unflatten(1, (len(self.prompts), of_one_frame))
        by_frame = found.unflatten(1, (len(self.prompts), of_one_frame))
        for prompt, text in enumerate(texts):
            mine = [frame for frame, one in enumerate(self.prompts) if one == prompt]
            if mine:
                by_frame[:, mine] = attend(frames[:, mine].flatten(1, 2), *text).unflatten(
                    1, (len(mine), of_one_frame)
                )
        return found


def check_prompts_by_frame(model: Any) -> None:
    """Refuse a MODEL whose frames cannot follow prompts of their own."""
    for each in models_of(model):
        require_wan_forward(each, "prompts_by frame")
        for feature in features_of(each):
            if feature.changes & {Aspect.ATTENTION, Aspect.AXIS_ORDER}:
                raise PusaError(
                    f"prompts_by is frame, and {feature.name} changes which frames the model sees, or their order. Take it out, or set "
                    "prompts_by to window."
                )


def joined_prompts(
    texts: Sequence[Any], starts: Sequence[int], latent_frames: int
) -> tuple[Any, PromptsByFrame]:
    """One CONDITIONING of several, and which latent frames follow which. texts: CONDITIONINGs; starts: latent frame of each."""
    if any(len(text) != 1 for text in texts):
        raise PusaError(
            "Several prompts inside one window need plain texts, but a text encoder with hooks or a schedule gave several conditionings "
            "for one. Take its node out, or set prompts_by to window."
        )
    tensors = [text[0][0] for text in texts]
    prompt_of = [sum(start <= frame for start in starts) - 1 for frame in range(latent_frames)]
    joined = [[torch.cat(tensors, dim=1), dict(texts[0][0][1])]]
    return joined, PromptsByFrame(tuple(prompt_of), tuple(tensor.shape[1] for tensor in tensors))
