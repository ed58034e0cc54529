"""What a card says by where the pictures come from: a benchmark, a user, the renderer, or another dataset."""

import dataclasses
import datetime
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds

from datasets.builder import ArchiveBuilder, newest_version
from datasets.cards.facts import authors, package_text, plain
from datasets.cards.people import Shown, shown_in_rendering
from datasets.errors import DatasetError
from datasets.folders import given_path
from datasets.own.own_dataset_builder import OwnBuilder
from datasets.textured.textured_dataset_builder import TexturedBuilder
from san_jax.dataset_names import BENCHMARKS
from san_jax.own_settings import OWN, TOLD, OwnSettings

_REID = (
    "Train on `train` (and `val`, if there is one). Each query is ranked against the whole gallery, without the "
    "gallery images of the query's person and camera; scores are CMC rank-k and mAP. `python -m experiments.evaluate` "
    "states the protocol in full with every score."
)
_TRAINING = {
    "pit": (
        "For training a network that regresses the texture, or the frontal view, from the image (SAN-PG), and beside a "
        "reID dataset. There is nothing to score on."
    ),
    "textured": "For training with textures beside the identities. Query and gallery are those of the source dataset.",
}
_TITLES = {
    "pit": "PIT: rendered persons with their UV textures",
    "pit_reid": "PIT reID: a rendered re-identification benchmark with true textures",
}
_SOURCE = "SOURCE"  # stands for paths of the user's in commands
_SETTINGS_TOLD = ("license", *TOLD)  # settings of own pictures that stand elsewhere in the card


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where the pictures of a dataset come from.

    Attributes:
        shown: Who is in them.
        title: What people call the dataset.
        made: How it was made, a sentence or more each.
        commands: The commands that make it again.
        citation: BibTeX.
        protocol: How it is trained and scored on.
        words: What its maker said of it; "" for nothing.
        creators: Who made it; none where that is not known.
        url: Where it is published; "" where that is not known.
        tags: Words to find it by.
        tasks: Hugging Face's names of the tasks that it is for.
        source: The dataset whose pictures it has; "" for none.
    """

    shown: Shown
    title: str
    made: Sequence[str]
    commands: Sequence[str]
    citation: str
    protocol: str = _REID
    words: str = ""
    creators: Sequence[str] = ()
    url: str = ""
    tags: Sequence[str] = ("person-re-identification",)
    tasks: Sequence[str] = ("image-feature-extraction",)
    source: str = ""


def origin_of(builder: ArchiveBuilder, name: str, metadata: Mapping[str, Any]) -> Origin:
    """Return where a dataset's pictures come from.

    Args:
        builder: Its builder.
        name: The dataset, `builder` or `builder/config`.
        metadata: As stored with it.
    """
    if isinstance(builder, OwnBuilder):
        return _own(name, builder.settings, metadata)
    if isinstance(builder, TexturedBuilder):
        return _textured(builder, name, metadata)
    if "recipe" in metadata:
        return rendered(metadata["recipe"], metadata["seed"], metadata["parameters"])
    return _benchmark(builder, name)


def rendered(recipe: str, seed: int, parameters: Mapping[str, Any]) -> Origin:
    """Return the origin of rendered pictures.

    Args:
        recipe: "pit" or "pit_reid".
        seed: The recipe's seed.
        parameters: Its parameters, as the manifest holds them.
    """
    config = f"{recipe}.py:paper" if parameters.get("recipe") == "paper" else f"{recipe}.py"
    citation = package_text(recipe, "CITATIONS.bib")
    return Origin(
        shown=shown_in_rendering(parameters),
        title=_TITLES[recipe],
        made=[
            f"Rendered with the recipe `{recipe}` from seed {seed}. The seed and the parameters (in `manifest.json` of "
            "the rendered folder, in `metadata.json` of the TFDS dataset) determine every pixel. Give the command "
            "those parameters that differ from the defaults."
        ],
        commands=[
            f"python -m experiments.pit_render --config={config} --config.seed={seed} --output_dir=FOLDER "
            "--data_dir=data"
        ],
        citation=citation,
        protocol=_TRAINING.get(recipe, _REID),
        tags=["synthetic", "uv-texture", *(["person-re-identification"] if recipe == "pit_reid" else [])],
        tasks=["image-to-image", *(["image-feature-extraction"] if recipe == "pit_reid" else [])],
    )


def _benchmark(builder: Any, name: str) -> Origin:
    citation = package_text(builder.name, "CITATIONS.bib")
    return Origin(
        shown=Shown.REAL,
        title=f"{builder.title}, as prepared by San-JAX",
        made=[
            f"Built from the files that the benchmark's authors give out ({_SOURCE} in the command: the archive, or "
            "the folder unpacked from it). San-JAX does not hold them."
        ],
        commands=[f"python -m experiments.prepare --dataset={name} --manual_dir={_SOURCE} --data_dir=data"],
        citation=citation,
        creators=authors(citation),
    )


def _own(name: str, settings: OwnSettings, metadata: Mapping[str, Any]) -> Origin:
    flags = []
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.name in _SETTINGS_TOLD or value == field.default:
            continue
        if field.name == "table":
            value = os.path.basename(value) if os.path.isabs(value) else value
        flags.append(f"--{field.name}" if value is True else f"--{field.name}={shlex.quote(str(value))}")
    said = {name: getattr(settings, name) or metadata.get(name, "") for name in TOLD}
    creators = _creators(said["creator"])
    command = " ".join(
        (f"python -m experiments.prepare --dataset={OWN}{name} --manual_dir={_SOURCE} --data_dir=data", *flags)
    )
    return Origin(
        shown=Shown.OWN,
        title=f"{name}, a dataset of own pictures",
        made=[
            f"Built from a user's own pictures ({_SOURCE} in the command). Where the source gave no splits, seed "
            f"{settings.seed} made them."
        ],
        commands=[command],
        citation=_own_citation(name, creators, said["url"]),
        words=said["description"],
        creators=creators,
        url=said["url"],
    )


def _own_citation(name: str, creators: Sequence[str], url: str) -> str:
    year = datetime.datetime.now(datetime.UTC).year
    fields = {
        "title": name,
        "author": " and ".join(f"{{{one.replace('{', '').replace('}', '')}}}" for one in creators),
        "url": url,
        "note": "Own pictures, prepared with San-JAX; ask its maker how to cite them",
        "year": year,
    }
    return ",\n".join([f"@misc{{{name}", *(f"  {key}={{{value}}}" for key, value in fields.items() if value)]) + "\n}"


def _creators(text: str) -> list[str]:
    return [plain(one) for one in text.split(";") if one.strip()]


def _textured(builder: TexturedBuilder, name: str, metadata: Mapping[str, Any]) -> Origin:
    version = newest_version(given_path(builder.data_dir_root) / builder.benchmark)
    if version is None:  # it was read a moment ago
        raise DatasetError(f"{builder.benchmark} is gone from {builder.data_dir_root}.")
    info: Any = tfds.builder_from_directory(version).info
    source = dict(info.metadata or {})
    own = _own_citation(builder.benchmark, _creators(source.get("creator", "")), source.get("url", ""))
    shown, citation = Shown.OWN, own
    if "recipe" in source:
        shown, citation = shown_in_rendering(source["parameters"]), ""
    elif builder.benchmark in BENCHMARKS:
        shown, citation = Shown.REAL, info.citation
    textures = json.dumps(metadata.get("textures"), sort_keys=True)
    return Origin(
        shown=shown,
        title=f"{builder.benchmark} with pseudo {'textures' if builder.feature == 'texture' else 'frontal views'}",
        made=[
            f"Image bytes, ids and names are those of the training images of `{builder.benchmark}`. A SAN-PG network "
            f"regressed a pseudo {builder.feature} from each; nobody corrected them.",
            f"The network, by its settings: `{textures}`",
        ],
        commands=[f"python -m experiments.pseudo_texture --workdir=RUN --dataset={builder.benchmark} --data_dir=data"],
        citation="\n\n".join(part for part in (citation, package_text("textured", "CITATIONS.bib")) if part),
        protocol=_TRAINING["textured"],
        words=source.get("description", ""),
        tags=["person-re-identification", "uv-texture"],
        tasks=["image-feature-extraction", "image-to-image"],
        source=builder.benchmark,
    )
