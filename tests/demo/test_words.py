"""Claims: every word has one fixed vector, made of hash bytes only, and unknown words are named."""

import pytest
import torch

from comfyui_pusa.demo.nodes import words


def test_a_words_vector_is_the_same_for_ever():
    """sha256("red 0") begins with these bytes; nothing else may decide the numbers."""
    expected = (torch.tensor(list(bytes.fromhex("d3c5ec05")), dtype=torch.float32) - 127.5) / 73.9003
    torch.testing.assert_close(words.word_vector("red")[:4], expected, atol=1e-4, rtol=0)


def test_vectors_have_mean_0_and_variance_1():
    vectors = torch.stack([words.word_vector(word) for word in words.VOCABULARY])
    assert vectors.shape == (len(words.VOCABULARY), 4096)
    assert vectors.mean().abs() < 0.01
    assert (vectors.std() - 1).abs() < 0.01


def test_vectors_of_different_words_are_nearly_orthogonal():
    vectors = torch.stack([words.word_vector(word) for word in sorted(words.VOCABULARY)])
    similarity = torch.corrcoef(vectors) - torch.eye(len(vectors))
    assert similarity.abs().max() < 0.08


def test_case_and_punctuation_make_no_difference():
    plain = words.text_embedding("a red circle moving right")
    torch.testing.assert_close(words.text_embedding("A red circle, moving right."), plain, atol=0, rtol=0)


def test_an_empty_text_is_the_end_mark_alone():
    assert words.words("  ") == [words.END_OF_TEXT]
    assert words.text_embedding("").shape == (1, 1, 4096)


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("a red circle moving right quickly on a dark background", []),
        ("a purple circle, a purple fox", ["purple", "fox"]),
        ("", []),
    ],
)
def test_unknown_words_are_named_once_in_order(text, unknown):
    assert words.unknown_words(text) == unknown
