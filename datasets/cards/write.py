"""Writes a card and its Croissant metadata into a folder, without replacing what a user may have changed."""

import json
import pathlib
from collections.abc import Callable

from datasets.cards.croissant import Node
from datasets.cards.facts import CARD_FILE, CROISSANT_FILE, Facts
from datasets.cards.page import to_markdown
from san_jax.files import write_atomic


def write_missing(folder: pathlib.Path, describe: Callable[[], tuple[Facts, Node]]) -> None:
    """Write README.md and croissant.json, each if it is not there.

    Args:
        folder: The dataset's folder, complete and locked.
        describe: Returns what the card says and the Croissant document; called if one of the two is missing.

    Raises:
        OSError: They cannot be written.
    """
    card, metadata = folder / CARD_FILE, folder / CROISSANT_FILE
    if card.exists() and metadata.exists():
        return
    facts, document = describe()
    if not card.exists():
        write_atomic(card, to_markdown(facts).encode())
    if not metadata.exists():
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        write_atomic(metadata, text.encode(errors="backslashreplace"))
