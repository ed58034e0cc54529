"""Numbers with their nouns."""

import pytest

from san_jax.counts import count


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (1, ("picture",), "1 picture"),
        (0, ("picture",), "0 pictures"),
        (12936, ("picture",), "12,936 pictures"),
        (12345678, ("query", "queries"), "12,345,678 queries"),
        (1, ("identity is", "identities are"), "1 identity is"),
        (1.0, ("epoch",), "1 epoch"),
        (0.25, ("epoch",), "0.25 epochs"),
        (1000.0, ("epoch",), "1,000 epochs"),
    ],
)
def test_one_is_singular(number, words, text):
    assert count(number, *words) == text
