"""Reads a rendered folder through its manifest, for the builders of `pit` and `pit_reid`."""

import hashlib
import os
import pathlib

from datasets import mirror_map
from datasets.errors import DatasetError
from render import manifest

ADVICE = (
    "Render it with `python -m experiments.pit_render --config={recipe}.py --output_dir=FOLDER` and give that folder "
    "as manual_dir; if you run it again on the same folder, it draws only what is missing."
)


def read_rendered(
    manual_dir: str | os.PathLike[str], recipe: str
) -> tuple[pathlib.Path, manifest.Header, list[manifest.Record], str]:
    """Return the path, header, records and digest of a completely rendered folder.

    The digest covers the two manifest files, whose recipe, seed, parameters and choices determine the images, and the
    mirror map.

    Raises:
        DatasetError: The folder is incomplete, malformed, or of another recipe.
    """
    root = pathlib.Path(manual_dir).expanduser()
    advice = ADVICE.format(recipe=recipe)
    try:
        header, records = manifest.read_manifest(root)
    except manifest.ManifestError as error:
        raise DatasetError(f"{root} is no complete rendered folder: {error}\n{advice}") from error
    if header.recipe != recipe:
        raise DatasetError(f"{root} was rendered by the recipe {header.recipe!r}, expected {recipe!r}.\n{advice}")
    digest = hashlib.sha256()
    for name in (manifest.HEADER_FILE, manifest.RECORDS_FILE):
        digest.update((root / name).read_bytes())
    for content in mirror_map.read_mirror_file(root).values():
        digest.update(content)
    return root, header, records, digest.hexdigest()


def header_metadata(header: manifest.Header) -> dict[str, object]:
    """Return the part of the manifest's header that is stored with the dataset."""
    return {
        "recipe": header.recipe,
        "seed": header.seed,
        "parameters": header.parameters,
        "license": header.license,
        "notes": header.notes,
    }
