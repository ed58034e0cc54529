"""Numbers persons and cameras, which users name by numbers or by words."""

import re
from collections.abc import Iterable

# Readers keep ids in int32.
_MAX_ID = 2**31 - 1
_NUMBER = re.compile(r"\d{1,10}", re.ASCII)
_PARTS = re.compile(r"(\d+)", re.ASCII)


def in_order(words: Iterable[str]) -> list[str]:
    """Return the different words in the order in which people count them: cam2 before cam10."""
    return sorted(set(words), key=lambda word: (_natural(word), word))


def number_persons(words: Iterable[str]) -> dict[str, int]:
    """Return the id of each person: the number that the words are, or where one is no number, its place from 0."""
    ordered = in_order(words)
    if all(_NUMBER.fullmatch(word) and int(word) <= _MAX_ID for word in ordered):
        numbers = {word: int(word) for word in ordered}
        if len(set(numbers.values())) == len(numbers):  # 7 and 007 may be two persons
            return numbers
    return {word: place for place, word in enumerate(ordered)}


def number_cameras(words: Iterable[str]) -> dict[str, int]:
    """Return the number of each camera, its place from 0; -1 for "", a camera that is not known."""
    ordered = [word for word in in_order(words) if word]
    return {word: place for place, word in enumerate(ordered)} | {"": -1}


def _natural(word: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part) for part in _PARTS.split(word)]
