"""The words that a user has for persons and cameras, beside the numbers by which embeddings know them.

A dataset of own pictures keeps them in `names.json`, embeddings of it in `Embeddings.made_by["names"]`:
`{"persons": {"0": "anna"}, "cameras": {"0": "door"}}`, number -> word.
"""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from jaxtyping import Int64

KEY = "names"  # of `Embeddings.made_by`
ABSENT = -2  # the number of what another table does not know


@dataclasses.dataclass(frozen=True)
class IdWords:
    """Words by number; empty where only numbers are known.

    Attributes:
        persons: The word of each person.
        cameras: The word of each camera.
    """

    persons: Mapping[int, str] = dataclasses.field(default_factory=dict)
    cameras: Mapping[int, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def parse(cls, names: Any) -> "IdWords":
        """Read the words from the JSON object of `names.json`; None stands for no words.

        Raises:
            ValueError: It is something else.
        """
        if names is None:
            return cls()
        try:
            return cls(*({int(id): _text(word) for id, word in names[kind].items()} for kind in ("persons", "cameras")))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ValueError(
                'the words of its persons and cameras are malformed: expected {"persons": {"0": "anna"}, '
                f'"cameras": {{"0": "door"}}}}, found {str(names)[:80]}'
            ) from None

    def as_json(self) -> dict[str, dict[str, str]]:
        """Return the JSON object that `parse` reads."""
        return {
            kind: {str(id): word for id, word in sorted(words.items())}
            for kind, words in (("persons", self.persons), ("cameras", self.cameras))
        }

    def as_made_by(self) -> dict[str, Any]:
        """Return the entry of `Embeddings.made_by`; no entry where there are no words."""
        return {KEY: self.as_json()} if self.persons or self.cameras else {}

    def of(self, person_ids: Int64[np.ndarray, " persons"], camera_ids: Int64[np.ndarray, " cameras"]) -> "IdWords":
        """Return the words of these persons and cameras only."""
        persons, cameras = set(person_ids.tolist()), set(camera_ids.tolist())
        return IdWords(
            {id: word for id, word in self.persons.items() if id in persons},
            {id: word for id, word in self.cameras.items() if id in cameras},
        )

    def joined(self, other: "IdWords") -> "IdWords":
        """Return these words and those of another part of the same dataset."""
        return IdWords({**self.persons, **other.persons}, {**self.cameras, **other.cameras})


def numbers_there(words: Mapping[int, str], there: Mapping[int, str], taken: Collection[int]) -> dict[int, int]:
    """Return the number of each word in another table: its own there, or one that is free.

    Args:
        words: The words by number.
        there: The words of the other table.
        taken: The numbers in use there, with or without words.

    Returns:
        Number here -> number there, for each of `words`; a word that is new keeps its number where that is free.
    """
    known = {word: number for number, word in there.items()}
    numbers = {number: known[word] for number, word in words.items() if word in known}
    taken = {*taken, *there}
    free = max([*taken, *words], default=-1) + 1
    for number in (number for number in words if number not in numbers):
        numbers[number] = number
        if number in taken:
            numbers[number], free = free, free + 1
    return numbers


def replace_numbers(ids: Int64[np.ndarray, " count"], numbers: Mapping[int, int]) -> Int64[np.ndarray, " count"]:
    """Return ids with those of `numbers` replaced by what these map to."""
    return np.array([numbers.get(id, id) for id in ids.tolist()], np.int64)


def renumber(
    ids: Int64[np.ndarray, " count"], words: Mapping[int, str], there: Mapping[int, str]
) -> Int64[np.ndarray, " count"]:
    """Return ids by the numbers that another table has for the same words.

    Args:
        ids: The ids.
        words: Their words. Ids without one are kept.
        there: The other table. If either table is empty, ids are compared as numbers: all are kept.

    Returns:
        The ids, `ABSENT` for those whose word the other table does not have.
    """
    if not words or not there:
        return ids
    numbers = {word: number for number, word in there.items()}
    return replace_numbers(ids, {id: numbers.get(word, ABSENT) for id, word in words.items()})


def _text(word: Any) -> str:
    if not isinstance(word, str):
        raise TypeError(f"expected a word, found {word!r}")
    return word.encode(errors="backslashreplace").decode()
