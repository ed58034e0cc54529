"""The card and the Croissant metadata of a TFDS dataset."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from datasets.builder import ArchiveBuilder
from datasets.cards import croissant
from datasets.cards.facts import Facts, Feature, License, about_text, counts_of, value_range
from datasets.cards.origins import origin_of
from datasets.cards.people import Shown, limits_of, people_of
from datasets.cards.write import write_missing
from datasets.examples import Example, image_keys
from san_jax.counts import count
from san_jax.own_settings import NOT_STATED

_EXAMPLES = "examples"  # id of the record set
_ABOUT = {  # features whose builders do not document them
    "texture": "The person's surface as a UV texture.",
    "frontal": "The person in the fixed frontal pose.",
}
_ORDER = ("image", "texture", "frontal", "person_id", "label", "camera_id", "texture_id", "name")
_LICENSE_FILE = "LICENSE"  # as TFDS names it
_FILES = {
    _LICENSE_FILE: "The terms.",
    "dataset_info.json": "TFDS: name, version, splits and shards.",
    "features.json": "TFDS: the features.",
    "metadata.json": "What the builder noted: source, counts, parameters.",
    "mirror_map.npy": "How a texture is mirrored, uint16 (256, 256, 2).",
    "test_records.jsonl.gz": "What each picture outside of train shows, a line of JSON each.",
    "source.txt.gz": "What it was built from: names and sizes of the files, and the settings.",
    "names.json": "The words by which the user called persons and cameras.",
}


def write_cards(builder: ArchiveBuilder, folder: pathlib.Path) -> None:
    """Write README.md and croissant.json into the folder of a dataset, as far as they are not there.

    Args:
        builder: The builder that built the dataset, now or earlier from the same source.
        folder: The dataset's folder, complete and locked.

    Raises:
        OSError: They cannot be written.
    """
    write_missing(folder, lambda: _describe(builder, folder))


def _describe(builder: ArchiveBuilder, folder: pathlib.Path) -> tuple[Facts, croissant.Node]:
    stored: Any = tfds.builder_from_directory(folder)
    # The examples of a dataset that was built just now are in memory still.
    splits = builder.archive.splits if builder.archive else _read_back(stored)
    facts = _facts(builder, stored.info, splits)
    shards = [pathlib.Path(path).name for split in stored.info.splits.values() for path in split.filepaths]
    others = [path.name for path in sorted(folder.iterdir()) if path.name in _FILES]
    distribution = [
        *(croissant.file_object(folder, name, "A shard of TFDS examples.") for name in shards),
        croissant.file_set("shards", "*.array_record-*", "All shards. Their names say the split."),
        *(croissant.file_object(folder, name, _FILES[name]) for name in others),
    ]
    return facts, croissant.document(facts, distribution, [_record_set(facts)])


def _read_back(stored: Any) -> dict[str, list[Example]]:
    """Return the numbers of all examples."""
    features = stored.info.features
    decoders = {key: tfds.decode.SkipDecoding() for key in image_keys(features)}
    numbers = [
        key
        for key, feature in features.items()
        if isinstance(feature, tfds.features.Tensor) and not isinstance(feature, tfds.features.Text)
    ]
    return {
        split: [
            {key: np.asarray(example[key]).item() for key in numbers}
            for example in stored.as_data_source(split=split, decoders=decoders)
        ]
        for split in stored.info.splits
    }


def _facts(builder: ArchiveBuilder, info: Any, splits: Mapping[str, Sequence[Example]]) -> Facts:
    metadata = dict(info.metadata or {})
    name = info.full_name.removesuffix(f"/{info.version}")
    origin = origin_of(builder, name, metadata)
    counts, more_counts = _counts(metadata, splits)
    return Facts(
        name=name,
        title=origin.title,
        version=str(info.version),
        about=about_text(info.description),
        owner_words=origin.words,
        made=[*origin.made, *_made(metadata)],
        commands=origin.commands,
        counts=counts,
        more_counts=more_counts,
        features=[_feature(key, info.features[key], splits) for key in sorted(info.features, key=_place)],
        protocol=metadata.get("protocol") or origin.protocol,
        license=License(metadata.get("license") or f"{NOT_STATED}."),
        license_file=_LICENSE_FILE,
        people=people_of(origin.shown),
        limits=[*_own_limits(metadata), *limits_of(origin.shown)],
        citation=origin.citation,
        creators=origin.creators,
        url=origin.url,
        tags=["tfds", "array-record", "san-jax", *origin.tags],
        tasks=origin.tasks,
        synthetic=origin.shown not in (Shown.REAL, Shown.OWN),
        source=origin.source,
        files=(
            "The folder is a TFDS dataset: `tfds.builder_from_directory(FOLDER).as_data_source()` reads it, without "
            "TensorFlow."
        ),
    )


def _counts(
    metadata: Mapping[str, Any], splits: Mapping[str, Sequence[Example]]
) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """Return the counts of each split, and those that are of none; the builder's own where it noted them."""
    counts = counts_of(splits)
    more: dict[str, int] = {}
    for key, number in metadata.get("counts", {}).items():
        split, _, kind = key.partition(" ")
        if split in counts and kind in counts[split]:
            counts[split][kind] = number
        else:
            more[key] = number
    return counts, more


