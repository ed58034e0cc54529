"""The card and the Croissant metadata of a rendered folder: pictures as files, and a manifest that describes them."""

import dataclasses
import os
import pathlib
from collections.abc import Collection, Iterable

from datasets.cards import croissant
from datasets.cards.facts import Facts, Feature, License, about_text, counts_of, package_text, value_range
from datasets.cards.origins import rendered
from datasets.cards.people import limits_of, people_of
from datasets.cards.write import write_missing
from datasets.examples import PERSON_SIZE, TEXTURE_SIZE, Example
from render import manifest

_PAIRS, _IMAGES = "pairs", "images"
_SIZES = {"images": PERSON_SIZE, "frontals": PERSON_SIZE, "textures": TEXTURE_SIZE}
_FOLDERS = {
    "images": "The person images.",
    "textures": "The UV textures, one for each person that was painted.",
    "frontals": "The person of each image in the fixed frontal pose.",
}
_FILES = {
    manifest.HEADER_FILE: "What holds for all pairs: recipe, seed, parameters, licence, notes.",
    manifest.RECORDS_FILE: "A line for each pair: its files, ids, split, and every random choice.",
    manifest.MIRROR_FILE: "How a texture is mirrored, uint16 (256, 256, 2).",
}
_INTEGERS = {
    "index": "Position in the recipe, from 0.",
    "texture_id": "Number of the texture, from 0.",
    "person_id": "Identity; -1 where there are none.",
    "camera_id": "Camera, from 0; -1 where there are none.",
}
_TRUTHS = {
    "mask": "where the person is seen, 255, or not, 0",
    "parts": "the number of the body part that is seen",
    "uv": "the place in the texture of what is seen, 16-bit, u above v, 0 where there is none",
    "depth": "the depth of what is seen of the person, 16-bit, millimetres, 0 where there is none",
    "joints": "the joints' places in the picture",
}
_FILE_NAME = r"(?:.*/)?([^/]+)"  # of a path


def write_cards(folder: str | os.PathLike[str]) -> None:
    """Write README.md and croissant.json into a rendered folder, as far as they are not there.

    Args:
        folder: The folder, complete and locked.

    Raises:
        render.manifest.ManifestError: The folder is incomplete.
        OSError: They cannot be written.
    """
    root = pathlib.Path(folder)
    write_missing(root, lambda: _describe(root))


def _describe(root: pathlib.Path) -> tuple[Facts, croissant.Node]:
    header = manifest.read_header(root)
    found = _look_through(manifest.read_records(root, header))
    facts = _facts(header, found)
    objects = [croissant.file_object(root, name, about) for name, about in _FILES.items() if (root / name).is_file()]
    sets = {name: _file_sets(name, found.suffixes[name]) for name in _folders(found)}
    pictures = [
        _pictures(name, of_folder[0]["@id"])
        for name, of_folder in sets.items()
        if name != _IMAGES and not _is_deep(name) and len(of_folder) == 1 and "image/" in of_folder[0]["encodingFormat"]
    ]
    distribution = [*objects, *(one for of_folder in sets.values() for one in of_folder)]
    return facts, croissant.document(facts, distribution, [_pairs(facts), *pictures])


@dataclasses.dataclass(frozen=True)
class _Found:
    """What a card says of the records, which are many and not kept.

    Attributes:
        splits: Numbers of each record, by split.
        suffixes: Suffixes of the files in each folder, such as "images" or "truths/mask/images".
    """

    splits: dict[str, list[Example]]
    suffixes: dict[str, set[str]]


def _look_through(records: Iterable[manifest.Record]) -> _Found:
    found = _Found({}, {})
    for record in records:
        found.splits.setdefault(record.split, []).append(_example(record))
        for name in record.files:
            path = pathlib.PurePosixPath(name)
            depth = 3 if path.parts[0] == manifest.TRUTHS_FOLDER else 1  # truths/KIND/VIEW
            found.suffixes.setdefault("/".join(path.parts[:depth]), set()).add(path.suffix)
    return found


def _folders(found: _Found) -> list[str]:
    """Return the folders of pictures and of what is known of them, relative to the root."""
    names = sorted(found.suffixes)
    views = [name for name in names if name in _FOLDERS]
    return [
        *views,
        *(
            name
            for kind in manifest.TRUTHS
            for view in views
            if (name := f"{manifest.TRUTHS_FOLDER}/{kind}/{view}") in found.suffixes
        ),
    ]


def _is_deep(name: str) -> bool:
    """Whether a folder's pictures have 16 bits, which Croissant's readers cut to 8."""
    return name.startswith(tuple(f"{manifest.TRUTHS_FOLDER}/{kind}/" for kind in ("uv", "depth")))


def _about_folder(name: str) -> str:
    """Say what the files of a folder are."""
    if name in _FOLDERS:
        return _FOLDERS[name]
    _, kind, view = name.split("/")
    return f"Of each picture in {view}: {_TRUTHS[kind]}."


