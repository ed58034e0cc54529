"""What a card says of a dataset: the values from which README.md and croissant.json are both written."""

import dataclasses
import datetime
import importlib.metadata
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds

from datasets.examples import Example, split_counts
from san_jax.own_settings import NOT_STATED

CARD_FILE = "README.md"
CROISSANT_FILE = "croissant.json"

# Licences that Hugging Face and SPDX know -> where their text stands. Every other one is written out in words.
_LICENSES = {
    "Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC-BY-SA-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "CC-BY-NC-4.0": "https://creativecommons.org/licenses/by-nc/4.0/",
    "CC-BY-NC-SA-4.0": "https://creativecommons.org/licenses/by-nc-sa/4.0/",
    "CC-BY-NC-ND-4.0": "https://creativecommons.org/licenses/by-nc-nd/4.0/",
    "CC-BY-ND-4.0": "https://creativecommons.org/licenses/by-nd/4.0/",
    "MIT": "https://opensource.org/license/mit",
}
_SIZES = ("1K", "10K", "100K", "1M", "10M", "100M")


@dataclasses.dataclass(frozen=True)
class License:
    """The terms of a dataset.

    Attributes:
        text: As the dataset states them, in words.
        spdx: SPDX's name of the licence; "" where the words name none that is known here.
    """

    text: str

    @property
    def spdx(self) -> str:
        # Alone, or with its address and a reason; other words may change the terms.
        found = re.fullmatch(r"([\w.-]+?)\.?(?: \(.*)?", self.text.strip(), re.DOTALL)
        known = {name.lower(): name for name in _LICENSES}
        return known.get(found[1].lower(), "") if found else ""

    @property
    def url(self) -> str:
        """Where the licence stands; "" where that is not known."""
        return _LICENSES.get(self.spdx, "")

    @property
    def is_stated(self) -> bool:
        return bool(self.text.strip()) and not self.text.startswith(NOT_STATED)


@dataclasses.dataclass(frozen=True)
class Feature:
    """A part of an example.

    Attributes:
        name: Its name.
        kind: "image", "integer" or "text".
        form: Type, shape and encoding, in words.
        values: Which values there are, in words.
        about: What it is.
    """

    name: str
    kind: str
    form: str
    values: str
    about: str


@dataclasses.dataclass(frozen=True)
class Facts:
    """Everything that a card says.

    Attributes:
        name: The dataset, as TFDS or the renderer names it.
        title: What people call it.
        version: Version of the dataset.
        about: What it is, Markdown.
        owner_words: What its maker said of it; "" for nothing.
        made: How it was made, a sentence or more each.
        commands: The commands that make it again.
        counts: Split -> kind (images, identities, ...) -> number.
        more_counts: Other counts that belong to no split.
        features: What an example, or a line of the manifest, holds.
        protocol: How it is trained and scored on.
        license: Its terms.
        license_file: The file of the folder that holds them; "" for none.
        people: Who is shown and what they agreed to, a paragraph each.
        limits: What it cannot be relied on for.
        citation: BibTeX.
        creators: Who made it; none where that is not known.
        url: Where it is published; "" where that is not known.
        tags: Words to find it by.
        tasks: Hugging Face's names of the tasks that it is for.
        synthetic: Whether a program made all of the pictures.
        source: The dataset whose pictures it has; "" for none.
        files: Words on what lies in the folder.
    """

    name: str
    title: str
    version: str
    about: str
    owner_words: str
    made: Sequence[str]
    commands: Sequence[str]
    counts: Mapping[str, Mapping[str, int]]
    more_counts: Mapping[str, int]
    features: Sequence[Feature]
    protocol: str
    license: License
    license_file: str
    people: Sequence[str]
    limits: Sequence[str]
    citation: str
    creators: Sequence[str]
    url: str
    tags: Sequence[str]
    tasks: Sequence[str]
    synthetic: bool
    source: str
    files: str

    @property
    def kinds(self) -> list[str]:
        """The kinds of things that are counted in splits."""
        return list(dict.fromkeys(kind for counts in self.counts.values() for kind in counts))

    @property
    def size_category(self) -> str:
        """Hugging Face's class of the number of images."""
        number = sum(counts["images"] for counts in self.counts.values())
        lower = ""
        for index, upper in enumerate(_SIZES):
            if number < 10 ** (index + 3):
                return f"{lower}<n<{upper}" if lower else f"n<{upper}"
            lower = upper
        return f"n>{lower}"


def today() -> str:
    """Return today's date, UTC, as ISO 8601 has it."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def writer() -> str:
    """Return the programs, with their versions, that write a card."""
    try:
        version = f" {importlib.metadata.version('san-jax')}"
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
        version = ""
    return f"San-JAX{version} with tensorflow-datasets {tfds.__version__}"


def package_text(builder_name: str, file: str) -> str:
    """Return the text of a file beside a builder of this package, such as CITATIONS.bib; "" if there is none."""
    path = pathlib.Path(__file__).resolve().parents[1] / builder_name / file
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def about_text(description: str, *, without: Sequence[str] = ("Licence:", "Built from the real files")) -> str:
    """Return a builder's description without the paragraphs that begin so: a card has other places for them."""
    paragraphs = description.strip().split("\n\n")
    return "\n\n".join(one for one in paragraphs if not one.startswith(tuple(without)))


def counts_of(splits: Mapping[str, Sequence[Example]]) -> dict[str, dict[str, int]]:
    """Return the number of images in each split and, where examples have them, of identities, cameras and textures."""
    counts: dict[str, dict[str, int]] = {}
    for split, examples in splits.items():
        counts[split] = {"images": len(examples)}
        if examples and "person_id" in examples[0]:
            found = split_counts({split: examples})
            counts[split] |= {kind: found[f"{split} {kind}"] for kind in ("identities", "cameras")}
        if examples and "texture_id" in examples[0]:
            counts[split]["textures"] = len({example["texture_id"] for example in examples})
    return counts


def value_range(examples: Sequence[Example], name: str) -> str:
    """Return the range of a number, such as `-1..750` or `0.04..12.5 or NaN`."""
    values = [example[name] for example in examples]
    known = [value for value in values if value == value]
    words = [f"{min(known):.10g}..{max(known):.10g}"] if known else []
    return " or ".join([*words, *(["NaN"] if len(known) < len(values) else [])])


def authors(bibtex: str) -> list[str]:
    """Return the names of the authors of BibTeX's first entry, given names first."""
    for line in bibtex.splitlines():
        key, _, value = line.partition("=")
        if key.strip().lower() == "author":
            names = value.strip().rstrip(",").strip("{}").split(" and ")
            return [" ".join(reversed(name.split(", "))) for name in names]
    return []


def plain(value: Any) -> str:
    """Return a value as text on one line."""
    return " ".join(str(value).split())