def _made(metadata: Mapping[str, Any]) -> list[str]:
    lines = []
    if metadata.get("archive_sha256"):
        lines.append(f"SHA-256 of the archive: `{metadata['archive_sha256']}`.")
    if metadata.get("source_digest"):
        lines.append(f"Digest of the source, by which a second build knows it again: `{metadata['source_digest']}`.")
    if expected := metadata.get("counts_expected"):
        differing = [key for key, number in expected.items() if metadata["counts"].get(key) != number]
        lines.append(
            f"{len(expected)} counts were compared with the published ones: "
            + (f"these are not as published: {', '.join(differing)}." if differing else "all are as published.")
        )
    if converted := metadata.get("converted"):
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in converted.items())
        lines.append(f"Pictures that were converted to upright RGB: {kinds}. All others have their bytes unchanged.")
    return lines


def _own_limits(metadata: Mapping[str, Any]) -> list[str]:
    """Return what the builder noted of this dataset alone."""
    lines = []
    if metadata.get("num_problems"):
        lines.append(
            f"It is partial: it was built in spite of {count(metadata['num_problems'], 'problem')}, which the metadata "
            "lists. Scores on it do not compare with published ones."
        )
    elif metadata.get("partial"):
        lines.append("Its source is partial: scores after training on it do not compare with published ones.")
    notes: Any = metadata.get("notes") or ()  # a sentence of a renderer, or lines of own pictures
    return [*lines, notes] if isinstance(notes, str) else [*lines, *notes]


def _place(name: str) -> tuple[int, str]:
    """Where a feature stands in the table: what is looked at comes first."""
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)


def _feature(name: str, feature: Any, splits: Mapping[str, Sequence[Example]]) -> Feature:
    about = feature.doc.desc or _ABOUT.get(name, "")
    if isinstance(feature, tfds.features.Image):
        shape: Any = feature.shape
        height, width, channels = shape
        size = "height x width" if None in (height, width) else f"{height} x {width}"
        vary = ", sizes vary" if None in (height, width) else ""
        encoding: Any = feature.to_json_content()
        stored = encoding.encoding_format.upper() or "JPEG or PNG"
        return Feature(name, "image", f"uint8, {size} x {channels}{vary}, stored as {stored}", "0..255, RGB", about)
    if isinstance(feature, tfds.features.Text):
        return Feature(name, "text", "UTF-8 bytes", "", about)
    values = value_range([example for examples in splits.values() for example in examples], name)
    kind = "integer" if np.issubdtype(feature.np_dtype, np.integer) else "float"
    return Feature(name, kind, np.dtype(feature.np_dtype).name, values, about)


def _record_set(facts: Facts) -> croissant.Node:
    shards = {"fileSet": {"@id": "shards"}}
    fields = [
        croissant.field(
            f"{_EXAMPLES}/{feature.name}", feature.kind, feature.about, croissant.column(shards, feature.name)
        )
        for feature in facts.features
    ]
    split = croissant.field(
        f"{_EXAMPLES}/split",
        "text",
        "The split, by the name of the shard.",
        croissant.file_property(shards, "fullpath", regex=rf".*-({'|'.join(facts.counts)})\.array_record-.*"),
        references={"field": {"@id": f"{croissant.SPLITS}/name"}},
    )
    about = "An example: a tf.train.Example in an array_record shard, whose features have the names of the fields."
    return croissant.record_set(_EXAMPLES, about, [split, *fields])