def _facts(header: manifest.Header, found: _Found) -> Facts:
    origin = rendered(header.recipe, header.seed, header.parameters)
    examples = [example for of_split in found.splits.values() for example in of_split]
    return Facts(
        name=header.recipe,
        title=f"{origin.title} (pictures as files)",
        version="1.0.0",
        about=about_text(
            package_text(header.recipe, "README.md"), without=("Licence:", "Beside the shards", "`test_records")
        ),
        owner_words="",
        made=origin.made,
        commands=origin.commands,
        counts=counts_of(found.splits),
        more_counts={},
        features=[
            *(
                _path_feature(name, found.suffixes[f"{name}s"])
                for name in ("image", "texture", "frontal")
                if f"{name}s" in found.suffixes
            ),
            *(_truth_feature(kind) for kind in header.truths),
            *(
                Feature(name, "integer", "number in the manifest", value_range(examples, name), about)
                for name, about in _INTEGERS.items()
                if name in examples[0]
            ),
            Feature("split", "text", "word in the manifest", ", ".join(found.splits), "The split."),
        ],
        protocol=origin.protocol,
        license=License(header.license),
        license_file="",
        people=people_of(origin.shown),
        limits=[*([header.notes] if header.notes else []), *limits_of(origin.shown)],
        citation=origin.citation,
        creators=origin.creators,
        url=origin.url,
        tags=["san-jax", *origin.tags],
        tasks=origin.tasks,
        synthetic=True,
        source=origin.source,
        files=(
            f"`{manifest.RECORDS_FILE}` has a line for each pair, with the paths of its pictures and every choice that "
            f"made it; `{manifest.HEADER_FILE}` has what holds for all. `{manifest.MIRROR_FILE}`, uint16 (256, 256, "
            "2), gives the texture of a horizontally flipped image: `texture[map[..., 0], map[..., 1]]`."
        ),
    )


def _example(record: manifest.Record) -> Example:
    numbers = {name: getattr(record, name) for name in _INTEGERS}
    if record.person_id < 0:
        del numbers["person_id"], numbers["camera_id"]
    return numbers


def _path_feature(name: str, suffixes: Iterable[str]) -> Feature:
    folder = f"{name}s"
    height, width = _SIZES[folder]
    form = f"path of a file ({' or '.join(sorted(suffixes))}), uint8, {height} x {width} x 3"
    return Feature(name, "text", form, "0..255, RGB", _FOLDERS[folder])


def _truth_feature(kind: str) -> Feature:
    form = f"path of a file ({manifest.TRUTHS[kind]}), under `truths` in the manifest"
    return Feature(f"truths.{kind}", "truth", form, "", f"{_TRUTHS[kind].capitalize()}.")


def _file_sets(name: str, suffixes: Collection[str]) -> list[croissant.Node]:
    """Return a set for each kind of file in a folder."""
    identity = name.replace("/", "-")
    return [
        croissant.file_set(
            f"{identity}-files{suffix if len(suffixes) > 1 else ''}", f"{name}/*{suffix}", _about_folder(name)
        )
        for suffix in sorted(suffixes)
    ]


def _pairs(facts: Facts) -> croissant.Node:
    """Return the record set of the manifest's lines, each with the pixels of its image."""
    lines = {"fileObject": {"@id": manifest.RECORDS_FILE}}
    images = {"fileSet": {"@id": f"{_IMAGES}-files"}}
    fields = [
        croissant.field(f"{_PAIRS}/{one.name}", one.kind, one.about, croissant.column(lines, one.name))
        for one in facts.features
        if one.name != "image" and one.kind != "truth"
    ]
    # Names of files join the manifest with the files, as they differ within a folder.
    name = croissant.field(
        f"{_PAIRS}/image_name",
        "text",
        "Name of the image's file.",
        croissant.column(lines, "image", regex=_FILE_NAME),
        references=croissant.file_property(images, "filename"),
    )
    image = croissant.field(f"{_PAIRS}/image", "image", _FOLDERS[_IMAGES], croissant.file_property(images, "content"))
    return croissant.record_set(
        _PAIRS,
        "A line of the manifest, with its image; `texture` and `frontal` are paths.",
        [name, image, *fields],
        key="index",
    )


def _pictures(name: str, file_set: str) -> croissant.Node:
    """Return the record set of the pictures of a folder, by path."""
    source, identity = {"fileSet": {"@id": file_set}}, name.replace("/", "-")
    fields = [
        croissant.field(f"{identity}/path", "text", "Path in the folder.", croissant.file_property(source, "fullpath")),
        croissant.field(f"{identity}/image", "image", "The pixels.", croissant.file_property(source, "content")),
    ]
    return croissant.record_set(identity, _about_folder(name), fields, key="path")
