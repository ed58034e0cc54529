"""Croissant metadata, version 1.1: JSON-LD that says what a dataset holds, for programs.

https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html. The forms are those that TFDS's `CroissantBuilder`
reads.
"""

import mimetypes
import pathlib
from collections.abc import Sequence
from typing import Any

from datasets.cards.facts import Facts, today
from san_jax import files

Node = dict[str, Any]

SPLITS = "splits"  # id of the record set of the splits
JSON_LINES, JPEG, PNG = "application/jsonlines", "image/jpeg", "image/png"
# Kinds of `Feature` -> the types of Croissant.
DATA_TYPES = {"float": "cr:Float64", "image": "sc:ImageObject", "integer": "cr:Int64", "text": "sc:Text"}
# Suffixes of files -> format, a MIME type, or where there is none, a page on it.
_FORMATS = {
    ".gz": "application/gzip",
    ".jsonl": JSON_LINES,
    ".npy": "https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html",
    ".npz": "https://numpy.org/doc/stable/reference/generated/numpy.savez.html",
}
ARRAY_RECORD = "https://github.com/google/array_record"
# The context that the specification prescribes, as it stands there.
_CONTEXT: Node = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def document(facts: Facts, distribution: Sequence[Node], record_sets: Sequence[Node]) -> Node:
    """Return the whole of croissant.json.

    Args:
        facts: What the card says.
        distribution: The files, of `file_object` and `file_set`.
        record_sets: What they hold, of `record_set`, beside the splits.
    """
    node: Node = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": facts.name,
        "alternateName": facts.title,
        "description": "\n\n".join(part for part in (facts.owner_words, facts.about) if part),
        "version": facts.version,
        "datePublished": today(),
        "license": facts.license.url
        or {"@type": "sc:CreativeWork", "name": "Terms", "description": facts.license.text},
        "citeAs": facts.citation,
        "keywords": list(facts.tags),
        "rai:dataCollection": " ".join(facts.made),
        "rai:dataUseCases": facts.protocol,
        "rai:dataLimitations": list(facts.limits),
        "rai:personalSensitiveInformation": [one.replace("**", "") for one in facts.people],
        "distribution": list(distribution),
        "recordSet": [_splits(facts), *record_sets],
    }
    if facts.creators:
        node["creator"] = [{"@type": "sc:Person", "name": name} for name in facts.creators]
    if facts.url:
        node["url"] = facts.url
    return node


def file_object(folder: pathlib.Path, name: str, about: str) -> Node:
    """Return the node of a file in a folder, with its size and SHA-256."""
    path = folder / name
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "description": about,
        "contentUrl": name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": _format(name),
        "sha256": files.sha256(path),
    }


def file_set(identity: str, includes: str, about: str) -> Node:
    """Return the node of many files of one format, by a pattern of their names."""
    return {
        "@type": "cr:FileSet",
        "@id": identity,
        "name": identity,
        "description": about,
        "encodingFormat": _format(includes),
        "includes": includes,
    }


def record_set(identity: str, about: str, fields: Sequence[Node], *, key: str = "") -> Node:
    """Return the node of a set of records.

    Args:
        identity: Its id, with which those of its fields begin.
        about: What a record is.
        fields: Of `field`.
        key: The field, without the id of the set, that is different in all records; "" for none.
    """
    node: Node = {"@type": "cr:RecordSet", "@id": identity, "name": identity, "description": about}
    if key:
        node["key"] = {"@id": f"{identity}/{key}"}
    return {**node, "field": list(fields)}


def field(identity: str, kind: str, about: str, source: Node, **more: Any) -> Node:
    """Return the node of a field.

    Args:
        identity: The id of the record set, a slash, and the field's name.
        kind: Of `DATA_TYPES`.
        about: What it is.
        source: Where its values stand, of `column` and `file_property`.
        **more: Further properties, such as `references`.
    """
    node = {"@type": "cr:Field", "@id": identity, "name": identity.rpartition("/")[2], "dataType": DATA_TYPES[kind]}
    return {**node, **({"description": about} if about else {}), "source": source, **more}


def column(source: Node, name: str, *, regex: str = "") -> Node:
    """Return the source of a field that is a column, or a named feature, of a file or of files.

    Args:
        source: `{"fileObject": {"@id": ...}}` or `{"fileSet": {"@id": ...}}`.
        name: The column.
        regex: What is cut out of the values, by its first group; "" for all of them.
    """
    return _extracting(source, {"column": name}, regex)


def file_property(source: Node, name: str, *, regex: str = "") -> Node:
    """Return the source of a field that is a property of a file: content, filename or fullpath."""
    return _extracting(source, {"fileProperty": name}, regex)


def _extracting(source: Node, extract: Node, regex: str) -> Node:
    return {**source, "extract": extract, **({"transform": {"regex": regex}} if regex else {})}


def _splits(facts: Facts) -> Node:
    """The record set of the splits, whose records stand in the metadata: names and counts."""
    kinds = dict.fromkeys(facts.kinds, "integer")
    fields = [
        {"@type": "cr:Field", "@id": f"{SPLITS}/{name}", "name": name, "dataType": DATA_TYPES[kind]}
        for name, kind in {"name": "text", **kinds}.items()
    ]
    node = record_set(SPLITS, "The splits, with the number of what they hold.", fields, key="name")
    rows = [
        {f"{SPLITS}/name": split, **{f"{SPLITS}/{kind}": counts.get(kind) for kind in kinds}}
        for split, counts in facts.counts.items()
    ]
    return {**node, "dataType": "cr:Split", "data": rows}


def _format(name: str) -> str:
    if ".array_record" in name:
        return ARRAY_RECORD
    suffix = pathlib.PurePosixPath(name).suffix.lower()
    if not suffix:
        return "text/plain"
    return _FORMATS.get(suffix) or mimetypes.guess_type(f"a{suffix}")[0] or "application/octet-stream"
