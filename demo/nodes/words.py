"""The words the demo models know, and the fixed vector that stands for each: what a text encoder would be elsewhere."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

TEXT_WIDTH = 4096  # of Wan's text embeddings
END_OF_TEXT = "</s>"
VOCABULARY = frozenset(
    [
        "a",
        "moving",
        "bouncing",
        "circling",
        "swinging",
        "spinning",
        "fading",
        "on",
        "background",
        "circle",
        "square",
        "triangle",
        "red",
        "green",
        "blue",
        "yellow",
        "white",
        "dark",
        "gray",
        "teal",
        "right",
        "left",
        "up",
        "down",
        "clockwise",
        "counterclockwise",
        "sideways",
        "away",
        "slowly",
        "quickly",
        "small",
        "large",
    ]
) | {END_OF_TEXT}
IGNORED = ".,;:!?\"'"  # marks around a word that a person may type


def words(text: str) -> list[str]:
    """The words of a text, lower case and without marks, closed by the end mark; an empty text is the end mark alone."""
    stripped = (word.strip(IGNORED) for word in text.lower().split())
    return [*(word for word in stripped if word), END_OF_TEXT]


def unknown_words(text: str) -> list[str]:
    """The words of a text that no demo model has seen, each once, in order."""
    return [word for word in dict.fromkeys(words(text)) if word not in VOCABULARY]


def word_vector(word: str) -> Tensor:
    """[TEXT_WIDTH], mean 0 and variance 1: bytes of sha256(word, counter), so the same for ever on every machine."""
    blocks = TEXT_WIDTH // hashlib.sha256().digest_size
    digest = b"".join(hashlib.sha256(f"{word} {block}".encode()).digest() for block in range(blocks))
    uniform = torch.tensor(list(digest), dtype=torch.float32)  # 0 to 255
    return (uniform - 127.5) / math.sqrt((256**2 - 1) / 12)


def text_embedding(text: str) -> Tensor:
    """[1, words, TEXT_WIDTH], one fixed vector a word. The order of the words carries no meaning of its own."""
    return torch.stack([word_vector(word) for word in words(text)])[None]
